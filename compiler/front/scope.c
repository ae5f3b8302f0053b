/* scope.c: names. A chain of scopes: function frames, the instance they belong to, the file, the
 * standard library. Top-level items and instance members are lazy: evaluated when first used, so
 * their order in the text does not matter and a cycle is found where it closes. */
#include "blocks.h"

enum { FEW_LOCALS = 16, SUGGESTED_ERRORS = 50 };

Env *env_new(Elab *e, EnvKind kind, Env *up)
{
    Env *env = NEW(e->arena, Env);
    env->kind = kind;
    env->up = up;
    return env;
}

void env_bind(Elab *e, Env *env, Sym name, const Val *v)
{
    ASSERT(env->kind == ENV_FRAME);
    Binding b = {name, v};
    VEC_PUSH(e->arena, &env->locals, b);
    if (env->locals.n <= FEW_LOCALS) {
        return;
    }
    uint32_t first = env->locals.n - 1;
    if (!env->index) {
        env->index = map_new(e->arena);
        first = 0;
    }
    for (uint32_t i = first; i < env->locals.n; i++) {
        map_put(env->index, MAP_KEY(env->locals.at[i].name), (void *)((uintptr_t)i + 1));
    }
}

void env_unbind(Env *env, uint32_t n)
{
    ASSERT(n <= env->locals.n);
    env->locals.n = n;
}

static const Val *frame_find(const Env *env, Sym name)
{
    if (env->index) {
        uintptr_t at = (uintptr_t)map_get(env->index, MAP_KEY(name));
        if (!at || (at <= env->locals.n && env->locals.at[at - 1].name == name)) {
            return at ? env->locals.at[at - 1].value : NULL;
        }
    } /* else few, or it was unbound: an earlier binding may be there */
    for (uint32_t i = env->locals.n; i-- > 0;) {
        if (env->locals.at[i].name == name) {
            return env->locals.at[i].value;
        }
    }
    return NULL;
}

const Val *env_local(const Env *env, Sym name)
{
    for (; env && env->kind == ENV_FRAME; env = env->up) {
        const Val *v = frame_find(env, name);
        if (v) {
            return v;
        }
    }
    return NULL;
}

Item *file_item(const File *f, Sym name)
{
    return map_get(f->values, MAP_KEY(name));
}

Item *file_action(const File *f, Sym name)
{
    return map_get(f->actions, MAP_KEY(name));
}

static const Val *code_value(Elab *e, VKind kind, const Item *item)
{
    Val *v = val_new(e, kind, item->ast->span);
    v->code.ast = item->ast;
    v->code.env = item->file->env;
    return v;
}

/* Files have room for one model with a key. */
static void check_all_keys(Elab *e, const Item *item, uint32_t first)
{
    bool twice = false;
    for (uint32_t i = first; i < e->program->states.n; i++) {
        State *s = e->program->states.at[i];
        twice = twice || (s->key && map_get(e->all_keys, MAP_KEY(s->key)));
        if (s->key) {
            map_put(e->all_keys, MAP_KEY(s->key), s);
        }
    }
    if (twice) {
        not_yet(e, item->ast->name_span, "a program with two models of the same keys");
    }
}

static const Val *build_model(Elab *e, const Item *item, Sym prefix)
{
    Map *outside = e->keys;
    const Ast *outer = e->model;
    Sym before = e->prefix;
    e->keys = map_new(e->arena); /* keys are distinct within a model */
    e->model = item->ast;
    e->prefix = prefix;
    const Val *v = eval(e, item->file->env, item->ast->kid[2]);
    e->model = outer;
    e->keys = outside;
    e->prefix = before;
    if (v->kind == V_INSTANCE) {
        map_put(e->models, MAP_KEY(v->inst), (void *)item);
    }
    return v;
}

const Val *model_copy(Elab *e, const Item *item, Sym prefix)
{
    Graph *g = e->g;
    e->g = NULL;
    const Val *v = build_model(e, item, prefix);
    e->g = g;
    return v;
}

