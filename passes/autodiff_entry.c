/* autodiff_entry.c: the pass over one entry: which parameters want a gradient, where it goes, and
 * what to say when there is none. The differentiation itself is autodiff.c. */
#include "internal.h"

/* ---- what is trained ---- */

typedef struct Wanted {
    const State **state; /* trained parameters, in state order */
    const Node **node;   /* where the entry reads it, or NULL */
    uint32_t n;
} Wanted;

static Wanted find_wanted(const PassCx *cx, const Graph *g)
{
    const Program *p = cx->program;
    Wanted w = {.state = NEW_ARRAY(cx->arena, const State *, p->states.n + 1),
                .node = NEW_ARRAY(cx->arena, const Node *, p->states.n + 1)};
    const Node **reads = NEW_ARRAY(cx->arena, const Node *, p->states.n + 1);
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        uint32_t state;
        if (node_is_state(g->nodes.at[i], &state))
            reads[state] = g->nodes.at[i];
    }
    for (uint32_t i = 0; i < p->states.n; i++) {
        const State *s = p->states.at[i];
        if (s->kind != SK_PARAM || !s->trained || !program_grad(p, s->id))
            continue;
        w.state[w.n] = s;
        w.node[w.n++] = reads[s->id];
    }
    return w;
}

/* ---- parameters without gradient ---- */

/* The first operation on a way from `from` to the loss through which no gradient flows; NULL when
 * there is no way at all. */
static const Node *find_cut(const PassCx *cx, const Graph *g, const Node *from, const Node *loss)
{
    bool *below = NEW_ARRAY(cx->arena, bool, g->nodes.n + 1);
    bool *above = NEW_ARRAY(cx->arena, bool, g->nodes.n + 1);
    above[loss->id] = true;
    for (uint32_t i = loss->id + 1; i-- > 0;)
        for (uint32_t k = 0; above[i] && k < g->nodes.at[i]->nin; k++)
            above[g->nodes.at[i]->in[k]->id] = true;
    below[from->id] = true;
    for (uint32_t i = from->id + 1; i <= loss->id; i++) {
        const Node *n = g->nodes.at[i];
        for (uint32_t k = 0; k < n->nin; k++)
            below[i] = below[i] || below[n->in[k]->id];
        bool flows = autodiff_flows(n->op) && (n->type->is_tuple || dtype_is_float(n->type->dtype));
        if (below[i] && above[i] && !flows)
            return n;
    }
    return NULL;
}

static void report_missing(const PassCx *cx, const Graph *g, const State *s, const Node *read,
                           const Node *loss)
{
    const Node *cut = read ? find_cut(cx, g, read, loss) : NULL;
    Span at = s->chosen.file ? s->chosen : s->span;
    if (cut) {
        const char *name = op_info(cut->op)->name;
        Diag *d = diag_at(cx->ir->diags, DIAG_E0602, at,
                          "no derivative through `%s` on the way to `%s`", name, s->path);
        if (cut->span.file)
            diag_also(d, cut->span, "`%s` here", name);
        return;
    }
    Diag *d = diag_at(cx->ir->diags, DIAG_E0601, at,
                      "`%s` is trained, but the loss does not depend on it", s->path);
    diag_help(d, "freeze it, or use it in the loss");
}

/* ---- the pass ---- */

static bool without_vjp(PassCx *cx, const Def *def)
{
    UNUSED(cx);
    return def->kind == DEF_COMPOSITE && !def->vjp;
}

/* Only `micro` is differentiated: evaluations may compute the same loss. */
static bool wants_gradient(const PassCx *cx, const Graph *in)
{
    return in->name == sym(cx->ir->syms, "micro") && cx->program &&
           graph_result_find(in, "loss.sum") && find_wanted(cx, in).n > 0;
}

/* What the gradient is with this pass: the sum of those of the step so far. */
static const Node *added_up(const PassCx *cx, Graph *g, const State *grad, const Node *dx)
{
    if (!cx->program->accumulates)
        return graph_cast(g, grad->type->dtype, dx);
    DType sum = dtype_info(grad->type->dtype)->bytes < 4 ? DT_F32 : grad->type->dtype;
    const Node *old = graph_cast(g, sum, graph_state(g, grad->id, grad->type, grad->path));
    const Node *first =
        graph_binary(g, OP_NE, graph_slot(g, "first", DT_I32), graph_const(g, DT_I32, 0));
    int64_t axes[IR_MAX_RANK];
    const Node *all = graph_expand(g, first, old->type->rank, old->type->dims, axes);
    old = graph_select(g, all, graph_fill(g, old->type, 0), old);
    return graph_cast(g, grad->type->dtype, graph_binary(g, OP_ADD, old, graph_cast(g, sum, dx)));
}

Graph *pass_autodiff(PassCx *cx, const Graph *in)
{
    if (!wants_gradient(cx, in))
        return graph_rewrite(in, cx->arena, NULL, NULL);
    Graph *g = inline_calls(cx, in, without_vjp);
    const Node *loss = graph_result_find(g, "loss.sum");
    Wanted w = find_wanted(cx, g);
    const Node **wrt = NEW_ARRAY(cx->arena, const Node *, w.n), **dx;
    dx = NEW_ARRAY(cx->arena, const Node *, w.n);
    for (uint32_t i = 0; i < w.n; i++) /* one that is not read stands for itself: no cotangent */
        wrt[i] = w.node[i] ? w.node[i] : loss;
    AutodiffIn ad = {.y = loss, .dy = graph_fill(g, loss->type, 1), .wrt = wrt, .nwrt = w.n};
    bool ok = autodiff_append(cx, g, &ad, dx);
    g->path = NULL;
    for (uint32_t i = 0; i < w.n; i++) {
        if (dx[i] && w.node[i]) {
            const State *grad = program_grad(cx->program, w.state[i]->id);
            graph_write(g, grad->id, added_up(cx, g, grad, dx[i]));
            continue;
        }
        report_missing(cx, g, w.state[i], w.node[i], loss);
        ok = false;
    }
    return ok ? graph_rewrite(g, cx->arena, NULL, NULL) : NULL;
}
