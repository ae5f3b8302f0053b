/* bisect_block.c: a few elements of a result that is too large to be interpreted whole.
 *
 * The result is sliced along each axis, and pass `prune` carries the slices down to the operands: of a
 * product of thousands of rows and columns four of each are left, whole in the axis that is summed. Where
 * an operation mixes rows the slices end, and the work above it stays what it was. */
#include "bisect.h"
#include "passes.h"

enum { SIDE = 4 };

Block bisect_block(const Type *t, uint32_t result, uint32_t i)
{
    Block b = {.result = result, .rank = t->rank};
    for (uint32_t k = 0; k < t->rank; k++) {
        int64_t extent = 0;
        dim_is_const(t->dims[k], &extent);
        b.n[k] = extent < SIDE ? extent : SIDE;
        int64_t last = extent - b.n[k];
        uint64_t random = hash_mix(hash_mix(result, i), k);
        b.lo[k] = i == 0 ? 0 : i == 1 ? last : (int64_t)(random % (uint64_t)(last + 1));
    }
    return b;
}

static const Graph *prune(Arena *arena, const Graph *g, const RowRange *rows)
{
    PassCx cx = {.ir = g->ir, .arena = arena};
    Graph *out = graph_rewrite(g, arena, NULL, NULL);
    GraphResult *r = &out->results.at[0];
    r->node = graph_slice(out, r->node, rows->axis, rows->start, rows->extent);
    return pass_prune(&cx, out);
}

const Graph *bisect_block_body(Arena *arena, const Graph *body, const Block *b)
{
    Graph *one = graph_rewrite(body, arena, NULL, NULL);
    one->results.at[0] = one->results.at[b->result];
    one->results.n = 1;
    const Graph *g = one;
    for (uint32_t k = 0; k < b->rank; k++) {
        RowRange rows = {k, dim_const(g->ir, b->lo[k]), dim_const(g->ir, b->n[k])};
        if (b->n[k] > 0) /* a fixed extent */
            g = prune(arena, g, &rows);
    }
    return g;
}

static int64_t extent_of(const Value *whole, const Block *b, uint32_t axis)
{
    return b->n[axis] > 0 ? b->n[axis] : whole->dim[axis];
}

int64_t bisect_block_element(const Value *whole, const Block *b, int64_t element)
{
    int64_t at = 0, stride = 1;
    for (uint32_t k = b->rank; k-- > 0;) {
        int64_t n = extent_of(whole, b, k);
        at += (b->lo[k] + element % n) * stride;
        element /= n;
        stride *= whole->dim[k];
    }
    return at;
}

Value *bisect_block_value(Arena *arena, const Value *whole, const Block *b)
{
    Value *v = NEW(arena, Value);
    *v = *whole;
    v->count = 1;
    for (uint32_t k = 0; k < b->rank; k++) {
        v->dim[k] = extent_of(whole, b, k);
        v->count *= v->dim[k];
    }
    v->at = NEW_ARRAY(arena, double, v->count + 1);
    for (int64_t i = 0; i < v->count; i++)
        v->at[i] = whole->at[bisect_block_element(whole, b, i)];
    return v;
}
