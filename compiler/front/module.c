/* module.c: instances of modules. Members are lazy, then all are forced in order, so that every
 * parameter exists and every constraint is checked. Paths name tensors for people, keys for files;
 * `as "..."` replaces a component of the key, "" removes it (language.md 2.6). */
#include "elab.h"

static Sym join(Elab *e, Sym a, Sym b)
{
    return !a[0] ? b : !b[0] ? a : sym_printf(e->ir->syms, "%s.%s", a, b);
}

const char *inst_text(Elab *e, const Inst *inst)
{
    StrBuf sb = sb_new(e->arena);
    sb_printf(&sb, "%s%s%s(", inst->path, inst->path[0] ? " = " : "", inst->module->name);
    const Ast *formals = inst->module->kid[0];
    for (uint32_t i = 0; i < formals->nkid; i++) {
        const Val *v = map_get(inst->members, MAP_KEY(formals->kid[i]->name));
        sb_printf(&sb, "%s%s: %s", i ? ", " : "", formals->kid[i]->name, v ? val_text(e, v) : "?");
    }
    sb_putc(&sb, ')');
    return sb_text(&sb);
}

/* ---- parameters ---- */

static bool init_from_record(Elab *e, const Val *record, Init *out)
{
    static const struct {
        const char *name;
        InitKind kind;
        bool argument, needed;
        double missing;
    } kinds[] = {
        {"zeros", INIT_ZEROS, false, false, 0},
        {"ones", INIT_ONES, false, false, 0},
        {"constant", INIT_CONSTANT, true, true, 0},
        {"normal", INIT_NORMAL, true, true, 0},
        {"truncated", INIT_TRUNCATED, true, true, 0},
        {"uniform", INIT_UNIFORM, true, true, 0},
        {"kaiming_uniform", INIT_KAIMING_UNIFORM, true, false, 2.23606797749979},
        {"xavier_uniform", INIT_XAVIER_UNIFORM, false, false, 0},
    };
    for (size_t i = 0; record->kind == V_RECORD && i < COUNT(kinds); i++) {
        if (strcmp(record_name(record), kinds[i].name) != 0) {
            continue;
        }
        const Val *v = kinds[i].argument ? record_arg(e, record, 0, "a") : NULL;
        *out = (Init){kinds[i].kind, kinds[i].missing};
        if ((v && !val_as_double(v, &out->a)) || (!v && kinds[i].needed)) {
            diag_at(e->diags, DIAG_E0303, record->span, "`%s` takes one number", kinds[i].name);
            return false;
        }
        return true;
    }
    if (!val_is_poison(record)) {
        diag_at(e->diags, DIAG_E0205, record->span, "expected an initialiser, got %s",
                val_text(e, record));
    }
    return false;
}

static bool constant_dims(Elab *e, const Type *t, Span span)
{
    int64_t v;
    for (uint32_t i = 0; i < t->rank; i++) {
        if (!dim_is_const(t->dims[i], &v)) {
            diag_at(e->diags, DIAG_E0401, span, "a parameter needs constant dimensions, got `%s`",
                    type_text(e->ir, t));
            return false;
        }
    }
    return true;
}

/* A parameter of its own: a state of the program. */
static const Val *param_new(Elab *e, Inst *inst, const Ast *a, const Type *type, const Init *init)
{
    State proto = {.kind = a->kind == A_BUFFER ? SK_BUFFER : SK_PARAM,
                   .path = join(e, inst->path, a->name),
                   .key = join(e, inst->key, a->text ? a->text : a->name),
                   .type = type,
                   .init = *init,
                   .span = a->span};
    Param *same = map_get(e->keys, MAP_KEY(proto.key));
    if (same) {
        Diag *d =
            diag_at(e->diags, DIAG_E0306, a->span, "two tensors have the key `%s`", proto.key);
        diag_also(d, same->span, "the other one is `%s`", same->state->path);
        return poison(e, a->span);
    }
    Param *p = NEW(e->arena, Param);
    p->state = program_state(e->program, &proto);
    p->span = a->span;
    map_put(e->keys, MAP_KEY(proto.key), p);
    Val *v = val_new(e, V_PARAM, a->span);
    v->param = p;
    return v;
}

static const Val *tie(Elab *e, const Ast *a, const Val *other, const Type *type)
{
    if (other->param->state->type != type) {
        diag_at(e->diags, DIAG_E0310, other->span, "cannot tie `%s` of `%s` to `%s`", a->name,
                type_text(e->ir, type), type_text(e->ir, other->param->state->type));
        return poison(e, other->span);
    }
    return other;
}

