/* replace.c: instances that move: `base as ".."` gives one that was received as an argument other keys,
 * `adapt P with M(..)` puts another instance in its place. Everybody refers to an instance by its
 * address, so the address stays and what is there changes. */
#include "blocks.h"

/* What key adds to prefix. */
static Sym key_behind(Elab *e, Sym prefix, Sym key)
{
    size_t n = strlen(prefix);
    return !n ? key : sym(e->ir->syms, key[n] ? key + n + 1 : "");
}

static bool rekey_param(Elab *e, Param *p, Sym from, Sym to)
{
    p->state->key = inst_join(e, to, key_behind(e, from, p->state->key));
    const Param *same = map_get(e->keys, MAP_KEY(p->state->key));
    if (same && same != p && same->state->key == p->state->key) {
        Diag *d =
            diag_at(e->diags, DIAG_E0306, p->span, "two tensors have the key `%s`", p->state->key);
        diag_also(d, same->span, "the other one is `%s`", same->state->path);
        return false;
    }
    map_put(e->keys, MAP_KEY(p->state->key), p);
    return true;
}

bool inst_rekey(Elab *e, Inst *inst, Sym key)
{
    Sym from = inst->key;
    bool ok = true;
    inst->key = key;
    for (uint32_t i = 0; i < inst->params.n && from != key; i++) {
        if (inst->params.at[i]->owner == inst) {
            ok = rekey_param(e, inst->params.at[i], from, key) && ok;
        }
    }
    for (uint32_t i = 0; i < inst->subs.n && from != key; i++) {
        Inst *sub = inst->subs.at[i];
        ok = inst_rekey(e, sub, inst_join(e, key, key_behind(e, from, sub->key))) && ok;
    }
    return ok;
}

typedef VEC(Inst *) Insts;

static void match_below(Elab *e, Inst *inst, const char *pattern, Insts *found)
{
    if (match_pattern(pattern, inst->path)) {
        VEC_PUSH(e->arena, found, inst);
    }
    for (uint32_t i = 0; i < inst->subs.n; i++) {
        match_below(e, inst->subs.at[i], pattern, found);
    }
}

uint32_t inst_match(Elab *e, Inst *root, const char *pattern, Inst ***out)
{
    Insts found = {0};
    match_below(e, root, pattern, &found);
    *out = found.at;
    return found.n;
}

/* Everything that belongs to `from` belongs to `to`, which has its contents. */
static void hand_over(Inst *from, Inst *to)
{
    to->env->inst = to;
    for (uint32_t i = 0; i < to->params.n; i++) {
        if (to->params.at[i]->owner == from) {
            to->params.at[i]->owner = to;
        }
    }
    for (uint32_t i = 0; i < to->subs.n; i++) {
        to->subs.at[i]->parent = to;
    }
    for (uint32_t i = 0; i < map_count(to->members); i++) {
        const Val *v = map_value_at(to->members, i);
        if (v->kind == V_MEMORY) {
            v->memory->inst = to;
        }
    }
}

/* False after E0809: the formal `base` takes instances of another module. */
static bool takes_base(Elab *e, const Inst *at, const Val *module, Span span)
{
    const Ast *formals = module->code.ast->kid[0], *type = NULL;
    for (uint32_t i = 0; i < formals->nkid; i++) {
        bool base = strcmp(formals->kid[i]->name, "base") == 0;
        type = base ? formals->kid[i]->kid[0] : type;
    }
    if (!type || type->kind != A_T_NAME || !type->kid[0]) {
        diag_at(e->diags, DIAG_E0303, span,
                "`%s` cannot adapt: it needs a formal for the instance, such as `base: Linear`",
                module->code.ast->name);
        return false;
    }
    const Val *want = eval(e, module->code.env, type->kid[0]);
    if (val_is_poison(want) || want->kind != V_MODULE || want->code.ast == at->module) {
        return !val_is_poison(want);
    }
    Diag *d = diag_at(e->diags, DIAG_E0809, span, "`%s` is a `%s`; `%s` adapts `%s`", at->path,
                      at->module->name, module->code.ast->name, want->code.ast->name);
    diag_also(d, at->made, "made here");
    return false;
}

bool inst_adapt(Elab *e, Inst *at, const Val *module, Args *args, Span span)
{
    if (!takes_base(e, at, module, span)) {
        return false;
    }
    Inst *moved = COPY_ARRAY(e->arena, Inst, at, 1), *parent = at->parent;
    hand_over(at, moved);
    moved->parent = NULL;
    moved->loose = true;
    Inst place = {.path = at->path, .key = at->key};
    if (at->up) {
        place.module = at->up->module;
        place.up = at->up->up;
    }
    Val *base = val_new(e, V_INSTANCE, span);
    base->inst = moved;
    Args all = {.call = span};
    for (uint32_t i = 0; i < args->n; i++) {
        args_push(e, &all, args->name[i], args->at[i]);
        all.name_span[i] = args->name_span[i];
    }
    args_push(e, &all, sym(e->ir->syms, "base"), base);
    Graph *g = e->g;
    e->g = NULL;
    const Val *v = module_instantiate(e, module, &all, COPY_ARRAY(e->arena, Inst, &place, 1), NULL);
    e->g = g;
    if (val_is_poison(v)) {
        return false;
    }
    *at = *v->inst;
    hand_over(v->inst, at);
    at->parent = parent;
    return true;
}