/* `model m = M(..)`: one instance per program. */
static const Val *model_value(Elab *e, const Item *item)
{
    const Ast *value = item->ast->kid[2];
    if (!value) {
        diag_at(e->diags, DIAG_E0803, item->ast->name_span,
                "model `%s` needs a value: `model %s = Module(..)`", item->name, item->name);
        return poison(e, item->ast->span);
    }
    if (item->ast->kid[1]) {
        diag_at(e->diags, DIAG_E0107, item->ast->kid[1]->span, "a model takes no arguments");
        return poison(e, item->ast->span);
    }
    uint32_t first = e->program->states.n;
    e->root = e->root ? e->root : item;
    const Val *v = build_model(
        e, item, e->root == item ? NULL : sym_printf(e->ir->syms, "model(%s)", item->name));
    check_all_keys(e, item, first);
    if (v->kind != V_INSTANCE && !val_is_poison(v)) {
        diag_at(e->diags, DIAG_E0205, value->span, "a model is a module instance, got %s",
                val_text(e, v));
        return poison(e, value->span);
    }
    if (v->kind == V_INSTANCE && !loads_check(e, item->file->env, item->ast, v, first)) {
        return poison(e, item->ast->span);
    }
    return v;
}

static const Val *item_evaluate(Elab *e, const Item *item)
{
    const Ast *a = item->ast;
    if (a->kind == A_LET) {
        return eval(e, item->file->env, a->kid[0]);
    }
    if (a->kind == A_IMPORT) {
        Val *v = val_new(e, V_FILE, a->span);
        v->file = item->file;
        return v;
    }
    if (a->kind == A_FN || a->kind == A_OP) {
        return code_value(e, V_CLOSURE, item);
    }
    if (a->kind == A_MODULE) {
        return code_value(e, V_MODULE, item);
    }
    ASSERT(a->kind == A_BLOCK);
    return strcmp(a->text, "model") == 0 ? model_value(e, item) : code_value(e, V_BLOCK, item);
}

bool pending_cycle(Elab *e, uint64_t key, Sym name, Span span)
{
    const Pending *p = e->pending;
    while (p && p->key != key) {
        p = p->up;
    }
    if (!p) {
        return false;
    }
    const char *cycle = name;
    for (const Pending *q = e->pending; q != p; q = q->up) {
        cycle = arena_printf(e->arena, "%s → %s", q->name, cycle);
    }
    diag_at(e->diags, DIAG_E0206, span, "`%s` is defined in terms of itself: %s → %s", name, name,
            cycle);
    return true;
}

const Val *item_value(Elab *e, const Item *item, Span span)
{
    const Val *known = map_get(e->memo, MAP_KEY(item->ast));
    if (known) {
        return known;
    }
    Pending here = {MAP_KEY(item->ast), item->name, e->pending};
    if (pending_cycle(e, here.key, item->name, span)) {
        return poison(e, span);
    }
    /* a model is built outside of any graph: its parameters are states of the program */
    Graph *g = e->g;
    Inst *place = e->place;
    e->g = NULL;
    e->place = NULL;
    e->pending = &here;
    const Val *v = item_evaluate(e, item);
    e->pending = here.up;
    e->place = place;
    e->g = g;
    map_put(e->memo, MAP_KEY(item->ast), (void *)v);
    shapes_note(e, item->ast, item->name, v);
    return v;
}

static const Val *file_find(Elab *e, const File *f, Sym name, Span span)
{
    Item *item = file_item(f, name);
    return item ? item_value(e, item, span) : NULL;
}

/* `mode`, or one by name. Instances and lets are evaluated once, for all modes. */
static const Val *mode_value(Elab *e, Sym name, Span span)
{
    Val *v = val_new(e, V_MODE, span);
    if (mode_find(name, &v->mode)) {
        return v;
    }
    v->mode = mode_here(e);
    if (!e->g && !e->at_data) {
        diag_at(e->diags, DIAG_E0307, span, "`mode` is known only inside functions");
        return poison(e, span);
    }
    return v;
}

/* How far a stage is: scalars of the argument block. */
static const Val *progress_value(Elab *e, Sym name, Span span)
{
    if (!e->g) {
        diag_at(e->diags, DIAG_E0205, span, "`%s` is known only at run time", name);
        return poison(e, span);
    }
    return val_node(e, graph_slot(e->g, name, name[0] == 's' ? DT_I32 : DT_F32), span);
}

