/* equation_eval.c: the right side of an equation, elementwise in the bound indices. Every value keeps
 * only the axes it depends on and is widened when it meets another: m[..] stays small until needed. */
#include "equation.h"

static uint32_t dims_of(const Equation *q, uint32_t axes, const Dim **dims)
{
    uint32_t rank = 0;
    for (uint32_t i = 0; i < q->n; i++) {
        if (axes & eq_bit(i)) {
            if (rank < IR_MAX_RANK) {
                dims[rank] = q->index[i].extent;
            }
            rank++;
        }
    }
    return rank;
}

const Node *eq_align(Equation *q, const EqValue *v, uint32_t axes)
{
    Elab *e = q->e;
    const Dim *dims[IR_MAX_RANK];
    if (val_is_poison(v->v)) {
        return NULL;
    }
    const Node *n = tensor_of(e, v->v);
    if (!n || v->axes == axes) {
        return n;
    }
    ASSERT((v->axes & ~axes) == 0);
    uint32_t rank = dims_of(q, axes, dims);
    if (rank > IR_MAX_RANK) {
        diag_at(e->diags, DIAG_E0406, q->ast->span,
                "the equation needs %u dimensions, at most %d exist", rank, IR_MAX_RANK);
        return NULL;
    }
    int64_t map[IR_MAX_RANK];
    uint32_t k = 0, position = 0;
    for (uint32_t i = 0; i < q->n; i++) {
        if (axes & eq_bit(i)) {
            if (v->axes & eq_bit(i)) {
                map[k++] = position;
            }
            position++;
        }
    }
    return graph_expand(e->g, n, rank, dims, map);
}

const Node *eq_permute(Equation *q, const Node *x, const int64_t *perm)
{
    bool identity = true;
    for (uint32_t i = 0; i < x->type->rank; i++) {
        identity = identity && perm[i] == i;
    }
    return identity ? x : graph_permute(q->e->g, x, perm);
}

static EqValue of_tensor(Equation *q, const Node *n, uint32_t axes, Span span)
{
    return (EqValue){val_node(q->e, n, span), axes};
}

/* A value without brackets: compile time, or rank 0. */
static EqValue plain(Equation *q, const Ast *a)
{
    const Val *v = eval(q->e, q->env, a);
    if (is_tensor(v) && tensor_type(v)->rank > 0) {
        Diag *d = diag_at(q->e->diags, DIAG_E0406, a->span,
                          "a tensor in an equation needs indices, `%s` has rank %u",
                          type_text(q->e->ir, tensor_type(v)), tensor_type(v)->rank);
        diag_help(d, "write `%s[..]` with one index for each dimension", a->name ? a->name : "x");
        return eq_poison(q, a->span);
    }
    return (EqValue){v, 0};
}

static EqValue eval_name(Equation *q, const Ast *a)
{
    int i = eq_find(q, a->name);
    if (i < 0) {
        return plain(q, a);
    }
    const Dim *extent = q->index[i].extent;
    return of_tensor(q, graph_iota(q->e->g, 1, &extent, 0), eq_bit((uint32_t)i), a->span);
}

/* Brings run-time operands to one set of axes; compile-time ones stay as they are. */
static bool align_all(Equation *q, EqValue *v, uint32_t n, uint32_t *axes)
{
    *axes = 0;
    for (uint32_t i = 0; i < n; i++) {
        *axes |= v[i].axes;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (val_is_poison(v[i].v)) {
            return false;
        }
        if (is_tensor(v[i].v)) {
            const Node *t = eq_align(q, &v[i], *axes);
            if (!t) {
                return false;
            }
            v[i].v = val_node(q->e, t, v[i].v->span);
        }
    }
    return true;
}

/* An operator node with its operands replaced by names bound to their aligned values: the ordinary
 * evaluator then applies the ordinary rules. */
static EqValue eval_operator(Equation *q, const Ast *a)
{
    Elab *e = q->e;
    EqValue v[2] = {{0}};
    uint32_t axes;
    for (uint32_t i = 0; i < a->nkid; i++) {
        v[i] = eq_eval(q, a->kid[i]);
    }
    if (!align_all(q, v, a->nkid, &axes)) {
        return eq_poison(q, a->span);
    }
    static const char *const names[2] = {"<left>", "<right>"};
    Env *frame = env_new(e, ENV_FRAME, q->env);
    Ast kid[2] = {{0}}, *kids[2] = {&kid[0], &kid[1]}, op = *a;
    for (uint32_t i = 0; i < a->nkid; i++) {
        kid[i] = (Ast){.kind = A_ID, .span = a->kid[i]->span, .name = sym(e->ir->syms, names[i])};
        env_bind(e, frame, kid[i].name, v[i].v);
    }
    op.kid = kids;
    const Val *r = eval(e, frame, &op);
    return (EqValue){r, is_tensor(r) ? axes : 0};
}

