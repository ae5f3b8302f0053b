/* loss.c: a loss is a sum of terms c * (sum of w*l) / (sum of w) whose parts stay apart, so that
 * accumulation and data parallelism cannot change what is optimised (language.md 2.13). A pass over
 * all rows of a step knows all weights: there terms of different weights are divided at once. */
#include "elab.h"

static const Node *sum_all(Graph *g, const Node *n)
{
    int64_t axes[IR_MAX_RANK];
    for (uint32_t i = 0; i < n->type->rank; i++) {
        axes[i] = i;
    }
    return n->type->rank ? graph_reduce(g, OP_SUM, n, axes, n->type->rank) : n;
}

const Val *loss_mean(Elab *e, const Node *x, const Node *weight, Span span)
{
    Graph *g = e->g;
    x = x ? graph_cast(g, DT_F32, x) : NULL;
    if (!x) {
        return poison(e, span);
    }
    const Node *w = weight ? graph_cast(g, DT_F32, weight) : graph_fill(g, x->type, 1);
    if (!w || !arith_match(e, &x, &w, span)) {
        return poison(e, span);
    }
    LossTerm *t = NEW(e->arena, LossTerm);
    double one;
    t->sum = sum_all(g, node_is_const(w, &one) && one == 1 ? x : graph_binary(g, OP_MUL, x, w));
    t->weight = sum_all(g, w);
    t->scale = 1;
    Val *v = val_new(e, V_LOSS, span);
    v->loss.n = 1;
    v->loss.term = t;
    return v;
}

static const Val *loss_terms(Elab *e, const Val *a, const Val *b, double sign)
{
    uint32_t n = a->loss.n + b->loss.n;
    LossTerm *t = NEW_ARRAY(e->arena, LossTerm, n);
    for (uint32_t i = 0; i < n; i++) {
        t[i] = i < a->loss.n ? a->loss.term[i] : b->loss.term[i - a->loss.n];
        t[i].scale *= i < a->loss.n ? 1 : sign;
    }
    Val *v = val_new(e, V_LOSS, a->span);
    v->loss.n = n;
    v->loss.term = t;
    return v;
}

/* A run-time scalar as f32, or NULL after a diagnostic. */
static const Node *scalar_factor(Elab *e, const Val *v)
{
    const Node *n = tensor_of(e, v);
    if (n && n->type->rank) {
        diag_at(e->diags, DIAG_E0607, v->span, "a loss is scaled by a single number, got `%s`",
                type_text(e->ir, n->type));
        return NULL;
    }
    return n ? graph_cast(e->g, DT_F32, n) : NULL;
}

static const Val *loss_scaled(Elab *e, const Val *loss, const Val *factor, bool divide, Span span)
{
    double f = 1;
    Graph *g = e->g;
    const Node *by = val_as_double(factor, &f) ? NULL : scalar_factor(e, factor);
    if (is_tensor(factor) && !by) {
        return poison(e, span);
    }
    if (by && divide) {
        by = graph_binary(g, OP_DIV, graph_const(g, DT_F32, 1), by);
    }
    Val *v = val_new(e, V_LOSS, span);
    LossTerm *t = COPY_ARRAY(e->arena, LossTerm, loss->loss.term, loss->loss.n);
    for (uint32_t i = 0; i < loss->loss.n; i++) {
        t[i].scale *= divide ? 1 / f : f;
        t[i].by = by && t[i].by ? graph_binary(g, OP_MUL, t[i].by, by) : by ? by : t[i].by;
    }
    v->loss.n = loss->loss.n;
    v->loss.term = t;
    return v;
}

const Val *loss_binary(Elab *e, Sym op, const Val *a, const Val *b, Span span)
{
    double f;
    if (a->kind == V_LOSS && b->kind == V_LOSS && (op[0] == '+' || op[0] == '-')) {
        return loss_terms(e, a, b, op[0] == '+' ? 1 : -1);
    }
    const Val *loss = a->kind == V_LOSS ? a : b, *other = a->kind == V_LOSS ? b : a;
    bool divide = op[0] == '/' && !op[1];
    bool scales = (op[0] == '*' && !op[1]) || (divide && loss == a);
    if (!scales || !(val_as_double(other, &f) || is_tensor(other))) {
        diag_at(e->diags, DIAG_E0607, span,
                "a loss can be added to a loss or scaled by a number, got %s %s %s", val_text(e, a),
                op, val_text(e, b));
        return poison(e, span);
    }
    return loss_scaled(e, loss, other, divide, span);
}

