/* LIBS: mdl_runtime mdl_plan mdl_base */
/* test_mix.c: an interleaving keeps the shares at every moment, gives each part its samples in order and
 * once, and is found from a position alone. */
#include "mix.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { PARTS = 4, BLOCK = 1024, N = 8 * BLOCK };

static const double weights[PARTS] = {0.5, 3, 1.25, 0.25};

static void shares_hold_at_every_moment(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    Mix mix = mix_new(arena, weights, PARTS);
    int64_t count[PARTS] = {0};
    for (int64_t p = 0; p < N; p++) {
        MixPlace at = mix_place(&mix, NULL, p);
        assert_true(at.part < PARTS);
        assert_int_equal(at.index, count[at.part]);
        count[at.part]++;
        for (int k = 0; k < PARTS; k++)
            assert_true(fabs((double)count[k] - (double)(p + 1) * weights[k] / 5) < PARTS);
    }
    arena_free(arena);
}

static void a_seed_moves_places_within_blocks(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    Mix mix = mix_new(arena, weights, PARTS);
    uint8_t *seen = NEW_ARRAY(arena, uint8_t, N * PARTS);
    int64_t moved = 0, other = 0;
    for (int64_t p = 0; p < N; p++) {
        uint64_t seed = 7, another = 8;
        MixPlace at = mix_place(&mix, &seed, p), even = mix_place(&mix, NULL, p);
        MixPlace third = mix_place(&mix, &another, p);
        uint8_t *place = &seen[at.index * PARTS + at.part];
        assert_int_equal(*place, 0);
        *place = 1;
        moved += at.part != even.part;
        other += at.part != third.part;
    }
    for (int64_t p = 0; p < N; p++) { /* the same samples as without a seed */
        MixPlace even = mix_place(&mix, NULL, p);
        assert_int_equal(seen[even.index * PARTS + even.part], 1);
    }
    assert_true(moved > N / 4 && other > N / 4);
    arena_free(arena);
}

static void extremes(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    Mix lopsided = mix_new(arena, (const double[]){1e-300, 1e300}, 2);
    assert_int_equal(mix_place(&lopsided, NULL, 5).part, 1);
    Mix one = mix_new(arena, (const double[]){3}, 1);
    assert_int_equal(mix_place(&one, NULL, INT64_C(1) << 60).index, INT64_C(1) << 60);
    Mix mix = mix_new(arena, (const double[]){1, 1}, 2);
    int64_t far = (INT64_C(1) << 61) + 1;
    assert_int_equal(mix_place(&mix, NULL, far).index, INT64_C(1) << 60);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_hold_at_every_moment),
        cmocka_unit_test(a_seed_moves_places_within_blocks),
        cmocka_unit_test(extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
