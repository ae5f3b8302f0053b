/* LIBS: mdl_front mdl_ir mdl_plan mdl_base */
/* test_equation.c: tensor equations: what they compute, against loops written out here. */
#include "elabcase.h"

/* x f32[2, 3, 4], y f32[2, 5, 4], w f32[4], ids i32[2, 3] below 4 */
enum { B = 2, N = 3, M = 5, D = 4 };
static double x[B][N][D], y[B][M][D], w[D], ids[B][N], square[D][D];

static int fill(void **state)
{
    TestRand r = {7};
    for (int i = 0; i < B * N * D; i++)
        (&x[0][0][0])[i] = rand_range(&r, -2, 2);
    for (int i = 0; i < B * M * D; i++)
        (&y[0][0][0])[i] = rand_range(&r, -2, 2);
    for (int i = 0; i < D * D; i++)
        (&square[0][0])[i] = rand_range(&r, -2, 2);
    for (int i = 0; i < D; i++)
        w[i] = rand_range(&r, -2, 2);
    for (int i = 0; i < B * N; i++)
        (&ids[0][0])[i] = rand_below(&r, D);
    *state = NULL;
    return 0;
}

#define BODY "fn f(x: [B, N, D], y: [B, M, D], w: [D], ids: i32[B, N], q: [D, D]) {\n"

/* What r[i, j, k] must be; axes that r lacks are 0. */
typedef double (*At)(int i, int j, int k);

typedef struct Case {
    const char *statements; /* give r */
    int dim[3];             /* 0: r has no such axis */
    At at;
} Case;

static Lab open_case(const char *statements)
{
    static const char *const rest = "\nr\n}\n"
                                    "fn half(a: f32) -> f32 = a / 2\n"
                                    "fn both(a: f32, b: f32) -> f32 = a * b + 1\n"
                                    "op soft(a: [..]) -> [..] = a * sigmoid(a)\n";
    static const int64_t xdim[] = {B, N, D}, ydim[] = {B, M, D}, wdim[] = {D}, idim[] = {B, N},
                         qdim[] = {D, D};
    char text[2000];
    snprintf(text, sizeof text, BODY "%s%s", statements, rest);
    Lab l = lab_open(text);
    lab_input(&l, "x", DT_F32, &x[0][0][0], 3, xdim);
    lab_input(&l, "y", DT_F32, &y[0][0][0], 3, ydim);
    lab_input(&l, "w", DT_F32, w, 1, wdim);
    lab_input(&l, "ids", DT_I32, &ids[0][0], 2, idim);
    lab_input(&l, "q", DT_F32, &square[0][0], 2, qdim);
    return l;
}

static void check(const Case *cases, size_t n)
{
    for (size_t c = 0; c < n; c++) {
        Lab l = open_case(cases[c].statements);
        const Value *v = lab_call(&l, "f")[0];
        const int *dim = cases[c].dim;
        int64_t e = 0, rank = (dim[0] > 0) + (dim[1] > 0) + (dim[2] > 0);
        bool fits = v->rank == rank;
        for (int k = 0; k < rank; k++)
            fits = fits && v->dim[k] == dim[k];
        if (!fits)
            print_error("%s: %s\n", cases[c].statements, lab_type(&l, 0));
        assert_true(fits);
        for (int i = 0; i < (dim[0] ? dim[0] : 1); i++)
            for (int j = 0; j < (dim[1] ? dim[1] : 1); j++)
                for (int k = 0; k < (dim[2] ? dim[2] : 1); k++, e++) {
                    double want = cases[c].at(i, j, k);
                    if (!(fabs(v->at[e] - want) < 1e-9))
                        print_error("%s: [%d, %d, %d]\n", cases[c].statements, i, j, k);
                    assert_near(v->at[e], want);
                }
        lab_close(&l);
    }
}

/* ---- views ---- */

#define AT(name, expression)                \
    static double name(int i, int j, int k) \
    {                                       \
        UNUSED(i);                          \
        UNUSED(j);                          \
        UNUSED(k);                          \
        return expression;                  \
    }

AT(transposed, x[i][k][j])
AT(diagonal, square[i][i])
AT(first, x[i][0][j])
AT(last, x[i][N - 1][j])
AT(repeated, w[j])
AT(numbered, 10 * i + j)
AT(ones, 1)
AT(reversed, w[D - 1 - i])
AT(shifted, w[i + 1] - w[i])
AT(strided, x[i][j][2 * k + 1])
AT(halves, x[i][j / 2][k])
AT(remainders, w[i % 2])

