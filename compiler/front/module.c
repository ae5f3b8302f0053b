/* module.c: instances of modules. Members are lazy, then all are forced in order, so that every
 * parameter exists and every constraint is checked (language.md 2.6). Parameters are in param.c. */
#include "elab.h"

enum { MAX_MODULE_DEPTH = 64, MAX_ARRAY = 100000 };

Sym inst_join(Elab *e, Sym a, Sym b)
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

/* ---- arguments ---- */

/* The formal that argument i of a call has, or NULL. */
static Sym argument_name(const Ast *formals, const Ast *call, uint32_t i)
{
    uint32_t position = 0;
    if (call->kid[i]->kind == A_NAMED) {
        return call->kid[i]->name;
    }
    for (uint32_t k = 1; k < i; k++) {
        position += call->kid[k]->kind != A_NAMED;
    }
    return position < formals->nkid ? formals->kid[position]->name : NULL;
}

Args *module_args(Elab *e, Env *env, const Val *module, const Ast *call, const Inst *place)
{
    const Ast *formals = module->code.ast->kid[0];
    Args *args = NEW(e->arena, Args);
    Sym none = sym(e->ir->syms, "");
    Inst *outer = e->place;
    args->call = call->span;
    for (uint32_t i = 1; i < call->nkid; i++) {
        const Ast *a = call->kid[i], *value = a->kind == A_NAMED ? a->kid[0] : a;
        Sym name = argument_name(formals, call, i);
        Inst *here = NEW(e->arena, Inst);
        here->path = inst_join(e, place ? place->path : none, name ? name : none);
        here->key = inst_join(e, place ? place->key : none, name ? name : none);
        here->module = place ? place->module : NULL;
        here->up = place ? place->up : NULL;
        here->loose = true;
        e->place = here;
        args_push(e, args, a->kind == A_NAMED ? a->name : NULL,
                  val_at(e, eval(e, env, value), value->span));
        args->name_span[args->n - 1] = a->kind == A_NAMED ? a->name_span : (Span){0};
    }
    e->place = outer;
    return args;
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
    if (call && val_is_poison(callee)) {
        args_eval(e, env, expr, NULL); /* for their own mistakes */
    }
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
    if (!elab_spend(e, 16 + strlen(inst->path) / 16, expr->span)) {
        return poison(e, expr->span);
    }
    Inst here = *inst;
    here.path = inst_join(e, inst->path, at->name);
    here.key = inst_join(e, inst->key, at->key);
    here.parent = inst;
    Inst *place = COPY_ARRAY(e->arena, Inst, &here, 1);
    Args *args = module_args(e, env, callee, expr, place);
    return module_instantiate(e, callee, args, place, expr);
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
    if (n < 0 || n > MAX_ARRAY) {
        diag_at(e->diags, n < 0 ? DIAG_E0416 : DIAG_E0109, count->span,
                "an array of %lld modules: from 0 to %d are possible", (long long)n, MAX_ARRAY);
        return poison(e, a->span);
    }
    Inst **at = NEW_ARRAY(e->arena, Inst *, n + 1);
    for (int64_t i = 0; i < n; i++) {
        Env *frame = env_new(e, ENV_FRAME, inst->env);
        if (index) {
            env_bind(e, frame, index, val_int(e, i, a->span));
        }
        Sym number = sym_printf(e->ir->syms, "%lld", (long long)i);
        Place place = {inst_join(e, a->name, number),
                       inst_join(e, a->text ? a->text : a->name, number)};
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
    Pending here = {hash_mix(MAP_KEY(inst), MAP_KEY(a)), name, e->pending};
    if (pending_cycle(e, here.key, name, span)) {
        return poison(e, span);
    }
    Graph *g = e->g;
    Inst *place = e->place;
    e->g = NULL;
    e->place = NULL;
    e->pending = &here;
    v = member_value(e, inst, a);
    e->pending = here.up;
    e->place = place;
    e->g = g;
    map_put(inst->members, MAP_KEY(name), (void *)v);
    shapes_note(e, a, name, v);
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

/* ` with H = 32, KV = 7`: the numbers a condition speaks of. */
static void name_numbers(Elab *e, Inst *inst, const Ast *a, StrBuf *sb)
{
    const Val *v = a->kind == A_ID ? env_find(e, inst->env, a->name, a->span) : NULL;
    const char *known = v ? arena_printf(e->arena, " %s = ", a->name) : NULL;
    if (v && val_is_number(v) && !strstr(sb_text(sb), known)) {
        sb_printf(sb, "%s%s%s", sb->n ? "," : " with", known, val_text(e, v));
    }
    for (uint32_t i = 0; i < a->nkid; i++) {
        if (a->kid[i]) {
            name_numbers(e, inst, a->kid[i], sb);
        }
    }
}

static void check_where(Elab *e, Inst *inst, const Ast *a)
{
    bool holds = true;
    if (!eval_bool(e, inst->env, a->kid[0], &holds) || holds) {
        return;
    }
    StrBuf numbers = sb_new(e->arena);
    Span cond = a->kid[0]->span;
    const char *text = diags_text(e->diags, cond.file, NULL) + cond.lo;
    name_numbers(e, inst, a->kid[0], &numbers);
    bool theirs =
        inst->made.file != cond.file; /* who asked for such an instance made the mistake */
    Diag *d = diag_at(e->diags, DIAG_E0404, theirs ? inst->made : cond,
                      "constraint failed: %.*s%s%s%s", (int)(cond.hi - cond.lo), text,
                      sb_text(&numbers), a->text ? ": " : "", a->text ? a->text : "");
    diag_also(d, theirs ? cond : inst->made, theirs ? "the constraint" : "for this instance");
}

/* `base as "key"`: the tensors of an argument get keys under those of this instance. */
static void rekey_argument(Elab *e, Inst *inst, const Ast *a)
{
    const Val *v = map_get(inst->members, MAP_KEY(a->name));
    if (!v || v->kind != V_INSTANCE) {
        Diag *d =
            diag_at(e->diags, DIAG_E0205, a->name_span,
                    "`%s` is no instance among the arguments of `%s`", a->name, inst->module->name);
        diag_help(d, "the key of a part stands in its declaration: `name: Module(..) as \"key\"`");
        return;
    }
    inst_rekey(e, v->inst, inst_join(e, inst->key, a->text));
}

/* The members that exist. Lets and functions come first, so that a condition may use one that stands
 * behind it; constraints wait until everything is declared. */
static void declare_members(Elab *e, Inst *inst, const Ast *members)
{
    for (uint32_t i = 0; i < members->nkid; i++) {
        const Ast *a = members->kid[i];
        if (a->kind == A_LET || a->kind == A_FN) {
            declare(e, inst, a);
        }
    }
    for (uint32_t i = 0; i < members->nkid; i++) {
        const Ast *a = members->kid[i];
        bool c;
        if (a->kind == A_MEMBER_IF) {
            if (eval_bool(e, inst->env, a->kid[0], &c) && a->kid[c ? 1 : 2]) {
                declare_members(e, inst, a->kid[c ? 1 : 2]);
            }
        } else if (a->kind == A_WHERE) {
            VEC_PUSH(e->arena, &inst->wheres, a);
        } else if (a->kind == A_REKEY) {
            rekey_argument(e, inst, a);
        } else if (a->kind != A_ERROR && a->kind != A_LET && a->kind != A_FN) {
            declare(e, inst, a);
        }
    }
}

/* Linear(In, Out) with parameters `weight`, `bias?` */
static const char *signature_text(Elab *e, const Inst *inst)
{
    StrBuf sb = sb_new(e->arena);
    const Ast *formals = inst->module->kid[0];
    sb_printf(&sb, "%s(", inst->module->name);
    for (uint32_t i = 0; i < formals->nkid; i++) {
        sb_printf(&sb, "%s%s", i ? ", " : "", formals->kid[i]->name);
    }
    sb_puts(&sb, ")");
    const char *with = " with parameters";
    for (uint32_t i = 0; i < map_count(inst->pending); i++) {
        const Ast *a = map_value_at(inst->pending, i);
        if (a->kind == A_PARAM || a->kind == A_BUFFER) {
            sb_printf(&sb, "%s `%s%s`", with, a->name, type_is_optional(a->kid[0]) ? "?" : "");
            with = ",";
        }
    }
    return sb_text(&sb);
}

/* Named arguments that are no formals must name parameters. */
static void check_overrides(Elab *e, Inst *inst, const Args *args)
{
    for (uint32_t i = 0; i < args->n; i++) {
        Sym name = args->name[i];
        const Ast *a = name ? map_get(inst->pending, MAP_KEY(name)) : NULL;
        if (!name || !map_get(inst->args, MAP_KEY(name)) ||
            (a && (a->kind == A_PARAM || a->kind == A_BUFFER))) {
            continue;
        }
        Span span = args->name_span[i].file ? args->name_span[i] : args->at[i]->span;
        Diag *d = diag_at(e->diags, DIAG_E0302, span, "`%s` has no argument or parameter `%s`",
                          inst->module->name, name);
        diag_note(d, "%s", signature_text(e, inst));
        Sym near = sym_nearest(name, inst->names.at, inst->names.n);
        if (near) {
            diag_fix(d, span, near, "a similar name exists");
        }
    }
}

/* Splits the arguments: formals go to `formal`, the rest to inst->args. */
static bool split_args(Elab *e, Inst *inst, Args *args, const Val **formal)
{
    const Ast *formals = inst->module->kid[0];
    Args own = {.call = args->call};
    for (uint32_t i = 0; i < args->n; i++) {
        bool is_formal = !args->name[i];
        for (uint32_t k = 0; k < formals->nkid; k++) {
            is_formal = is_formal || formals->kid[k]->name == args->name[i];
        }
        if (is_formal) {
            args_push(e, &own, args->name[i], args->at[i]);
            own.name_span[own.n - 1] = args->name_span[i];
        } else if (map_get(inst->args, MAP_KEY(args->name[i]))) {
            diag_at(e->diags, DIAG_E0303, args->at[i]->span, "`%s` gets `%s` twice",
                    inst->module->name, args->name[i]);
        } else {
            map_put(inst->args, MAP_KEY(args->name[i]), (void *)args->at[i]);
        }
    }
    return args_bind(e, formals, &own, formal, name_quoted(e, inst->module->name));
}

/* What a formal without a type takes: what its default is, else a number. */
static const char *untyped_kind(const Val *missing)
{
    VKind k = missing ? missing->kind : V_INT;
    return k == V_INT || k == V_REAL || k == V_PERCENT           ? "a number"
           : k == V_CLOSURE || k == V_BUILTIN || k == V_INSTANCE ? "a function"
           : k == V_BOOL                                         ? "a bool"
           : k == V_STR                                          ? "a string"
           : k == V_TUPLE || k == V_LIST                         ? "a list"
           : k == V_MODULE                                       ? "a module"
                                                                 : NULL;
}

static const Val *accept_formal(Elab *e, Inst *inst, const Ast *f, const Val *v, const Val *missing)
{
    const char *const what[] = {"argument `", f->name, "` of `", inst->module->name, "`"};
    if (f->kid[0]) {
        return sig_accept(e, env_new(e, ENV_FRAME, inst->env), f->kid[0], v,
                          arena_join(e->arena, what, COUNT(what)));
    }
    const char *want = untyped_kind(missing), *got = untyped_kind(v);
    if (!want || v == missing || val_is_poison(v) || (got && strcmp(want, got) == 0)) {
        return v;
    }
    diag_at(e->diags, DIAG_E0205, v->span, "%s: expected %s, got %s",
            arena_join(e->arena, what, COUNT(what)), want, val_text(e, v));
    return poison(e, v->span);
}

/* Does a member of that name exist, in some variant of the module? */
static bool module_has(const Ast *members, Sym name)
{
    bool has = false;
    for (uint32_t i = 0; members && i < members->nkid && !has; i++) {
        const Ast *a = members->kid[i];
        has = a->kind == A_MEMBER_IF ? module_has(a->kid[1], name) || module_has(a->kid[2], name)
                                     : a->name == name;
    }
    return has;
}

/* A formal is missing, and an argument of a similar name is none: `Net(out: 3)` for `Out`. */
static bool misspelt(Elab *e, Inst *inst, const Ast *f, const Args *args)
{
    for (uint32_t i = 0; i < args->n; i++) {
        Sym name = args->name[i];
        if (!name || !args->name_span[i].file || sym_nearest(name, &f->name, 1) != f->name ||
            module_has(inst->module->kid[1], name)) {
            continue;
        }
        Diag *d = diag_at(e->diags, DIAG_E0302, args->name_span[i],
                          "`%s` has no argument or parameter `%s`", inst->module->name, name);
        diag_fix(d, args->name_span[i], f->name, "an argument with a similar name exists");
        return true;
    }
    return false;
}

static bool bind_formals(Elab *e, Inst *inst, Args *args)
{
    const Ast *formals = inst->module->kid[0];
    const Val **formal = NEW_ARRAY(e->arena, const Val *, formals->nkid + 1);
    bool ok = true;
    if (!split_args(e, inst, args, formal)) {
        return false;
    }
    for (uint32_t i = 0; i < formals->nkid; i++) {
        const Ast *f = formals->kid[i];
        const Val *missing = f->kid[1] ? eval(e, inst->env, f->kid[1]) : NULL;
        const Val *bound = optimizer_shape(e, inst, f);
        missing = bound ? bound : missing;
        const Val *v = formal[i] ? formal[i] : missing;
        if (!v && !type_is_optional(f->kid[0]) && misspelt(e, inst, f, args)) {
            v = poison(e, args->call);
        } else if (!v && !type_is_optional(f->kid[0])) {
            Diag *d = diag_at(e->diags, DIAG_E0303, args->call, "missing argument `%s` of `%s`",
                              f->name, inst->module->name);
            diag_also(d, f->span, "it has no default");
            v = poison(e, args->call);
        }
        v = v ? accept_formal(e, inst, f, v, missing) : val_none(e, f->span);
        map_put(inst->members, MAP_KEY(f->name), (void *)v);
        shapes_note(e, f, f->name, v);
        VEC_PUSH(e->arena, &inst->names, f->name);
        if (v->kind == V_INSTANCE && v->inst->loose) { /* made for this one: a part of it */
            v->inst->loose = false;
            v->inst->parent = inst;
            VEC_PUSH(e->arena, &inst->subs, v->inst);
        }
        ok = ok && !val_is_poison(v);
    }
    return ok;
}

/* True after E0206 with the cycle, or E0109. */
static bool contains_itself(Elab *e, const Inst *inst, Span span)
{
    const Inst *outer = inst->up;
    uint32_t depth = 0;
    for (; outer && outer->module != inst->module; outer = outer->up) {
        depth++;
    }
    if (outer && outer->module) {
        const char *cycle = inst->module->name;
        for (const Inst *i = inst->up; i != outer->up; i = i->up) {
            cycle = arena_printf(e->arena, "%s → %s", i->module->name, cycle);
        }
        diag_at(e->diags, DIAG_E0206, span, "`%s` contains itself: %s", inst->module->name, cycle);
    } else if (depth > MAX_MODULE_DEPTH) {
        diag_at(e->diags, DIAG_E0109, span, "modules are nested more than %d deep",
                MAX_MODULE_DEPTH);
    }
    return (outer && outer->module) || depth > MAX_MODULE_DEPTH;
}

static const Val *instantiate(Elab *e, const Val *module, Args *args, Inst *up, const Ast *decl)
{
    Inst *inst = NEW(e->arena, Inst);
    Span span = decl ? decl->span : args->call;
    uint32_t errors = diags_reported(e->diags);
    inst->module = module->code.ast;
    map_put(e->front->called, MAP_KEY(inst->module), (void *)inst->module);
    inst->made = span;
    inst->up = up;
    inst->loose = up && up->loose;
    inst->parent = up ? up->parent : NULL;
    inst->of = up ? up->of : NULL;
    inst->path = up ? up->path : e->prefix ? e->prefix : sym(e->ir->syms, "");
    inst->key = up ? up->key : sym(e->ir->syms, "");
    inst->members = map_new(e->arena);
    inst->pending = map_new(e->arena);
    inst->args = map_new(e->arena);
    inst->env = env_new(e, ENV_INSTANCE, module->code.env);
    inst->env->inst = inst;
    if (contains_itself(e, inst, span) || !bind_formals(e, inst, args)) {
        return poison(e, span);
    }
    declare_members(e, inst, inst->module->kid[1]);
    for (uint32_t i = 0; i < inst->wheres.n; i++) {
        check_where(e, inst, inst->wheres.at[i]);
    }
    check_overrides(e, inst, args);
    for (uint32_t i = 0; i < map_count(inst->pending) && elab_spend(e, 1, span); i++) {
        inst_member(e, inst, (Sym)(uintptr_t)map_key_at(inst->pending, i), span);
    }
    if (diags_reported(e->diags) > errors) {
        return poison(e, span);
    }
    if (inst->parent) {
        VEC_PUSH(e->arena, &inst->parent->subs, inst);
    }
    Val *v = val_new(e, V_INSTANCE, span);
    v->inst = inst;
    return v;
}

const Val *module_instantiate(Elab *e, const Val *module, Args *args, Inst *up, const Ast *decl)
{
    Span outer = diags_call(e->diags, args->call);
    const Val *v = instantiate(e, module, args, up, decl);
    diags_return(e->diags, outer);
    return v;
}
