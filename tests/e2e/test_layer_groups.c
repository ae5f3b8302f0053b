/* LIBS: mdl_compile mdl_passes mdl_target mdl_ir mdl_base */
/* test_layer_groups.c: how many kernels a layer of a Llama takes: the difference that one more layer makes,
 * of an evaluation (forward) and of a training pass (forward and backward). The numbers are upper ends;
 * whoever merges more lowers them. Forward: norm; q, k, v with rotation; attention; its output with residual;
 * norm; gate and up; down with residual. */
#define _GNU_SOURCE
#include "compile.h"
#include "memplan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { FORWARD_MOST = 7, TRAIN_MOST = 14 };
enum { DECODE_MOST = 5, DECODE_CPU_MOST = 7 };
enum { WORDS = 400 };

static const char program[] =
    "import llama: Llama\n"
    "model tiny = Llama(V: %d, D: %d, L: %d, H: %d, KV: 2, F: 96)\n"
    "data points {\n"
    "  source = npz(\"p.npz\", x: \"xs\", y: \"ys\", p: \"ps\")\n"
    "  tokens: i32[16] = row => row.x\n"
    "  targets: i32[16] = row => row.y\n"
    "  pos: i32[16] = row => row.p\n"
    "}\n"
    "train tiny {\n"
    "  data = points\n"
    "  loss = b => cross_entropy(tiny(b.tokens, b.pos), b.targets)\n"
    "  lr = 1e-2\n  batch = 4\n  micro = %d\n  steps = 2\n  precision = %s\n"
    "  every 1 steps: eval(held_out)\n"
    "}\n"
    "eval held_out {\n"
    "  data = points\n"
    "  metric loss = b => cross_entropy(tiny(b.tokens, b.pos), b.targets)\n"
    "}\n"
    "generate text { model = tiny ; tokenizer = bytes() ; precision = %s }\n";

/* What is compiled. */
typedef struct Ask {
    const char *entry;
    int micro; /* rows of a pass */
    const char *precision;
    int width;
    bool tables; /* counts only maps over tensors of the vocabulary's size */
} Ask;

static const CompileTarget targets[] = {
    {PLAN_CPU, NULL}, {PLAN_CUDA, "sm_80"}, {PLAN_CUDA, "sm_90a"}};

static bool is_asked(const Ask *ask, const Node *group)
{
    const Type *t = group->type;
    return !ask->tables || (strcmp(node_sym(group, "class"), "map") == 0 && t->rank == 2 &&
                            dim_equals(t->dims[0], WORDS));
}

/* Groups of the entry with so many layers. */
static int groups(const CompileTarget *target, const Ask *ask, int layers)
{
    char path[] = "/tmp/mdl-layers-XXXXXX.mdl", text[2048];
    int heads = ask->width < 512 ? 4 : ask->width / 128;
    int fd = mkstemps(path, 4), n = snprintf(text, sizeof text, program, WORDS, ask->width, layers,
                                             heads, ask->micro, ask->precision, ask->precision);
    assert_true(fd >= 0 && write(fd, text, (size_t)n) == n);
    close(fd);
    CompileOptions options = {.path = path, .targets = target, .ntarget = 1};
    Compile *c = compile_new(&options);
    Err err = {0};
    bool ok = compile_load(c, &err);
    ok = ok && (strcmp(ask->entry, "decode") ? compile_stage(c, NULL, &err)
                                             : compile_generate(c, 0, &err));
    if (!ok || !compile_lower(c, &err))
        fail_msg("%s", err.text);
    const Program *p = compile_program(c);
    int count = -1;
    for (uint32_t i = 0; i < p->entries.n; i++) {
        if (strcmp(p->entries.at[i]->name, ask->entry) != 0)
            continue;
        const MemPlan *m = compile_memplan(c, i);
        count = 0;
        for (uint32_t k = 0; k < m->order.n; k++)
            count += is_asked(ask, m->order.at[k]);
    }
    compile_free(c);
    unlink(path);
    assert_true(count >= 0);
    return count;
}

static void check_on(const CompileTarget *target, const Ask *ask, int most)
{
    int more = groups(target, ask, 3) - groups(target, ask, 2);
    const char *isa = target->isa ? target->isa : "the CPU";
    print_message("%s in %s on %s: %d kernels a layer\n", ask->entry, ask->precision, isa, more);
    if (more > most)
        fail_msg("%s in %s on %s: %d kernels a layer, at most %d", ask->entry, ask->precision, isa,
                 more, most);
}

static void check(const Ask *ask, int most)
{
    for (size_t t = 0; t < COUNT(targets); t++)
        check_on(&targets[t], ask, most);
}

static void test_forward(void **state)
{
    UNUSED(state);
    check(&(Ask){"eval:held_out", 4, "f32", 64, false}, FORWARD_MOST);
    check(&(Ask){"eval:held_out", 4, "bf16", 256, false}, FORWARD_MOST);
}

static void test_training(void **state)
{
    UNUSED(state);
    check(&(Ask){"micro", 4, "f32", 64, false}, TRAIN_MOST);
    check(&(Ask){"micro", 4, "bf16", 256, false}, TRAIN_MOST);
}

/* Gradients of several passes are added where they are computed, in place. */
static void test_passes(void **state)
{
    UNUSED(state);
    check(&(Ask){"micro", 2, "f32", 64, false}, TRAIN_MOST);
}

/* So are those of the tables of words, rounded as the program rounds them; nothing is copied to its place. */
static void test_tables(void **state)
{
    UNUSED(state);
    for (size_t t = 1; t < COUNT(targets); t++) {
        assert_int_equal(groups(&targets[t], &(Ask){"micro", 2, "f32", 64, true}, 1), 0);
        assert_int_equal(groups(&targets[t], &(Ask){"micro", 2, "bf16", 64, true}, 1), 0);
    }
}

/* Norms are prologues, rows of keys and of values epilogues; a CPU stores the scores of few queries. */
static void test_decode(void **state)
{
    UNUSED(state);
    static const Ask single = {"decode", 4, "f32", 64, false},
                     half = {"decode", 4, "bf16", 4096, false};
    for (size_t t = 0; t < COUNT(targets); t++) {
        bool gpu = targets[t].isa != NULL;
        check_on(&targets[t], &single, gpu ? DECODE_MOST : DECODE_CPU_MOST);
        check_on(&targets[t], &half, gpu ? DECODE_MOST : DECODE_CPU_MOST + 1);
    }
}

int main(void)
{
    setenv("MDL_PATH", MDL_SOURCE_DIR "/models", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward), cmocka_unit_test(test_training),
        cmocka_unit_test(test_decode),  cmocka_unit_test(test_passes),
        cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