static void test_views(void **state)
{
    UNUSED(state);
    static const Case cases[] = {
        {"r[b, d, n] = x[b, n, d]", {B, D, N}, transposed},
        {"r[i] = q[i, i]", {D}, diagonal},
        {"r[b, d] = x[b, 0, d]", {B, D}, first},
        {"r[b, d] = x[b, -1, d]", {B, D}, last},
        {"r[b, d] = x[b, N - 1, d]", {B, D}, last},
        {"r[b, d]: [B, D] = w[d]", {B, D}, repeated},
        {"r[b, n]: i32[B, N] = 10 * b + n", {B, N}, numbered},
        {"r[b, n]: [B, N] = b * 10 + n", {B, N}, numbered},
        {"r[b, n]: [B, N] = 1", {B, N}, ones},
        {"r[i] = w[D - 1 - i] where i in 0..D", {D}, reversed},
        {"r[i]: [D] = w[-i + D - 1]", {D}, reversed},
        {"r[i] = w[i + 1] - w[i + 0] where i in 0..D - 1", {D - 1}, shifted},
        {"r[b, n, h] = x[b, n, 2 * h + 1] where h in 0..D / 2", {B, N, D / 2}, strided},
        {"r[b, n, d]: [B, N, D] = x[b, n // 2, d]", {B, N, D}, halves},
        {"r[i] = w[i % 2] where i in 0..7", {7}, remainders},
    };
    check(cases, COUNT(cases));
}

/* ---- packs ---- */

AT(row_max, fmax(fmax(x[i][j][0], x[i][j][1]), fmax(x[i][j][2], x[i][j][3])))
AT(centred, x[i][j][k] - row_max(i, j, 0))
AT(picked, x[i][j][(int)ids[i][j]])
AT(row_sum, x[i][j][0] + x[i][j][1] + x[i][j][2] + x[i][j][3])
AT(itself, x[i][j][k])

static double all(int i, int j, int k)
{
    UNUSED(i + j + k);
    double s = 0;
    for (int n = 0; n < B * N * D; n++)
        s += (&x[0][0][0])[n];
    return s;
}

static void test_packs(void **state)
{
    UNUSED(state);
    static const Case cases[] = {
        {"r[..] max= x[.., d]", {B, N}, row_max},
        {"m[..] max= x[.., d]\nr[.., d] = x[.., d] - m[..]", {B, N, D}, centred},
        {"r[..] = x[.., ids[..]]", {B, N}, picked},
        {"r[b, n] = x[b, n, ids[b, n]]", {B, N}, picked},
        {"r[b, ..] += x[b, .., d]", {B, N}, row_sum},
        {"r[..] = x[..]", {B, N, D}, itself},
        {"r += x[..]", {0}, all},
        {"r += x[b, n, d]", {0}, all},
    };
    check(cases, COUNT(cases));
}

/* ---- folds ---- */

static double dots(int i, int j, int k)
{
    double s = 0;
    for (int d = 0; d < D; d++)
        s += x[i][j][d] * y[i][k][d];
    return s;
}

static double three(int i, int j, int k)
{
    double s = 0;
    UNUSED(k);
    for (int d = 0; d < D; d++)
        s += x[i][j][d] * w[d] * square[d][d];
    return s;
}

static double weighted(int i, int j, int k)
{
    double s = 0;
    UNUSED(k);
    for (int n = 0; n < N; n++)
        s += 0.5 * x[i][n][j] * w[j];
    return s;
}

static double product(int i, int j, int k)
{
    UNUSED(k);
    return x[i][j][0] * x[i][j][1] * x[i][j][2] * x[i][j][3];
}

static double outer(int i, int j, int k)
{
    double a = 0, b = 0;
    UNUSED(k);
    for (int n = 0; n < B * N; n++)
        a += (&x[0][0][0])[n * D + i];
    for (int n = 0; n < B * M; n++)
        b += (&y[0][0][0])[n * D + j];
    return a * b;
}

