/* uncalled.c: functions that nothing has called. `mdl check` evaluates what the models, train and eval
 * blocks use; what is left over (an op of a library, `fn sample` of a model, a model that is only
 * loaded) is called here once, with tensors whose free dimensions are symbols. A function whose
 * arguments cannot be made up (a function, a number without default) stays unchecked. */
#include "datum.h"

bool elab_open(Elab *e, const Dim *d)
{
    bool open = dim_is_free(e->ir, d);
    e->left_open = e->left_open || open;
    return open;
}

/* The frame in which the free dimensions of one signature are bound. */
typedef struct Made {
    Elab *e;
    Env *frame;
} Made;

/* Binds the free names of a dimension to symbols; false when their sizes are not free: `D / 2`. */
static bool bind_names(const Made *m, const Ast *a)
{
    Elab *e = m->e;
    if (a->kind == A_ID && !env_find(e, m->frame, a->name, a->span)) {
        const DimSym *s = dim_named(e, a->name, 1, DIM_FREE);
        env_bind(e, m->frame, a->name, val_dim(e, dim_of(e->ir, s), a->span));
        return true;
    }
    bool divides = a->kind == A_BIN && strchr("/%", a->text[0]);
    uint32_t before = m->frame->locals.n;
    for (uint32_t i = 0; i < a->nkid; i++) {
        if (a->kid[i] && !bind_names(m, a->kid[i])) {
            return false;
        }
    }
    return !divides || m->frame->locals.n == before;
}

static bool make_dims(const Made *m, const Ast *type)
{
    Elab *e = m->e;
    for (uint32_t i = 1; i < type->nkid; i++) {
        const Ast *a = type->kid[i];
        Sym name = a->name ? a->name : sym(e->ir->syms, "..");
        if (a->kind != A_PACK) {
            if (!bind_names(m, a)) {
                return false;
            }
        } else if (!env_pack(m->frame, name)) {
            const Dim *n = dim_of(e->ir, dim_named(e, sym(e->ir->syms, "N"), 1, DIM_FREE));
            env_bind_pack(e, m->frame, name, &n, 1);
        }
    }
    return true;
}

/* A value of the type, named like the formal; NULL when there is none to be made. */
static const Val *make_value(const Made *m, const Ast *type, Sym name)
{
    Elab *e = m->e;
    DType dt;
    if (type->kind == A_T_OPTIONAL) {
        return make_value(m, type->kid[0], name);
    }
    if (type->kind == A_T_TUPLE) {
        const Val **at = NEW_ARRAY(e->arena, const Val *, type->nkid + 1);
        for (uint32_t i = 0; i < type->nkid; i++) {
            at[i] = make_value(m, type->kid[i], sym_printf(e->ir->syms, "%s.%u", name, i));
            if (!at[i]) {
                return NULL;
            }
        }
        return val_list(e, V_TUPLE, at, type->nkid, type->span);
    }
    const Ast *word = type->kid[0];
    const Val *datum = datum_made(e, type);
    if (datum || datum_is_text(type)) {
        return datum; /* the record of a text field is not made up */
    }
    if (type->kind == A_T_NAME && word->kind == A_ID && strcmp(word->name, "num") == 0) {
        return val_real(e, 0.5, type->span);
    }
    if (type->kind == A_T_NAME && word->kind == A_ID && strcmp(word->name, "int") == 0) {
        return val_dim(e, dim_of(e->ir, dim_named(e, name, 1, DIM_FREE)), type->span);
    }
    if (type->kind == A_T_NAME && word->kind == A_ID && strcmp(word->name, "bool") == 0) {
        return val_bool(e, true, type->span); /* an `if` may ask for it */
    }
    bool scalar = type->kind == A_T_NAME && word->kind == A_ID &&
                  (strcmp(word->name, "float") == 0 || dtype_find(word->name, &dt));
    if (!scalar && (type->kind != A_T_TENSOR || !make_dims(m, type))) {
        return NULL;
    }
    const Type *t = sig_type(e, m->frame, type);
    return t ? val_node(e, graph_input(e->g, name, t), type->span) : NULL;
}

