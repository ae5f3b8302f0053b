/* LIBS: mdl_ir mdl_base */
/* test_dim.c: polynomials of extents against evaluation at random points. */
#include "ir.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { NSYM = 4 };

typedef struct Fixture {
    Arena *arena;
    Ir *ir;
    const DimSym *sym[NSYM];
    uint64_t seed;
} Fixture;

static uint64_t next(Fixture *f)
{
    f->seed += 0x9e3779b97f4a7c15u;
    return hash_mix(3, f->seed);
}

static int64_t below(Fixture *f, int64_t n)
{
    return (int64_t)(next(f) % (uint64_t)n);
}

static int setup(void **state)
{
    Arena *arena = arena_new();
    Fixture *f = NEW(arena, Fixture);
    f->arena = arena;
    f->ir = ir_new(arena, syms_new(arena), diags_new(arena));
    const char *names[NSYM] = {"B", "T", "S", "B"};
    const int64_t lo[NSYM] = {1, 0, 2, 1}, hi[NSYM] = {6, 5, 9, 4};
    for (int i = 0; i < NSYM; i++)
        f->sym[i] = dim_declare(f->ir, sym(f->ir->syms, names[i]), lo[i], hi[i]);
    f->seed = 11;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    arena_free(((Fixture *)*state)->arena);
    return 0;
}

/* Up to four terms of degree 0..2 with coefficients -4..4. */
static const Dim *random_dim(Fixture *f)
{
    const Dim *d = dim_const(f->ir, below(f, 9) - 4);
    for (int64_t n = below(f, 4); n > 0; n--) {
        const Dim *t = dim_const(f->ir, below(f, 9) - 4);
        for (int64_t degree = below(f, 3); degree > 0; degree--)
            t = dim_mul(f->ir, dim_of(f->ir, f->sym[below(f, NSYM)]), t);
        d = dim_add(f->ir, t, d);
    }
    return d;
}

static void random_point(Fixture *f, int64_t *values)
{
    for (int i = 0; i < NSYM; i++)
        values[i] = f->sym[i]->lo + below(f, f->sym[i]->hi - f->sym[i]->lo + 1);
}

static const char *text(const Fixture *f, const Dim *d)
{
    StrBuf sb = sb_new(f->arena);
    dim_print(f->ir, d, &sb);
    return sb_text(&sb);
}

static void arithmetic_agrees_with_evaluation(void **state)
{
    Fixture *f = *state;
    for (int round = 0; round < 2000; round++) {
        const Dim *a = random_dim(f), *b = random_dim(f);
        const Dim *sum = dim_add(f->ir, a, b), *product = dim_mul(f->ir, a, b);
        assert_ptr_equal(sum, dim_add(f->ir, b, a));
        assert_ptr_equal(product, dim_mul(f->ir, b, a));
        assert_ptr_equal(dim_sub(f->ir, sum, b), a);
        int64_t v[NSYM];
        for (int i = 0; i < 5; i++) {
            random_point(f, v);
            assert_int_equal(dim_eval(sum, v), dim_eval(a, v) + dim_eval(b, v));
            assert_int_equal(dim_eval(product, v), dim_eval(a, v) * dim_eval(b, v));
        }
    }
    assert_int_equal(diags_errors(f->ir->diags), 0);
}

static void products_divide_exactly(void **state)
{
    Fixture *f = *state;
    int divided = 0;
    for (int round = 0; round < 2000; round++) {
        const Dim *a = random_dim(f), *b = random_dim(f), *q = NULL;
        if (b->nterm == 0) {
            assert_false(dim_div(f->ir, a, b, &q));
            continue;
        }
        assert_true(dim_div(f->ir, dim_mul(f->ir, a, b), b, &q));
        assert_ptr_equal(q, a);
        if (dim_div(f->ir, a, b, &q)) {
            assert_ptr_equal(dim_mul(f->ir, q, b), a);
            divided++;
        }
    }
    assert_true(divided > 50);
    const Dim *T = dim_of(f->ir, f->sym[1]), *q;
    assert_false(dim_div(f->ir, dim_add(f->ir, T, dim_const(f->ir, 1)), T, &q));
    assert_false(dim_div(f->ir, dim_const(f->ir, 7), dim_const(f->ir, 2), &q));
    assert_true(dim_div(f->ir, dim_const(f->ir, 0), T, &q) && dim_equals(q, 0));
}

static bool multilinear(const Dim *d)
{
    for (uint32_t i = 0; i < d->nterm; i++) {
        for (uint32_t k = 1; k < d->term[i].nsym; k++) {
            if (d->term[i].sym[k] == d->term[i].sym[k - 1])
                return false;
        }
    }
    return true;
}