/* ---- from terms to numbers ---- */

/* A trained parameter on which n depends in a way that carries gradient, or NULL. */
static const State *trained_below(Elab *e, const Node *n)
{
    const Graph *g = e->g;
    bool *live = NEW_ARRAY(e->arena, bool, n->id + 1);
    live[n->id] = true;
    for (uint32_t i = n->id + 1; i-- > 0;) {
        const Node *at = g->nodes.at[i];
        uint32_t state;
        if (!live[i] || !(at->type->is_tuple || dtype_is_float(at->type->dtype))) {
            continue;
        }
        if (node_is_state(at, &state) && e->program->states.at[state]->trained) {
            return e->program->states.at[state];
        }
        for (uint32_t k = 0; k < at->nin && strcmp(op_info(at->op)->name, "stop") != 0; k++) {
            live[at->in[k]->id] = true;
        }
    }
    return NULL;
}

/* Weights and factors are what is optimised over, not what is optimised. */
static bool term_is_fixed(Elab *e, const LossTerm *t, Span span)
{
    const Node *fixed[] = {t->weight, t->by};
    for (size_t i = 0; i < COUNT(fixed); i++) {
        const State *s = fixed[i] ? trained_below(e, fixed[i]) : NULL;
        if (s) {
            Diag *d = diag_at(e->diags, DIAG_E0608, span,
                              "the %s of the loss depends on the trained `%s`",
                              i ? "factor" : "weight", s->path);
            diag_help(d, "`stop(x)` is x without gradient");
            return false;
        }
    }
    return true;
}

static const Node *scaled(Elab *e, const Node *n, const LossTerm *t)
{
    Graph *g = e->g;
    bool one = !(t->scale < 1 || t->scale > 1);
    n = one ? n : graph_binary(g, OP_MUL, n, graph_const(g, DT_F32, t->scale));
    return t->by ? graph_binary(g, OP_MUL, n, graph_unary(g, OP_STOP, t->by)) : n;
}

/* sum / weight; a term without weight counts as 0. */
const Node *loss_quotient(Elab *e, const Node *sum, const Node *weight)
{
    Graph *g = e->g;
    const Node *w = graph_unary(g, OP_STOP, weight);
    const Node *zero = graph_fill(g, w->type, 0), *none = graph_binary(g, OP_EQ, w, zero);
    const Node *by = graph_select(g, none, graph_fill(g, w->type, 1), w);
    return graph_select(g, none, zero, graph_binary(g, OP_DIV, sum, by));
}

bool loss_adds_up(const Val *loss)
{
    for (uint32_t i = 1; loss->kind == V_LOSS && i < loss->loss.n; i++) {
        if (loss->loss.term[i].weight != loss->loss.term[0].weight) {
            return false;
        }
    }
    return true;
}

bool loss_pair(Elab *e, const Val *loss, const Node *const *total, const Node **sum,
               const Node **weight)
{
    if (loss->kind != V_LOSS) {
        if (!val_is_poison(loss)) {
            Diag *d = diag_at(e->diags, DIAG_E0607, loss->span, "expected a loss, got %s",
                              val_text(e, loss));
            diag_help(d, "`mean(..)` makes a loss of a tensor");
        }
        return false;
    }
    bool together = loss_adds_up(loss);
    *weight = together ? loss->loss.term[0].weight : graph_const(e->g, DT_F32, 1);
    *sum = NULL;
    for (uint32_t i = 0; i < loss->loss.n; i++) {
        const LossTerm *t = &loss->loss.term[i];
        if (!term_is_fixed(e, t, loss->span)) {
            return false;
        }
        const Node *mean = together ? NULL : loss_quotient(e, t->sum, total ? total[i] : t->weight);
        const Node *part = scaled(e, together ? t->sum : mean, t);
        *sum = *sum ? graph_binary(e->g, OP_ADD, *sum, part) : part;
    }
    return true;
}