/* Elementwise functions and functions of scalars. */
static EqValue eval_function(Equation *q, const Ast *a)
{
    Elab *e = q->e;
    const Val *fn = eval(e, q->env, a->kid[0]);
    uint32_t n = a->nkid - 1, axes;
    EqValue *v = NEW_ARRAY(e->arena, EqValue, n + 1);
    Args *args = NEW(e->arena, Args);
    args->call = a->span;
    for (uint32_t i = 0; i < n; i++) {
        const Ast *k = a->kid[i + 1];
        v[i] = eq_eval(q, k->kind == A_NAMED ? k->kid[0] : k);
    }
    if (val_is_poison(fn) || !align_all(q, v, n, &axes)) {
        return eq_poison(q, a->span);
    }
    for (uint32_t i = 0; i < n; i++) {
        const Ast *k = a->kid[i + 1];
        args_push(e, args, k->kind == A_NAMED ? k->name : NULL, v[i].v);
    }
    const Val *r = call_value(e, q->env, fn, args);
    if (is_tensor(r)) {
        const Dim *dims[IR_MAX_RANK];
        uint32_t rank = dims_of(q, axes, dims);
        const Type *t = tensor_type(r);
        bool elementwise = t->rank == rank;
        for (uint32_t i = 0; elementwise && i < rank; i++) {
            elementwise = t->dims[i] == dims[i];
        }
        if (!elementwise) {
            diag_at(e->diags, DIAG_E0413, a->span, "a function in an equation must be elementwise");
            return eq_poison(q, a->span);
        }
    }
    return (EqValue){r, is_tensor(r) ? axes : 0};
}

static EqValue eval_brackets(Equation *q, const Ast *a)
{
    const Val *v = eval(q->e, q->env, a->kid[0]);
    if (!is_tensor(v)) {
        return plain(q, a);
    }
    const Node *n = tensor_of(q->e, v);
    return n ? eq_index(q, a, n) : eq_poison(q, a->span);
}

static EqValue eval_cast(Equation *q, const Ast *a)
{
    EqValue v = eq_eval(q, a->kid[0]);
    if (a->kid[1]->kind != A_T_NAME) {
        diag_at(q->e->diags, DIAG_E0414, a->span, "inside an equation `as` can only cast");
        return eq_poison(q, a->span);
    }
    if (val_is_number(v.v)) {
        return v;
    }
    return (EqValue){sig_as(q->e, q->env, v.v, a->kid[1], a->span), v.axes};
}

static EqValue eval_choice(Equation *q, const Ast *a)
{
    if (a->kind == A_COALESCE) {
        const Ast *x = a->kid[0]->kind == A_INDEX ? a->kid[0]->kid[0] : a->kid[0];
        bool none = eq_find(q, x->name) < 0 && eval(q->e, q->env, x)->kind == V_NONE;
        return eq_eval(q, a->kid[none ? 1 : 0]);
    }
    bool c;
    if (!eval_bool(q->e, q->env, a->kid[0], &c)) {
        return eq_poison(q, a->span);
    }
    const Ast *branch = a->kid[c ? 1 : 2];
    while (branch && (branch->kind == A_STMTS || branch->kind == A_RESULT) && branch->nkid == 1) {
        branch = branch->kid[0];
    }
    if (!branch || branch->kind == A_STMTS || branch->kind == A_RESULT) {
        diag_at(q->e->diags, DIAG_E0199, a->span,
                "inside an equation `if` needs one value on each side");
        return eq_poison(q, a->span);
    }
    return eq_eval(q, branch);
}

EqValue eq_eval(Equation *q, const Ast *a)
{
    AstKind k = a->kind;
    if (k == A_ID) {
        return eval_name(q, a);
    }
    if (k == A_PAREN) {
        return eq_eval(q, a->kid[0]);
    }
    if (k == A_INDEX) {
        return eval_brackets(q, a);
    }
    if (k == A_CALL) {
        return eval_function(q, a);
    }
    if (k == A_BIN || k == A_CMP || k == A_NEG || k == A_AND || k == A_OR || k == A_NOT) {
        return eval_operator(q, a);
    }
    if (k == A_AS) {
        return eval_cast(q, a);
    }
    return k == A_COALESCE || k == A_IF ? eval_choice(q, a) : plain(q, a);
}
