/* memory.c: buffers and states of models. A graph has no effects; program order is the order of evaluation:
 * a read gives the value at the start of the pass, or what was set since, and the last value set is
 * written when the pass ends (language.md 2.8).
 *
 * A buffer changes in train mode only. A state exists in prefill and decode only: elsewhere it starts
 * at zero and cannot be set, and one that grows has the rows just appended. */
#include "elab.h"

void pass_begin(Elab *e, Graph *g, Mode mode)
{
    e->g = e->entry = g;
    e->mode = mode;
    e->now = map_new(e->arena);
    e->draws = map_new(e->arena);
}

uint32_t entry_begin(Elab *e, const char *name, Mode mode)
{
    Graph *g = graph_new(e->ir, e->arena, sym(e->ir->syms, name));
    VEC_PUSH(e->arena, &e->program->entries, g);
    pass_begin(e, g, mode);
    return e->program->entries.n - 1;
}

static bool keeps_state(const Elab *e)
{
    return e->mode == MODE_PREFILL || e->mode == MODE_DECODE;
}

/* ---- types ---- */

/* A frame in which the names of the type mean what they mean to the instance and, where it has no such
 * name, to the function that uses the state. *free: a name that nobody knows, or NULL. */
static Env *type_frame(Elab *e, Env *env, const Memory *m, Sym *free)
{
    Env *frame = env_new(e, ENV_FRAME, m->inst->env);
    const Ast *type = m->ast->kid[0];
    *free = NULL;
    for (uint32_t i = 1; i < type->nkid && type->kind == A_T_TENSOR; i++) {
        const Ast *a = type->kid[i];
        if (a->kind != A_ID || a->name == m->ast->text ||
            env_find(e, m->inst->env, a->name, a->span)) {
            continue;
        }
        const Val *v = env_local(env, a->name);
        if (v && v->kind == V_INT) {
            env_bind(e, frame, a->name, v);
        } else {
            *free = a->name;
        }
    }
    return frame;
}

/* The state in the program; its type is that of its first use. NULL after E0402. */
static State *state_of(Elab *e, Memory *m, const Type *type, Span span)
{
    if (!m->state) {
        State proto = {.kind = SK_KV,
                       .path = inst_join(e, m->inst->path, m->ast->name),
                       .type = type,
                       .span = m->ast->span};
        m->state = program_state(e->program, &proto);
    }
    if (m->state->type != type) {
        diag_at(e->diags, DIAG_E0402, span, "the state `%s` is `%s`, here it would be `%s`",
                m->ast->name, type_text(e->ir, m->state->type), type_text(e->ir, type));
        return NULL;
    }
    return m->state;
}

/* ---- reading ---- */

static const Val *read_state(Elab *e, Env *env, const Val *v)
{
    Memory *m = v->memory;
    const Node *now = map_get(e->now, MAP_KEY(m));
    if (now) {
        return val_node(e, now, v->span);
    }
    if (m->ast->text) {
        Diag *d = diag_at(e->diags, DIAG_E0309, v->span,
                          "`%s` grows: it has no rows before `%s.append(..)`", m->ast->name,
                          m->ast->name);
        diag_help(d, "`append` gives all rows so far, those just appended included");
        return poison(e, v->span);
    }
    Sym free;
    Env *frame = type_frame(e, env, m, &free);
    if (free && !m->state) {
        Diag *d =
            diag_at(e->diags, DIAG_E0401, v->span,
                    "the extent `%s` of the state `%s` is not known here", free, m->ast->name);
        diag_also(d, m->ast->span, "declared here");
        return poison(e, v->span);
    }
    const Type *type = free ? m->state->type : sig_type(e, frame, m->ast->kid[0]);
    if (!type) {
        return poison(e, v->span);
    }
    if (!keeps_state(e)) {
        return val_node(e, graph_fill(e->g, type, 0), v->span);
    }
    const State *s = state_of(e, m, type, v->span);
    return s ? val_node(e, graph_state(e->g, s->id, s->type, s->path), v->span)
             : poison(e, v->span);
}

/* In the graph of an op or a loop there is no program order. */
static bool in_order(Elab *e, const char *name, const char *what, Span span)
{
    if (e->g && e->g == e->entry) {
        return true;
    }
    if (!e->g) {
        diag_at(e->diags, DIAG_E0205, span,
                "`%s` cannot be %s here: this is evaluated at compile time", name, what);
        return false;
    }
    Diag *d = diag_at(e->diags, DIAG_E0309, span,
                      "`%s` cannot be %s in an op, in `scan` or in `fold`", name, what);
    diag_help(d, "pass its value as an argument, and set it from what they return");
    return false;
}

