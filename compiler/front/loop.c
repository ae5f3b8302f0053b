/* loop.c: scan(step, init, xs, axis: k) and fold(f, x, xs): the loops that a graph keeps. The step is
 * evaluated once, into a body of its own; what it reads from outside becomes an input of the body
 * (capture.c). A loop also gives what its carries were in each round: its gradient reads them.
 *
 * Values may be tuples: a tree of values goes in as a row of tensors, and comes out as a tree. */
#include "builtin.h"

typedef VEC(const Node *) Nodes;

typedef struct Loop {
    Elab *e;
    const Builtin *b;
    const Val *step;
    Span span;
    const Val *init, *xs;
    int64_t axis;   /* from the end when negative */
    Nodes carry, x; /* outside; x with the axis in front */
    const Dim *length;
    OpBody body;
    Nodes next, y; /* inside */
} Loop;

/* ---- trees of values ---- */

static bool is_tree(const Val *v)
{
    return v->kind == V_TUPLE || v->kind == V_LIST;
}

static bool flatten(Elab *e, const Val *v, Nodes *out)
{
    for (uint32_t i = 0; is_tree(v) && i < v->list.n; i++) {
        if (!flatten(e, v->list.at[i], out)) {
            return false;
        }
    }
    if (is_tree(v)) {
        return true;
    }
    const Node *n = val_is_poison(v) ? NULL : tensor_of(e, v);
    if (n) {
        VEC_PUSH(e->arena, out, n);
    }
    return n != NULL;
}

/* The tree like `like` whose leaves are at[*next], .. */
static const Val *grow(Elab *e, const Val *like, const Node *const *at, uint32_t *next)
{
    if (!is_tree(like)) {
        return val_node(e, at[(*next)++], like->span);
    }
    const Val **kid = NEW_ARRAY(e->arena, const Val *, like->list.n + 1);
    for (uint32_t i = 0; i < like->list.n; i++) {
        kid[i] = grow(e, like->list.at[i], at, next);
    }
    return val_list(e, like->kind, kid, like->list.n, like->span);
}

static const Val *tree_of(Elab *e, const Val *like, const Node *const *at)
{
    uint32_t next = 0;
    return grow(e, like, at, &next);
}

/* ---- axes ---- */

/* The axis of a tensor of that rank, or the rank where it has none such. */
static uint32_t axis_in(const Loop *l, uint32_t rank)
{
    int64_t k = l->axis < 0 ? l->axis + rank : l->axis;
    return k >= 0 && k < rank ? (uint32_t)k : rank;
}

/* x with the axis `from` at place `to`, the others in order. */
static const Node *move_axis(Graph *g, const Node *x, uint32_t from, uint32_t to)
{
    int64_t perm[IR_MAX_RANK];
    uint32_t k = 0;
    for (uint32_t i = 0; i < x->type->rank; i++) {
        k += k == from;
        perm[i] = i == to ? from : k++;
    }
    return from == to ? x : graph_permute(g, x, perm);
}

/* The sequences, with one length. */
static bool take_xs(Loop *l)
{
    Elab *e = l->e;
    Nodes xs = {0};
    if (!flatten(e, l->xs, &xs)) {
        return false;
    }
    for (uint32_t i = 0; i < xs.n; i++) {
        const Type *t = xs.at[i]->type;
        uint32_t axis = axis_in(l, t->rank);
        if (axis == t->rank) {
            diag_at(e->diags, DIAG_E0406, l->xs->span, "`%s` has no axis %lld to run along: `%s`",
                    l->b->name, (long long)l->axis, type_text(e->ir, t));
            return false;
        }
        l->length = l->length ? l->length : t->dims[axis];
        if (l->length != t->dims[axis]) {
            diag_at(e->diags, DIAG_E0402, l->xs->span,
                    "`%s` runs along axis %lld of `%s` and `%s`, which differ in it", l->b->name,
                    (long long)l->axis, type_text(e->ir, xs.at[0]->type), type_text(e->ir, t));
            return false;
        }
        const Node *x = move_axis(e->g, xs.at[i], axis, 0);
        if (!x) {
            return false;
        }
        VEC_PUSH(e->arena, &l->x, x);
    }
    if (!l->length) {
        diag_at(e->diags, DIAG_E0303, l->xs->span, "`%s` has nothing to run along", l->b->name);
    }
    return l->length != NULL;
}

/* ---- the body ---- */

static const Val *inner_values(Loop *l, const Val *like, const Nodes *outer, bool slices)
{
    Elab *e = l->e;
    const Node **at = NEW_ARRAY(e->arena, const Node *, outer->n + 1);
    for (uint32_t i = 0; i < outer->n; i++) {
        const Type *t = outer->at[i]->type;
        Sym name = sym_printf(e->ir->syms, "%s.%u", slices ? "x" : "carry", i);
        t = slices ? type_tensor(e->ir, t->dtype, t->rank - 1, t->dims + 1) : t;
        at[i] = graph_input(l->body.g, name, t);
    }
    return tree_of(e, like, at);
}

