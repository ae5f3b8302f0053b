/* eval_scan.c: operations along one axis that keep its extent: prefix sums and products, order.
 *
 * Each works on lines: the elements that differ only in their index on that axis. */
#include "eval.h"

typedef struct Line {
    const double *x;
    double *out;
    int64_t n, step; /* elements, and the distance between two of them in both tensors */
} Line;

/* The lines of x and out: the box without the axis. */
static Walk lines_begin(const Value *x, uint32_t axis, Line *line)
{
    int64_t extent[IR_MAX_RANK], stride[IR_MAX_RANK] = {0};
    Walk w;
    value_strides(x, stride);
    for (uint32_t i = 0; i < x->rank; i++)
        extent[i] = i == axis ? 1 : x->dim[i];
    walk_begin(&w, x->rank, extent);
    value_strides(x, w.stride[0]);
    *line = (Line){.n = x->dim[axis], .step = stride[axis]};
    return w;
}

static void scan(const Node *n, const Value *x, EvalFn step, Value *out)
{
    Line line;
    Walk w = lines_begin(x, (uint32_t)node_int(n, "axis"), &line);
    bool reverse = node_int(n, "reverse") != 0;
    for (bool more = w.left > 0 && line.n > 0; more; more = walk_next(&w)) {
        for (int64_t i = 0; i < line.n; i++) {
            int64_t k = reverse ? line.n - 1 - i : i;
            int64_t at = w.offset[0] + k * line.step;
            int64_t before = at + (reverse ? line.step : -line.step);
            out->at[at] =
                i == 0 ? x->at[at] : value_round(out, step(out->at[before], x->at[at], 0));
        }
    }
}

void eval_cumsum(const Node *n, const Value *const *in, Value *out)
{
    scan(n, in[0], eval_add, out);
}

void eval_cumprod(const Node *n, const Value *const *in, Value *out)
{
    scan(n, in[0], eval_mul, out);
}

/* ---- order: heap sort of indices. Ties go by index, so no two are equal and the result is that of
 * a stable sort. ---- */

/* Whether the element with index a comes before the one with index b. */
static bool before(const Line *l, double a, double b, bool descending)
{
    double x = l->x[(int64_t)a * l->step], y = l->x[(int64_t)b * l->step];
    bool less = isnan(y) ? !isnan(x) : x < y, more = isnan(x) ? !isnan(y) : x > y;
    if (less != more)
        return descending ? more : less;
    return a < b;
}

/* Lets the index at `root` sink until none of the two below comes after it. */
static void sink(const Line *l, int64_t root, int64_t n, bool descending)
{
    double *out = l->out, moved = out[root * l->step];
    for (int64_t kid = 2 * root + 1; kid < n; kid = 2 * root + 1) {
        if (kid + 1 < n && before(l, out[kid * l->step], out[(kid + 1) * l->step], descending))
            kid++;
        if (!before(l, moved, out[kid * l->step], descending))
            break;
        out[root * l->step] = out[kid * l->step];
        root = kid;
    }
    out[root * l->step] = moved;
}

static void sort_line(const Line *l, bool descending)
{
    for (int64_t i = 0; i < l->n; i++)
        l->out[i * l->step] = (double)i;
    for (int64_t i = l->n / 2; i-- > 0;)
        sink(l, i, l->n, descending);
    for (int64_t i = l->n - 1; i > 0; i--) {
        double last = l->out[i * l->step];
        l->out[i * l->step] = l->out[0];
        l->out[0] = last;
        sink(l, 0, i, descending);
    }
}

void eval_argsort(const Node *n, const Value *const *in, Value *out)
{
    Line line;
    Walk w = lines_begin(in[0], (uint32_t)node_int(n, "axis"), &line);
    bool descending = node_int(n, "descending") != 0;
    for (bool more = w.left > 0 && line.n > 0; more; more = walk_next(&w)) {
        line.x = in[0]->at + w.offset[0];
        line.out = out->at + w.offset[0];
        sort_line(&line, descending);
    }
}
