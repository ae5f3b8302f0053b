/* update.c: the entry that changes the weights: gradients divided by the total weight of the loss and
 * clipped by the global norm, then one instance of the optimizer module for each parameter. Where the loss or
 * the norm is not finite nothing changes: every write is a choice between old and new. */
#include "stages.h"

/* One group of parameters: its optimizer and learning rate. */
typedef struct Method {
    Optimizer optimizer;
    const Val *lr;
} Method;

typedef struct Update {
    Stage *s;
    Elab *e;
    const Node *scale;  /* of every gradient: clip factor / total weight */
    const Node *finite; /* bool: the step is made */
    const Node *rate;
    const Val *t;
    Method *methods; /* by group; an optimizer that is NULL: not needed yet */
} Update;

static State *loop_state(Elab *e, const char *path)
{
    State proto = {
        .kind = SK_LOOP, .path = sym(e->ir->syms, path), .type = type_scalar(e->ir, DT_F32)};
    return program_state(e->program, &proto);
}

static const Node *state_node(Elab *e, const State *s)
{
    return graph_state(e->g, s->id, s->type, s->path);
}

/* ---- rows ---- */

/* Rows of x, or x itself. */
static const Node *rows_of(Elab *e, const Node *x, const Rows *r)
{
    return r ? graph_slice(e->g, x, 0, dim_const(e->ir, r->lo), dim_const(e->ir, r->hi - r->lo))
             : x;
}

/* What trains of a parameter, piece by piece: all of it, or ranges of rows. */
static uint32_t pieces(const Choice *c)
{
    return c->nrows ? c->nrows : 1;
}

static const Rows *piece(const Choice *c, uint32_t i)
{
    return c->nrows ? &c->rows[i] : NULL;
}

/* Old rows with new ones between them: the others stay bit-identical. */
static const Node *put_rows(Elab *e, const Node *old, const Choice *c, const Node *const *new)
{
    int64_t n, at = 0;
    uint32_t k = 0;
    if (!c->nrows) {
        return new[0];
    }
    ASSERT(dim_is_const(old->type->dims[0], &n));
    const Node **part = NEW_ARRAY(e->arena, const Node *, 2 * c->nrows + 1);
    for (uint32_t i = 0; i < c->nrows; i++) {
        if (c->rows[i].lo > at) {
            part[k++] = rows_of(e, old, &(Rows){at, c->rows[i].lo});
        }
        part[k++] = new[i];
        at = c->rows[i].hi;
    }
    if (at < n) {
        part[k++] = rows_of(e, old, &(Rows){at, n});
    }
    return k == 1 ? part[0] : graph_concat(e->g, part, k, 0);
}

/* The parameter as the optimizer sees it, whose states have the shape of these rows. */
static State *piece_state(Elab *e, State *w, const Rows *r)
{
    if (!r) {
        return w;
    }
    const Dim *dims[IR_MAX_RANK];
    State *part = COPY_ARRAY(e->arena, State, w, 1);
    for (uint32_t i = 0; i < w->type->rank; i++) {
        dims[i] = i ? w->type->dims[i] : dim_const(e->ir, r->hi - r->lo);
    }
    part->type = type_tensor(e->ir, w->type->dtype, w->type->rank, dims);
    part->path =
        sym_printf(e->ir->syms, "%s[%lld..%lld]", w->path, (long long)r->lo, (long long)r->hi);
    return part;
}

/* ---- the norm ---- */

/* Of all gradients together. */
static const Node *global_norm(Stage *s, const Node *inverse)
{
    Elab *e = s->e;
    Graph *g = e->g;
    VEC(const Node *) grad = {0};
    for (uint32_t i = 0; i < e->program->states.n; i++) {
        const State *x = e->program->states.at[i];
        const Choice *c = x->kind == SK_GRAD ? &s->choices[x->of] : NULL;
        for (uint32_t k = 0; c && k < pieces(c); k++) {
            const Node *rows = rows_of(e, state_node(e, x), piece(c, k));
            VEC_PUSH(e->arena, &grad, graph_cast(g, DT_F32, rows));
        }
    }
    NodeSpec spec = {.op = OP_SUMSQ, .nin = grad.n, .in = grad.at};
    const Node *norm =
        graph_binary(g, OP_MUL, graph_unary(g, OP_SQRT, graph_op(g, &spec)), inverse);
    State *gnorm = loop_state(e, "gnorm");
    s->run.gnorm = gnorm->id;
    graph_write(g, gnorm->id, norm);
    return norm;
}

