/* LIBS: mdl_compile mdl_codegen mdl_kernel mdl_passes mdl_front mdl_front_rule mdl_target mdl_plan mdl_ir mdl_base */
/* test_pictures.c: how many pictures a pass has at most, by the tokens that one takes: in a stage, in an eval block
 * and in both entries of a chat. */
#include "compile.h"
#include "passes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A picture of 12 x 12 in patches of 4 x 4 takes 9 tokens. */
#define MODEL                                                                                      \
    "import llava_med: Llava\n"                                                                    \
    "model seer = Llava(size: 12, P: 4, Dv: 16, Lv: 3, Hv: 2, Fv: 24, V: 256, D: 16, L: 2, H: 4, " \
    "KV: 2, F: 24)\n"                                                                              \
    "fn small(img: image) -> [3, 12, 12] = img |> resize(12, filter: bicubic) |> normalize((0.5, " \
    "0.5, 0.5), (0.5, 0.5, 0.5))\n"                                                                \
    "template turns { user = [image, content] ; assistant = [learn(content)] }\n"

static const char training[] = MODEL
    "data figures { source = conversations(\"a.json\", images: \"a\") ; tokenizer = bytes()\n"
    "  template = turns ; image = small ; length = 40 }\n"
    "train seer { data = figures ; lr = 1e-3 ; batch = 6 ; micro = 2 ; steps = 1\n"
    "  loss = b => cross_entropy(seer(b.tokens, b.pos, b.images, b.slots), b.targets, mask: "
    "b.learn) }\n"
    "eval test { data = figures ; batch = 5\n"
    "  metric loss = b => cross_entropy(seer(b.tokens, b.pos, b.images, b.slots), b.targets, mask: "
    "b.learn) }\n";

static const char chat[] =
    MODEL "chat helper { model = seer ; tokenizer = bytes() ; template = turns ; image = small }\n";

typedef struct Session {
    Arena *arena;
    const char *path;
    Compile *c;
} Session;

static void open_text(Session *s, const char *text)
{
    Err err = {0};
    if (!file_write_atomic(s->path, text, strlen(text), &err))
        fail_msg("%s", err.text);
    compile_free(s->c);
    s->c = compile_new(&(CompileOptions){.path = s->path});
    if (!compile_load(s->c, &err))
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    Arena *arena = arena_new();
    Session *s = NEW(arena, Session);
    s->arena = arena;
    s->path = arena_printf(arena, "%s/pictures-%ld.mdl", MDL_BINARY_DIR, (long)getpid());
    setenv("MDL_PATH", MDL_SOURCE_DIR "/models", 1);
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

static const char *said(const Session *s)
{
    return diags_render(compile_diags(s->c), s->arena, DIAG_SHORT, false);
}

static void must(const Session *s, bool ok)
{
    if (!ok)
        fail_msg("%s", said(s));
}

static const Graph *entry(const Session *s, const char *name)
{
    const Graph *g = program_entry(compile_program(s->c), name);
    assert_non_null(g);
    return g;
}

static void check_input(const Session *s, const Graph *g, const char *name, const char *type)
{
    const Ir *ir = compile_program(s->c)->ir;
    for (uint32_t i = 0; i < g->inputs.n; i++)
        if (strcmp(node_sym(g->inputs.at[i], "name"), name) == 0) {
            assert_string_equal(type_text(ir, g->inputs.at[i]->type), type);
            return;
        }
    fail_msg("%s has no input `%s`", g->name, name);
}

static int64_t most_pictures(const Session *s, const Graph *g)
{
    for (uint32_t i = 0; i < g->inputs.n; i++)
        if (strcmp(node_sym(g->inputs.at[i], "name"), "images") == 0)
            return dim_hi(compile_program(s->c)->ir, g->inputs.at[i]->type->dims[0]);
    fail_msg("%s has no pictures", g->name);
    return 0;
}

/* Data of pictures cannot be loaded yet; the graphs can be looked at all the same. */
static void test_stage(void **state)
{
    Session *s = *state;
    Err err = {0};
    Bytes bytes;
    open_text(s, training);
    must(s, compile_stage(s->c, NULL, &err));
    check_input(s, entry(s, "micro"), "images", "f32[images, 3, 12, 12]");
    assert_int_equal(most_pictures(s, entry(s, "micro")), 2 * 40 / 9);
    assert_int_equal(most_pictures(s, entry(s, "eval:test")), 5 * 40 / 9);
    must(s, compile_kernels(s->c, &bytes, &err));
}

static bool reads(const Session *s, const Graph *g, const char *prefix)
{
    uint32_t state;
    for (uint32_t i = 0; i < g->nodes.n; i++)
        if (node_is_state(g->nodes.at[i], &state) &&
            strncmp(compile_program(s->c)->states.at[state]->path, prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

/* The tower runs where pictures are read, and only there. */
static void test_chat(void **state)
{
    Session *s = *state;
    Err err = {0};
    Bytes bytes;
    open_text(s, chat);
    assert_int_equal(compile_generate_count(s->c), 1);
    assert_true(compile_generate_chats(s->c, 0));
    must(s, compile_generate(s->c, 0, &err));
    const Graph *prefill = entry(s, "prefill");
    check_input(s, prefill, "tokens", "i32[1, T]");
    check_input(s, prefill, "images", "f32[images, 3, 12, 12]");
    check_input(s, prefill, "slots", "bool[1, T]");
    assert_int_equal(most_pictures(s, prefill), 128 / 9);
    assert_int_equal(entry(s, "decode")->inputs.n, 0);
    must(s, compile_kernels(s->c, &bytes, &err));
    assert_true(reads(s, compile_memplan(s->c, 0)->graph, "vision."));
    assert_false(reads(s, compile_memplan(s->c, 1)->graph, "vision."));
    assert_false(reads(s, compile_memplan(s->c, 1)->graph, "projector."));
}

/* A picture is read in one piece, which has room for it, and so has the context. */
static void test_pieces(void **state)
{
    Session *s = *state;
    Err err = {0};
    const char *large = arena_printf(s->arena, "%s", chat);
    memcpy(strstr(large, "size: 12, P: 4,"), "size: 12, P: 1,", 15);
    open_text(s, large);
    must(s, compile_generate(s->c, 0, &err));
    assert_int_equal(most_pictures(s, entry(s, "prefill")), 1);
    const Type *tokens = entry(s, "prefill")->inputs.at[0]->type;
    assert_int_equal(dim_hi(compile_program(s->c)->ir, tokens->dims[1]), 256); /* 144 tokens */
    char *narrow = arena_printf(s->arena, "%s", large);
    memcpy(strstr(narrow, "image = small }"), "context = 100 }", 15);
    open_text(s, narrow);
    assert_false(compile_generate(s->c, 0, &err));
    assert_non_null(strstr(said(s), "`chat helper` needs `image`"));
    open_text(s, arena_printf(s->arena, "%.*s ; context = 144 }\n", (int)strlen(large) - 2, large));
    assert_false(compile_generate(s->c, 0, &err));
    assert_non_null(strstr(said(s), "a context of 144 tokens, and a picture takes 144"));
}

/* What needs a tokenizer, a template or pictures refuses the chat. */
static void test_running(void **state)
{
    Session *s = *state;
    Err err = {0};
    Bytes bytes;
    open_text(s, chat);
    must(s, compile_generate(s->c, 0, &err));
    assert_false(compile_plan(s->c, &bytes, &err));
    assert_non_null(strstr(said(s), "E0199"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_stage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chat, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_running, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