/* One carry as the step gives it, of the type it had; NULL after a diagnostic. */
static const Node *next_carry(Loop *l, const Node *n, const Type *want)
{
    Elab *e = l->e;
    double c;
    if (node_is_const(n, &c) && n->type->rank == 0 && n->type != want) {
        return graph_fill(e->g, want, c);
    }
    if (n->type != want) {
        Diag *d = diag_at(e->diags, DIAG_E0402, l->step->span,
                          "a value that goes round is `%s` at first, and `%s` after a round",
                          type_text(e->ir, want), type_text(e->ir, n->type));
        diag_help(d, "`%s` keeps its type: convert the first one, or what the step gives",
                  l->b->name);
        return NULL;
    }
    return n;
}

static bool take_carry(Loop *l, const Val *v)
{
    Elab *e = l->e;
    Nodes next = {0};
    if (!flatten(e, v, &next)) {
        return false;
    }
    if (next.n != l->carry.n) {
        diag_at(e->diags, DIAG_E0408, l->step->span,
                "%u values go round, the step gives %u of them", l->carry.n, next.n);
        return false;
    }
    for (uint32_t i = 0; i < next.n; i++) {
        const Node *n = next_carry(l, next.at[i], l->carry.at[i]->type);
        if (!n) {
            return false;
        }
        VEC_PUSH(e->arena, &l->next, n);
    }
    return true;
}

/* Calls the step in the body; *out what it makes in each round, NULL for fold. */
static bool run_step(Loop *l, bool fold, const Val **out)
{
    Elab *e = l->e;
    Args args = {.call = l->span};
    args_push(e, &args, NULL, inner_values(l, l->init, &l->carry, false));
    args_push(e, &args, NULL, inner_values(l, l->xs, &l->x, true));
    Env *env = l->step->kind == V_CLOSURE ? l->step->code.env : NULL;
    const Val *v = call_value(e, env, l->step, &args);
    if (val_is_poison(v)) {
        return false;
    }
    bool pair = v->kind == V_TUPLE && v->list.n == 2;
    if (!fold && !pair) {
        diag_at(e->diags, DIAG_E0408, l->step->span,
                "the step of `scan` gives two values, the next carry and an output, got %s",
                val_text(e, v));
        return false;
    }
    *out = fold ? NULL : v->list.at[1];
    return take_carry(l, fold ? v : v->list.at[0]) && (fold || flatten(e, *out, &l->y));
}

static const Def *make_def(Loop *l)
{
    Elab *e = l->e;
    Graph *body = l->body.g;
    for (uint32_t i = 0; i < l->next.n; i++) {
        graph_result(body, sym_printf(e->ir->syms, "carry.%u", i), l->next.at[i]);
    }
    for (uint32_t i = 0; i < l->y.n; i++) {
        graph_result(body, sym_printf(e->ir->syms, "y.%u", i), l->y.at[i]);
    }
    for (uint32_t i = 0; i < l->carry.n; i++) {
        graph_result(body, sym_printf(e->ir->syms, "kept.%u", i), body->inputs.at[i]);
    }
    if (!elab_spend(e, 16 + 4 * (uint64_t)body->nodes.n, l->span)) {
        return NULL;
    }
    Def proto = {DEF_SCAN, body->name, body, l->next.n + l->y.n, NULL, 0};
    return def_intern(e->ir, &proto);
}

/* ---- the loop ---- */

static const Node *make_loop(Loop *l, const Def *def)
{
    Elab *e = l->e;
    Nodes in = {0};
    for (uint32_t i = 0; i < l->carry.n; i++) {
        VEC_PUSH(e->arena, &in, l->carry.at[i]);
    }
    for (uint32_t i = 0; i < l->x.n; i++) {
        VEC_PUSH(e->arena, &in, l->x.at[i]);
    }
    for (uint32_t i = 0; i < l->body.outer.n; i++) {
        VEC_PUSH(e->arena, &in, l->body.outer.at[i]);
    }
    const ScanSpec spec = {.def = def, .carry = l->carry.n, .xs = l->x.n, .length = l->length};
    e->g->span = l->span;
    return graph_loop(e->g, &spec, in.at, in.n);
}

/* Outputs stacked along the axis. */
static const Val *stacked(Loop *l, const Node *loop, const Val *out)
{
    Elab *e = l->e;
    const Node **at = NEW_ARRAY(e->arena, const Node *, l->y.n + 1);
    for (uint32_t i = 0; i < l->y.n; i++) {
        const Node *y = graph_get(e->g, loop, l->next.n + i);
        uint32_t axis = y ? axis_in(l, y->type->rank) : 0;
        if (y && axis == y->type->rank) {
            diag_at(e->diags, DIAG_E0406, l->step->span,
                    "an output `%s` cannot be stacked along axis %lld",
                    type_text(e->ir, l->y.at[i]->type), (long long)l->axis);
            return poison(e, l->span);
        }
        at[i] = y ? move_axis(e->g, y, 0, axis) : NULL;
        if (!at[i]) {
            return poison(e, l->span);
        }
    }
    return tree_of(e, out, at);
}

