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

static const Node *expand_to(Equation *q, const EqValue *v, const Node *n, uint32_t axes)
{
    const Dim *dims[IR_MAX_RANK];
    uint32_t rank = dims_of(q, axes, dims);
    if (rank > IR_MAX_RANK) {
        diag_at(q->e->diags, DIAG_E0406, q->ast->span,
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
    return graph_expand(q->e->g, n, rank, dims, map);
}

const Val *eq_align_val(Equation *q, const EqValue *v, uint32_t axes)
{
    Elab *e = q->e;
    const Node *n = val_is_poison(v->v) ? NULL : tensor_of(e, v->v);
    if (!n) {
        return poison(e, q->ast->span);
    }
    if (v->axes == axes) {
        return is_tensor(v->v) ? v->v : val_node(e, n, v->v->span);
    }
    ASSERT((v->axes & ~axes) == 0);
    if (v->v->kind == V_TENSOR && v->v->open) {
        const Node *wide = expand_to(q, v, narrow_wide(e, v->v), axes);
        return narrow_val(e, wide, n->type->dtype, v->v->span);
    }
    return val_node(e, expand_to(q, v, n, axes), v->v->span);
}

const Node *eq_align(Equation *q, const EqValue *v, uint32_t axes)
{
    const Val *a = eq_align_val(q, v, axes);
    return val_is_poison(a) ? NULL : tensor_of(q->e, a);
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

bool eq_lacks_indices(Equation *q, const Ast *a)
{
    const Val *v = env_find(q->e, q->env, a->name, a->span);
    if (!v || !is_tensor(v) || tensor_type(v)->rank == 0) {
        return false;
    }
    Diag *d = diag_at(q->e->diags, DIAG_E0406, a->span,
                      "a tensor in an equation needs indices, `%s` has rank %u",
                      type_text(q->e->ir, tensor_type(v)), tensor_type(v)->rank);
    diag_help(d, "write `%s[..]` with one index for each dimension", a->name);
    return true;
}

bool eq_uses_indices(Equation *q, const Ast *a)
{
    if (!eq_has_index(q, a)) {
        return false;
    }
    Diag *d = diag_at(q->e->diags, DIAG_E0199, a->span, "indices cannot be used inside this %s yet",
                      ast_kind_name(a->kind));
    diag_help(d, "an equation computes one number for each combination of its indices");
    return true;
}

/* A value without brackets: compile time, or rank 0. */
static EqValue plain(Equation *q, const Ast *a)
{
    if (a->kind != A_ID && eq_uses_indices(q, a)) {
        return eq_poison(q, a->span);
    }
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
    const EqLocal *local = eq_local(q, a->name);
    if (i < 0) {
        return local && !local->plain ? local->v : plain(q, a);
    }
    const Dim *extent = q->index[i].extent;
    return of_tensor(q, graph_iota(q->e->g, 1, &extent, 0), eq_bit((uint32_t)i), a->span);
}

bool eq_align_all(Equation *q, EqValue *v, uint32_t n, uint32_t *axes)
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
            v[i].v = eq_align_val(q, &v[i], *axes);
            if (val_is_poison(v[i].v)) {
                return false;
            }
        }
    }
    return true;
}

/* An operator node with its operands replaced by names bound to their aligned values: the ordinary
 * evaluator then applies the ordinary rules. */
