/* reduce_keep.c: what a pass over a row leaves in registers for the passes behind it, where teams walk rows
 * (gpu_row_col.c). A thread has a few vectors of a row; every value of them that stays takes so many registers and
 * saves the instructions that compute it again. Of all values over P x R those are taken, one after the other, that
 * save most and still fit beside the others that live at the same time. */
#include "reduce.h"

#include <string.h>

enum {
    LOADED = 1,  /* what an element costs: a part of a vector's load, .. */
    COMPUTED = 4 /* .. an instruction or more */
};

/* A walk through the passes with some values kept. */
typedef struct Trial {
    const Lower *lo;
    const Fold *f;
    const bool *stays;
    uint32_t *at, *last,
        *seen; /* by node id: passes that compute a kept value, that read it last; the last visit */
    uint32_t pass;
    int64_t cost;
} Trial;

static void visit(Trial *t, const Node *n)
{
    const OpInfo *info = op_info(n->op);
    if (info->cls == OC_REDUCE || n->type->rank != t->f->full->rank || t->seen[n->id] == t->pass)
        return;
    t->seen[n->id] = t->pass;
    if (t->at[n->id]) {
        t->last[n->id] = t->pass;
        return;
    }
    if (t->stays[n->id])
        t->at[n->id] = t->pass;
    t->cost += info->cls == OC_ELEM ? COMPUTED * larger((int64_t)info->cost, 1) : LOADED;
    for (uint32_t k = 0; k < n->nin && info->cls == OC_ELEM; k++)
        visit(t, n->in[k]);
}

static void visit_pass(Trial *t)
{
    const Graph *body = t->lo->body;
    const Fold *f = t->f;
    for (uint32_t i = 0; i < body->nodes.n; i++) {
        const Node *n = body->nodes.at[i];
        bool last = f->column[i] && t->pass == f->nlevel + 1;
        if (op_info(n->op)->cls == OC_REDUCE && (last || f->level[i] == t->pass))
            visit(t, n->in[0]);
    }
    for (uint32_t i = 0; i < body->results.n; i++)
        if (t->pass == f->nlevel + 1 && (f->full_results >> i & 1))
            visit(t, body->results.at[i].node);
}

/* Values that live from some pass to the next, at most. */
static int64_t most_alive(const Trial *t)
{
    int64_t most = 0;
    for (uint32_t pass = 1; pass <= t->f->nlevel; pass++) {
        int64_t alive = 0;
        for (uint32_t i = 0; i < t->lo->body->nodes.n; i++)
            alive += t->at[i] && t->at[i] <= pass && t->last[i] > pass;
        most = larger(most, alive);
    }
    return most;
}

static Trial try_passes(const Lower *lo, const Fold *f, const bool *stays)
{
    size_t n = lo->body->nodes.n + (size_t)1;
    Trial t = {.lo = lo, .f = f, .stays = stays};
    t.at = NEW_ARRAY(lo->arena, uint32_t, n);
    t.last = NEW_ARRAY(lo->arena, uint32_t, n);
    t.seen = NEW_ARRAY(lo->arena, uint32_t, n);
    for (t.pass = 1; t.pass <= f->nlevel + 1; t.pass++)
        visit_pass(&t);
    return t;
}

static bool can_stay(const Fold *f, const Node *n)
{
    OpClass c = op_info(n->op)->cls;
    return n->type->rank == f->full->rank && (c == OC_ELEM || c == OC_LEAF) &&
           dtype_has_vector(n->type->dtype);
}

/* The value that saves most beside those that stay; UINT32_MAX: none does. */
static uint32_t best_value(const Lower *lo, const Fold *f, bool *stays, int64_t most)
{
    int64_t least = try_passes(lo, f, stays).cost;
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < lo->body->nodes.n; i++) {
        if (stays[i] || !can_stay(f, lo->body->nodes.at[i]))
            continue;
        stays[i] = true;
        Trial t = try_passes(lo, f, stays);
        stays[i] = false;
        if (t.cost < least && most_alive(&t) <= most) {
            least = t.cost;
            best = i;
        }
    }
    return best;
}

void fold_choose_stays(Lower *lo, Fold *f, int64_t most)
{
    bool *stays = NEW_ARRAY(lo->arena, bool, lo->body->nodes.n + (size_t)1);
    f->crowded = most < 0;
    for (uint32_t i; (i = best_value(lo, f, stays, most)) != UINT32_MAX;)
        stays[i] = true;
    f->stays = stays;
    f->computed = try_passes(lo, f, stays).at;
    f->stayed = NEW_ARRAY(lo->arena, const KExpr *, f->nchunk *(size_t)lo->body->nodes.n + 1);
}

static const KExpr **place(const Lower *lo, const Fold *f, uint32_t id)
{
    return &f->stayed[f->chunk_here * (size_t)lo->body->nodes.n + id];
}

/* lo->kept: an earlier pass over this row has it. */
static const KExpr *find_stayed(Lower *lo, const Node *n, const Ix *const *ix)
{
    const Fold *f = lo->user;
    if (!f->here || !f->stays[n->id] ||
        memcmp(ix, f->here, n->type->rank * sizeof(const Ix *)) != 0)
        return NULL;
    return *place(lo, f, n->id);
}

void fold_begin_stays(Lower *lo, Fold *f)
{
    memset(f->stayed, 0, f->nchunk * (size_t)lo->body->nodes.n * sizeof *f->stayed);
    lo->kept = find_stayed;
}

void fold_leave_stays(Lower *lo, const Fold *f)
{
    for (uint32_t i = 0; i < lo->body->nodes.n; i++)
        if (f->stays[i] && f->computed[i] == f->pass)
            *place(lo, f, i) = lower_value(lo, lo->body->nodes.at[i], f->here);
}

void fold_forget(Lower *lo)
{
    ks_call(lo->k, lo->scope->block, ke_text(lo->k, KT_PTR, "mdl_syncwarp()", NULL, 0));
}
