/* equation.c: tensor equations, lhs[i, j] op rhs: einsum, transposition, broadcast, gather and folds in
 * one notation (language.md 2.5). Finds the indices and their ranges, folds what the left side lacks. */
#include "equation.h"

bool equation_is(const Ast *bind)
{
    const Ast *left = bind->kid[0];
    return bind->text[0] != '=' || (left->nkid == 1 && left->kid[0]->kind == A_INDEX);
}

EqValue eq_poison(Equation *q, Span span)
{
    return (EqValue){poison(q->e, span), 0};
}

const EqLocal *eq_local(const Equation *q, Sym name)
{
    const EqLocal *l = q->local;
    while (l && l->name != name) {
        l = l->up;
    }
    return l;
}

int eq_find(const Equation *q, Sym name)
{
    if (q->called) {
        const EqLocal *l = eq_local(q, name);
        return l ? l->index : -1;
    }
    for (uint32_t i = 0; i < q->n; i++) {
        if (q->index[i].name == name) {
            return (int)i;
        }
    }
    return -1;
}

static bool add_index(Equation *q, Sym name, const Dim *extent, Span span)
{
    if (q->n == EQ_MAX_INDEX) {
        diag_at(q->e->diags, DIAG_E0409, span, "an equation has at most %d indices", EQ_MAX_INDEX);
        return false;
    }
    q->index[q->n++] = (EqIndex){name, extent, span};
    return true;
}

/* The rank of `..`: what a tensor on the right leaves for it, else the signature's pack. */
static bool pack_rank(Equation *q, const Ast *a, uint32_t *rank)
{
    uint32_t given = 0;
    bool pack = false;
    for (uint32_t i = 1; a->kind == A_INDEX && i < a->nkid; i++) {
        pack = pack || a->kid[i]->kind == A_PACK;
        given += a->kid[i]->kind != A_PACK;
    }
    if (pack) {
        const Val *v = eval(q->e, q->env, a->kid[0]);
        if (is_tensor(v) && tensor_type(v)->rank >= given) {
            *rank = tensor_type(v)->rank - given;
            return true;
        }
    }
    for (uint32_t i = 0; i < a->nkid; i++) {
        if (a->kid[i] && pack_rank(q, a->kid[i], rank)) {
            return true;
        }
    }
    return false;
}

static bool add_pack(Equation *q, Span span)
{
    if (q->has_pack) {
        diag_at(q->e->diags, DIAG_E0409, span, "`..` stands once on the left of an equation");
        return false;
    }
    Pack *p = env_pack(q->env, sym(q->e->ir->syms, ".."));
    if (!pack_rank(q, q->ast->kid[1], &q->npack)) {
        if (!p) {
            diag_at(q->e->diags, DIAG_E0411, span, "the range of `..` is not determined");
            return false;
        }
        q->npack = p->n;
    }
    q->has_pack = true;
    q->pack = q->n;
    for (uint32_t i = 0; i < q->npack; i++) {
        if (!add_index(q, NULL, NULL, span)) {
            return false;
        }
    }
    return true;
}

static bool left_indices(Equation *q, const Ast *left)
{
    for (uint32_t i = 1; left->kind == A_INDEX && i < left->nkid; i++) {
        const Ast *a = left->kid[i];
        bool distinct = a->kind == A_ID && eq_find(q, a->name) < 0;
        if (a->kind != A_PACK && !distinct) {
            diag_at(q->e->diags, DIAG_E0409, a->span,
                    "indices on the left of an equation are distinct names");
            return false;
        }
        if (a->kind == A_PACK ? !add_pack(q, a->span) : !add_index(q, a->name, NULL, a->span)) {
            return false;
        }
    }
    q->nleft = q->n;
    return true;
}

/* ---- ranges ---- */

static const char *extent_text(Equation *q, const Dim *d)
{
    StrBuf sb = sb_new(q->e->arena);
    dim_print(q->e->ir, d, &sb);
    return sb_text(&sb);
}

static bool set_extent(Equation *q, uint32_t i, const Dim *extent, Span span)
{
    EqIndex *x = &q->index[i];
    if (!x->extent || x->extent == extent) {
        x->span = x->extent ? x->span : span;
        x->extent = extent;
        return true;
    }
    Diag *d = diag_at(q->e->diags, DIAG_E0412, span, "index `%s` ranges over %s and %s",
                      x->name ? x->name : "..", extent_text(q, x->extent), extent_text(q, extent));
    diag_also(d, x->span, "%s here", extent_text(q, x->extent));
    return false;
}

/* Is this name, on the right, an index: a left one, or one that nothing in scope has? */
static bool names_index(Equation *q, const Ast *a, bool *ok)
{
    if (eq_find(q, a->name) >= 0) {
        return true;
    }
    const Val *v = env_find(q->e, q->env, a->name, a->span);
    if (v && is_tensor(v)) {
        diag_at(q->e->diags, DIAG_E0409, a->span,
                "`%s` is a tensor here: choose another index name", a->name);
        *ok = false;
    }
    return !v || (v->kind != V_INT && !val_is_poison(v)); /* a module `d` is no value of an index */
}