static EqValue eval_operator(Equation *q, const Ast *a)
{
    Elab *e = q->e;
    ASSERT(a->nkid <= 2);
    EqValue v[2] = {{0}};
    uint32_t axes;
    if (a->kind == A_BIN && strcmp(a->text, "@") == 0) {
        Diag *d = diag_at(e->diags, DIAG_E0413, a->span,
                          "`@` multiplies matrices, an equation works on single elements");
        diag_help(d, "write the product with indices: `c[i, j] += a[i, k] * b[k, j]`");
        return eq_poison(q, a->span);
    }
    for (uint32_t i = 0; i < a->nkid; i++) {
        v[i] = eq_eval(q, a->kid[i]);
    }
    if (!eq_align_all(q, v, a->nkid, &axes)) {
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

/* x[i] |> f(a) is f(x[i], a). */
static EqValue eval_piped(Equation *q, const Ast *a)
{
    const Ast *target = a->kid[1];
    bool call = target->kind == A_CALL;
    uint32_t n = call ? target->nkid + 1 : 2;
    Ast **kid = NEW_ARRAY(q->e->arena, Ast *, n);
    kid[0] = call ? target->kid[0] : (Ast *)target;
    kid[1] = a->kid[0];
    for (uint32_t i = 2; i < n; i++) {
        kid[i] = target->kid[i - 1];
    }
    const Ast piped = {.kind = A_CALL, .span = a->span, .kid = kid, .nkid = n};
    return eq_call(q, &piped);
}

static EqValue eval_brackets(Equation *q, const Ast *a)
{
    const Val *v = eval(q->e, q->env, a->kid[0]);
    if (val_is_poison(v)) {
        return (EqValue){v, 0};
    }
    if (!is_tensor(v)) {
        return plain(q, a);
    }
    bool open = v->kind == V_TENSOR && v->open;
    const Node *n = open ? narrow_wide(q->e, v) : tensor_of(q->e, v);
    EqValue r = n ? eq_index(q, a, n) : eq_poison(q, a->span);
    if (open && !val_is_poison(r.v)) {
        r.v = narrow_val(q->e, tensor_of(q->e, r.v), tensor_type(v)->dtype, a->span);
    }
    return r;
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

const Ast *eq_base(const Ast *a)
{
    while (a->kind == A_INDEX || a->kind == A_PAREN) {
        a = a->kid[0];
    }
    return a;
}

const Ast *eq_chosen(Equation *q, const Ast *a)
{
    bool c = false;
    if (a->kind == A_COALESCE) {
        const Ast *x = eq_base(a->kid[0]);
        bool index = x->kind == A_ID && eq_find(q, x->name) >= 0;
        bool none = !index && eval(q->e, q->env, x)->kind == V_NONE;
        return a->kid[none ? 1 : 0];
    }
    if (eq_has_index(q, a->kid[0])) {
        Diag *d = diag_at(q->e->diags, DIAG_E0307, a->kid[0]->span,
                          "`if` needs a compile-time condition, this one differs between elements");
        diag_help(d, "choose at run time with `select(c, a, b)`");
        return NULL;
    }
    if (!eval_bool(q->e, q->env, a->kid[0], &c)) {
        return NULL;
    }
    const Ast *branch = a->kid[c ? 1 : 2];
    while (branch && (branch->kind == A_STMTS || branch->kind == A_RESULT) && branch->nkid == 1) {
        branch = branch->kid[0];
    }
    if (!branch || branch->kind == A_STMTS || branch->kind == A_RESULT || branch->kind == A_BIND) {
        diag_at(q->e->diags, DIAG_E0199, a->span,
                "inside an equation `if` needs one value on each side");
        return NULL;
    }
    return branch;
}

static EqValue eval_any(Equation *q, const Ast *a)
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
        return eq_call(q, a);
    }
    if (k == A_BIN || k == A_CMP || k == A_NEG || k == A_AND || k == A_OR || k == A_NOT) {
        return eval_operator(q, a);
    }
    if (k == A_PIPE) {
        return eval_piped(q, a);
    }
    if (k == A_AS) {
        return eval_cast(q, a);
    }
    if (k == A_COALESCE || k == A_IF) {
        const Ast *chosen = eq_chosen(q, a);
        return chosen ? eq_eval(q, chosen) : eq_poison(q, a->span);
    }
    return plain(q, a);
}

EqValue eq_eval(Equation *q, const Ast *a)
{
    if (!elab_enter(q->e, a->span)) {
        return eq_poison(q, a->span);
    }
    EqValue v = eval_any(q, a);
    elab_leave(q->e);
    return v;
}
