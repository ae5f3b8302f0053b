/* reduce_chunk.c: rows of a GPU that stay in registers. A thread's vectors of a row, if they are few, are no
 * loop but so many variables, the same in all passes: what one pass has loaded or computed, the next ones find under
 * its name. All loads of a row are under way at once. The order of the additions is that of the loop. */
#include "reduce.h"

enum { MOST_FLOATS = 128 }; /* of a thread, that live longer than a pass */

/* Bits of the passes that compute n at an element; folds and their results over P are not of the row. */
static void mark_pass(const Node *n, uint32_t rank, uint64_t pass, uint64_t *need)
{
    OpClass c = op_info(n->op)->cls;
    if (c == OC_REDUCE || n->type->rank != rank || (need[n->id] & pass))
        return;
    need[n->id] |= pass;
    for (uint32_t k = 0; k < n->nin && c == OC_ELEM; k++)
        mark_pass(n->in[k], rank, pass, need);
}

static uint64_t *passes_of(Lower *lo, const Fold *f)
{
    uint64_t *need = NEW_ARRAY(lo->arena, uint64_t, lo->body->nodes.n + (size_t)1);
    const uint64_t last = UINT64_C(2) << f->nlevel;
    for (uint32_t i = 0; i < lo->body->nodes.n; i++) {
        const Node *n = lo->body->nodes.at[i];
        if (op_info(n->op)->cls == OC_REDUCE)
            mark_pass(n->in[0], f->full->rank, f->column[i] ? last : UINT64_C(1) << f->level[i],
                      need);
    }
    for (uint32_t i = 0; i < lo->body->results.n; i++)
        if (f->full_results >> i & 1)
            mark_pass(lo->body->results.at[i].node, f->full->rank, last, need);
    return need;
}

static bool in_several(uint64_t passes)
{
    return (passes & (passes - 1)) != 0;
}

/* Values that a pass leaves for a later one: those of several passes that something of one pass reads. */
static int64_t values_kept(Lower *lo, const Fold *f)
{
    const uint64_t *need = passes_of(lo, f);
    bool *kept = NEW_ARRAY(lo->arena, bool, lo->body->nodes.n + (size_t)1);
    int64_t count = 0;
    for (uint32_t i = 0; i < lo->body->nodes.n; i++) {
        const Node *n = lo->body->nodes.at[i];
        bool reads = op_info(n->op)->cls == OC_REDUCE || (need[i] && !in_several(need[i]));
        for (uint32_t k = 0; k < n->nin && reads; k++) {
            uint32_t id = n->in[k]->id;
            count += in_several(need[id]) && !kept[id];
            kept[id] = kept[id] || in_several(need[id]);
        }
    }
    return count;
}

void fold_chunks(Lower *lo, Fold *f)
{
    Kernel *k = lo->k;
    int64_t row, each = lo->team * (int64_t)k->width;
    f->nchunk = 0;
    if (!lo->team || lo->scalar || f->columns || f->r.split > 0 || f->unroll > 1 ||
        !dim_is_const(f->r.inner, &row) || row == 0 || row % each != 0)
        return;
    int64_t n = row / each;
    if (n > FOLD_MAX_CHUNKS || f->nlevel > 60 ||
        (values_kept(lo, f) + f->nsum) * n * (int64_t)k->width > MOST_FLOATS)
        return;
    f->nchunk = (uint32_t)n;
    const KExpr *first = ke_mul(lo, lo->rank, ke_int(k, k->width));
    first = ks_let(k, lo->scope->block, "own", first);
    for (uint32_t c = 0; c < f->nchunk; c++)
        f->chunk[c] =
            scope_vector_var(lo, ke_add(lo, first, ke_int(k, c * each)), f->r.inner, NULL);
}
