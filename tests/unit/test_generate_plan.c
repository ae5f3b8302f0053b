/* LIBS: mdl_compile mdl_codegen mdl_kernel mdl_passes mdl_front mdl_front_rule mdl_target mdl_plan mdl_ir mdl_base */
/* test_generate_plan.c: the entries of a generate block: what they read and write, and that the rows which a cache
 * of keys grows by are written in its own place, without a copy of the rest. */
#include "compile.h"
#include "passes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char program[] = "import gpt2: GPT2\n"
                              "model m = GPT2(V: 256, D: 32, L: 3, H: 2, Ctx: 96)\n"
                              "generate g { model = m ; tokenizer = bytes() }\n";

typedef struct Session {
    Arena *arena;
    const char *path;
    Compile *c;
} Session;

static int setup(void **state)
{
    Arena *arena = arena_new();
    Session *s = NEW(arena, Session);
    Err err = {0};
    s->arena = arena;
    s->path = arena_printf(arena, "%s/generate-%ld.mdl", MDL_BINARY_DIR, (long)getpid());
    setenv("MDL_PATH", MDL_SOURCE_DIR "/models", 1);
    if (!file_write_atomic(s->path, program, strlen(program), &err))
        return -1;
    s->c = compile_new(&(CompileOptions){.path = s->path});
    if (!compile_load(s->c, &err) || !compile_generate(s->c, 0, &err) || !compile_lower(s->c, &err))
        fail_msg("%s\n%s", err.text, diags_render(compile_diags(s->c), arena, DIAG_HUMAN, false));
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    Session *s = *state;
    compile_free(s->c);
    remove(s->path);
    arena_free(s->arena);
    return 0;
}

static void test_entries(void **state)
{
    const Session *s = *state;
    const Program *p = compile_program(s->c);
    assert_int_equal(p->entries.n, 2);
    const Graph *prefill = p->entries.at[0], *decode = p->entries.at[1];
    assert_string_equal(prefill->name, "prefill");
    assert_string_equal(decode->name, "decode");
    assert_int_equal(prefill->inputs.n, 1);
    assert_int_equal(decode->inputs.n, 0);
    uint32_t caches = 0;
    for (uint32_t i = 0; i < p->states.n; i++)
        caches += p->states.at[i]->kind == SK_KV;
    assert_int_equal(caches, 6);
    assert_int_equal(prefill->writes.n, caches + 1); /* and the next token */
    assert_int_equal(decode->writes.n, caches + 1);
}

static void test_in_place(void **state)
{
    const Session *s = *state;
    const Program *p = compile_program(s->c);
    for (uint32_t e = 0; e < 2; e++) {
        const Graph *g = compile_memplan(s->c, e)->graph;
        uint32_t appended = 0;
        for (uint32_t i = 0; i < g->writes.n; i++) {
            const Node *n = g->writes.at[i].node;
            if (p->states.at[g->writes.at[i].state]->kind != SK_KV)
                continue;
            const Node *group =
                n->op == OP_GET ? n->in[0] : n; /* of a product with other results */
            uint32_t result = n->op == OP_GET ? (uint32_t)node_int(n, "i") : 0;
            const Node *made = node_def(group)->body->results.at[result].node;
            assert_int_equal(made->op, OP_UPDATE);
            if (strcmp(node_sym(group, "class"), "update") == 0)
                assert_int_equal(node_ints(group, "config")->ints[1], 0); /* whole */
            const Slot *slot = memplan_slot(compile_memplan(s->c, e), n);
            assert_int_equal(slot->place, PLACE_STATE);
            appended++;
        }
        assert_int_equal(appended, 6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_entries, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_place, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
