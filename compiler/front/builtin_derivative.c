/* builtin_derivative.c: derivative(y, x): how each element of y changes with the same element of x, where
 * y was made of x by elementwise operations: for the `vjp` of an op that was given a function. The
 * gradient texts of ops.def say what an operation does to it, as in the pass autodiff. */
#include "builtin.h"
#include "front_rule.h"

enum { MAX_OPERANDS = 3 };

static const char *const texts[][MAX_OPERANDS] = {
#define IR(...)
#define AD(...) __VA_ARGS__
#define GEN(...)
#define TEST(...)
#define GRAD(...)                            __VA_ARGS__
#define VJP(fn)                              NULL
#define NOGRAD                               NULL
#define OP(id, name, doc, ir, ad, gen, test) [OP_##id] = {ad},
#include "ops.def"
#undef OP
};

typedef struct Slope {
    Elab *e;
    const Node *x, *y;
    bool *below;       /* by node: computed from x */
    const Node **sums; /* by node: the derivative of y by it, so far */
} Slope;

static bool spread(Slope *s, const Node *n)
{
    Graph *g = s->e->g;
    const RuleArgs args = {.x = n->in, .nx = n->nin, .y = n, .dy = s->sums[n->id]};
    for (uint32_t k = 0; k < n->nin; k++) {
        const Node *in = n->in[k];
        if (!s->below[in->id] || !dtype_is_float(in->type->dtype)) {
            continue;
        }
        const char *text = k < MAX_OPERANDS ? texts[n->op][k] : NULL;
        if (!text || in->type != n->type) {
            return false;
        }
        const Node *d = front_rule(g, front_rule_parse(s->e->ir, text), &args);
        s->sums[in->id] = s->sums[in->id] ? graph_binary(g, OP_ADD, s->sums[in->id], d) : d;
    }
    return true;
}

/* NULL where an operation on the way has no derivative, or is not elementwise. */
static const Node *slope_of(Slope *s)
{
    Graph *g = s->e->g;
    uint32_t n = s->y->id + 1;
    s->below = NEW_ARRAY(s->e->arena, bool, g->nodes.n);
    s->sums = NEW_ARRAY(s->e->arena, const Node *, g->nodes.n);
    s->below[s->x->id] = true;
    for (uint32_t i = s->x->id + 1; i < n; i++) {
        for (uint32_t k = 0; k < g->nodes.at[i]->nin; k++) {
            s->below[i] = s->below[i] || s->below[g->nodes.at[i]->in[k]->id];
        }
    }
    s->sums[s->y->id] = graph_fill(g, s->y->type, 1);
    for (uint32_t i = n; i-- > s->x->id + 1;) {
        if (s->sums[i] && s->below[i] && !spread(s, g->nodes.at[i])) {
            return NULL;
        }
    }
    const Node *d = s->sums[s->x->id];
    return d ? d : graph_fill(g, s->x->type, 0);
}

const Val *call_derivative(Elab *e, const Builtin *b, Args *args)
{
    Slope s = {.e = e};
    s.y = args_count(e, b, args, 2) ? args_tensor(e, args, 0) : NULL;
    s.x = s.y ? args_tensor(e, args, 1) : NULL;
    if (!s.x) {
        return poison(e, args->call);
    }
    if (s.x->type != s.y->type || !dtype_is_float(s.x->type->dtype)) {
        diag_at(e->diags, DIAG_E0501, args->call,
                "`derivative` takes two tensors of floats of one type, got `%s` and `%s`",
                type_text(e->ir, s.y->type), type_text(e->ir, s.x->type));
        return poison(e, args->call);
    }
    const Node *d = slope_of(&s);
    if (!d) {
        Diag *diag = diag_at(e->diags, DIAG_E0602, args->call,
                             "not made by elementwise operations that have a derivative");
        diag_note(diag, "`derivative(y, x)` is taken element by element");
        return poison(e, args->call);
    }
    return val_node(e, d, args->call);
}
