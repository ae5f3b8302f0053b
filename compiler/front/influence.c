/* influence.c: which trained parameters the loss depends on. A walk down the graph of the pass finds them; a
 * call of a composite reads the operands that its body reads. A parameter that a clause names and no loss
 * reads is a mistake (E0601). Where everything trains by default, a model may well have parts that this
 * loss leaves out: they do not train in this stage (W0101). Reports go by pattern: a tower that
 * nothing reads is one mistake. Whether a gradient gets through is another question, answered by the
 * pass that makes it. */
#include "stages.h"

/* ---- what the loss reads ---- */

typedef struct Walk {
    Elab *e;
    Map *defs; /* Def -> bool[inputs] */
} Walk;

static const bool *def_reads(Walk *w, const Def *def);

/* By id: the nodes of g on which some live node depends. */
static void spread(Walk *w, const Graph *g, bool *live)
{
    for (uint32_t i = g->nodes.n; i-- > 0;) {
        const Node *n = g->nodes.at[i];
        const bool *reads =
            live[i] && op_info(n->op)->cls == OC_CALL ? def_reads(w, node_def(n)) : NULL;
        for (uint32_t k = 0; live[i] && k < n->nin; k++) {
            live[n->in[k]->id] |= !reads || reads[k];
        }
    }
}

static const bool *def_reads(Walk *w, const Def *def)
{
    bool *reads = map_get(w->defs, MAP_KEY(def));
    if (reads) {
        return reads;
    }
    const Graph *body = def->body;
    bool *live = NEW_ARRAY(w->e->arena, bool, body->nodes.n + 1);
    reads = NEW_ARRAY(w->e->arena, bool, body->inputs.n + 1);
    for (uint32_t i = 0; i < body->results.n; i++) {
        live[body->results.at[i].node->id] = true;
    }
    spread(w, body, live);
    for (uint32_t i = 0; i < body->inputs.n; i++) {
        reads[i] = live[body->inputs.at[i]->id];
    }
    map_put(w->defs, MAP_KEY(def), reads);
    return reads;
}

/* By state: does the loss depend on it? */
static bool *read_states(Elab *e, const Node *loss)
{
    const Graph *g = e->g;
    Walk w = {e, map_new(e->arena)};
    bool *live = NEW_ARRAY(e->arena, bool, g->nodes.n + 1);
    bool *read = NEW_ARRAY(e->arena, bool, e->program->states.n + 1);
    uint32_t state;
    live[loss->id] = true;
    spread(&w, g, live);
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        if (live[i] && node_is_state(g->nodes.at[i], &state)) {
            read[state] = true;
        }
    }
    return read;
}

/* ---- what is left out ---- */

/* Parameters that one pattern, or no pattern, trains in vain. */
typedef struct Unread {
    const Ast *glob;
    const State *first;
    uint32_t n;
} Unread;
typedef VEC(Unread) Unreads;

static void add_unread(Elab *e, Unreads *all, Map *places, const Choice *c, const State *w)
{
    uint64_t key = MAP_KEY(c->glob) | 1; /* of none, too */
    uint64_t place = (uint64_t)(uintptr_t)map_get(places, key);
    if (!place) {
        VEC_PUSH(e->arena, all, ((Unread){c->glob, w, 0}));
        place = all->n;
        map_put(places, key, (void *)(uintptr_t)place);
    }
    all->at[place - 1].n++;
}

/* `fc.weight`, or `fc.weight and 3 other parameters of `fc.**`` */
static const char *unread_text(const Stage *s, const Unread *u)
{
    Elab *e = s->e;
    if (u->n == 1) {
        return arena_printf(e->arena, "`%s`", u->first->path);
    }
    return arena_printf(e->arena, "`%s` and %u other parameter%s of `%s`", u->first->path, u->n - 1,
                        u->n > 2 ? "s" : "", u->glob ? u->glob->text : s->def->model);
}

static void report_unread(Stage *s, const Unread *u, bool error)
{
    Elab *e = s->e;
    const char *are = u->n > 1 ? "are" : "is", *them = u->n > 1 ? "them" : "it";
    Diag *d;
    if (error) {
        d = diag_at(e->diags, DIAG_E0601, u->first->chosen,
                    "%s %s trained, but the loss does not depend on %s", unread_text(s, u), are,
                    them);
        diag_help(d,
                  u->glob ? "leave %s out of the clause, or use %s in the loss"
                          : "freeze %s, or use %s in the loss",
                  them, them);
    } else {
        d = diag_at(e->diags, DIAG_W0101, u->first->chosen,
                    "the loss does not depend on %s: not trained", unread_text(s, u));
        diag_help(d, "say so: `freeze ..`");
    }
}

/* The states that training adds to a parameter: its gradient, and more bits where it has few. */
static void add_training(Stage *s, const State *w)
{
    Elab *e = s->e;
    const Precision *x = &e->precision;
    State grad = {.kind = SK_GRAD,
                  .path = sym_printf(e->ir->syms, "%s.grad", w->path),
                  .type = type_with_dtype(e->ir, w->type, x->grads),
                  .of = w->id};
    State master = *w;
    master.kind = SK_MASTER;
    master.path = sym_printf(e->ir->syms, "%s.master", w->path);
    master.type = type_with_dtype(e->ir, w->type, x->master);
    master.key = NULL;
    master.of = w->id;
    program_state(e->program, &grad);
    if (dtype_info(w->type->dtype)->bytes < dtype_info(x->master)->bytes) {
        s->masters[w->id] = program_state(e->program, &master);
    }
}

bool stage_gradients(Stage *s)
{
    Elab *e = s->e;
    const bool *read = read_states(e, graph_result_find(e->g, "loss.sum"));
    uint32_t trained = 0;
    bool ok = true;
    s->masters = NEW_ARRAY(e->arena, const State *, s->nparam + 1);
    Unreads unread = {0};
    Map *places = map_new(e->arena);
    for (uint32_t i = 0; i < s->nparam; i++) {
        State *w = e->program->states.at[i];
        if (w->trained && !read[i]) {
            add_unread(e, &unread, places, &s->choices[i], w);
            w->trained = false;
        } else if (w->trained) {
            add_training(s, w);
            trained++;
        }
    }
    for (uint32_t i = 0; i < unread.n; i++) {
        bool error = unread.at[i].glob || !trained;
        report_unread(s, &unread.at[i], error);
        ok = ok && !error;
    }
    return ok;
}
