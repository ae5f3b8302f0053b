/* LIBS: mdl_front mdl_ir mdl_plan mdl_base */
/* test_rng.c: random numbers in programs: streams of their own, the same for the same key; statistics of
 * what they make; dropout. The generator itself is compared with published vectors in test_init. */
#include "elabcase.h"
#include "philox.h"

typedef struct Key {
    double seed, step;
} Key;

static double read_slot(void *user, const char *name)
{
    const Key *k = user;
    return strcmp(name, "seed") == 0 ? k->seed : k->step;
}

static Value **draw(Lab *l, const char *function, Mode mode, Key key)
{
    bool blame;
    const FrontCall c = {.function = function, .inputs = l->in, .ninput = l->nin, .mode = mode};
    Program *p = front_call(l->front, &c, &blame);
    if (!p)
        print_error("%s", lab_reports(l));
    assert_non_null(p);
    Graph *g = p->entries.at[0];
    graph_verify(g, p);
    Value **out = NEW_ARRAY(l->arena, Value *, g->results.n + 1);
    InterpBinding b = {
        .inputs = lab_inputs(l, g), .states = lab_states(l, p), .slot = read_slot, .user = &key};
    interp_run(g, l->arena, &b, out, NULL);
    l->program = p;
    return out;
}

static bool equal(const Value *a, const Value *b)
{
    return a->count == b->count && memcmp(a->at, b->at, (size_t)a->count * sizeof(double)) == 0;
}

static void moments(const Value *v, double *mean, double *var)
{
    *mean = *var = 0;
    for (int64_t i = 0; i < v->count; i++)
        *mean += v->at[i] / (double)v->count;
    for (int64_t i = 0; i < v->count; i++)
        *var += (v->at[i] - *mean) * (v->at[i] - *mean) / (double)v->count;
}

static void test_distributions(void **state)
{
    UNUSED(state);
    Lab l = lab_open("fn f() {\n  (rand([20000]), randn([100, 200]), randint(7, [20000]), "
                     "bernoulli(0.3, [20000]), permutation(500))\n}\n");
    Value **out = draw(&l, "f", MODE_EVAL, (Key){3, 1});
    static const double mean[] = {0.5, 0, 3, 0.3}, var[] = {1 / 12.0, 1, 4, 0.21};
    for (int i = 0; i < 4; i++) {
        double m, v;
        moments(out[i], &m, &v);
        assert_true(fabs(m - mean[i]) < 4 * sqrt(var[i] / 20000));
        assert_true(fabs(v - var[i]) < 0.05 * var[i]);
    }
    for (int64_t i = 0; i < 20000; i++) {
        assert_true(out[0]->at[i] >= 0 && out[0]->at[i] < 1);
        assert_true(out[2]->at[i] >= 0 && out[2]->at[i] < 7 &&
                    floor(out[2]->at[i]) >= out[2]->at[i]);
    }
    bool seen[500] = {false}, moved = false;
    for (int64_t i = 0; i < 500; i++) {
        assert_false(seen[(int)out[4]->at[i]]);
        seen[(int)out[4]->at[i]] = true;
        moved = moved || (int64_t)out[4]->at[i] != i;
    }
    assert_true(moved);
    lab_close(&l);
}

enum { CELLS = 16 };

/* Pearson's statistic of counts that should be equal: about cells - 1, and above that plus
 * 5 sqrt(2 (cells - 1)) only once in thousands of streams. */
static void assert_even(const int64_t *count, int cells, int64_t n)
{
    double chi = 0, expected = (double)n / cells;
    for (int i = 0; i < cells; i++)
        chi += ((double)count[i] - expected) * ((double)count[i] - expected) / expected;
    if (!(chi < cells - 1 + 5 * sqrt(2.0 * (cells - 1))))
        fail_msg("chi square %g in %d cells", chi, cells);
}

/* Each distribution through its distribution function is uniform, and so are pairs of neighbours. */
static void test_shapes_of_distributions(void **state)
{
    UNUSED(state);
    Lab l = lab_open("fn f() = (rand([20000]), randn([20000]), randint(7, [20000]))\n");
    Value **out = draw(&l, "f", MODE_EVAL, (Key){11, 4});
    int64_t uniform[CELLS] = {0}, normal[CELLS] = {0}, whole[7] = {0}, pairs[CELLS] = {0};
    for (int64_t i = 0; i < 20000; i++) {
        double u = out[0]->at[i], p = 0.5 * (1 + erf(out[1]->at[i] / sqrt(2)));
        uniform[(int)(u * CELLS)]++;
        normal[(int)(p * CELLS)]++;
        whole[(int)out[2]->at[i]]++;
        if (i % 2)
            pairs[(int)(u * 4) * 4 + (int)(out[0]->at[i - 1] * 4)]++;
    }
    assert_even(uniform, CELLS, 20000);
    assert_even(normal, CELLS, 20000);
    assert_even(whole, 7, 20000);
    assert_even(pairs, CELLS, 10000);
    lab_close(&l);
}

