/* update.c: the entry that changes the weights: gradients divided by the total weight of the loss and
 * clipped by the global norm, then one instance of the optimizer module for each parameter. */
#include "blocks.h"

typedef struct Update {
    Elab *e;
    const Val *module;
    Args *args;
    const Node *scale; /* of every gradient: clip factor / total weight */
    const Val *lr, *t;
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

/* min(1, clip / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ has it. */
static const Node *clip_factor(Elab *e, double clip, const Node *inverse, PlanRun *run)
{
    Graph *g = e->g;
    uint32_t n = 0;
    const Node **grad = NEW_ARRAY(e->arena, const Node *, e->program->states.n + 1);
    for (uint32_t i = 0; i < e->program->states.n; i++) {
        const State *s = e->program->states.at[i];
        if (s->kind == SK_GRAD) {
            grad[n++] = state_node(e, s);
        }
    }
    NodeSpec spec = {.op = OP_SUMSQ, .nin = n, .in = grad};
    const Node *norm =
        graph_binary(g, OP_MUL, graph_unary(g, OP_SQRT, graph_op(g, &spec)), inverse);
    State *gnorm = loop_state(e, "gnorm");
    run->gnorm = gnorm->id;
    graph_write(g, gnorm->id, norm);
    const Node *sum = graph_binary(g, OP_ADD, norm, graph_const(g, DT_F32, 1e-6));
    const Node *ratio = graph_binary(g, OP_DIV, graph_const(g, DT_F32, clip), sum);
    return graph_binary(g, OP_MIN, graph_const(g, DT_F32, 1), ratio);
}

static bool step_parameter(const Update *u, State *w)
{
    Elab *e = u->e;
    Param *p = NEW(e->arena, Param);
    p->state = w;
    const Val *inst = optimizer_instantiate(e, u->module, u->args, p);
    if (inst->kind != V_INSTANCE) {
        return false;
    }
    const Val *step = inst_member(e, inst->inst, sym(e->ir->syms, "step"), u->args->call);
    if (!step || step->kind != V_CLOSURE) {
        diag_at(e->diags, DIAG_E0205, u->args->call,
                "`%s` is no optimizer: it has no `fn step(w, g, lr, t)`", inst->inst->module->name);
        return false;
    }
    Graph *g = e->g;
    const Node *grad = state_node(e, program_grad(e->program, w->id));
    grad = graph_binary(g, OP_MUL, grad, arith_broadcast(e, u->scale, grad->type, u->args->call));
    Args args = {.call = u->args->call};
    args_push(e, &args, NULL, val_node(e, state_node(e, w), args.call));
    args_push(e, &args, NULL, val_node(e, grad, args.call));
    args_push(e, &args, NULL, u->lr);
    args_push(e, &args, NULL, u->t);
    const Val *v = call_closure(e, step, &args);
    const Node *next = val_is_poison(v) ? NULL : tensor_of(e, v);
    if (!next) {
        return false;
    }
    graph_write(g, w->id, next);
    for (uint32_t i = 0; i < map_count(inst->inst->members); i++) {
        const Val *m = map_value_at(inst->inst->members, i);
        if (m->kind == V_STATE && m->state->now) {
            graph_write(g, m->state->state->id, m->state->now);
        }
    }
    return true;
}

/* `optimizer = adamw(..)`: a module and its arguments; instances come later, one a parameter. */
static bool find_optimizer(Update *u, Env *env, const Ast *expr)
{
    Elab *e = u->e;
    u->module = eval(e, env, expr->kind == A_CALL ? expr->kid[0] : expr);
    if (u->module->kind != V_MODULE) {
        if (!val_is_poison(u->module)) {
            diag_at(e->diags, DIAG_E0802, expr->span, "expected an optimizer module, got %s",
                    val_text(e, u->module));
        }
        return false;
    }
    u->args = args_eval(e, env, expr->kind == A_CALL ? expr : NULL, NULL);
    u->args->call = expr->span;
    return true;
}

bool update_entry(Elab *e, Env *env, const Ast *train, double clip, PlanRun *run)
{
    Update u = {.e = e};
    const Ast missing = {.kind = A_ID, .name = sym(e->ir->syms, "adamw"), .span = train->name_span};
    const Ast *optimizer = block_attr(train, "optimizer");
    if (!find_optimizer(&u, env, optimizer ? optimizer : &missing)) {
        return false;
    }
    Graph *g = e->g;
    const Node *weight = state_node(e, e->program->states.at[run->loss_weight]);
    const Node *none = graph_binary(g, OP_EQ, weight, graph_const(g, DT_F32, 0));
    const Node *inverse = graph_binary(g, OP_DIV, graph_const(g, DT_F32, 1), weight);
    inverse = graph_select(g, none, graph_const(g, DT_F32, 0), inverse); /* no row: no step */
    run->gnorm = PLAN_NONE;
    u.scale =
        clip > 0 ? graph_binary(g, OP_MUL, clip_factor(e, clip, inverse, run), inverse) : inverse;
    u.lr = val_node(e, graph_slot(g, "lr", DT_F32), train->span);
    u.t = val_node(e, graph_cast(g, DT_F32, graph_slot(g, "step", DT_I32)), train->span);
    uint32_t n = e->program->states.n;
    for (uint32_t i = 0; i < n; i++) {
        State *s = e->program->states.at[i];
        if (s->kind == SK_PARAM && s->trained) {
            g->path = s->path;
            if (!step_parameter(&u, s)) {
                return false;
            }
        }
    }
    return true;
}