static const Val *param_value(Elab *e, Inst *inst, const Ast *a)
{
    bool optional = type_is_optional(a->kid[0]);
    const Val *given = map_get(inst->args, MAP_KEY(a->name));
    if (given && given->kind == V_NONE) {
        if (!optional) {
            diag_at(e->diags, DIAG_E0304, given->span, "parameter `%s` of `%s` is not optional",
                    a->name, inst->module->name);
        }
        return given;
    }
    Env *frame = env_new(e, ENV_FRAME, inst->env);
    const Type *type = sig_type(e, frame, optional ? a->kid[0]->kid[0] : a->kid[0]);
    if (!type || !constant_dims(e, type, a->span)) {
        return poison(e, a->span);
    }
    if (given && given->kind == V_PARAM) {
        return tie(e, a, given, type);
    }
    if (!given && !a->kid[1]) {
        diag_at(e->diags, DIAG_E0308, a->span, "`%s` has no initialiser",
                join(e, inst->path, a->name));
        return poison(e, a->span);
    }
    Init init;
    const Val *record = given ? given : eval(e, inst->env, a->kid[1]);
    return init_from_record(e, record, &init) ? param_new(e, inst, a, type, &init)
                                              : poison(e, a->span);
}

/* ---- submodules ---- */

/* What a declaration contributes: its name and key component, with an array index. */
typedef struct Place {
    Sym name, key;
} Place;

static const Val *sub_instance(Elab *e, Inst *inst, Env *env, const Ast *expr, const Place *at)
{
    bool call = expr->kind == A_CALL;
    const Val *callee = eval(e, env, call ? expr->kid[0] : expr);
    if (callee->kind == V_INSTANCE || val_is_poison(callee)) {
        return callee;
    }
    if (callee->kind != V_MODULE || !call) {
        Diag *d = diag_at(e->diags, DIAG_E0301, expr->span, "%s is not a module instance",
                          val_text(e, callee));
        if (callee->kind == V_MODULE) {
            diag_help(d, "instantiate it: `%s(..)`", callee->code.ast->name);
        }
        return poison(e, expr->span);
    }
    Inst here = *inst;
    here.path = join(e, inst->path, at->name);
    here.key = join(e, inst->key, at->key);
    Inst *parent = COPY_ARRAY(e->arena, Inst, &here, 1);
    return module_instantiate(e, callee, args_eval(e, env, expr, NULL), parent, expr);
}

static const Val *sub_value(Elab *e, Inst *inst, const Ast *a)
{
    Place at = {a->name, a->text ? a->text : a->name};
    return sub_instance(e, inst, inst->env, a->kid[0], &at);
}

/* name[N] and name[i < N]. */
static const Val *array_value(Elab *e, Inst *inst, const Ast *a)
{
    const Ast *count = a->kid[0];
    Sym index = NULL;
    if (count->kind == A_CMP && strcmp(count->text, "<") == 0 && count->kid[0]->kind == A_ID) {
        index = count->kid[0]->name;
        count = count->kid[1];
    }
    int64_t n;
    if (!eval_const_int(e, inst->env, count, &n)) {
        return poison(e, a->span);
    }
    if (n < 0 || n > 100000) {
        diag_at(e->diags, DIAG_E0416, count->span, "an array of %lld modules", (long long)n);
        return poison(e, a->span);
    }
    Inst **at = NEW_ARRAY(e->arena, Inst *, n + 1);
    for (int64_t i = 0; i < n; i++) {
        Env *frame = env_new(e, ENV_FRAME, inst->env);
        if (index) {
            env_bind(e, frame, index, val_int(e, i, a->span));
        }
        Sym number = sym_printf(e->ir->syms, "%lld", (long long)i);
        Place place = {join(e, a->name, number), join(e, a->text ? a->text : a->name, number)};
        const Val *v = sub_instance(e, inst, frame, a->kid[1], &place);
        if (v->kind != V_INSTANCE) {
            return v;
        }
        at[i] = v->inst;
    }
    Val *v = val_new(e, V_ARRAY, a->span);
    v->array.n = (uint32_t)n;
    v->array.at = at;
    return v;
}

/* ---- optimizer states ---- */

