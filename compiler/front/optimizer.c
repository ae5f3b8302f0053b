/* optimizer.c: optimizers are modules (language.md 2.13): one instance for each trained parameter, whose
 * shape binds the dimensions that the type of `w` names in `fn step(w, g, lr, t)`; states have shapes of
 * these. So a module says what it can update by the type that its function takes, like any function. */
#include "stages.h"
#include "unify.h"

static Sym step_name(Elab *e)
{
    return sym(e->ir->syms, "step");
}

/* ---- the module ---- */

/* `step` in some variant of the module. */
static bool has_step(Elab *e, const Ast *members)
{
    bool has = false;
    for (uint32_t i = 0; members && i < members->nkid && !has; i++) {
        const Ast *a = members->kid[i];
        has = a->kind == A_MEMBER_IF ? has_step(e, a->kid[1]) || has_step(e, a->kid[2])
                                     : a->kind == A_FN && a->name == step_name(e);
    }
    return has;
}

static void suggest_optimizer(Diag *d)
{
    diag_help(
        d, "write `adamw(..)`, `sgd(..)`, `lion(..)`, `adafactor(..)`, `muon(..)` or a module of "
           "yours with `fn step(w, g, lr, t)`");
}

bool optimizer_find(Elab *e, Env *env, const Ast *expr, Optimizer *o)
{
    const Val *v = eval(e, env, expr->kind == A_CALL ? expr->kid[0] : expr);
    if (val_is_poison(v)) {
        return false;
    }
    if (v->kind != V_MODULE) {
        suggest_optimizer(diag_at(e->diags, DIAG_E0802, expr->span,
                                  "expected an optimizer module, got %s", val_text(e, v)));
        return false;
    }
    if (!has_step(e, v->code.ast->kid[1])) {
        Diag *d =
            diag_at(e->diags, DIAG_E0205, expr->span,
                    "`%s` is no optimizer: it has no `fn step(w, g, lr, t)`", v->code.ast->name);
        diag_also(d, v->code.ast->name_span, "declared here");
        return false;
    }
    o->module = v;
    o->args = args_eval(e, env, expr->kind == A_CALL ? expr : NULL, NULL);
    o->args->call = expr->span;
    for (uint32_t i = 0; i < o->args->n; i++) {
        if (val_is_poison(o->args->at[i])) {
            return false;
        }
    }
    return true;
}

/* ---- the parameter's dimensions ---- */

/* `step` takes other parameters than this one: of another rank. */
static void wrong_rank(Elab *e, const Inst *inst, const Ast *type)
{
    const State *w = inst->of->state;
    size_t n;
    const char *text = diags_text(e->diags, type->span.file, &n);
    Diag *d = diag_at(e->diags, DIAG_E0406, inst->made, "`%s` takes `%.*s`, and `%s` is `%s`",
                      inst->module->name, (int)(type->span.hi - type->span.lo),
                      text + type->span.lo, w->path, type_text(e->ir, w->type));
    diag_also(d, type->span, "what it takes");
    diag_help(d, "give such parameters another optimizer: `train %s { optimizer = adamw() }`",
              w->path);
}

static bool rank_fits(const Ast *type, uint32_t rank)
{
    bool pack = false;
    if (type->kind != A_T_TENSOR) { /* `w: f32`; the call refuses what is no type of a tensor */
        return type->kind != A_T_NAME || rank == 0;
    }
    for (uint32_t i = 1; i < type->nkid; i++) {
        pack = pack || type->kid[i]->kind == A_PACK;
    }
    return pack ? rank + 2 >= type->nkid : rank + 1 == type->nkid;
}

static bool bind_dims(Elab *e, const Inst *inst, Env *frame)
{
    const Type *w = inst->of->state->type;
    const Ast *step = map_get(inst->pending, MAP_KEY(step_name(e)));
    const Ast *formals = step && step->kind == A_FN ? step->kid[0] : NULL;
    const Ast *type = formals && formals->nkid ? formals->kid[0]->kid[0] : NULL;
    if (type && !rank_fits(type, w->rank)) {
        wrong_rank(e, inst, type);
        return false;
    }
    if (type && type->kind == A_T_TENSOR) {
        Val v = {.kind = V_PARAM, .span = inst->made, .param = (struct Param *)inst->of};
        const char *what = arena_printf(e->arena, "`%s` as `%s` of `%s`", inst->of->state->path,
                                        formals->kid[0]->name, inst->module->name);
        Accept x = {e, frame, what, DIAG_E0402, inst->made};
        if (!unify_shape(&x, type, &v, w)) {
            return false;
        }
    }
    Sym all = sym(e->ir->syms, "..");
    if (!env_pack(frame, all)) {
        env_bind_pack(e, frame, all, w->dims, w->rank);
    }
    return true;
}

/* The frame in which the types of its states are read; NULL after a diagnostic, which comes once. */
static Env *dims_frame(Elab *e, Inst *inst)
{
    if (!inst->dims && !inst->misfit) {
        Env *frame = env_new(e, ENV_FRAME, inst->env);
        inst->misfit = !bind_dims(e, inst, frame);
        inst->dims = inst->misfit ? NULL : frame;
    }
    return inst->dims;
}

