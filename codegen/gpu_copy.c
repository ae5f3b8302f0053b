/* gpu_copy.c: operands on their way to shared memory. gpu_copy.h. */
#include "gpu_copy.h"

#include <string.h>

void copy_call(Lower *lo, const char *text, const KExpr *const *arg, uint32_t n)
{
    ks_call(lo->k, lo->scope->block, ke_text(lo->k, KT_PTR, text, arg, n));
}

const KExpr *copy_let(Lower *lo, const char *stem, const KExpr *e)
{
    return ks_let(lo->k, lo->scope->block, stem, e);
}

/* ---- operands as they lie ---- */

/* The next node on the way from an operand to an input that is read as it lies: views, and casts that only
 * widen. *in: the index there of what is at ix here. NULL: there is none. */
static const Node *step_to_input(Ir *ir, const Node *n, const Ix *const *ix, const Ix **in)
{
    const OpInfo *info = op_info(n->op);
    if ((info->cls == OC_VIEW && info->at && n->nin == 1) || info->cls == OC_GATHER)
        info->at(ir, n, 0, ix, in);
    else if (node_widens(n))
        memcpy(in, ix, n->type->rank * sizeof *in);
    else
        return NULL;
    return n->in[0];
}

const Node *copy_source(Ir *ir, const Node *n, const Ix **ix)
{
    while (n && gen_info(n->op)->value != value_input) {
        const Ix *in[IR_MAX_RANK];
        n = step_to_input(ir, n, ix, in);
        if (n)
            memcpy(ix, in, n->type->rank * sizeof *ix);
    }
    return n;
}

bool copy_in_runs(Lower *lo, const Node *n, const Ix *const *ix, uint32_t v, DType dt)
{
    const Ix *at[IR_MAX_RANK];
    memcpy(at, ix, n->type->rank * sizeof *at);
    const Node *input = copy_source(lo->ir, n, at);
    const Dim *stride;
    if (!input || input->type->dtype != dt)
        return false;
    const Ix *linear = ix_flatten(lo->ir, input->type->dims, at, input->type->rank);
    return index_stride(lo, linear, v, &stride) && dim_equals(stride, 1) &&
           index_aligned(lo, linear, v);
}

/* Whether an index is found by reading another tensor. */
static bool loads(const Ix *e)
{
    bool any = e->kind == IX_LOAD || ((e->kind == IX_DIV || e->kind == IX_MOD) && loads(e->of));
    for (uint32_t i = 0; e->kind == IX_SUM && i < e->nterm; i++)
        any = any || loads(e->term[i].atom);
    return any;
}

const KExpr *copy_place(Lower *lo, const CopySpot *c)
{
    Kernel *k = lo->k;
    const Ix *at;
    uint32_t input = lo->in[c->source(lo, c->run, &at)->id];
    if (!loads(at)) {
        const KExpr *pick[] = {c->inside, lower_index(lo, at)};
        const KExpr *some = ke_text(k, KT_I64, "(%0 ? %1 : 0)", pick, 2);
        return ke_addr(k, input, copy_let(lo, c->stem, some));
    }
    const KExpr *place = ks_var(k, lo->scope->block, c->stem, ke_int(k, 0));
    scope_if(lo, c->inside);
    /* of variables of this scope, so that what they lead to is read in it */
    c->source(lo, c->run, &at);
    ks_set(k, lo->scope->block, place, lower_index(lo, at));
    scope_end(lo);
    return ke_addr(k, input, place);
}

/* ---- threads of a block ---- */

/* The loop over the turns: what this thread has in the first one, and `step` more in each further. */
static const KExpr *open_turns(Lower *lo, const ShareSpec *s, const KExpr *first, int64_t step,
                               int64_t count)
{
    Kernel *k = lo->k;
    int64_t turns = ceil_div(count, step);
    scope_loop(lo, &(LoopSpec){.stem = "c",
                               .lo = ke_int(k, 0),
                               .hi = ke_int(k, turns),
                               .extent = dim_const(lo->ir, turns),
                               .unroll = !s->rolled,
                               .rolled = s->rolled});
    const KExpr *turn = lo->var[lo->nvar - 1].at;
    const KExpr *id = copy_let(lo, "id", ke_add(lo, first, ke_mul(lo, turn, ke_int(k, step))));
    if (count % step)
        scope_if(lo, ke_test(k, "<", id, ke_int(k, count)));
    else
        scope_plain(lo);
    return id;
}

const KExpr *share_open(Lower *lo, const ShareSpec *s)
{
    return open_turns(lo, s, s->thread, s->threads, s->count);
}

void share_open_rows(Lower *lo, const ShareSpec *s, int64_t per, const KExpr **row,
                     const KExpr **item)
{
    const KExpr *n = ke_int(lo->k, per);
    if (s->threads % per == 0) {
        *item = copy_let(lo, "item", ke_index(lo->k, KI_MOD, s->thread, n));
        const KExpr *first = copy_let(lo, "first", ke_index(lo->k, KI_DIV, s->thread, n));
        *row = open_turns(lo, s, first, s->threads / per, s->count / per);
        return;
    }
    const KExpr *id = share_open(lo, s);
    *row = copy_let(lo, "row", ke_index(lo->k, KI_DIV, id, n));
    *item = copy_let(lo, "item", ke_index(lo->k, KI_MOD, id, n));
}

void share_close(Lower *lo)
{
    scope_end(lo);
    scope_end(lo);
}
