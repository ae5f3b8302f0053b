/* LIBS: mdl_test_support mdl_passes mdl_front_rule mdl_target mdl_ir mdl_base */
/* test_golden_passes.c: passes on small texts: what becomes of them is in tests/golden, one folder a pass. A
 * pass of passes.def without a folder fails. Those that have more tests than that are in test_simplify.c,
 * test_raise.c and test_remat.c. */
#include "golden.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- what passes look at beside the graph ---- */

enum { PARAMETERS = 4 };

/* Parameters 0 .. 3 of the types they are read with, and their gradients behind them. */
static void add_program(PassCx *cx, const Graph *g)
{
    Program *p = program_new(cx->ir, NULL);
    const Type *types[PARAMETERS];
    for (uint32_t i = 0; i < PARAMETERS; i++)
        types[i] = type_scalar(cx->ir, DT_F32);
    bool read[PARAMETERS] = {false};
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        uint32_t id;
        if (!node_is_state(g->nodes.at[i], &id) || id >= PARAMETERS)
            continue;
        types[id] = g->nodes.at[i]->type;
        read[id] = true;
    }
    for (uint32_t i = 0; i < 2 * PARAMETERS; i++) {
        uint32_t of = i % PARAMETERS;
        State proto = {.kind = i < PARAMETERS ? SK_PARAM : SK_GRAD,
                       .path = sym_printf(cx->ir->syms, "p%u", of),
                       .type = types[of],
                       .of = of,
                       .trained = i < PARAMETERS && read[of]};
        program_state(p, &proto);
    }
    cx->program = p;
}

static void add_target(PassCx *cx)
{
    Target *t = NEW(cx->arena, Target);
    *t = (Target){.name = "test",
                  .isa = "generic",
                  .vector = 4,
                  .registers = 16,
                  .l1 = 32 << 10,
                  .l2 = 512 << 10,
                  .flops = 16e9,
                  .bandwidth = 8e9,
                  .launch = 2e-6};
    cx->target = t;
}

static Graph *autodiff(PassCx *cx, const Graph *in)
{
    add_program(cx, in);
    return pass_autodiff(cx, in);
}

static Graph *expand(PassCx *cx, const Graph *in)
{
    add_target(cx);
    return pass_expand(cx, in);
}

static Graph *fuse(PassCx *cx, const Graph *in)
{
    add_target(cx);
    return pass_fuse(cx, in);
}

static Graph *pick(PassCx *cx, const Graph *in)
{
    add_target(cx);
    return pass_pick(cx, in);
}

/* ---- the texts ---- */

static const struct {
    const char *file;
    PassFn run;
} goldens[] = {{"autodiff/losses.txt", autodiff},
               {"expand/calls.txt", expand},
               {"fuse/groups.txt", fuse},
               {"pick/configs.txt", pick}};

static void test_texts(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(goldens); i++) {
        Arena *arena = arena_new();
        const char *report = golden_check(arena, goldens[i].file, goldens[i].run);
        if (report)
            fail_msg("%s", report);
        arena_free(arena);
    }
}

static void test_every_pass_has_a_text(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    int missing = 0;
    for (PassId id = 0; id < PASS_COUNT; id++) {
        const char *path =
            arena_printf(arena, "%s/tests/golden/%s", MDL_SOURCE_DIR, pass_info(id)->name);
        DIR *dir = opendir(path);
        if (!dir)
            print_message("no golden text of the pass `%s` in %s\n", pass_info(id)->name, path);
        missing += !dir;
        if (dir)
            closedir(dir);
    }
    assert_int_equal(missing, 0);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_every_pass_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
