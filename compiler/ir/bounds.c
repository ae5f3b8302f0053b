/* bounds.c: conditions as bounds of one index. `t - pos[b, t] <= u and u <= t` bounds u from both sides
 * by what does not depend on u; a kernel that walks over u then walks between the bounds, and tests
 * elements only where a stretch of them is cut. What cannot be said so is left: out->rest. */
#include "ir.h"

enum { MAX_VISITS = 4096 };

typedef struct Walk {
    Ir *ir;
    uint32_t var;
    uint32_t visits;
    NodeBounds *out;
} Walk;

static bool uses(const Ix *const *ix, uint32_t rank, uint32_t var)
{
    for (uint32_t i = 0; i < rank; i++)
        if (ix_uses(ix[i], var))
            return true;
    return false;
}

static bool is_open(const Node *n)
{
    OpClass cls = op_info(n->op)->cls;
    return cls == OC_VIEW || cls == OC_ELEM;
}

/* Whether element ix of n changes with the variable: true where that is not known. */
static bool depends(Walk *w, const Node *n, const Ix *const *ix)
{
    if (!uses(ix, n->type->rank, w->var))
        return false;
    if (!is_open(n) || ++w->visits > MAX_VISITS)
        return true;
    for (uint32_t k = 0; k < n->nin; k++) {
        const Ix *in[IR_MAX_RANK];
        if (!op_at(w->ir, n, k, ix, in) || depends(w, n->in[k], in))
            return true;
    }
    return false;
}

/* b += sign * n: terms without the variable are collected, *coef counts the variable. */
static bool add_linear(Walk *w, NodeBound *b, int64_t *coef, NodeBoundTerm t)
{
    const Node *n = t.node;
    const Ix *in[IR_MAX_RANK];
    const Dim *c;
    int64_t times;
    if (!depends(w, n, t.ix)) {
        if (b->nterm == COUNT(b->term))
            return false;
        b->term[b->nterm++] = t;
        return true;
    }
    if (n->op == OP_IOTA) {
        const Ix *at = t.ix[node_int(n, "axis")];
        if (!ix_coefficient(w->ir, at, w->var, &c) || !dim_is_const(c, &times) || times != 1 ||
            at->kind != IX_VAR)
            return false;
        *coef += t.sign;
        return true;
    }
    bool linear = n->op == OP_ADD || n->op == OP_SUB || n->op == OP_NEG;
    if (!linear && op_info(n->op)->cls != OC_VIEW)
        return false;
    for (uint32_t k = 0; k < n->nin; k++) {
        if (!op_at(w->ir, n, k, t.ix, in))
            return false;
        bool minus = n->op == OP_NEG || (n->op == OP_SUB && k == 1);
        NodeBoundTerm part = {.node = n->in[k], .sign = minus ? -t.sign : t.sign};
        for (uint32_t i = 0; i < n->in[k]->type->rank; i++)
            part.ix[i] = in[i];
        if (!add_linear(w, b, coef, part))
            return false;
    }
    return true;
}

/* x - y <= -less, as a bound of the variable. */
static bool add_bound(Walk *w, const Node *n, const Ix *const *ix, int64_t less)
{
    NodeBound b = {.add = -less};
    int64_t coef = 0;
    if (w->out->n == COUNT(w->out->bound) || !dtype_is_int(n->in[0]->type->dtype))
        return false;
    for (uint32_t k = 0; k < 2; k++) {
        NodeBoundTerm t = {.node = n->in[k], .sign = k ? -1 : 1};
        for (uint32_t i = 0; i < n->type->rank; i++)
            t.ix[i] = ix[i];
        if (!add_linear(w, &b, &coef, t))
            return false;
    }
    if (coef != 1 && coef != -1)
        return false;
    b.upper = coef == 1; /* u + rest <= add: u <= add - rest; else u >= rest - add */
    b.add = b.upper ? b.add : -b.add;
    for (uint32_t i = 0; i < b.nterm && b.upper; i++)
        b.term[i].sign = -b.term[i].sign;
    w->out->bound[w->out->n++] = b;
    return true;
}

static void walk(Walk *w, const Node *n, const Ix *const *ix)
{
    double c;
    const Ix *in[IR_MAX_RANK];
    if (node_is_const(n, &c) && c != 0)
        return;
    if (n->op == OP_AND || (op_info(n->op)->cls == OC_VIEW && op_info(n->op)->at)) {
        for (uint32_t k = 0; k < n->nin; k++) {
            op_at(w->ir, n, k, ix, in);
            walk(w, n->in[k], in);
        }
        return;
    }
    bool done =
        (n->op == OP_LE && add_bound(w, n, ix, 0)) || (n->op == OP_LT && add_bound(w, n, ix, 1));
    w->out->rest = w->out->rest || !done;
}

void node_bounds(Ir *ir, const Node *cond, const Ix *const *ix, uint32_t var, NodeBounds *out)
{
    *out = (NodeBounds){0};
    Walk w = {.ir = ir, .var = var, .out = out};
    walk(&w, cond, ix);
}