/* `state m: [..]` of an optimizer: one tensor of the parameter's shape, zero at first. */
static const Val *state_value(Elab *e, Inst *inst, const Ast *a)
{
    if (!inst->of) {
        diag_at(e->diags, DIAG_E0199, a->span, "`state` is supported in optimizers only, so far");
        return poison(e, a->span);
    }
    const State *w = inst->of->state;
    Env *frame = env_new(e, ENV_FRAME, inst->env);
    Pack *p = NEW(e->arena, Pack);
    p->n = w->type->rank;
    for (uint32_t i = 0; i < p->n; i++) {
        p->dims[i] = w->type->dims[i];
    }
    map_put(frame->packs, MAP_KEY(sym(e->ir->syms, "..")), p);
    State proto = {.kind = SK_OPT,
                   .path = join(e, w->path, a->name),
                   .type = sig_type(e, frame, a->kid[0]),
                   .of = w->id,
                   .span = a->span};
    if (!proto.type) {
        return poison(e, a->span);
    }
    OptState *s = NEW(e->arena, OptState);
    s->state = program_state(e->program, &proto);
    Val *v = val_new(e, V_STATE, a->span);
    v->state = s;
    return v;
}

const Val *optimizer_instantiate(Elab *e, const Val *module, Args *args, const Param *p)
{
    Inst *parent = NEW(e->arena, Inst);
    parent->path = p->state->path;
    parent->key = sym(e->ir->syms, "");
    parent->of = p;
    return module_instantiate(e, module, args, parent, NULL);
}

/* ---- members ---- */

static const Val *member_value(Elab *e, Inst *inst, const Ast *a)
{
    if (a->kind == A_LET) {
        return eval(e, inst->env, a->kid[0]);
    }
    if (a->kind == A_PARAM || a->kind == A_BUFFER) {
        return param_value(e, inst, a);
    }
    if (a->kind == A_SUB) {
        return sub_value(e, inst, a);
    }
    if (a->kind == A_ARRAY) {
        return array_value(e, inst, a);
    }
    if (a->kind == A_STATE) {
        return state_value(e, inst, a);
    }
    Val *v = val_new(e, V_CLOSURE, a->span);
    v->code.ast = a;
    v->code.env = inst->env;
    return v;
}

const Val *inst_member(Elab *e, Inst *inst, Sym name, Span span)
{
    const Val *v = map_get(inst->members, MAP_KEY(name));
    if (v) {
        return v;
    }
    const Ast *a = map_get(inst->pending, MAP_KEY(name));
    if (!a) {
        return NULL;
    }
    uint64_t busy = hash_mix(MAP_KEY(inst), MAP_KEY(a));
    if (map_get(e->busy, busy)) {
        diag_at(e->diags, DIAG_E0206, span, "`%s` is defined in terms of itself", name);
        return poison(e, span);
    }
    map_put(e->busy, busy, inst);
    Graph *g = e->g;
    e->g = NULL;
    v = member_value(e, inst, a);
    e->g = g;
    map_put(inst->members, MAP_KEY(name), (void *)v);
    return v;
}

static void declare(Elab *e, Inst *inst, const Ast *a)
{
    if (map_get(inst->pending, MAP_KEY(a->name)) || map_get(inst->members, MAP_KEY(a->name))) {
        diag_at(e->diags, DIAG_E0202, a->span, "`%s` is defined twice in `%s`", a->name,
                inst->module->name);
        return;
    }
    map_put(inst->pending, MAP_KEY(a->name), (void *)a);
    VEC_PUSH(e->arena, &inst->names, a->name);
}

static void check_where(Elab *e, Inst *inst, const Ast *a)
{
    bool holds = true;
    if (eval_bool(e, inst->env, a->kid[0], &holds) && !holds) {
        Diag *d = diag_at(e->diags, DIAG_E0404, a->span, "constraint failed%s%s",
                          a->text ? ": " : "", a->text ? a->text : "");
        diag_note(d, "in %s", inst_text(e, inst));
    }
}

static void declare_members(Elab *e, Inst *inst, const Ast *members)
{
    for (uint32_t i = 0; i < members->nkid; i++) {
        const Ast *a = members->kid[i];
        bool c;
        if (a->kind == A_MEMBER_IF) {
            if (eval_bool(e, inst->env, a->kid[0], &c) && a->kid[c ? 1 : 2]) {
                declare_members(e, inst, a->kid[c ? 1 : 2]);
            }
        } else if (a->kind == A_WHERE) {
            check_where(e, inst, a);
        } else if (a->kind == A_REKEY) {
            diag_at(e->diags, DIAG_E0199, a->span, "re-keying an instance is not supported yet");
        } else if (a->kind != A_ERROR) {
            declare(e, inst, a);
        }
    }
}

