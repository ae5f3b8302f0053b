/* gpu_check.c: some elements and rows of large results computed again on the host, in f64, from the same
 * inputs. Tests compare all elements of small ones; these are as large as what is measured. */
#include "gpu_cases.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ELEMENTS = 64, ROWS = 4, WIDEST = 512 };

/* The i-th of several places in [0, n): both ends first. */
static int64_t place(int i, int64_t n)
{
    if (i < 2)
        return i ? n - 1 : 0;
    return (int64_t)((uint64_t)i * 2654435761u * 40503u >> 7) % n;
}

/* ---- products ---- */

/* Two matrices and how far apart neighbours along rows and along the sum lie. */
typedef struct Product {
    DType dtype;
    const void *x, *w;
    int64_t x_row, x_step, w_row, w_step, length;
} Product;

static double element(const Product *p, int64_t i, int64_t j)
{
    double sum = 0;
    for (int64_t k = 0; k < p->length; k++)
        sum += dtype_load(p->dtype, p->x, (size_t)(i * p->x_row + k * p->x_step)) *
               dtype_load(p->dtype, p->w, (size_t)(j * p->w_row + k * p->w_step));
    return sum;
}

/* What a sum of products in f32, and its rounding, may cost. */
static double slack(const Product *p, double want)
{
    return (p->dtype == DT_F32 ? 0 : 0x1p-7) * fabs(want) + 1e-5 * (double)p->length;
}

static bool near_to(const double values[3], int64_t i, int64_t j, Err *err)
{
    return fabs(values[0] - values[1]) <= values[2] ||
           err_set(err, ERR_DATA, "element %lld, %lld is %g, not %g", (long long)i, (long long)j,
                   values[0], values[1]);
}

/* Of m x n. */
static bool check_product(const Product *p, int64_t m, int64_t n, const void *data, Err *err)
{
    bool ok = true;
    for (int s = 0; ok && s < ELEMENTS; s++) {
        const int64_t i = place(s, m), j = place(s * 7, n);
        const double want = element(p, i, j), got = dtype_load(p->dtype, data, (size_t)(i * n + j));
        ok = near_to((const double[3]){got, want, slack(p, want)}, i, j, err);
    }
    return ok;
}

bool check_gemm(const GpuCase *c, const void *const *inputs, CaseResult result, Err *err)
{
    const int64_t m = c->n[0], n = c->n[1], k = c->n[2];
    const bool ta = c->variant[0] == 't', tb = c->variant[1] == 't';
    const Product p = {.dtype = c->dtype,
                       .x = inputs[0],
                       .w = inputs[1],
                       .x_row = ta ? 1 : k,
                       .x_step = ta ? m : 1,
                       .w_row = tb ? k : 1,
                       .w_step = tb ? 1 : n,
                       .length = k};
    return check_product(&p, m, n, result.data, err);
}

static Product of_weight(const GpuCase *c, const void *x, const void *w, int64_t length)
{
    return (Product){.dtype = c->dtype,
                     .x = x,
                     .w = w,
                     .x_row = length,
                     .x_step = 1,
                     .w_row = length,
                     .w_step = 1,
                     .length = length};
}

bool check_qkv(const GpuCase *c, const void *const *inputs, CaseResult result, Err *err)
{
    const Product p = of_weight(c, inputs[0], inputs[1 + result.number], c->n[3]);
    return check_product(&p, c->n[0], result.number ? c->n[2] : c->n[1], result.data, err);
}

/* Gate and value may be rounded before they are multiplied. */
bool check_swiglu(const GpuCase *c, const void *const *inputs, CaseResult result, Err *err)
{
    const Product gate = of_weight(c, inputs[0], inputs[1], c->n[2]);
    const Product value = of_weight(c, inputs[0], inputs[2], c->n[2]);
    bool ok = true;
    for (int s = 0; ok && s < ELEMENTS; s++) {
        const int64_t i = place(s, c->n[0]), j = place(s * 7, c->n[1]);
        const double g = element(&gate, i, j), u = element(&value, i, j);
        const double got = dtype_load(c->dtype, result.data, (size_t)(i * c->n[1] + j));
        const double far = 2 * slack(&gate, g) * fabs(u) + 2 * slack(&value, u) * fabs(g);
        ok = near_to((const double[3]){got, g / (1 + exp(-g)) * u, far}, i, j, err);
    }
    return ok;
}

/* ---- attention ---- */

/* What a row is made of. Heads of queries and of keys. */
typedef struct Attention {
    const GpuCase *c;
    const void *q, *k, *v, *dy, *y, *lse;
    int64_t t, h, kv, d;
} Attention;

static double at(const Attention *a, const void *x, int64_t row, int64_t i)
{
    return dtype_load(a->c->dtype, x, (size_t)(row * a->d + i));
}