const Val *optimizer_state(Elab *e, Inst *inst, const Ast *a)
{
    Env *frame = dims_frame(e, inst);
    const Type *type = frame ? sig_type(e, frame, a->kid[0]) : NULL;
    if (!type || !param_storable(e, a, type)) {
        return poison(e, a->span);
    }
    if (a->text) {
        diag_at(e->diags, DIAG_E0309, a->span, "`%s`: a state of an optimizer does not grow",
                a->name);
        return poison(e, a->span);
    }
    State proto = {.kind = SK_OPT,
                   .path = inst_join(e, inst->path, a->name),
                   .type = type,
                   .of = inst->of->state->id,
                   .span = a->span};
    if (sig_is_float(a->kid[0])) {
        proto.type = type_with_dtype(e->ir, type, e->precision.state);
    }
    OptState *s = NEW(e->arena, OptState);
    s->state = program_state(e->program, &proto);
    Val *v = val_new(e, V_STATE, a->span);
    v->state = s;
    return v;
}

const Val *optimizer_shape(Elab *e, const Inst *inst, const Ast *formal)
{
    if (!inst->of || strcmp(formal->name, "shape") != 0) {
        return NULL;
    }
    const Type *w = inst->of->state->type;
    const Val *at[IR_MAX_RANK];
    for (uint32_t i = 0; i < w->rank; i++) {
        at[i] = val_dim(e, w->dims[i], formal->span);
    }
    return val_list(e, V_LIST, COPY_ARRAY(e->arena, const Val *, at, w->rank), w->rank,
                    formal->span);
}

Inst *optimizer_make(Elab *e, const Optimizer *o, const Param *p)
{
    Inst *parent = NEW(e->arena, Inst);
    parent->path = p->state->path;
    parent->key = sym(e->ir->syms, "");
    parent->of = p;
    const Val *v = module_instantiate(e, o->module, o->args, parent, NULL);
    return v->kind == V_INSTANCE && dims_frame(e, v->inst) ? v->inst : NULL;
}

/* ---- a step ---- */

/* What its states are from now on, where the step is made; those of its parts, too. */
static void write_states(Elab *e, const Inst *inst, const Node *finite)
{
    for (uint32_t i = 0; i < map_count(inst->members); i++) {
        const Val *x = map_value_at(inst->members, i);
        if (x->kind == V_STATE && x->state->now) {
            const State *s = x->state->state;
            const Node *old = graph_state(e->g, s->id, s->type, s->path);
            const Node *all = arith_broadcast(e, finite, s->type, inst->made);
            graph_write(e->g, s->id, graph_select(e->g, all, x->state->now, old));
        }
    }
    for (uint32_t i = 0; i < inst->subs.n; i++) {
        write_states(e, inst->subs.at[i], finite);
    }
}

/* A function of (w, g, lr, t): what stands behind these has defaults. */
static const Val *step_function(Elab *e, Inst *inst)
{
    const Val *step = inst_member(e, inst, step_name(e), inst->made);
    if (!step || step->kind != V_CLOSURE) {
        diag_at(e->diags, DIAG_E0205, inst->made,
                "this `%s` is no optimizer: it has no `fn step(w, g, lr, t)`", inst->module->name);
        return NULL;
    }
    const Ast *fn = step->code.ast, *formals = fn->kid[0];
    bool ok = formals->nkid >= STEP_ARGS;
    for (uint32_t i = STEP_ARGS; i < formals->nkid; i++) {
        ok = ok && (formals->kid[i]->kid[1] || type_is_optional(formals->kid[i]->kid[0]));
    }
    if (!ok) {
        diag_at(
            e->diags, DIAG_E0303, fn->name_span,
            "`step` of an optimizer takes (w, g, lr, t): old value, gradient, learning rate and "
            "number of the step");
        return NULL;
    }
    return step;
}

const Node *optimizer_step(Elab *e, Inst *inst, const Val *const arg[STEP_ARGS], const Node *finite)
{
    const Val *step = step_function(e, inst);
    if (!step) {
        return NULL;
    }
    Args args = {.call = inst->made};
    for (uint32_t i = 0; i < STEP_ARGS; i++) {
        args_push(e, &args, NULL, arg[i]);
    }
    const Val *v = call_closure(e, step, &args);
    if (val_is_poison(v)) {
        return NULL;
    }
    const Type *w = arg[0]->node->type;
    const Node *next = is_tensor(v) || val_is_number(v) ? tensor_of(e, v) : NULL;
    if (!next || !type_same_dims(next->type, w) || !dtype_is_float(next->type->dtype)) {
        diag_at(e->diags, DIAG_E0407, step->code.ast->name_span,
                "`step` of `%s` gives %s, and the new value of `%s` is `%s`", inst->module->name,
                val_text(e, v), inst->of->state->path, type_text(e->ir, w));
        return NULL;
    }
    write_states(e, inst, finite);
    return next;
}
