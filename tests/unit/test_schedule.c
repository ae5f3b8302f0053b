/* LIBS: mdl_runtime mdl_plan mdl_base */
/* test_schedule.c: the schedules of the language against their closed forms. */
#include "runtime.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct Case {
    PlanSegment segments[3];
    uint32_t n;
} Case;

static double factor(const Case *c, int64_t step, int64_t total, double steps_per_epoch)
{
    Plan plan = {.segments = c->segments, .nsegments = c->n};
    PlanRun run = {.nsegment = c->n};
    return schedule_factor(&plan, &run, step, total, steps_per_epoch);
}

static void expect(double got, double want)
{
    if (!(fabs(got - want) <= 1e-12))
        fail_msg("%.17g instead of %.17g", got, want);
}

static void test_none(void **state)
{
    UNUSED(state);
    expect(factor(&(Case){.n = 0}, 1, 10, 5), 1);
    expect(factor(&(Case){{{PC_HOLD, PU_REST, 0, 0.5, 0.5, 0, 0}}, 1}, 7, 10, 5), 0.5);
}

/* cosine(warmup: 5%) over 2345 steps: 118 of them are warm-up. */
static void test_cosine(void **state)
{
    UNUSED(state);
    Case c = {{{PC_LINEAR, PU_SHARE, 0.05, 0, 1, 0, 0}, {PC_COSINE, PU_REST, 0, 1, 0, 0, 0}}, 2};
    int64_t total = 2345, w = 118;
    for (int64_t s = 1; s <= w; s++)
        expect(factor(&c, s, total, 469), (double)s / (double)w);
    for (int64_t s = w + 1; s <= total; s++)
        expect(factor(&c, s, total, 469),
               0.5 * (1 + cos(3.14159265358979323846 * (double)(s - w) / (double)(total - w))));
    expect(factor(&c, w, total, 469), 1);
    expect(factor(&c, total, total, 469), 0);
    expect(factor(&c, total + 5, total, 469), 0);
}

/* 7% of 100 are 7 steps, although 0.07 * 100 > 7 in binary. */
static void test_share_rounding(void **state)
{
    UNUSED(state);
    Case c = {{{PC_LINEAR, PU_SHARE, 0.07, 0, 1, 0, 0}, {PC_HOLD, PU_REST, 0, 1, 1, 0, 0}}, 2};
    expect(factor(&c, 7, 100, 10), 1);
    expect(factor(&c, 6, 100, 10), 6.0 / 7);
    expect(factor(&c, 7, 101, 10), 7.0 / 8);
}

/* wsd(warmup: 10 steps, decay: 20%, final: 0.1) */
static void test_three_segments(void **state)
{
    UNUSED(state);
    Case c = {{{PC_LINEAR, PU_STEPS, 10, 0, 1, 0, 0},
               {PC_HOLD, PU_REST, 0, 1, 1, 0, 0},
               {PC_LINEAR, PU_SHARE, 0.2, 1, 0.1, 0, 0}},
              3};
    expect(factor(&c, 3, 100, 10), 0.3);
    expect(factor(&c, 10, 100, 10), 1);
    expect(factor(&c, 80, 100, 10), 1);
    expect(factor(&c, 90, 100, 10), 0.55);
    expect(factor(&c, 100, 100, 10), 0.1);
}

static void test_epochs(void **state)
{
    UNUSED(state);
    Case c = {{{PC_LINEAR, PU_EPOCHS, 2, 0, 1, 0, 0}, {PC_LINEAR, PU_REST, 0, 1, 0, 0, 0}}, 2};
    expect(factor(&c, 5, 100, 10), 0.25);
    expect(factor(&c, 60, 100, 10), 0.5);
    expect(factor(&c, 1, 100, 10.2), 1.0 / 21);
}

/* piecewise((0%, 1), (20 steps, 0.5), (60%, 0.1)) of 100 steps, and of 20: places, not lengths. */
static void test_places(void **state)
{
    UNUSED(state);
    Case c = {{{PC_HOLD, PU_STEPS, 20, 1, 1, 1, 0},
               {PC_HOLD, PU_SHARE, 0.6, 0.5, 0.5, 1, 0},
               {PC_HOLD, PU_REST, 0, 0.1, 0.1, 0, 0}},
              3};
    expect(factor(&c, 20, 100, 10), 1);
    expect(factor(&c, 21, 100, 10), 0.5);
    expect(factor(&c, 60, 100, 10), 0.5);
    expect(factor(&c, 61, 100, 10), 0.1);
    expect(factor(&c, 100, 100, 10), 0.1);
    expect(factor(&c, 20, 20, 10), 1);
}

/* A warm-up longer than the run never divides by nothing. */
static void test_overlong(void **state)
{
    UNUSED(state);
    Case c = {{{PC_LINEAR, PU_STEPS, 50, 0, 1, 0, 0},
               {PC_COSINE, PU_REST, 0, 1, 0, 0, 0},
               {PC_HOLD, PU_STEPS, 0, 0.25, 0.25, 0, 0}},
              3};
    for (int64_t s = 1; s <= 20; s++)
        expect(factor(&c, s, 20, 5), (double)s / 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),           cmocka_unit_test(test_cosine),
        cmocka_unit_test(test_share_rounding), cmocka_unit_test(test_three_segments),
        cmocka_unit_test(test_epochs),         cmocka_unit_test(test_overlong),
        cmocka_unit_test(test_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
