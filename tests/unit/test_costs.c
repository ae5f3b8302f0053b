/* LIBS: mdl_target mdl_ir mdl_base */
/* test_costs.c: predicted times against what follows from the rates of a GPU. */
#include "costs.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static Target machine(const char *name)
{
    Target t;
    Err err = {0};
    assert_true(target_machine(&t, name, &err));
    return t;
}

static double seconds(const char *name, Work w)
{
    const Target t = machine(name);
    const double got = target_predict(&t, &w).seconds;
    assert_true(got > 0 && isfinite(got));
    return got;
}

static void machines(void **state)
{
    UNUSED(state);
    Target t, first;
    Err err = {0};
    assert_false(target_machine(&t, "abacus", &err));
    assert_int_equal(err.kind, ERR_USAGE);
    /* plans for an architecture are for the first one of it, whatever is predicted */
    assert_true(target_cuda(&first, "sm_90a", &err));
    assert_string_equal(first.machine, "h200");
    t = machine("h100");
    assert_string_equal(t.isa, "sm_90a");
    assert_true(t.bandwidth < first.bandwidth && t.memory < first.memory);
    assert_int_equal(t.cores, first.cores);
    assert_string_equal(machine("a100").isa, "sm_80");
}

/* A map of 3 GB: what memory takes, longer on the GPU with the slower memory, in its proportion. */
static void memory(void **state)
{
    UNUSED(state);
    const Work w = {.cls = KC_MAP, .bytes = 3e9, .flops = 1e9, .launches = 1, .blocks = 1e6};
    const Target h100 = machine("h100"), h200 = machine("h200");
    const Prediction p = target_predict(&h100, &w), q = target_predict(&h200, &w);
    assert_true(p.memory > p.arithmetic);
    assert_true(p.seconds > 3e9 / h100.bandwidth && p.seconds < 1.2 * 3e9 / h100.bandwidth);
    assert_true(fabs(p.memory / q.memory - h200.bandwidth / h100.bandwidth) < 1e-9);
}

/* One block cannot ask for all that memory gives: it takes as long as its multiprocessor lets it. */
static void one_block(void **state)
{
    UNUSED(state);
    Work w = {.cls = KC_PREFIX, .bytes = 2.5e6, .flops = 3e5, .launches = 1, .blocks = 1};
    const double alone = seconds("h100", w);
    w.blocks = 16;
    const double some = seconds("h100", w);
    w.blocks = 32;
    const double many = seconds("h100", w);
    w.blocks = 64;
    assert_true(alone > 2.5e6 / 300e9 && alone > 5 * some && some > many);
    assert_true(many >= seconds("h100", w));
}

/* 8192 x 8192 x 8192 in bf16 took 1.52 to 1.60 ms on an H100, 4096 cubed in f32 2.6 to 3.2 ms. */
static void products(void **state)
{
    UNUSED(state);
    const double n = 2.0 * 8192 * 8192 * 8192, m = 2.0 * 4096 * 4096 * 4096;
    const Work big = {.cls = KC_GEMM,
                      .flops = n,
                      .products = n,
                      .matrix = n,
                      .bytes = 6.0 * 8192 * 8192,
                      .launches = 1,
                      .blocks = 2048,
                      .stays = true};
    const Work wide = {.cls = KC_GEMM,
                       .flops = m,
                       .products = m,
                       .bytes = 12.0 * 4096 * 4096,
                       .launches = 1,
                       .blocks = 1024};
    assert_true(seconds("h100", big) > 1.4e-3 && seconds("h100", big) < 1.8e-3);
    assert_true(seconds("h100", wide) > 2.4e-3 && seconds("h100", wide) < 3.4e-3);
    assert_true(seconds("a100", big) > 2 * seconds("h100", big));
}

/* Blocks that stay: 133 tiles take two rounds of 132 multiprocessors, 132 and less one. */
static void rounds(void **state)
{
    UNUSED(state);
    Work w = {.cls = KC_GEMM,
              .flops = 1e12,
              .products = 1e12,
              .matrix = 1e12,
              .launches = 1,
              .blocks = 132,
              .stays = true};
    const double full = seconds("h100", w);
    w.blocks = 133;
    const double over = seconds("h100", w) / full;
    w.blocks = 66;
    const double half = seconds("h100", w) / full;
    w.blocks = 133;
    w.stays = false;
    const double shared = seconds("h100", w) / full;
    assert_true(over > 1.9 && over < 2.1);
    assert_true(half > 1.9 && half < 2.1);
    assert_true(shared > 0.95 && shared < 1.05);
}

/* A launch that does nothing takes its time, once for each phase. */
static void launches(void **state)
{
    UNUSED(state);
    const double one = seconds("h200", (Work){.cls = KC_MAP, .launches = 1});
    assert_true(one > 5e-7 && one < 1e-5);
    const double three = seconds("h200", (Work){.cls = KC_MAP, .launches = 3});
    assert_true(fabs(three / one - 3) < 1e-9);
}

/* No class is without rates: its time would be infinite. */
static void classes(void **state)
{
    UNUSED(state);
    for (int c = 0; c < KC_COUNT; c++) {
        Work w = {.cls = (KernelClass)c, .bytes = 1e6, .flops = 1e6, .launches = 1, .blocks = 10};
        seconds("a100", w);
        if (c == KC_GEMM || class_info((KernelClass)c)->composite) {
            w.products = 1e6;
            seconds("a100", w);
            w.matrix = 1e6;
            seconds("a100", w);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(machines), cmocka_unit_test(memory), cmocka_unit_test(one_block),
        cmocka_unit_test(products), cmocka_unit_test(rounds), cmocka_unit_test(launches),
        cmocka_unit_test(classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