static void bounds_hold_and_are_tight(void **state)
{
    Fixture *f = *state;
    for (int round = 0; round < 300; round++) {
        const Dim *d = random_dim(f);
        int64_t v[NSYM], least = INT64_MAX, most = INT64_MIN;
        for (v[0] = 1; v[0] <= 6; v[0]++)
            for (v[1] = 0; v[1] <= 5; v[1]++)
                for (v[2] = 2; v[2] <= 9; v[2]++)
                    for (v[3] = 1; v[3] <= 4; v[3]++) {
                        int64_t value = dim_eval(d, v);
                        least = value < least ? value : least;
                        most = value > most ? value : most;
                    }
        assert_true(dim_lo(f->ir, d) <= least && dim_hi(f->ir, d) >= most);
        if (multilinear(d)) {
            assert_int_equal(dim_lo(f->ir, d), least);
            assert_int_equal(dim_hi(f->ir, d), most);
        }
    }
}

static void bounds_saturate(void **state)
{
    Fixture *f = *state;
    const DimSym *huge = dim_declare(f->ir, sym(f->ir->syms, "N"), 0, INT64_MAX);
    const Dim *n = dim_of(f->ir, huge), *square = dim_mul(f->ir, n, n);
    assert_true(dim_hi(f->ir, square) == INT64_MAX && dim_lo(f->ir, square) == 0);
    const Dim *minus = dim_sub(f->ir, dim_const(f->ir, 0), square);
    assert_true(dim_lo(f->ir, minus) == INT64_MIN && dim_hi(f->ir, minus) == 0);
    /* n^2 - n*n*n: neither end may come from cancelling saturated parts */
    const Dim *mixed = dim_sub(f->ir, square, dim_mul(f->ir, square, n));
    assert_true(dim_hi(f->ir, mixed) == INT64_MAX && dim_lo(f->ir, mixed) == INT64_MIN);
    const int64_t at[] = {1, 1, 1, 1, INT64_MAX};
    assert_true(dim_eval(square, at) == INT64_MAX);
    assert_int_equal(diags_errors(f->ir->diags), 0);
}

static void overflow_is_reported_once(void **state)
{
    Fixture *f = *state;
    const Dim *big = dim_const(f->ir, INT64_MAX);
    assert_true(dim_equals(dim_add(f->ir, big, dim_const(f->ir, 1)), 1));
    assert_int_equal(diags_errors(f->ir->diags), 1);
    assert_true(dim_equals(dim_mul(f->ir, big, big), 1));
    const Dim *power = dim_of(f->ir, f->sym[0]);
    for (int i = 0; i < 5; i++)
        power = dim_mul(f->ir, power, power);
    assert_int_equal(diags_errors(f->ir->diags), 1);
    const Dim *wide = dim_const(f->ir, 1), *q;
    for (int i = 0; i < 40; i++) {
        const DimSym *s = dim_declare(f->ir, sym(f->ir->syms, "W"), 1, 2);
        wide = dim_add(f->ir, wide, dim_of(f->ir, s));
    }
    assert_true(dim_equals(dim_mul(f->ir, wide, wide), 1));
    assert_false(dim_div(f->ir, dim_const(f->ir, INT64_MIN), dim_const(f->ir, -1), &q));
}

static void text_is_canonical(void **state)
{
    Fixture *f = *state;
    Ir *ir = f->ir;
    const Dim *B = dim_of(ir, f->sym[0]), *T = dim_of(ir, f->sym[1]), *one = dim_const(ir, 1);
    const Dim *bt = dim_mul(ir, T, B);
    assert_string_equal(text(f, dim_add(ir, one, dim_add(ir, bt, bt))), "2*B*T + 1");
    assert_string_equal(text(f, dim_sub(ir, dim_sub(ir, one, B), one)), "-B");
    assert_string_equal(text(f, dim_sub(ir, bt, dim_mul(ir, dim_const(ir, 3), T))), "B*T - 3*T");
    assert_string_equal(text(f, dim_sub(ir, B, B)), "0");
    assert_string_equal(text(f, dim_const(ir, INT64_MIN)), "-9223372036854775808");
    assert_string_equal(text(f, dim_of(ir, f->sym[3])), "B~1");
    assert_ptr_equal(dim_of(ir, dim_declare(ir, f->sym[0]->name, 5, 5)), dim_const(ir, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(arithmetic_agrees_with_evaluation, setup, teardown),
        cmocka_unit_test_setup_teardown(products_divide_exactly, setup, teardown),
        cmocka_unit_test_setup_teardown(bounds_hold_and_are_tight, setup, teardown),
        cmocka_unit_test_setup_teardown(bounds_saturate, setup, teardown),
        cmocka_unit_test_setup_teardown(overflow_is_reported_once, setup, teardown),
        cmocka_unit_test_setup_teardown(text_is_canonical, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