/* Whether there is a step to make. */
static const Node *is_finite(Stage *s, const Node *norm)
{
    Elab *e = s->e;
    Graph *g = e->g;
    const Node *loss = state_node(e, e->program->states.at[s->run.loss_sum]);
    const Node *ok = graph_binary(g, OP_AND, graph_unary(g, OP_IS_FINITE, norm),
                                  graph_unary(g, OP_IS_FINITE, loss));
    State *finite = loop_state(e, "finite");
    s->run.finite = finite->id;
    graph_write(g, finite->id, graph_cast(g, DT_F32, ok));
    return ok;
}

/* min(1, clip / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ has it. */
static const Node *clip_factor(const Stage *s, const Node *norm)
{
    Graph *g = s->e->g;
    const Node *sum = graph_binary(g, OP_ADD, norm, graph_const(g, DT_F32, 1e-6));
    const Node *ratio = graph_binary(g, OP_DIV, graph_const(g, DT_F32, s->clip), sum);
    return graph_binary(g, OP_MIN, graph_const(g, DT_F32, 1), ratio);
}

/* ---- optimizers ---- */

/* The argument `weight_decay` of the group instead of the optimizer's own. */
static void set_decay(Elab *e, Method *m, const Group *g)
{
    Sym name = sym(e->ir->syms, "weight_decay");
    const Val *v = val_real(e, g->weight_decay, g->clause->ast->span);
    Args *args = m->optimizer.args;
    for (uint32_t i = 0; i < args->n; i++) {
        if (args->name[i] == name) {
            args->at[i] = v;
            return;
        }
    }
    args_push(e, args, name, v);
}

/* The peak rate of a group as a multiple of the stage's, whose schedule the run time follows. */
static const Node *group_rate(const Update *u, const Group *g)
{
    double base = u->s->run.lr;
    if (g->lr < 0 || g->lr == base) {
        return u->rate;
    }
    return graph_binary(u->e->g, OP_MUL, u->rate,
                        graph_const(u->e->g, DT_F32, base > 0 ? g->lr / base : 0));
}

static bool begin_method(const Update *u, uint32_t group)
{
    Elab *e = u->e;
    Stage *s = u->s;
    Method *m = &u->methods[group];
    const Group *g = &s->groups.at[group];
    const StageLine *line = stage_line(s->def, "optimizer");
    const Ast missing = {.kind = A_ID, .name = sym(e->ir->syms, "adamw"), .span = s->def->span};
    Env *env = g->optimizer ? stage_env(s, g->clause->scope)
               : line       ? stage_env(s, line->scope)
                            : s->def->file->env;
    const Ast *expr = g->optimizer ? g->optimizer : line ? line->ast->kid[0] : &missing;
    if (!optimizer_find(e, env, expr, &m->optimizer)) {
        return false;
    }
    if (g->weight_decay >= 0) {
        set_decay(e, m, g);
    }
    m->lr = val_node(e, group_rate(u, g), expr->span);
    return true;
}

/* What the optimizer changes: the parameter, or its master. */
static const State *exact(const Stage *s, const State *w)
{
    return s->masters[w->id] ? s->masters[w->id] : w;
}

/* The new value of the parameter, or of some of its rows; NULL after a diagnostic. */
static const Node *step_piece(const Update *u, const Method *m, State *w, const Rows *rows)
{
    Elab *e = u->e;
    Param *p = NEW(e->arena, Param);
    p->state = piece_state(e, w, rows);
    p->type = p->state->type;
    Inst *inst = optimizer_make(e, &m->optimizer, p);
    if (!inst) {
        return NULL;
    }
    Graph *g = e->g;
    Span span = m->optimizer.args->call;
    const Node *grad = rows_of(e, state_node(e, program_grad(e->program, w->id)), rows);
    grad = graph_cast(g, DT_F32, grad);
    grad = graph_binary(g, OP_MUL, grad, arith_broadcast(e, u->scale, grad->type, span));
    const Node *old = graph_cast(g, DT_F32, rows_of(e, state_node(e, exact(u->s, w)), rows));
    const Val *arg[STEP_ARGS] = {val_node(e, old, span), val_node(e, grad, span), m->lr, u->t};
    const Node *next = optimizer_step(e, inst, arg, u->finite);
    if (!next) {
        return NULL;
    }
    const DType kept = exact(u->s, w)->type->dtype;
    next = graph_cast(g, kept, next);
    return graph_select(g, arith_broadcast(e, u->finite, next->type, span), next,
                        graph_cast(g, kept, old));
}

