/* load.c: the body of a model: which of its parameters come from which file. */
#include "load.h"

/* `vision` means everything below it; a pattern means what it matches. */
static bool covers(const char *pattern, const char *path)
{
    size_t n = strlen(pattern);
    bool below = strncmp(path, pattern, n) == 0 && path[n] == '.';
    return below || match_pattern(pattern, path);
}

/* The path within the model: those of a second model of a program begin with its name. */
static const char *within(Sym prefix, const char *path)
{
    size_t n = prefix ? strlen(prefix) : 0;
    return n && strncmp(path, prefix, n) == 0 && path[n] == '.' ? path + n + 1 : path;
}

bool loads_cover(const Elab *e, const char *path)
{
    const Ast *body = e->model ? e->model->kid[3] : NULL;
    path = within(e->prefix, path);
    for (uint32_t i = 0; body && i < body->nkid; i++) {
        const Ast *a = body->kid[i];
        for (uint32_t g = 0; a->kind == A_CLAUSE && g < a->kid[0]->nkid; g++) {
            if (strcmp(a->text, "load") == 0 && covers(a->kid[0]->kid[g]->text, path)) {
                return true;
            }
        }
    }
    return false;
}

/* The member that a pattern without `*` names, or NULL. */
static const Inst *subtree(Elab *e, const Val *model, const char *pattern)
{
    Inst *inst = model->inst;
    while (inst && *pattern) {
        size_t n = strcspn(pattern, ".");
        const Val *v = inst_member(e, inst, sym_n(e->ir->syms, pattern, n), model->span);
        inst = v && v->kind == V_INSTANCE ? v->inst : NULL;
        pattern += n + (pattern[n] == '.');
    }
    return inst;
}

static Sym prefix_of(Elab *e, const Val *model, const char *pattern)
{
    const Inst *inst = strpbrk(pattern, "*{[") ? NULL : subtree(e, model, pattern);
    return inst ? inst->key : sym(e->ir->syms, "");
}

static bool source_of(LoadCx *cx)
{
    const Ast *from = cx->clause->kid[1];
    if (!from || from->kind != A_FROM) {
        Diag *d = diag_at(cx->e->diags, DIAG_E0803, cx->clause->span, "`load` needs a source");
        diag_help(d, "say where: `load %s from hf(\"org/name\")`", cx->load->pattern);
        return false;
    }
    const Val *v = eval(cx->e, cx->env, from->kid[0]);
    cx->load->source = val_at(cx->e, v, from->kid[0]->span);
    return value_fits(cx->e, SV_WEIGHTS, cx->load->source, "the source of `load`");
}

typedef VEC(Load) LoadList;

/* Parameters of the model are the states from `first` on. */
typedef struct LoadsAt {
    uint32_t first;
    LoadList *list;
} LoadsAt;

static bool load_one(LoadCx *cx, const Val *model, const Ast *glob, uint32_t first)
{
    Elab *e = cx->e;
    VEC(State *) list = {0};
    cx->load->pattern = glob->text;
    cx->load->prefix = prefix_of(e, model, glob->text);
    for (uint32_t i = first; i < e->program->states.n; i++) {
        State *s = e->program->states.at[i];
        bool weight = s->kind == SK_PARAM || s->kind == SK_BUFFER;
        if (weight && covers(glob->text, within(model->inst->path, s->path))) {
            VEC_PUSH(e->arena, &list, s);
        }
    }
    cx->nparam = list.n;
    cx->param = list.at;
    if (!list.n) {
        Diag *d = diag_at(e->diags, DIAG_E0804, glob->span, "path pattern matches no parameter");
        diag_note(d, "the model is %s", inst_text(e, model->inst));
        return false;
    }
    const Ast *body = cx->clause->kid[2];
    return source_of(cx) && (!body || load_map(cx, body));
}

static bool load_clause(Elab *e, Env *env, const Ast *clause, const Val *model, const LoadsAt *at)
{
    bool ok = e->weights_given || not_yet(e, clause->span, "`load`");
    for (uint32_t g = 0; g < clause->kid[0]->nkid; g++) {
        Load load = {0};
        LoadCx cx = {.e = e, .env = env, .clause = clause, .load = &load};
        ok = load_one(&cx, model, clause->kid[0]->kid[g], at->first) && ok;
        VEC_PUSH(e->arena, at->list, load);
    }
    return ok;
}

bool loads_check(Elab *e, Env *env, const Ast *block, const Val *model, uint32_t first)
{
    const Ast *body = block->kid[3];
    LoadList list = {0};
    LoadsAt at = {first, &list};
    bool ok = true;
    for (uint32_t i = 0; body && i < body->nkid; i++) {
        const Ast *a = body->kid[i];
        bool load = a->kind == A_CLAUSE && strcmp(a->text, "load") == 0;
        if (load) {
            ok = load_clause(e, env, a, model, &at) && ok;
        } else if (a->kind != A_ERROR) {
            Diag *d = diag_at(e->diags, DIAG_E0107, a->name_span.file ? a->name_span : a->span,
                              "this statement does not belong in `model`");
            diag_note(d, "a model holds `load P from ..`");
            ok = false;
        }
    }
    Loads *loads = NEW(e->arena, Loads);
    *loads = (Loads){list.n, list.at};
    map_put(e->loads, MAP_KEY(block), loads);
    return ok;
}
