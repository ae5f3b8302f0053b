/* LIBS: mdl_ir mdl_base */
/* test_index.c: index expressions against evaluation at every index, and the identities that
 * fusion lives on. */
#include "ir.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { NVAR = 3 };

typedef struct Fixture {
    Arena *arena;
    Ir *ir;
    const DimSym *B, *T;
    uint64_t seed;
} Fixture;

static uint64_t next(Fixture *f)
{
    f->seed += 0x9e3779b97f4a7c15u;
    return hash_mix(5, f->seed);
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
    f->B = dim_declare(f->ir, sym(f->ir->syms, "B"), 1, 5);
    f->T = dim_declare(f->ir, sym(f->ir->syms, "T"), 1, 7);
    f->seed = 21;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    arena_free(((Fixture *)*state)->arena);
    return 0;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/* What a loaded element is in these tests: some function of its index, below the extent. */
static int64_t loaded(int64_t at, int64_t extent)
{
    return (at * 7 + 3) % extent;
}

/* The value of e at variables `v` and symbols `s`. Checks the bounds on the way. */
static int64_t eval(const Ix *e, const int64_t *v, const int64_t *s)
{
    int64_t value = 0;
    switch (e->kind) {
    case IX_SUM:
        value = dim_eval(e->base, s);
        for (uint32_t i = 0; i < e->nterm; i++)
            value += dim_eval(e->term[i].coef, s) * eval(e->term[i].atom, v, s);
        break;
    case IX_VAR:
        value = v[e->var];
        break;
    case IX_DIV:
        value = floor_div(eval(e->of, v, s), dim_eval(e->extent, s));
        break;
    case IX_MOD: {
        int64_t of = eval(e->of, v, s), d = dim_eval(e->extent, s);
        value = of - d * floor_div(of, d);
        break;
    }
    case IX_LOAD:
        value = loaded(eval(e->index[0], v, s), dim_eval(e->extent, s));
        break;
    }
    assert_true(!e->lo || dim_eval(e->lo, s) <= value);
    assert_true(!e->hi || dim_eval(e->hi, s) >= value);
    return value;
}

/* A random expression built twice: simplified, and as a value at one point. */
typedef struct Both {
    const Ix *e;
    int64_t value;
} Both;

typedef struct Point {
    const Dim *extent[NVAR];
    int64_t v[NVAR], s[2];
} Point;

/* A positive extent: a number, a symbol, or a product. */
static const Dim *random_extent(Fixture *f)
{
    const Dim *number = dim_const(f->ir, 1 + below(f, 6));
    const Dim *symbol = dim_of(f->ir, below(f, 2) ? f->B : f->T);
    switch (below(f, 4)) {
    case 0:
        return symbol;
    case 1:
        return dim_mul(f->ir, number, symbol);
    default:
        return number;
    }
}

static Both random_ix(Fixture *f, const Point *p, int depth);

static Both random_leaf(Fixture *f, const Point *p)
{
    int64_t k = below(f, NVAR + 1);
    if (k < NVAR)
        return (Both){ix_var(f->ir, (uint32_t)k, p->extent[k]), p->v[k]};
    const Dim *d = random_extent(f);
    if (below(f, 4) == 0)
        d = dim_sub(f->ir, dim_const(f->ir, 2), d);
    return (Both){ix_const(f->ir, d), dim_eval(d, p->s)};
}

static Both random_ix(Fixture *f, const Point *p, int depth)
{
    if (depth == 0)
        return random_leaf(f, p);
    Both a = random_ix(f, p, depth - 1);
    const Dim *d = random_extent(f);
    int64_t dv = dim_eval(d, p->s);
    switch (below(f, 5)) {
    case 0: {
        Both b = random_ix(f, p, depth - 1);
        return (Both){ix_add(f->ir, a.e, b.e), a.value + b.value};
    }
    case 1:
        return (Both){ix_mul(f->ir, a.e, d), a.value * dv};
    case 2:
        return (Both){ix_div(f->ir, a.e, d), floor_div(a.value, dv)};
    case 3:
        return (Both){ix_mod(f->ir, a.e, d), a.value - dv * floor_div(a.value, dv)};
    default: {
        Both b = random_ix(f, p, depth - 1);
        const Ix *q = ix_mul(f->ir, ix_div(f->ir, a.e, d), d);
        const Ix *whole = ix_add(f->ir, q, ix_mod(f->ir, a.e, d));
        return (Both){ix_add(f->ir, whole, b.e), a.value + b.value};
    }
    }
}

static void random_point(Fixture *f, Point *p)
{
    p->s[0] = 1 + below(f, 5);
    p->s[1] = 1 + below(f, 7);
    for (int i = 0; i < NVAR; i++) {
        p->extent[i] = random_extent(f);
        p->v[i] = below(f, dim_eval(p->extent[i], p->s));
    }
}

static void simplification_keeps_the_value(void **state)
{
    Fixture *f = *state;
    for (int round = 0; round < 20000; round++) {
        Point p;
        random_point(f, &p);
        Both b = random_ix(f, &p, 1 + (int)below(f, 5));
        assert_int_equal(eval(b.e, p.v, p.s), b.value);
    }
    assert_int_equal(diags_errors(f->ir->diags), 0);
}

/* Every index of a random shape, through unflatten into another shape of equal count, and back. */
static void flatten_and_unflatten_are_inverse(void **state)
{
    Fixture *f = *state;
    Ir *ir = f->ir;
    for (int round = 0; round < 500; round++) {
        const Dim *dims[3], *count = dim_const(ir, 1);
        const Ix *var[3], *index[3];
        for (uint32_t i = 0; i < 3; i++) {
            dims[i] = random_extent(f);
            count = dim_mul(ir, count, dims[i]);
            var[i] = ix_var(ir, i, dims[i]);
        }
        ix_unflatten(ir, ix_flatten(ir, dims, var, 3), dims, 3, index);
        for (uint32_t i = 0; i < 3; i++)
            assert_ptr_equal(index[i], var[i]);
        const Ix *linear = ix_var(ir, 7, count);
        ix_unflatten(ir, linear, dims, 3, index);
        assert_ptr_equal(ix_flatten(ir, dims, index, 3), linear);
    }
}

static void symbolic_identities(void **state)
{
    Fixture *f = *state;
    Ir *ir = f->ir;
    const Dim *B = dim_of(ir, f->B), *T = dim_of(ir, f->T), *BT = dim_mul(ir, B, T);
    const Ix *i = ix_var(ir, 0, B), *t = ix_var(ir, 1, T), *x = ix_var(ir, 2, BT);
    const Ix *it = ix_add(ir, ix_mul(ir, i, T), t);
    assert_ptr_equal(ix_div(ir, it, T), i);
    assert_ptr_equal(ix_mod(ir, it, T), t);
    assert_ptr_equal(ix_div(ir, it, BT), ix_int(ir, 0));
    assert_ptr_equal(ix_mod(ir, it, BT), it);
    const Ix *q = ix_div(ir, x, T), *r = ix_mod(ir, x, T);
    assert_int_equal(q->kind, IX_DIV);
    assert_ptr_equal(ix_add(ir, ix_mul(ir, q, T), r), x);
    assert_ptr_equal(ix_mod(ir, q, B), q);
    const Dim *four = dim_const(ir, 4), *six = dim_const(ir, 6);
    assert_ptr_equal(ix_div(ir, ix_div(ir, x, four), six), ix_div(ir, x, dim_const(ir, 24)));
    /* the last element: i*T + T - 1 */
    const Ix *last = ix_add(ir, ix_mul(ir, i, T), ix_const(ir, dim_sub(ir, T, dim_const(ir, 1))));
    assert_ptr_equal(ix_div(ir, last, T), i);
    /* [B*T, 8] seen as [B, T, 8] and as [B*T*2, 4] */
    const Ix *d = ix_var(ir, 3, dim_const(ir, 8));
    const Ix *row = ix_add(ir, ix_mul(ir, x, dim_const(ir, 8)), d);
    assert_ptr_equal(ix_div(ir, row, dim_mul(ir, T, dim_const(ir, 8))), q);
    const Ix *half = ix_add(ir, ix_mul(ir, x, dim_const(ir, 2)), ix_div(ir, d, four));
    assert_ptr_equal(ix_div(ir, row, four), half);
    assert_ptr_equal(ix_mod(ir, row, four), ix_mod(ir, d, four));
}

static void substitution_and_coefficients(void **state)
{
    Fixture *f = *state;
    Ir *ir = f->ir;
    const Dim *T = dim_of(ir, f->T), *B = dim_of(ir, f->B), *c;
    const Ix *i = ix_var(ir, 0, B), *t = ix_var(ir, 1, T), *far = ix_var(ir, 70, T);
    const Ix *x = ix_var(ir, 2, dim_mul(ir, B, T));
    const Ix *e = ix_add(ir, ix_mul(ir, i, dim_const(ir, 3)), ix_div(ir, x, T));
    assert_true(ix_coefficient(ir, e, 0, &c) && dim_equals(c, 3));
    assert_true(ix_coefficient(ir, e, 1, &c) && dim_equals(c, 0));
    assert_false(ix_coefficient(ir, e, 2, &c));
    assert_true(ix_uses(e, 2) && !ix_uses(e, 1) && !ix_uses(e, 70));
    assert_true(ix_uses(ix_div(ir, far, dim_const(ir, 2)), 70) && !ix_uses(far, 71));
    const Ix *vars[] = {NULL, NULL, ix_add(ir, ix_mul(ir, i, T), t)};
    assert_ptr_equal(ix_substitute(ir, e, vars, 3), ix_mul(ir, i, dim_const(ir, 4)));
    assert_ptr_equal(ix_substitute(ir, e, vars, 2), e);
}

static void substitution_keeps_the_value(void **state)
{
    Fixture *f = *state;
    for (int round = 0; round < 3000; round++) {
        Point p;
        random_point(f, &p);
        Both b = random_ix(f, &p, 3);
        const Ix *vars[NVAR];
        int64_t v[2 * NVAR];
        for (uint32_t i = 0; i < NVAR; i++) {
            vars[i] = below(f, 2) ? ix_var(f->ir, NVAR + i, p.extent[i]) : NULL;
            v[i] = vars[i] ? -1 : p.v[i];
            v[NVAR + i] = p.v[i];
        }
        assert_int_equal(eval(ix_substitute(f->ir, b.e, vars, NVAR), v, p.s), b.value);
    }
}

/* ---- index maps of operations ---- */

static void maps_of_views(void **state)
{
    Fixture *f = *state;
    Ir *ir = f->ir;
    const Dim *B = dim_of(ir, f->B), *T = dim_of(ir, f->T), *D = dim_const(ir, 12);
    const Dim *btd[] = {B, T, D}, *split[] = {B, T, dim_const(ir, 3), dim_const(ir, 4)};
    Graph *g = graph_new(ir, f->arena, sym(ir->syms, "g"));
    const Node *x = graph_input(g, sym(ir->syms, "x"), type_tensor(ir, DT_F32, 3, btd));
    const Ix *out[4], *in[4];
    for (uint32_t i = 0; i < 4; i++)
        out[i] = ix_var(ir, i, split[i]);
    assert_true(op_at(ir, graph_reshape(g, x, 4, split), 0, out, in));
    assert_ptr_equal(in[0], out[0]);
    assert_ptr_equal(in[1], out[1]);
    assert_ptr_equal(in[2], ix_add(ir, ix_mul(ir, out[2], split[3]), out[3]));
    const int64_t perm[] = {2, 0, 1}, axes[] = {0, 2, 3};
    assert_true(op_at(ir, graph_permute(g, x, perm), 0, out, in));
    assert_true(in[2] == out[0] && in[0] == out[1] && in[1] == out[2]);
    const Dim *wide[] = {B, D, T, D};
    assert_true(op_at(ir, graph_expand(g, x, 4, wide, axes), 0, out, in));
    assert_true(in[0] == out[0] && in[1] == out[2] && in[2] == out[3]);
    const Node *slice = graph_slice(g, x, 2, dim_const(ir, 5), dim_const(ir, 4));
    assert_true(op_at(ir, slice, 0, out, in));
    assert_ptr_equal(in[2], ix_add(ir, out[2], ix_int(ir, 5)));
    assert_true(op_at(ir, graph_unary(g, OP_NEG, x), 0, out, in) && in[1] == out[1]);
    const int64_t axis[] = {2};
    assert_false(op_at(ir, graph_reduce(g, OP_SUM, x, axis, 1), 0, out, in));
}

static void map_of_gather(void **state)
{
    Fixture *f = *state;
    Ir *ir = f->ir;
    const Dim *B = dim_of(ir, f->B), *T = dim_of(ir, f->T), *V = dim_const(ir, 9);
    const Dim *bvt[] = {B, T, V, T}, *bt[] = {B, T, T};
    Graph *g = graph_new(ir, f->arena, sym(ir->syms, "g"));
    const Node *x = graph_input(g, sym(ir->syms, "x"), type_tensor(ir, DT_F32, 4, bvt));
    const Node *idx = graph_input(g, sym(ir->syms, "idx"), type_tensor(ir, DT_I32, 3, bt));
    const Node *n = graph_gather(g, x, idx, 2, 1);
    assert_string_equal(type_text(ir, n->type), "f32[B, T, T, T, T]");
    const Ix *out[5], *in[4], *at[3];
    for (uint32_t i = 0; i < 5; i++)
        out[i] = ix_var(ir, i, n->type->dims[i]);
    assert_true(op_at(ir, n, 1, out, at));
    assert_true(at[0] == out[0] && at[1] == out[2] && at[2] == out[3]);
    assert_true(op_at(ir, n, 0, out, in));
    assert_true(in[0] == out[0] && in[1] == out[1] && in[3] == out[4]);
    assert_ptr_equal(in[2], ix_load(ir, idx, at, 3, V));
    assert_ptr_equal(ix_mod(ir, in[2], V), in[2]);
}

/* A chain of reshapes and permutes that never simplifies must not blow up. */
static void long_chains_stay_small(void **state)
{
    Fixture *f = *state;
    Ir *ir = f->ir;
    const Dim *ab[] = {dim_const(ir, 6), dim_const(ir, 10)};
    const Ix *index[2] = {ix_var(ir, 0, ab[0]), ix_var(ir, 1, ab[1])};
    for (int i = 0; i < 200; i++) {
        const Dim *other[] = {dim_const(ir, 15), dim_const(ir, 4)};
        const Dim **to = i % 2 ? ab : other;
        const Dim *flipped[] = {(i % 2 ? other : ab)[1], (i % 2 ? other : ab)[0]};
        const Ix *swapped[] = {index[1], index[0]};
        ix_unflatten(ir, ix_flatten(ir, flipped, swapped, 2), to, 2, index);
    }
    StrBuf sb = sb_new(f->arena);
    ix_print(ir, index[0], &sb);
    assert_true(sb.n > 100 && sb.n < 1 << 20);
    const Ix *vars[] = {ix_int(ir, 3), ix_int(ir, 4)};
    int64_t value = -1;
    const Ix *fixed = ix_substitute(ir, index[0], vars, 2);
    assert_true(fixed->kind == IX_SUM && fixed->nterm == 0 && dim_is_const(fixed->base, &value));
    assert_true(0 <= value && value < 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(simplification_keeps_the_value, setup, teardown),
        cmocka_unit_test_setup_teardown(flatten_and_unflatten_are_inverse, setup, teardown),
        cmocka_unit_test_setup_teardown(symbolic_identities, setup, teardown),
        cmocka_unit_test_setup_teardown(substitution_and_coefficients, setup, teardown),
        cmocka_unit_test_setup_teardown(substitution_keeps_the_value, setup, teardown),
        cmocka_unit_test_setup_teardown(maps_of_views, setup, teardown),
        cmocka_unit_test_setup_teardown(map_of_gather, setup, teardown),
        cmocka_unit_test_setup_teardown(long_chains_stay_small, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
