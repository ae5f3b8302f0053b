/* gpu_ahead.c: memory that a block asks for before it waits for the launch before it (griddepcontrol): where the
 * lines of a right operand begin that it will read. Without this, memory has nothing to do from the last reads of a
 * launch until blocks of the next have waited and folded their rows; a token is some hundred launches of a few
 * microseconds each.
 *
 * To ask is no access: the run comes to the second-level cache, through which all of the device's memory is seen, so it
 * does not matter whether the launch before still writes there. Only what needs neither memory nor extents to be found
 * can be asked for. */
#include "gpu_copy.h"

#include <string.h>

enum { RUN = 16 }; /* bytes: runs begin and end at multiples */

typedef struct Asked {
    Lower *lo;
    uint32_t v; /* the variable along the runs */
    int64_t bytes;
} Asked;

/* Whether e is found without reading memory; if so, of such numbers alone. */
static bool is_known(const Ix *e)
{
    int64_t n;
    bool ok = e->kind != IX_LOAD;
    if (e->kind == IX_DIV || e->kind == IX_MOD)
        ok = dim_is_const(e->extent, &n) && is_known(e->of);
    if (e->kind == IX_SUM)
        ok = dim_is_const(e->base, &n);
    for (uint32_t i = 0; e->kind == IX_SUM && i < e->nterm && ok; i++)
        ok = dim_is_const(e->term[i].coef, &n) && is_known(e->term[i].atom);
    return ok;
}

/* e = v + a multiple of n elements. */
static bool begins_run(const Ix *e, uint32_t v, int64_t n)
{
    if (e->kind != IX_SUM)
        return e->kind == IX_VAR && e->var == v;
    bool found = false, ok = dim_is_multiple(e->base, n);
    for (uint32_t i = 0; i < e->nterm && ok; i++) {
        const IxTerm *t = &e->term[i];
        bool along = t->atom->kind == IX_VAR && t->atom->var == v && dim_equals(t->coef, 1);
        found = found || along;
        ok = along || (dim_is_multiple(t->coef, n) && !ix_uses(t->atom, v));
    }
    return ok && found;
}

static void ask_input(const Asked *a, const Node *input, const Ix *linear)
{
    Lower *lo = a->lo;
    int64_t each = dtype_info(input->type->dtype)->bytes;
    if (!is_known(linear) || !begins_run(linear, a->v, larger(RUN / each, 1)))
        return;
    int64_t bytes = smaller(a->bytes, dim_fixed(lo->var[a->v].extent) * each) / RUN * RUN;
    if (bytes == 0)
        return;
    const KExpr *arg[] = {ke_addr(lo->k, lo->in[input->id], lower_index(lo, linear)),
                          ke_int(lo->k, bytes)};
    copy_call(lo, "mdl_prefetch_run(%0, %1)", arg, 2);
}

/* All inputs that lie below n, through views and operations element by element. */
static void ask_node(const Asked *a, const Node *n, const Ix *const *ix)
{
    const OpInfo *info = op_info(n->op);
    if (gen_info(n->op)->value == value_input) {
        ask_input(a, n, ix_flatten(a->lo->ir, n->type->dims, ix, n->type->rank));
    } else if (info->cls == OC_VIEW && info->at && n->nin == 1) {
        const Ix *in[IR_MAX_RANK];
        info->at(a->lo->ir, n, 0, ix, in);
        ask_node(a, n->in[0], in);
    } else if (info->cls == OC_ELEM) {
        for (uint32_t i = 0; i < n->nin; i++)
            ask_node(a, n->in[i], ix);
    }
}

bool ahead_may(const Lower *lo, const Dim *tasks)
{
    int64_t n;
    return lo->target->chains && !lo->config.loose && dim_is_const(tasks, &n);
}

void ahead_ask(Lower *lo, const AheadLines *l)
{
    Kernel *k = lo->k;
    const Gemm *g = l->g;
    const Ix *ix[IR_MAX_RANK];
    int64_t depth, lines;
    if (l->bytes < RUN || !dim_is_const(g->depth, &depth) || !dim_is_const(g->right.rows, &lines))
        return;
    const KExpr *thread = ke_text(k, KT_I64, "mdl_thread()", NULL, 0);
    const KExpr *line = copy_let(lo, "line", ke_add(lo, l->first, thread));
    const KExpr *some = ke_test(k, "<", thread, ke_int(k, l->count));
    scope_if(lo, ke_test(k, "&&", some, ke_test(k, "<", line, ke_extent(k, g->right.rows))));
    const Ix *at = scope_var(lo, line, g->right.rows),
             *from = scope_vector_var(lo, ke_int(k, 0), g->depth, NULL);
    gemm_side_index(lo, g, &g->right, (const Ix *[]){at, from}, ix);
    ask_node(&(Asked){lo, lo->nvar - 1, l->bytes}, g->right.node, ix);
    scope_end(lo);
}

static bool asks(const KBlock *b)
{
    bool any = false;
    for (uint32_t i = 0; i < b->n; i++)
        any = any || b->at[i]->kind == KS_CALL || asks(&b->at[i]->body);
    return any;
}

KBlock ahead_of(const KBlock *b)
{
    return asks(b) ? *b : (KBlock){0};
}