/* Element i of call n at a path: the words of one block, whatever stands around it. */
static void test_definition(void **state)
{
    UNUSED(state);
    Lab l = lab_open(
        "module M() {\n  fn forward() {\n    a = rand([3])\n    (a, rand([2, 2]), randint(1000, "
        "[2]))\n"
        "  }\n}\nmodule Outer() {\n  m: M()\n  fn forward() = m()\n}\nmodel o = Outer()\n");
    Value **out = draw(&l, "o", MODE_EVAL, (Key){5, 9});
    for (int n = 0; n < 3; n++) {
        int64_t site = (int64_t)(hash_mix(hash_text("m"), (uint64_t)n + 1) & INT64_MAX);
        uint64_t key = rng_key(5, site, 9);
        for (int64_t i = 0; i < out[n]->count; i++) {
            uint32_t w = rng_word(key, (uint64_t)i, 0);
            assert_true(out[n]->at[i] ==
                        (n < 2 ? (w >> 8) / 16777216.0 : (double)(w * 1000ull >> 32)));
        }
    }
    lab_close(&l);
}

static void test_streams(void **state)
{
    UNUSED(state);
    Lab l = lab_open(
        "op noise(x: f32[..]) -> f32[..] = x + rand([4])\n"
        "module M() {\n  fn one() = rand([4])\n  fn forward(x: f32[4]) {\n    a = rand([4])\n"
        "    (a, rand([4]), one(), one(), noise(x), noise(x))\n  }\n}\n"
        "module Two() {\n  a: M()\n  b: M()\n  fn forward(x: f32[4]) = a(x) + b(x)\n}\n"
        "module Pair() {\n  a: M()\n  b: M()\n  fn forward(x: f32[4]) {\n    (a.one(), b.one())\n  "
        "}\n}\n"
        "model m = M()\nmodel p = Pair()\n");
    lab_input(&l, "x", DT_F32, (double[]){0, 0, 0, 0}, 1, (int64_t[]){4});
    Value **out = draw(&l, "m", MODE_TRAIN, (Key){1, 1});
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < i; k++)
            assert_false(equal(out[i], out[k]));
    Value **again = draw(&l, "m", MODE_TRAIN, (Key){1, 1}),
          **later = draw(&l, "m", MODE_TRAIN, (Key){1, 2}),
          **other = draw(&l, "m", MODE_TRAIN, (Key){2, 1});
    for (int i = 0; i < 6; i++) {
        assert_true(equal(out[i], again[i]));
        assert_false(equal(out[i], later[i]));
        assert_false(equal(out[i], other[i]));
    }
    Value **pair = draw(&l, "p", MODE_EVAL, (Key){1, 1});
    assert_false(equal(pair[0], pair[1]));
    lab_close(&l);
}

static void test_dropout(void **state)
{
    UNUSED(state);
    static double x[10000];
    for (int i = 0; i < 10000; i++)
        x[i] = i + 1;
    Lab l = lab_open("module M() {\n  drop: Dropout(0.2)\n  fn forward(x: f32[10000]) -> "
                     "f32[10000] = drop(x)\n}\n"
                     "model m = M()\n");
    lab_input(&l, "x", DT_F32, x, 1, (int64_t[]){10000});
    Value **out = draw(&l, "m", MODE_TRAIN, (Key){1, 1});
    int dropped = 0;
    for (int i = 0; i < 10000; i++) {
        dropped += out[0]->at[i] == 0;
        if (out[0]->at[i] != 0)
            assert_near(out[0]->at[i], x[i] / 0.8);
    }
    assert_true(abs(dropped - 2000) < 160); /* four standard deviations */
    for (Mode mode = MODE_EVAL; mode <= MODE_DECODE; mode++)
        if (mode != MODE_TRAIN)
            assert_values(draw(&l, "m", mode, (Key){1, 1})[0], x, 10000);
    lab_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distributions), cmocka_unit_test(test_shapes_of_distributions),
        cmocka_unit_test(test_definition),    cmocka_unit_test(test_streams),
        cmocka_unit_test(test_dropout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
