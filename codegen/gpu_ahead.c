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
    uint32_t v;    /* the variable along the runs */
    bool from;     /* which does not begin at 0 */
    int64_t bytes; /* of a run, at most */
    int64_t sum;   /* of the runs of a line so far */
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

/* How many numbers of v an element of e is for: 1 for v, p for v / p; 0: it is neither. */
static int64_t run_period(const Ix *e, uint32_t v)
{
    int64_t period;
    if (e->kind == IX_VAR)
        return e->var == v;
    bool divides = e->kind == IX_DIV && e->of->kind == IX_VAR && e->of->var == v &&
                   dim_is_const(e->extent, &period);
    return divides ? period : 0;
}

/* The same of v or v / p, + a multiple of n elements. */
static int64_t begins_run(const Ix *e, uint32_t v, int64_t n)
{
    if (e->kind != IX_SUM)
        return run_period(e, v);
    int64_t found = 0;
    bool ok = dim_is_multiple(e->base, n);
    for (uint32_t i = 0; i < e->nterm && ok; i++) {
        const IxTerm *t = &e->term[i];
        int64_t period = dim_equals(t->coef, 1) && !found ? run_period(t->atom, v) : 0;
        found = period ? period : found;
        ok = period || (dim_is_multiple(t->coef, n) && !ix_uses(t->atom, v));
    }
    return ok ? found : 0;
}

static void ask_input(Asked *a, const Node *input, const Ix *linear)
{
    Lower *lo = a->lo;
    int64_t each = dtype_info(input->type->dtype)->bytes;
    int64_t period = is_known(linear) ? begins_run(linear, a->v, larger(RUN / each, 1)) : 0;
    if (period == 0 || (a->from && period > 1))
        return;
    int64_t line = dim_fixed(lo->var[a->v].extent) / period * each;
    int64_t bytes = smaller(a->bytes, line) / RUN * RUN;
    if (bytes == 0)
        return;
    const KExpr *arg[] = {ke_addr(lo->k, lo->in[input->id], lower_index(lo, linear)),
                          ke_int(lo->k, bytes)};
    copy_call(lo, "mdl_prefetch_run(%0, %1)", arg, 2);
    a->sum += bytes;
}

/* All inputs that lie below n, through views and operations element by element. */
static void ask_node(Asked *a, const Node *n, const Ix *const *ix)
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

int64_t ahead_ask(Lower *lo, const AheadLines *l)
{
    Kernel *k = lo->k;
    const Gemm *g = l->g;
    const Ix *ix[IR_MAX_RANK];
    int64_t depth, lines;
    if (l->bytes < RUN || !dim_is_const(g->depth, &depth) || !dim_is_const(g->right.rows, &lines))
        return 0;
    const KExpr *thread = ke_text(k, KT_I64, "mdl_thread()", NULL, 0);
    const KExpr *line = copy_let(lo, "line", ke_add(lo, l->first, thread));
    const KExpr *some = ke_test(k, "<", thread, ke_int(k, l->count));
    scope_if(lo, ke_test(k, "&&", some, ke_test(k, "<", line, ke_extent(k, g->right.rows))));
    const KExpr *begin = l->from ? l->from : ke_int(k, 0);
    const Ix *at = scope_var(lo, line, g->right.rows),
             *from = scope_vector_var(lo, begin, g->depth, NULL);
    gemm_side_index(lo, g, &g->right, (const Ix *[]){at, from}, ix);
    Asked a = {lo, lo->nvar - 1, l->from != NULL, l->bytes, 0};
    ask_node(&a, g->right.node, ix);
    scope_end(lo);
    return a.sum;
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