static bool step_parameter(const Update *u, State *w)
{
    const Choice *c = &u->s->choices[w->id];
    const Node **new = NEW_ARRAY(u->e->arena, const Node *, pieces(c));
    const Method *m = &u->methods[c->group];
    if (!m->optimizer.module && !begin_method(u, c->group)) {
        return false;
    }
    for (uint32_t i = 0; i < pieces(c); i++) {
        new[i] = step_piece(u, m, w, piece(c, i));
        if (!new[i]) {
            return false;
        }
    }
    const State *kept = exact(u->s, w);
    const Node *all = put_rows(u->e, state_node(u->e, kept), c, new);
    graph_write(u->e->g, kept->id, all);
    average_follow(u->s, w, all, u->finite);
    if (kept != w) {
        graph_write(u->e->g, w->id, graph_cast(u->e->g, w->type->dtype, all));
    }
    return true;
}

/* A schedule needs a rate to be a share of: where the stage's is 0, that of a group. */
static void choose_base(Stage *s)
{
    for (uint32_t i = 1; i < s->groups.n && s->run.lr == 0; i++) {
        double lr = s->groups.at[i].lr;
        s->groups.at[0].lr = 0;
        s->run.lr = lr > 0 ? lr : 0;
    }
    for (uint32_t i = 1; i < s->groups.n && s->groups.at[0].lr == 0; i++) {
        s->groups.at[i].lr = s->groups.at[i].lr < 0 ? 0 : s->groups.at[i].lr;
    }
}

/* In a check, one parameter of each type and group is enough. */
static bool like_another(const Stage *s, const State *w, Map *seen)
{
    const Choice *c = &s->choices[w->id];
    uint64_t key = hash_mix(MAP_KEY(w->type), c->group) | 1;
    if (!s->e->brief || c->nrows || !map_get(seen, key)) {
        map_put(seen, key, seen);
        return false;
    }
    return true;
}

static bool update_all(Stage *s)
{
    Elab *e = s->e;
    Graph *g = e->g;
    Map *seen = map_new(e->arena);
    choose_base(s);
    Update u = {.s = s, .e = e, .methods = NEW_ARRAY(e->arena, Method, s->groups.n)};
    const Node *weight = state_node(e, e->program->states.at[s->run.loss_weight]);
    const Node *none = graph_binary(g, OP_EQ, weight, graph_const(g, DT_F32, 0));
    const Node *inverse = graph_binary(g, OP_DIV, graph_const(g, DT_F32, 1), weight);
    inverse = graph_select(g, none, graph_const(g, DT_F32, 0), inverse); /* no row: no step */
    const Node *norm = global_norm(s, inverse);
    u.finite = is_finite(s, norm);
    u.scale = s->clip > 0 ? graph_binary(g, OP_MUL, clip_factor(s, norm), inverse) : inverse;
    u.rate = graph_slot(g, "lr", DT_F32);
    u.t = val_node(e, graph_cast(g, DT_F32, graph_slot(g, "step", DT_I32)), s->def->span);
    for (uint32_t i = 0; i < s->nparam; i++) {
        State *w = e->program->states.at[i];
        if (w->kind == SK_PARAM && w->trained && !like_another(s, w, seen)) {
            g->path = w->path;
            if (!step_parameter(&u, w)) {
                return false;
            }
        }
    }
    for (uint32_t i = 0; i < s->nparam; i++) {
        const State *b = e->program->states.at[i];
        if (b->kind == SK_BUFFER) {
            average_follow(s, b, state_node(e, b), u.finite);
        }
    }
    for (uint32_t i = 0; i < s->groups.n; i++) {
        decay_check(s, i, u.methods[i].optimizer.args);
    }
    return true;
}

/* Optimizers compute in f32, whatever the model does. */
bool update_entry(Stage *s)
{
    Elab *e = s->e;
    const DType compute = e->precision.compute, generic = e->generic;
    e->precision.compute = DT_F32;
    e->generic = narrow_generic(e);
    bool ok = update_all(s);
    e->precision.compute = compute;
    e->generic = generic;
    return ok;
}
