/* average.c: a model with other weights than those that train: exponential averages of them (`ema = D`, which
 * evaluations read, and `ema(m)`), and the weights as they were when the stage began (`start(m)`). Only what
 * changes has a second state, which begins as a copy; all else is shared with the model. */
#include "stages.h"

typedef VEC(Param *) ParamList;

static void collect(Elab *e, const Inst *inst, ParamList *out)
{
    for (uint32_t i = 0; i < inst->params.n; i++) {
        VEC_PUSH(e->arena, out, inst->params.at[i]);
    }
    for (uint32_t i = 0; i < inst->subs.n; i++) {
        collect(e, inst->subs.at[i], out);
    }
}

static bool changes(const State *w)
{
    return w->trained || w->kind == SK_BUFFER;
}

/* The second state of w, made at its first use. Averages of floats are kept in f32 at least. */
static State *twin(Stage *s, State *w, bool average)
{
    Elab *e = s->e;
    Map **all = average ? &s->averages : &s->starts;
    *all = *all ? *all : map_new(e->arena);
    State *known = map_get(*all, MAP_KEY(w));
    if (known) {
        return known;
    }
    State proto = {.kind = SK_OPT,
                   .path = sym_printf(e->ir->syms, "%s.%s", w->path, average ? "ema" : "start"),
                   .type = w->type,
                   .init = {.kind = INIT_COPY},
                   .of = w->id,
                   .span = w->span};
    if (average && dtype_is_float(w->type->dtype) && dtype_info(w->type->dtype)->bytes < 4) {
        proto.type = type_with_dtype(e->ir, w->type, DT_F32);
    }
    known = program_state(e->program, &proto);
    map_put(*all, MAP_KEY(w), known);
    return known;
}

/* Gives every parameter of the copy the model's own state of that name, or its twin. The states that the copy
 * was made with are dropped: nothing has read them. */
static void share(Stage *s, const Inst *model, const Inst *copy, uint32_t first, bool average)
{
    Elab *e = s->e;
    ParamList own = {0}, copied = {0};
    Map *by_path = map_new(e->arena);
    collect(e, model, &own);
    collect(e, copy, &copied);
    for (uint32_t i = 0; i < own.n; i++) {
        map_put(by_path, hash_text(own.at[i]->state->path), own.at[i]->state);
    }
    size_t prefix = strlen(copy->path) + (*copy->path ? 1 : 0);
    const char *of_model = *model->path ? arena_printf(e->arena, "%s.", model->path) : "";
    e->program->states.n = first;
    for (uint32_t i = 0; i < copied.n; i++) {
        State *old = copied.at[i]->state;
        const char *path = arena_printf(e->arena, "%s%s", of_model, old->path + prefix);
        State *w = old->id < first ? NULL : map_get(by_path, hash_text(path));
        if (w) {
            copied.at[i]->state = changes(w) ? twin(s, w, average) : w;
        } else if (old->id >= first) {
            copied.at[i]->state = program_state(e->program, old); /* `adapt` took it away */
        }
    }
}

const Val *average_model(Stage *s, const Item *item, bool average, Span span)
{
    Elab *e = s->e;
    const Val *model = item_value(e, item, span);
    uint32_t first = e->program->states.n;
    const char *word = average ? "ema" : "start";
    if (model->kind != V_INSTANCE) {
        return poison(e, span);
    }
    const Val *copy = model_copy(e, item, sym_printf(e->ir->syms, "%s(%s)", word, item->name));
    if (copy->kind == V_INSTANCE) {
        share(s, model->inst, copy->inst, first, average);
    }
    return copy;
}

Map *average_map(Stage *s)
{
    if (!(s->ema > 0)) {
        return NULL;
    }
    for (uint32_t i = 0; i < s->nparam; i++) {
        State *w = s->e->program->states.at[i];
        if (changes(w) && dtype_is_float(w->type->dtype)) {
            twin(s, w, true);
        }
    }
    return s->averages;
}

void average_follow(Stage *s, const State *w, const Node *value, const Node *finite)
{
    Elab *e = s->e;
    Graph *g = e->g;
    const State *mean = s->averages ? map_get(s->averages, MAP_KEY(w)) : NULL;
    if (!mean) {
        return;
    }
    const Node *old = graph_state(g, mean->id, mean->type, mean->path);
    const Node *new = graph_cast(g, mean->type->dtype, value);
    if (dtype_is_float(mean->type->dtype)) {
        old = graph_binary(g, OP_MUL, old, graph_fill(g, mean->type, s->ema));
        new = graph_binary(g, OP_MUL, new, graph_fill(g, mean->type, 1 - s->ema));
        new = graph_binary(g, OP_ADD, old, new);
        old = graph_state(g, mean->id, mean->type, mean->path);
    }
    const Node *all = arith_broadcast(e, finite, new->type, s->def->span);
    graph_write(g, mean->id, graph_select(g, all, new, old));
}