AT(trace, square[0][0] + square[1][1] + square[2][2] + square[3][3])
AT(positive, (w[0] > 0) + (w[1] > 0) + (w[2] > 0) + (w[3] > 0))
AT(counted, 3 * w[i])
AT(least, fmin(fmin(w[0], w[1]), fmin(w[2], w[3])))
AT(norm, w[0] * w[0] + w[1] * w[1] + w[2] * w[2] + w[3] * w[3])
AT(squared, square[i][0] * square[0][j] + square[i][1] * square[1][j] +
                square[i][2] * square[2][j] + square[i][3] * square[3][j])
AT(flipped, squared(j, i, 0))
AT(pooled, fmax(fmax(square[2 * i][2 * j], square[2 * i + 1][2 * j]),
                fmax(square[2 * i][2 * j + 1], square[2 * i + 1][2 * j + 1])))
AT(smooth, w[i] * 1 + w[i + 1] * 2 + w[i + 2] * 3)

static void test_folds(void **state)
{
    UNUSED(state);
    static const Case cases[] = {
        {"r[b, n, m] += x[b, n, d] * y[b, m, d]", {B, N, M}, dots},
        {"r[b, n, m] += y[b, m, d] * x[b, n, d]", {B, N, M}, dots},
        {"s[m, b, n] += x[b, n, d] * y[b, m, d]\nr[b, n, m] = s[m, b, n]", {B, N, M}, dots},
        {"r[b, n] += x[b, n, d] * w[d] * q[d, d]", {B, N}, three},
        {"r[b, d] += 0.5 * x[b, n, d] * w[d]", {B, D}, weighted},
        {"r[b, n] *= x[b, n, d]", {B, N}, product},
        {"r[i, j] += x[b, n, i] * y[c, m, j]", {D, D}, outer},
        {"r += q[i, i]", {0}, trace},
        {"r += w[i] > 0", {0}, positive},
        {"r[d] += w[d] where i in 0..3", {D}, counted},
        {"r min= w[i]", {0}, least},
        {"r += w[i] * w[i]", {0}, norm},
        {"r += w[i] ** 2", {0}, norm},
        {"r[i, j] += q[i, k] * q[k, j]", {D, D}, squared},
        {"r[j, i] += q[i, k] * q[k, j]", {D, D}, flipped},
        {"r[i, j] max= q[2 * i + u, 2 * j + v] where i in 0..D / 2, j in 0..D / 2, u in 0..2, "
         "v in 0..2",
         {D / 2, D / 2},
         pooled},
        {"r[i] += w[i + u] * (u + 1) where i in 0..D - 2, u in 0..3", {D - 2}, smooth},
    };
    check(cases, COUNT(cases));
}

/* ---- gathers ---- */

AT(rows, square[(int)ids[i][j]][k])
AT(columns, square[k][(int)ids[i][j]])
AT(pair, square[(int)ids[i][j]][(int)ids[i][0]])
AT(nested, w[(int)ids[i][(int)ids[i][j] % N]])
AT(next_one, w[((int)ids[i][j] + 1) % D])

static void test_gathers(void **state)
{
    UNUSED(state);
    static const Case cases[] = {
        {"r[b, n, d] = q[ids[b, n], d]", {B, N, D}, rows},
        {"r[b, n, d] = q[d, ids[b, n]]", {B, N, D}, columns},
        {"r[b, n] = q[ids[b, n], ids[b, 0]]", {B, N}, pair},
        {"r[b, n] = w[ids[b, ids[b, n] % N]]", {B, N}, nested},
        {"r[b, n] = w[(ids[b, n] + 1) % D]", {B, N}, next_one},
    };
    check(cases, COUNT(cases));
}

/* ---- right sides ---- */

AT(chosen, x[i][j][k] > 0 && ids[i][j] != 1 ? x[i][j][k] : -w[k])
AT(polynomial, pow(fabs(w[i]), 1.5) - 2 * w[i] / 3)
AT(integers, floor(ids[i][j] / 2) - (int)ids[i][j] % 3)
AT(halved, w[i] / 2)
AT(joined, square[i][j] * w[j] + 1)
AT(soft, square[i][j] / (1 + exp(-square[i][j])))
AT(squares, w[i] * w[i])
AT(plain, w[i])
AT(scaled, w[i] / D)
AT(floored, floor(w[i]))
AT(difference, (i > 1) - w[i])