static const Val *builtin_value(Elab *e, const Env *env, Sym name, Span span)
{
    const Builtin *b = map_get(e->front->builtins, MAP_KEY(name));
    DType dt;
    Mode mode;
    Val *v;
    if (b) {
        v = val_new(e, V_BUILTIN, span);
        v->builtin = b;
        return v;
    }
    bool generic = strcmp(name, "float") == 0;
    if (generic || dtype_find(name, &dt)) {
        v = val_new(e, V_DTYPE, span);
        v->dtype = generic ? env_float(e, env) : dt;
        return v;
    }
    if (strcmp(name, "pi") == 0) {
        return val_real(e, 3.14159265358979323846, span);
    }
    if (strcmp(name, "mode") == 0 || mode_find(name, &mode)) {
        return mode_value(e, name, span);
    }
    if (strcmp(name, "step") == 0 || strcmp(name, "progress") == 0) {
        return progress_value(e, name, span);
    }
    return NULL;
}

const Val *env_find(Elab *e, Env *env, Sym name, Span span)
{
    const Env *here = env;
    for (; env; env = env->up) {
        const Val *v = NULL;
        if (env->kind == ENV_FRAME) {
            v = frame_find(env, name);
        } else if (env->kind == ENV_INSTANCE) {
            v = inst_member(e, env->inst, name, span);
        } else {
            v = file_find(e, env->file, name, span);
        }
        if (v) {
            return v;
        }
    }
    return builtin_value(e, here, name, span);
}

typedef VEC(Sym) Names;

static void collect_names(Elab *e, const Env *env, Names *names)
{
    for (; env; env = env->up) {
        for (uint32_t i = 0; env->kind == ENV_FRAME && i < env->locals.n; i++) {
            VEC_PUSH(e->arena, names, env->locals.at[i].name);
        }
        for (uint32_t i = 0; env->inst && i < env->inst->names.n; i++) {
            VEC_PUSH(e->arena, names, env->inst->names.at[i]);
        }
        for (uint32_t i = 0; env->file && i < env->file->names.n; i++) {
            if (file_item(env->file, env->file->names.at[i])) {
                VEC_PUSH(e->arena, names, env->file->names.at[i]);
            }
        }
    }
    const Map *builtins = e->front->builtins;
    for (uint32_t i = 0; i < map_count(builtins); i++) {
        const Builtin *b = map_value_at(builtins, i);
        VEC_PUSH(e->arena, names, sym(e->ir->syms, b->name));
    }
}

/* Comparing with every name takes long, and nobody reads the hundredth suggestion. */
void env_suggest(Elab *e, const Env *env, Sym name, Span span, Diag *d)
{
    if (diags_reported(e->diags) > SUGGESTED_ERRORS) {
        return;
    }
    Names names = {0};
    collect_names(e, env, &names);
    Sym near = sym_nearest(name, names.at, names.n);
    if (near) {
        diag_fix(d, span, near, "a similar name exists");
    }
}

/* What a name belongs to: a function, a module, a file. *lost: the error that may have left it
 * unbound. */
static const void *scope_of(const Env *env, const Diag **lost)
{
    *lost = NULL;
    for (; env->up; env = env->up) {
        *lost = env->lost ? env->lost : *lost;
        if (env->kind == ENV_FRAME && env->function) {
            return env->function;
        }
        if (env->kind == ENV_INSTANCE) {
            return env->inst->module;
        }
        if (env->kind == ENV_FILE) {
            return env->file;
        }
    }
    return env;
}

Diag *env_unknown(Elab *e, const Env *env, const Unknown *u)
{
    Map *known = e->front->unknown;
    const Diag *lost;
    uint64_t key = hash_mix(MAP_KEY(scope_of(env, &lost)), MAP_KEY(u->name));
    key = u->of ? hash_mix(key, MAP_KEY(u->of)) : key;
    const Diag *first = map_get(known, key);
    first = first || u->of ? first : lost;
    if (first) {
        diag_again(first);
        return NULL;
    }
    Diag *d = diag_at(e->diags, u->code, u->span, "%s", u->text);
    map_put(known, key, d);
    return d;
}

const Val *env_get(Elab *e, Env *env, Sym name, Span span)
{
    const Val *v = env_find(e, env, name, span);
    if (v) {
        return v;
    }
    const char *const text[] = {"unknown name `", name, "`"};
    Unknown u = {DIAG_E0201, name, span, NULL, arena_join(e->arena, text, COUNT(text))};
    Diag *d = env_unknown(e, env, &u);
    if (d && !habit_help(d, name, false)) {
        env_suggest(e, env, name, span, d);
    }
    return poison(e, span);
}

Inst *env_instance(const Env *env)
{
    for (; env; env = env->up) {
        if (env->kind == ENV_INSTANCE) {
            return env->inst;
        }
    }
    return NULL;
}