/* Arguments for every formal without a default; NULL when one cannot be made. */
static Args *make_args(Elab *e, const Val *fn)
{
    const Ast *formals = fn->code.ast->kid[0];
    Made m = {e, env_new(e, ENV_FRAME, fn->code.env)};
    Args *args = NEW(e->arena, Args);
    bool data = false, values = false;
    args->call = fn->code.ast->name_span;
    for (uint32_t i = 0; i < formals->nkid; i++) {
        const Ast *f = formals->kid[i];
        if (f->kid[1]) {
            continue;
        }
        const Val *v = f->kid[0] ? make_value(&m, f->kid[0], f->name) : NULL;
        if (!v) {
            return NULL;
        }
        data = data || v->kind == V_DATUM;
        values = values || v->kind != V_DATUM;
        args_push(e, args, f->name, v);
    }
    return data && values ? NULL : args; /* a `str` beside tensors is known when compiled */
}

const Val *uncalled_value(Elab *e, const Val *fn)
{
    Args *args = make_args(e, fn);
    e->uncalled = true;
    return args ? call_value(e, fn->code.env, fn, args) : NULL;
}

static void check_function(Elab *e, const Val *fn)
{
    const Ast *ast = fn->code.ast;
    if (map_get(e->front->called, MAP_KEY(ast)) || !elab_spend(e, 1, ast->span)) {
        return;
    }
    pass_begin(e, graph_new(e->ir, e->arena, ast->name), MODE_EVAL);
    e->at_data = true;
    uncalled_value(e, fn);
    e->at_data = false;
    e->g = NULL;
}

static void check_instance(Elab *e, Inst *inst, Map *visited)
{
    if (map_get(visited, MAP_KEY(inst))) {
        return;
    }
    map_put(visited, MAP_KEY(inst), inst);
    /* the functions of the whole first, since these call the parts with what they really get */
    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < map_count(inst->members); i++) {
            const Val *v = map_value_at(inst->members, i);
            if (pass == 0 && v->kind == V_CLOSURE && v->code.env == inst->env) {
                check_function(e, v);
            }
            for (uint32_t k = 0; pass == 1 && v->kind == V_ARRAY && k < v->array.n; k++) {
                check_instance(e, v->array.at[k], visited);
            }
            if (pass == 1 && v->kind == V_INSTANCE) {
                check_instance(e, v->inst, visited);
            }
        }
    }
}

/* A module as `M()`, when all its arguments have defaults and it is something to call. */
static const Val *default_instance(Elab *e, const Val *module)
{
    const Ast *formals = module->code.ast->kid[0], *members = module->code.ast->kid[1];
    bool callable = false;
    for (uint32_t i = 0; i < members->nkid; i++) {
        const Ast *a = members->kid[i];
        callable = callable || (a->kind == A_FN && strcmp(a->name, "forward") == 0);
    }
    for (uint32_t i = 0; i < formals->nkid; i++) {
        const Ast *f = formals->kid[i];
        callable = callable && (f->kid[1] || type_is_optional(f->kid[0]));
    }
    if (!callable || map_get(e->front->called, MAP_KEY(module->code.ast))) {
        return NULL;
    }
    Args args = {.call = module->code.ast->name_span};
    return module_instantiate(e, module, &args, NULL, NULL);
}

void uncalled_check(Elab *e, const File *file)
{
    Map *visited = map_new(e->arena);
    for (uint32_t round = 0; round < 3; round++) { /* models, modules, functions */
        for (uint32_t i = 0; i < map_count(file->values); i++) {
            const Item *item = map_value_at(file->values, i);
            const Ast *a = item->ast;
            bool model = a->kind == A_BLOCK && strcmp(a->text, "model") == 0;
            bool mine = round == 0   ? model
                        : round == 1 ? a->kind == A_MODULE
                                     : a->kind == A_FN || a->kind == A_OP;
            if (!mine || item->file != file) {
                continue;
            }
            e->keys = map_new(e->arena);
            const Val *v = item_value(e, item, a->span);
            v = v->kind == V_MODULE ? default_instance(e, v) : v;
            if (v && v->kind == V_INSTANCE) {
                check_instance(e, v->inst, visited);
            } else if (v && v->kind == V_CLOSURE) {
                check_function(e, v);
            }
        }
    }
}
