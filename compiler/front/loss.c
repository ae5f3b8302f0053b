/* loss.c: a loss is a sum of terms c * (sum of w*l) / (sum of w) whose parts stay apart, so that
 * accumulation and data parallelism cannot change what is optimised (language.md 2.13). */
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

const Val *loss_binary(Elab *e, Sym op, const Val *a, const Val *b, Span span)
{
    double f;
    if (a->kind == V_LOSS && b->kind == V_LOSS && (op[0] == '+' || op[0] == '-')) {
        return loss_terms(e, a, b, op[0] == '+' ? 1 : -1);
    }
    const Val *loss = a->kind == V_LOSS ? a : b, *other = a->kind == V_LOSS ? b : a;
    bool scales = (op[0] == '*' && !op[1]) || (op[0] == '/' && !op[1] && loss == a);
    if (!scales || !val_as_double(other, &f)) {
        diag_at(e->diags, DIAG_E0607, span,
                "a loss can be added to a loss or scaled by a compile-time number, got %s %s %s",
                val_text(e, a), op, val_text(e, b));
        return poison(e, span);
    }
    Val *v = val_new(e, V_LOSS, span);
    LossTerm *t = COPY_ARRAY(e->arena, LossTerm, loss->loss.term, loss->loss.n);
    for (uint32_t i = 0; i < loss->loss.n; i++) {
        t[i].scale *= op[0] == '*' ? f : 1 / f;
    }
    v->loss.n = loss->loss.n;
    v->loss.term = t;
    return v;
}

bool loss_pair(Elab *e, const Val *loss, const Node **sum, const Node **weight)
{
    if (loss->kind != V_LOSS) {
        if (!val_is_poison(loss)) {
            Diag *d = diag_at(e->diags, DIAG_E0607, loss->span, "the loss is %s, expected a loss",
                              val_text(e, loss));
            diag_help(d, "`mean(..)` makes a loss of a tensor");
        }
        return false;
    }
    *weight = loss->loss.term[0].weight;
    *sum = NULL;
    for (uint32_t i = 0; i < loss->loss.n; i++) {
        const LossTerm *t = &loss->loss.term[i];
        if (t->weight != *weight) {
            diag_at(e->diags, DIAG_E0199, loss->span,
                    "a loss of terms with different weights is not supported yet");
            return false;
        }
        const Node *scale = graph_const(e->g, DT_F32, t->scale);
        const Node *part = t->scale == 1 ? t->sum : graph_binary(e->g, OP_MUL, t->sum, scale);
        *sum = *sum ? graph_binary(e->g, OP_ADD, *sum, part) : part;
    }
    return true;
}