static bool right_index(Equation *q, const Ast *a, const Type *t)
{
    bool ok = true;
    uint32_t axis = 0, given = 0;
    for (uint32_t i = 1; i < a->nkid; i++) {
        given += a->kid[i]->kind != A_PACK;
    }
    for (uint32_t i = 1; i < a->nkid && ok; i++) {
        const Ast *k = a->kid[i];
        if (k->kind == A_PACK) {
            if (!q->has_pack && !add_pack(q, k->span)) {
                return false;
            }
            for (uint32_t p = 0; p < q->npack && ok && axis < t->rank; p++) {
                ok = set_extent(q, q->pack + p, t->dims[axis++], k->span);
            }
        } else if (k->kind == A_ID && names_index(q, k, &ok) && axis < t->rank) {
            ok = ok && (eq_find(q, k->name) >= 0 || add_index(q, k->name, NULL, k->span)) &&
                 set_extent(q, (uint32_t)eq_find(q, k->name), t->dims[axis], k->span);
            axis++;
        } else {
            axis++;
        }
    }
    bool pack = given < a->nkid - 1;
    if (ok && given + (pack ? q->npack : 0) != t->rank) {
        diag_at(q->e->diags, DIAG_E0406, a->span, "%u %s for `%s` of rank %u", given,
                given == 1 ? "index" : "indices", type_text(q->e->ir, t), t->rank);
        return false;
    }
    return ok;
}

static bool right_indices(Equation *q, const Ast *a)
{
    if (a->kind == A_LAMBDA || a->kind == A_T_TENSOR || a->kind == A_T_NAME || eq_is_size(q, a)) {
        return true;
    }
    if (a->kind == A_COALESCE || a->kind == A_IF) {
        const Ast *chosen = eq_chosen(q, a);
        return chosen && right_indices(q, chosen);
    }
    if (a->kind == A_INDEX) {
        if (eq_uses_indices(q, a->kid[0])) {
            return false;
        }
        const Val *v = eval(q->e, q->env, a->kid[0]);
        if (val_is_poison(v) || (is_tensor(v) && !right_index(q, a, tensor_type(v)))) {
            return false;
        }
    }
    if (a->kind == A_ID && eq_find(q, a->name) < 0 && eq_lacks_indices(q, a)) {
        return false;
    }
    for (uint32_t i = a->kind == A_INDEX; i < a->nkid; i++) {
        if (a->kid[i] && !right_indices(q, a->kid[i])) {
            return false;
        }
    }
    return true;
}

/* `where i in 0..H` and a type on the left give ranges, too. */
static bool given_ranges(Equation *q)
{
    Elab *e = q->e;
    const Ast *type = q->ast->kid[2], *ranges = q->ast->nkid > 3 ? q->ast->kid[3] : NULL;
    for (uint32_t i = 0; ranges && i < ranges->nkid; i++) {
        const Ast *r = ranges->kid[i], *range = r->kid[0];
        if (range->kind != A_RANGE) {
            diag_at(e->diags, DIAG_E0411, range->span, "a range is written `0..n`");
            return false;
        }
        int64_t lo = 1;
        const Val *from = eval(e, q->env, range->kid[0]);
        const Dim *hi = eval_dim(e, q->env, range->kid[1]);
        if (!hi || !val_as_int(from, &lo) || lo != 0) {
            diag_at(e->diags, DIAG_E0411, r->span, "the range of an index starts at 0");
            return false;
        }
        if ((eq_find(q, r->name) < 0 && !add_index(q, r->name, NULL, r->span)) ||
            !set_extent(q, (uint32_t)eq_find(q, r->name), hi, r->span)) {
            return false;
        }
    }
    const Type *t = type ? sig_type(e, q->env, type) : NULL;
    if (type && (!t || t->rank != q->nleft)) {
        if (t) {
            diag_at(e->diags, DIAG_E0406, type->span, "%u %s for `%s` of rank %u", q->nleft,
                    q->nleft == 1 ? "index" : "indices", type_text(e->ir, t), t->rank);
        }
        return false;
    }
    for (uint32_t i = 0; t && i < t->rank; i++) {
        if (!set_extent(q, i, t->dims[i], type->span)) {
            return false;
        }
    }
    return true;
}

static bool all_determined(Equation *q)
{
    for (uint32_t i = 0; i < q->n; i++) {
        if (!q->index[i].extent) {
            Diag *d = diag_at(q->e->diags, DIAG_E0411, q->index[i].span,
                              "the range of index `%s` is not determined",
                              q->index[i].name ? q->index[i].name : "..");
            diag_help(d, "annotate the result: `y[b, i]: [B, N] = ..`");
            return false;
        }
    }
    return true;
}

/* ---- folding ---- */