static double inner(const Attention *a, const void *x, int64_t row, const void *y, int64_t other)
{
    double sum = 0;
    for (int64_t i = 0; i < a->d; i++)
        sum += at(a, x, row, i) * at(a, y, other, i);
    return sum;
}

/* Of a query and a key: rows of q, and of k and v. */
typedef struct Pair {
    int64_t query, key;
} Pair;

static Pair pair_of(const Attention *a, int64_t b, int64_t t, int64_t head, int64_t u)
{
    return (Pair){(b * a->t + t) * a->h + head, (b * a->t + u) * a->kv + head / (a->h / a->kv)};
}

/* y of query t; the sum of its weights goes out. */
static void forward_row(const Attention *a, const int64_t where[3], double *row)
{
    double sum = 0;
    memset(row, 0, (size_t)a->d * sizeof *row);
    for (int64_t u = 0; u <= where[1]; u++) {
        const Pair p = pair_of(a, where[0], where[1], where[2], u);
        const double w = exp(inner(a, a->q, p.query, a->k, p.key) / sqrt((double)a->d));
        sum += w;
        for (int64_t i = 0; i < a->d; i++)
            row[i] += w * at(a, a->v, p.key, i);
    }
    for (int64_t i = 0; i < a->d; i++)
        row[i] /= sum;
}

/* The weight of a pair, and the gradient of its score. */
static double weight(const Attention *a, const int64_t where[3], Pair p, double *gradient)
{
    const double scale = 1 / sqrt((double)a->d);
    const size_t lse = (size_t)((where[0] * a->h + where[2]) * a->t + where[1]);
    const double w =
        exp(inner(a, a->q, p.query, a->k, p.key) * scale - dtype_load(DT_F32, a->lse, lse));
    const double share = inner(a, a->dy, p.query, a->y, p.query);
    *gradient = scale * w * (inner(a, a->dy, p.query, a->v, p.key) - share);
    return w;
}

static void dq_row(const Attention *a, const int64_t where[3], double *row)
{
    double g;
    memset(row, 0, (size_t)a->d * sizeof *row);
    for (int64_t u = 0; u <= where[1]; u++) {
        const Pair p = pair_of(a, where[0], where[1], where[2], u);
        weight(a, where, p, &g);
        for (int64_t i = 0; i < a->d; i++)
            row[i] += g * at(a, a->k, p.key, i);
    }
}

/* dk, or dv, of key where[1] of head where[2] of the keys. */
static void dkv_row(const Attention *a, const int64_t where[3], bool values, double *row)
{
    const int64_t group = a->h / a->kv;
    double g;
    memset(row, 0, (size_t)a->d * sizeof *row);
    for (int64_t t = where[1]; t < a->t; t++)
        for (int64_t head = where[2] * group; head < (where[2] + 1) * group; head++) {
            const Pair p = pair_of(a, where[0], t, head, where[1]);
            const double w = weight(a, (const int64_t[3]){where[0], t, head}, p, &g);
            for (int64_t i = 0; i < a->d; i++)
                row[i] += values ? w * at(a, a->dy, p.query, i) : g * at(a, a->q, p.query, i);
        }
}

static bool check_row(const Attention *a, CaseResult result, int64_t at_row, const double *want,
                      Err *err)
{
    double far = 0, norm = 0;
    for (int64_t i = 0; i < a->d; i++) {
        const double got = at(a, result.data, at_row, i);
        far += (got - want[i]) * (got - want[i]);
        norm += want[i] * want[i];
    }
    far = sqrt(far / norm);
    return far <= (a->c->dtype == DT_F32 ? 1e-3 : 3e-2) ||
           err_set(err, ERR_DATA, "row %lld of result %u is wrong by %.2g of its norm",
                   (long long)at_row, result.number, far);
}

bool check_attention(const GpuCase *c, const void *const *inputs, CaseResult result, Err *err)
{
    const bool back = c->function[0] == 'b';
    const Attention a = {.c = c,
                         .q = inputs[0],
                         .k = inputs[1],
                         .v = inputs[2],
                         .dy = inputs[3],
                         .y = back ? inputs[4] : NULL,
                         .lse = back ? inputs[5] : NULL,
                         .t = c->n[1],
                         .h = c->n[2],
                         .kv = c->n[3],
                         .d = c->n[4]};
    const int64_t heads = result.number ? a.kv : a.h;
    double row[WIDEST];
    for (int s = 0; s < ROWS && a.d <= WIDEST; s++) {
        const int64_t where[3] = {place(s * 3, c->n[0]), place(s, a.t), place(s * 5, heads)};
        if (!back)
            forward_row(&a, where, row);
        else if (!result.number)
            dq_row(&a, where, row);
        else
            dkv_row(&a, where, result.number == 2, row);
        if (!check_row(&a, result, (where[0] * a.t + where[1]) * heads + where[2], row, err))
            return false;
    }
    return true;
}