static const Val *run_loop(Loop *l, bool fold)
{
    Elab *e = l->e;
    const Val *out = NULL;
    if (!flatten(e, l->init, &l->carry) || !take_xs(l)) {
        return poison(e, l->span);
    }
    if (!l->carry.n) {
        diag_at(e->diags, DIAG_E0303, l->init->span, "`%s` needs a value that goes round",
                l->b->name);
        return poison(e, l->span);
    }
    Graph *outside = e->g;
    l->body = (OpBody){.g = graph_new(e->ir, e->arena, sym(e->ir->syms, l->b->name)),
                       .outside = outside,
                       .up = e->body,
                       .loops = true};
    e->g = l->body.g;
    e->body = &l->body;
    bool ok = run_step(l, fold, &out);
    e->g = outside;
    e->body = l->body.up;
    const Def *def = ok ? make_def(l) : NULL;
    const Node *loop = def ? make_loop(l, def) : NULL;
    if (!loop) {
        return poison(e, l->span);
    }
    const Node **last = NEW_ARRAY(e->arena, const Node *, l->carry.n + 1);
    for (uint32_t i = 0; i < l->carry.n; i++) {
        last[i] = graph_get(e->g, loop, i);
    }
    const Val *both[2] = {tree_of(e, l->init, last), out ? stacked(l, loop, out) : NULL};
    return out ? val_list(e, V_TUPLE, both, 2, l->span) : both[0];
}

static bool callable(Elab *e, const Builtin *b, const Val *v)
{
    bool ok = v->kind == V_CLOSURE || v->kind == V_INSTANCE || v->kind == V_BUILTIN;
    if (!ok && !val_is_poison(v)) {
        diag_at(e->diags, DIAG_E0205, v->span, "`%s` takes a function first, got %s", b->name,
                val_text(e, v));
    }
    return ok;
}

const Val *call_scan(Elab *e, const Builtin *b, Args *args)
{
    Loop l = {.e = e, .b = b, .span = args->call};
    const Val *axis = args_get(args, UINT32_MAX, "axis");
    int64_t k;
    if (!args_count(e, b, args, 3) || !callable(e, b, args_get(args, 0, NULL))) {
        return poison(e, args->call);
    }
    if (!axis || !val_as_int(axis, &k) || k < -IR_MAX_RANK || k >= IR_MAX_RANK) {
        if (!axis || !val_is_poison(axis)) {
            diag_at(e->diags, axis ? DIAG_E0416 : DIAG_E0303, axis ? axis->span : args->call,
                    axis ? "the axis of `scan` is a whole number below the rank, got %s"
                         : "`axis: k` is missing",
                    axis ? val_text(e, axis) : "");
        }
        return poison(e, args->call);
    }
    l.step = args_get(args, 0, NULL);
    l.init = args_get(args, 1, NULL);
    l.xs = args_get(args, 2, NULL);
    l.axis = k;
    return run_loop(&l, false);
}

/* A list of tensors of one type, as one tensor. */
static const Val *stack_list(Elab *e, const Val *v)
{
    Nodes all = {0};
    if (!flatten(e, v, &all)) {
        return poison(e, v->span);
    }
    const Type *first = all.n ? all.at[0]->type : NULL;
    for (uint32_t i = 0; i < all.n; i++) {
        const Type *t = all.at[i]->type;
        const Dim *dims[IR_MAX_RANK + 1] = {dim_const(e->ir, 1)};
        if (t != first || t->rank == IR_MAX_RANK) {
            diag_at(e->diags, DIAG_E0402, v->span,
                    "`fold` runs over a list of tensors of one type, got `%s` and `%s`",
                    type_text(e->ir, first), type_text(e->ir, t));
            return poison(e, v->span);
        }
        for (uint32_t d = 0; d < t->rank; d++) {
            dims[d + 1] = t->dims[d];
        }
        all.at[i] = graph_reshape(e->g, all.at[i], t->rank + 1, dims);
    }
    return all.n ? val_node(e, graph_concat(e->g, all.at, all.n, 0), v->span) : v;
}

/* fold(f, x, xs): f(x, one of xs) for each row of a tensor, each tensor of a list, or 0 .. n-1. */
const Val *call_fold_loop(Elab *e, const Builtin *b, Args *args)
{
    Loop l = {.e = e, .b = b, .span = args->call};
    if (!args_count(e, b, args, 3) || !callable(e, b, args_get(args, 0, NULL))) {
        return poison(e, args->call);
    }
    l.step = args_get(args, 0, NULL);
    l.init = args_get(args, 1, NULL);
    l.xs = args_get(args, 2, NULL);
    if (val_is_poison(l.init) || val_is_poison(l.xs)) {
        return poison(e, args->call);
    }
    if (l.xs->kind == V_INT) {
        l.xs = val_node(e, graph_iota(e->g, 1, &l.xs->dim, 0), l.xs->span);
    } else if (l.xs->kind == V_LIST) {
        l.xs = stack_list(e, l.xs);
    }
    return run_loop(&l, true);
}