static OpKind fold_op(Sym assign)
{
    return assign[0] == '+'   ? OP_SUM
           : assign[0] == '*' ? OP_PROD
           : assign[1] == 'a' ? OP_AMAX
                              : OP_AMIN;
}

static const Val *fold(Equation *q, const EqValue *v, uint32_t left)
{
    uint32_t folded = 0;
    for (uint32_t i = q->nleft; i < q->n; i++) {
        folded |= eq_bit(i);
    }
    const Val *all = eq_align_val(q, v, v->axes | folded);
    if (val_is_poison(all)) {
        return all;
    }
    DType dt = tensor_type(all)->dtype;
    const Node *n = narrow_wide(q->e, all);
    if (n->type->dtype == DT_BOOL) {
        n = graph_cast(q->e->g, DT_I32, n);
    }
    int64_t axes[IR_MAX_RANK];
    uint32_t k = 0, position = 0;
    for (uint32_t i = 0; i < q->n; i++) {
        if ((v->axes | folded) & eq_bit(i)) {
            if (folded & eq_bit(i)) {
                axes[k++] = position;
            }
            position++;
        }
    }
    q->e->g->span = q->ast->span;
    n = k ? graph_reduce(q->e->g, fold_op(q->ast->text), n, axes, k) : n;
    EqValue r = {narrow_val(q->e, n, dt, q->ast->span), v->axes & ~folded};
    return eq_align_val(q, &r, left);
}

/* Where the `=` of an equation stands: between its sides. */
static Span assign_span(const Equation *q)
{
    const Ast *left = q->ast->kid[2] ? q->ast->kid[2] : q->ast->kid[0];
    Span s = left->span;
    const char *text = diags_text(q->e->diags, s.file, NULL);
    s.lo = left->span.hi;
    while (s.lo < q->ast->kid[1]->span.lo && text[s.lo] != '=') {
        s.lo++;
    }
    s.hi = s.lo + 1;
    return s;
}

static bool only_on_right(Equation *q)
{
    for (uint32_t i = q->nleft; i < q->n; i++) {
        Diag *d = diag_at(q->e->diags, DIAG_E0410, q->index[i].span,
                          "index `%s` appears only on the right",
                          q->index[i].name ? q->index[i].name : "..");
        diag_note(d, "`%s` ranges over %s", q->index[i].name ? q->index[i].name : "..",
                  extent_text(q, q->index[i].extent));
        diag_fix(d, assign_span(q), "+=", "`+=` sums over it");
        return true;
    }
    return false;
}

static const Val *evaluate(Equation *q)
{
    Elab *e = q->e;
    const Ast *left = q->ast->kid[0]->kid[0], *rhs = q->ast->kid[1];
    if (!left_indices(q, left) || !right_indices(q, rhs) || !given_ranges(q) ||
        !all_determined(q)) {
        return poison(e, q->ast->span);
    }
    uint32_t mask = q->nleft ? (eq_bit(q->nleft - 1) << 1) - 1 : 0;
    EqValue v;
    const Val *r;
    if (q->ast->text[0] == '=') {
        if (only_on_right(q)) {
            return poison(e, q->ast->span);
        }
        v = eq_eval(q, rhs);
        r = eq_align_val(q, &v, mask);
    } else if (q->ast->text[0] == '+' && eq_dot(q, rhs, mask, &v)) {
        r = eq_align_val(q, &v, mask);
    } else {
        v = eq_eval(q, rhs);
        r = val_is_poison(v.v) ? v.v : fold(q, &v, mask);
    }
    if (!val_is_poison(r) && q->ast->kid[2]) {
        DType dt = sig_type(e, q->env, q->ast->kid[2])->dtype;
        return dt == tensor_type(r)->dtype
                   ? r
                   : val_node(e, arith_cast(e, dt, tensor_of(e, r), rhs->span), q->ast->span);
    }
    return val_is_poison(r) ? r : val_at(e, r, q->ast->span);
}

const Val *equation_eval(Elab *e, Env *env, const Ast *bind, Sym *name)
{
    const Ast *left = bind->kid[0];
    const Ast *target =
        left->nkid == 1 && left->kid[0]->kind == A_INDEX ? left->kid[0]->kid[0] : left->kid[0];
    if (left->nkid != 1 || target->kind != A_ID) {
        diag_at(e->diags, DIAG_E0106, left->span,
                "the left side of an equation is a name with indices");
        return poison(e, bind->span);
    }
    *name = target->name;
    if (!e->g) {
        diag_at(e->diags, DIAG_E0107, bind->span, "an equation needs run-time values");
        return poison(e, bind->span);
    }
    if (e->lifted) {
        diag_at(e->diags, DIAG_E0199, bind->span,
                "an equation in a function that another equation calls is not supported yet");
        return poison(e, bind->span);
    }
    Equation *q = NEW(e->arena, Equation);
    q->e = e;
    q->env = env;
    q->ast = bind;
    return evaluate(q);
}