const Val *memory_read(Elab *e, Env *env, const Val *v)
{
    if (!e->g) {
        return v;
    }
    if (v->kind == V_MEMORY) {
        return in_order(e, v->memory->ast->name, "read", v->span) ? read_state(e, env, v)
                                                                  : poison(e, v->span);
    }
    bool buffer = v->kind == V_PARAM && v->param->state->kind == SK_BUFFER && e->g == e->entry;
    return buffer || v->kind == V_STATE ? val_node(e, tensor_of(e, v), v->span) : v;
}

/* ---- setting ---- */

static const Val *set_optimizer(Elab *e, const Val *self, const Val *v, Span span)
{
    const State *s = self->state->state;
    const Node *n = val_is_number(v) ? arith_fill(e, v, s->type, v->span) : tensor_of(e, v);
    n = n && narrow_is(s->type->dtype) && dtype_is_float(n->type->dtype)
            ? graph_cast(e->g, s->type->dtype, n)
            : n;
    if (!n) {
        return poison(e, span);
    }
    if (n->type != s->type) {
        diag_at(e->diags, DIAG_E0402, v->span, "the state `%s` is `%s`, got `%s`", s->path,
                type_text(e->ir, s->type), type_text(e->ir, n->type));
        return poison(e, span);
    }
    self->state->now = n;
    return val_none(e, span);
}

/* n without gradient. Narrow floats are widened for it, as for all that computes: that is exact. */
static const Node *stopped(Elab *e, const Node *n)
{
    DType dt = n->type->dtype;
    const Node *wide = narrow_is(dt) ? graph_cast(e->g, DT_F32, n) : n;
    return graph_cast(e->g, dt, graph_unary(e->g, OP_STOP, wide));
}

/* What a pass sets carries no gradient into the next one, nor through itself. */
static const Val *set_buffer(Elab *e, const Val *self, const Val *v, Span span)
{
    const Param *p = self->param;
    if (p->state->kind != SK_BUFFER) {
        Diag *d = diag_at(e->diags, DIAG_E0309, span,
                          "`%s` is a parameter: only training changes it", p->state->path);
        diag_help(d, "declare it as a `buffer`");
        return poison(e, span);
    }
    const Node *n = val_is_number(v) ? arith_fill(e, v, p->state->type, v->span) : tensor_of(e, v);
    n = n && dtype_is_float(n->type->dtype) && dtype_is_float(p->state->type->dtype)
            ? graph_cast(e->g, p->state->type->dtype, n)
            : n;
    if (!n) {
        return poison(e, span);
    }
    if (n->type != p->state->type) {
        diag_at(e->diags, DIAG_E0402, v->span, "the buffer `%s` is `%s`, got `%s`", p->state->path,
                type_text(e->ir, p->state->type), type_text(e->ir, n->type));
        return poison(e, span);
    }
    if (inst_mode(e, p->owner) == MODE_TRAIN) {
        n = stopped(e, n);
        map_put(e->now, MAP_KEY(p->state), (void *)n);
        graph_write(e->g, p->state->id, n);
    }
    return val_none(e, span);
}

static const char *value_of(Elab *e, const Memory *m)
{
    return arena_printf(e->arena, "the value of `%s`", m->ast->name);
}

static const Val *set_state(Elab *e, Env *env, const Val *self, const Val *v, Span span)
{
    Memory *m = self->memory;
    if (m->ast->text) {
        diag_at(e->diags, DIAG_E0309, span, "`%s` grows: it is changed by `%s.append(..)`",
                m->ast->name, m->ast->name);
        return poison(e, span);
    }
    Sym free;
    Env *frame = type_frame(e, env, m, &free);
    v = sig_accept(e, frame, m->ast->kid[0], v, value_of(e, m));
    const Node *n = val_is_poison(v) ? NULL : tensor_of(e, v);
    const State *s = n && keeps_state(e) ? state_of(e, m, n->type, span) : NULL;
    if (!n || (keeps_state(e) && !s)) {
        return poison(e, span);
    }
    if (s) {
        map_put(e->now, MAP_KEY(m), (void *)n);
        graph_write(e->g, s->id, n);
    }
    return val_none(e, span);
}