/* Named arguments that are no formals must name parameters. */
static void check_overrides(Elab *e, Inst *inst)
{
    for (uint32_t i = 0; i < map_count(inst->args); i++) {
        Sym name = (Sym)(uintptr_t)map_key_at(inst->args, i);
        const Val *v = map_value_at(inst->args, i);
        const Ast *a = map_get(inst->pending, MAP_KEY(name));
        if (a && (a->kind == A_PARAM || a->kind == A_BUFFER)) {
            continue;
        }
        Diag *d = diag_at(e->diags, DIAG_E0302, v->span, "`%s` has no argument or parameter `%s`",
                          inst->module->name, name);
        Sym near = sym_nearest(name, inst->names.at, inst->names.n);
        if (near) {
            diag_help(d, "a parameter with a similar name exists: `%s`", near);
        }
    }
}

/* Splits the arguments: formals go to `formal`, the rest to inst->args. */
static bool split_args(Elab *e, Inst *inst, Args *args, const Val **formal)
{
    const Ast *formals = inst->module->kid[0];
    Args own = {.call = args->call};
    own.at = NEW_ARRAY(e->arena, const Val *, args->n + 1);
    own.name = NEW_ARRAY(e->arena, Sym, args->n + 1);
    for (uint32_t i = 0; i < args->n; i++) {
        bool is_formal = !args->name[i];
        for (uint32_t k = 0; k < formals->nkid; k++) {
            is_formal = is_formal || formals->kid[k]->name == args->name[i];
        }
        if (is_formal) {
            own.at[own.n] = args->at[i];
            own.name[own.n++] = args->name[i];
        } else {
            map_put(inst->args, MAP_KEY(args->name[i]), (void *)args->at[i]);
        }
    }
    return args_bind(e, formals, &own, formal, arena_printf(e->arena, "`%s`", inst->module->name));
}

static bool bind_formals(Elab *e, Inst *inst, Args *args)
{
    const Ast *formals = inst->module->kid[0];
    const Val **formal = NEW_ARRAY(e->arena, const Val *, formals->nkid + 1);
    if (!split_args(e, inst, args, formal)) {
        return false;
    }
    for (uint32_t i = 0; i < formals->nkid; i++) {
        const Ast *f = formals->kid[i];
        const Val *v = formal[i] ? formal[i] : f->kid[1] ? eval(e, inst->env, f->kid[1]) : NULL;
        if (!v && !type_is_optional(f->kid[0])) {
            diag_at(e->diags, DIAG_E0303, args->call, "missing argument `%s` of `%s`", f->name,
                    inst->module->name);
            v = poison(e, args->call);
        }
        map_put(inst->members, MAP_KEY(f->name), (void *)(v ? v : &VAL_NONE));
        VEC_PUSH(e->arena, &inst->names, f->name);
        if (v && val_is_poison(v)) {
            return false;
        }
    }
    return true;
}

const Val *module_instantiate(Elab *e, const Val *module, Args *args, Inst *up, const Ast *decl)
{
    Inst *inst = NEW(e->arena, Inst);
    Span span = decl ? decl->span : args->call;
    uint32_t errors = diags_reported(e->diags), depth = 0;
    inst->module = module->code.ast;
    inst->up = up;
    inst->of = up ? up->of : NULL;
    inst->path = up ? up->path : sym(e->ir->syms, "");
    inst->key = up ? up->key : sym(e->ir->syms, "");
    inst->members = map_new(e->arena);
    inst->pending = map_new(e->arena);
    inst->args = map_new(e->arena);
    inst->env = env_new(e, ENV_INSTANCE, module->code.env);
    inst->env->inst = inst;
    for (const Inst *i = up; i; i = i->up) {
        depth++;
    }
    if (depth > 64) {
        diag_at(e->diags, DIAG_E0206, span, "`%s` contains itself", inst->module->name);
        return poison(e, span);
    }
    if (!bind_formals(e, inst, args)) {
        return poison(e, span);
    }
    declare_members(e, inst, inst->module->kid[1]);
    check_overrides(e, inst);
    for (uint32_t i = 0; i < map_count(inst->pending); i++) {
        inst_member(e, inst, (Sym)(uintptr_t)map_key_at(inst->pending, i), span);
    }
    if (diags_reported(e->diags) > errors) {
        return poison(e, span);
    }
    Val *v = val_new(e, V_INSTANCE, span);
    v->inst = inst;
    return v;
}