static void test_right_sides(void **state)
{
    UNUSED(state);
    static const Case cases[] = {
        {"r[b, n, d] = select(x[b, n, d] > 0 and ids[b, n] != 1, x[b, n, d], -w[d])",
         {B, N, D},
         chosen},
        {"r[d] = abs(w[d]) ** 1.5 - 2 * w[d] / 3", {D}, polynomial},
        {"r[b, n] = ids[b, n] // 2 - ids[b, n] % 3", {B, N}, integers},
        {"r[d] = half(w[d])", {D}, halved},
        {"r[i, j] = both(q[i, j], w[j])", {D, D}, joined},
        {"r[i, j] = soft(q[i, j])", {D, D}, soft},
        {"r[i, j] = q[i, j] |> soft", {D, D}, soft},
        {"g = a => a * a\nr[d] = g(w[d])", {D}, squares},
        {"none_here = none\nr[d] = w[d] + (none_here[d] ?? 0)", {D}, plain},
        {"r[d] = if N > 2 { w[d] } else { x[d] }", {D}, plain},
        {"r[d] = w[d] / D", {D}, scaled},
        {"r[d] = w[d] / len(w)", {D}, scaled},
        {"r[d] = w[d] * len(q) / count(q)", {D}, scaled},
        {"r[d] = floor(w[d]) as i32", {D}, floored},
        {"r[d] = f32(d > 1) - w[d]", {D}, difference},
    };
    check(cases, COUNT(cases));
}

/* ---- names ---- */

/* A name on the right is an index if nothing, or nothing of use, has it; a number is a value. */
static void test_names(void **state)
{
    UNUSED(state);
    static const char *const text =
        "let k = 1\n"
        "model m = Linear(2, 2)\n"
        "data d {\n source = npz(\"a\", x: \"x\")\n x: f32 = r => r.x\n}\n"
        "fn f(x: [2, 2]) -> ([2], [2], [2]) {\n"
        "  a[i] = x[i, k]\n"
        "  b[i] += x[i, m]\n"
        "  c[i] += x[i, d]\n"
        "  (a, b, c)\n}\n";
    Lab l = lab_open(text);
    lab_input(&l, "x", DT_F32, (double[]){1, 2, 3, 4}, 2, (int64_t[]){2, 2});
    Value **out = lab_call(&l, "f");
    ASSERT_VALUES(out[0], 2, 4);
    ASSERT_VALUES(out[1], 3, 7);
    ASSERT_VALUES(out[2], 3, 7);
    lab_close(&l);
}

/* An equation may bind a name again that its right side reads. */
static void test_rebinding(void **state)
{
    UNUSED(state);
    Lab l = lab_open("fn f(x: [A]) -> [A] {\n x[i] = 2 * x[i]\n x[i] = x[i] + 1\n x\n}\n");
    lab_input(&l, "x", DT_F32, (double[]){1, 2, 3}, 1, (int64_t[]){3});
    ASSERT_VALUES(lab_call(&l, "f")[0], 3, 5, 7);
    lab_close(&l);
}

/* A product of two tensors over a shared index is one dot; row sums are folds. */
static void test_forms(void **state)
{
    UNUSED(state);
    static const struct {
        const char *statements;
        uint32_t dots;
    } cases[] = {
        {"r[b, n, m] += x[b, n, d] * y[b, m, d]", 1},
        {"r[b, n, m] += 0.5 * x[b, n, d] * (y[b, m, d] + 1)", 1},
        {"r[b, n] += x[b, n, d] * w[d]", 0},
        {"r[b, n, m] += max(x[b, n, d], y[b, m, d])", 0},
        {"r[i, j] += q[i, k] * q[k, j]", 1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Lab l = open_case(cases[i].statements);
        lab_call(&l, "f");
        const Graph *g = l.program->entries.at[0];
        uint32_t found = 0;
        for (uint32_t k = 0; k < g->nodes.n; k++)
            found += op_info(g->nodes.at[k]->op)->cls == OC_CONTRACT;
        assert_int_equal(found, cases[i].dots);
        lab_close(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views),       cmocka_unit_test(test_packs),
        cmocka_unit_test(test_folds),       cmocka_unit_test(test_gathers),
        cmocka_unit_test(test_right_sides), cmocka_unit_test(test_names),
        cmocka_unit_test(test_rebinding),   cmocka_unit_test(test_forms),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