/* ---- appending ---- */

/* The axis that `grows S` names. */
static uint32_t grown_axis(const Memory *m)
{
    const Ast *type = m->ast->kid[0];
    for (uint32_t i = 1; i < type->nkid; i++) {
        if (type->kid[i]->kind == A_ID && type->kid[i]->name == m->ast->text) {
            return i - 1;
        }
    }
    BUG("state %s grows no axis", m->ast->name);
}

/* The rows go behind those of earlier passes; the state has room for more. */
static const Node *append_rows(Elab *e, Memory *m, const Node *rows, Span span)
{
    uint32_t axis = grown_axis(m);
    const Dim *dims[IR_MAX_RANK], *all = rows->type->dims[axis];
    all = e->past ? dim_add(e->ir, all, e->past) : all;
    for (uint32_t i = 0; i < rows->type->rank; i++) {
        dims[i] = rows->type->dims[i];
    }
    dims[axis] = e->context ? e->context : all;
    const State *s =
        state_of(e, m, type_tensor(e->ir, rows->type->dtype, rows->type->rank, dims), span);
    if (!s) {
        return NULL;
    }
    const Node *old = graph_state(e->g, s->id, s->type, s->path);
    const Node *grown = graph_update(e->g, old, rows, graph_slot(e->g, "len", DT_I32), axis);
    if (grown) {
        graph_write(e->g, s->id, grown);
    }
    return all == dims[axis] ? grown : graph_slice(e->g, grown, axis, dim_const(e->ir, 0), all);
}

static const Val *append_state(Elab *e, Env *env, const Val *self, const Val *v, Span span)
{
    Memory *m = self->memory;
    if (!m->ast->text) {
        Diag *d = diag_at(e->diags, DIAG_E0309, span, "`%s` does not grow: it has no `append`",
                          m->ast->name);
        diag_help(d, "declare which dimension grows: `state %s: [B, S, ..] grows S`", m->ast->name);
        return poison(e, span);
    }
    bool twice = keeps_state(e) ? map_get(e->now, MAP_KEY(m)) != NULL : m->appended == e->passes;
    if (twice) {
        diag_at(e->diags, DIAG_E0309, span, "`%s` is appended to twice in one pass",
                inst_join(e, m->inst->path, m->ast->name));
        return poison(e, span);
    }
    Sym free;
    Env *frame = type_frame(e, env, m, &free);
    v = sig_accept(e, frame, m->ast->kid[0], v,
                   arena_printf(e->arena, "the rows for `%s`", m->ast->name));
    const Node *n = val_is_poison(v) ? NULL : tensor_of(e, v);
    n = n && keeps_state(e) ? append_rows(e, m, n, span) : n;
    if (!n) {
        return poison(e, span);
    }
    map_put(e->now, MAP_KEY(m), (void *)n);
    m->appended = e->passes;
    return val_node(e, n, span);
}

static const char *name_of(const Val *self)
{
    return self->kind == V_MEMORY  ? self->memory->ast->name
           : self->kind == V_PARAM ? self->param->state->path
                                   : self->state->state->path;
}

const Val *memory_call(Elab *e, Env *env, const Val *method, Args *args)
{
    const Val *self = method->method.self;
    bool set = strcmp(method->method.name, "set") == 0, memory = self->kind == V_MEMORY;
    if (!set && !(memory && strcmp(method->method.name, "append") == 0)) {
        diag_at(e->diags, DIAG_E0201, args->call, "`%s` has no method `%s`: there is `set`%s",
                name_of(self), method->method.name, memory ? ", and `append` where it grows" : "");
        return poison(e, args->call);
    }
    if (args->n != 1) {
        diag_at(e->diags, DIAG_E0303, args->call, "`%s` takes one value", method->method.name);
        return poison(e, args->call);
    }
    if (val_is_poison(args->at[0])) {
        return args->at[0];
    }
    if (!in_order(e, name_of(self), set ? "set" : "appended to", args->call)) {
        return poison(e, args->call);
    }
    if (self->kind == V_STATE) {
        return set_optimizer(e, self, args->at[0], args->call);
    }
    if (!memory) {
        return set_buffer(e, self, args->at[0], args->call);
    }
    return set ? set_state(e, env, self, args->at[0], args->call)
               : append_state(e, env, self, args->at[0], args->call);
}
