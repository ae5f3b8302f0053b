/* param.c: the tensors of an instance: parameters and buffers with their initialisers, ties, states. Paths name tensors for people, keys for files; `as "..."` replaces a component of the
 * key, "" removes it (language.md 2.6). */
#include "elab.h"

#define MAX_ELEMENTS ((int64_t)1 << 40) /* of one parameter: 4 TiB */

/* Constant dimensions, none of them 0, and not more elements than a tensor can have. */
bool param_storable(Elab *e, const Ast *a, const Type *t)
{
    int64_t v, count = 1;
    for (uint32_t i = 0; i < t->rank; i++) {
        if (!dim_is_const(t->dims[i], &v) || v < 1) {
            diag_at(e->diags, DIAG_E0401, a->kid[0]->span,
                    "`%s` needs constant dimensions of at least 1, got `%s`", a->name,
                    type_text(e->ir, t));
            return false;
        }
        if (v > MAX_ELEMENTS / count) {
            diag_at(e->diags, DIAG_E0109, a->kid[0]->span, "`%s` is too large: `%s`", a->name,
                    type_text(e->ir, t));
            return false;
        }
        count *= v;
    }
    return true;
}

/* Two instances under one key clash in all their parameters: one report, where the second is made. A
 * parameter that gives its own key is to blame itself. */
static const Val *key_clash(Elab *e, Inst *inst, const Ast *a, const Param *same)
{
    bool whole = inst->up && !a->text;
    if (!whole || !inst->clashes) {
        Diag *d = diag_at(e->diags, DIAG_E0306, whole ? inst->made : a->span,
                          "two tensors have the key `%s`", same->state->key);
        diag_also(d, whole ? same->made : same->span, "the other one is `%s`", same->state->path);
    }
    inst->clashes = true;
    return poison(e, a->span);
}

/* A parameter of its own: a state of the program. */
static const Val *param_new(Elab *e, Inst *inst, const Ast *a, const Type *type, const Init *init)
{
    const Ast *said = type_is_optional(a->kid[0]) ? a->kid[0]->kid[0] : a->kid[0];
    State proto = {.kind = a->kind == A_BUFFER ? SK_BUFFER : SK_PARAM,
                   .path = inst_join(e, inst->path, a->name),
                   .key = inst_join(e, inst->key, a->text ? a->text : a->name),
                   .type = sig_is_float(said) ? type_with_dtype(e->ir, type, e->precision.params)
                                              : type,
                   .init = *init,
                   .span = a->span};
    if (!elab_spend(e, 4 + strlen(proto.path) / 16, a->span)) {
        return poison(e, a->span);
    }
    Param *same = map_get(e->keys, MAP_KEY(proto.key));
    if (same && same->state->key == proto.key) { /* else it was given another key since */
        return key_clash(e, inst, a, same);
    }
    Param *p = NEW(e->arena, Param);
    p->state = program_state(e->program, &proto);
    p->span = a->span;
    p->type = type;
    p->owner = inst;
    VEC_PUSH(e->arena, &inst->params, p);
    p->made = inst->up && !a->text ? inst->made : a->span;
    map_put(e->keys, MAP_KEY(proto.key), p);
    Val *v = val_new(e, V_PARAM, a->span);
    v->param = p;
    return v;
}

static const Val *tie(Elab *e, Inst *inst, const Ast *a, const Val *other, const Type *type)
{
    const Type *theirs = other->param->type;
    if (theirs != type) {
        /* the element type is worth a word where it differs: a stage may have another one */
        bool shapes = theirs->dtype == type->dtype;
        const char *want = type_text(e->ir, type), *got = type_text(e->ir, theirs);
        diag_at(e->diags, DIAG_E0310, other->span, "cannot tie `%s` of `%s` to `%s`", a->name,
                shapes ? strchr(want, '[') : want, shapes ? strchr(got, '[') : got);
        return poison(e, other->span);
    }
    VEC_PUSH(e->arena, &inst->params, other->param);
    return other;
}

/* An optimizer has no parameters: one report for each part that has. */
static const Val *of_optimizer(Elab *e, Inst *inst, const Ast *a)
{
    if (!inst->misfit) {
        Diag *d =
            diag_at(e->diags, DIAG_E0205, inst->made,
                    "`%s` is no optimizer: `%s` is a %s, and an optimizer has states only",
                    inst->module->name, a->name, a->kind == A_BUFFER ? "buffer" : "parameter");
        diag_also(d, a->span, "declared here");
    }
    inst->misfit = true;
    return poison(e, a->span);
}

const Val *param_value(Elab *e, Inst *inst, const Ast *a)
{
    if (inst->of) {
        return of_optimizer(e, inst, a);
    }
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
    if (!type || !param_storable(e, a, type)) {
        return poison(e, a->span);
    }
    if (given && given->kind == V_PARAM) {
        return tie(e, inst, a, given, type);
    }
    Init init = {.kind = INIT_ZEROS};
    bool loaded = !a->kid[1] && loads_cover(e, inst_join(e, inst->path, a->name));
    if (!given && loaded) {
        return param_new(e, inst, a, type, &init);
    }
    if (!given && !a->kid[1]) {
        Diag *d = diag_at(e->diags, DIAG_E0308, a->name_span, "`%s` has no initialiser",
                          inst_join(e, inst->path, a->name));
        diag_help(d, "give one: `~ zeros`, `~ normal(0.02)`, `~ kaiming_uniform()`, or load it");
        return poison(e, a->span);
    }
    const Val *record = given ? given : eval(e, inst->env, a->kid[1]);
    return initialiser_read(e, record, type->rank, &init) ? param_new(e, inst, a, type, &init)
                                                          : poison(e, a->span);
}

/* ---- states ---- */

/* `grows S` names a dimension of the type. */
static bool grows_known(Elab *e, const Ast *a)
{
    const Ast *type = a->kid[0];
    bool found = !a->text;
    for (uint32_t i = 1; type->kind == A_T_TENSOR && i < type->nkid; i++) {
        found = found || (type->kid[i]->kind == A_ID && type->kid[i]->name == a->text);
    }
    if (!found) {
        diag_at(e->diags, DIAG_E0401, a->span, "`%s` grows `%s`, which is no dimension of its type",
                a->name, a->text);
    }
    return found;
}

/* `state m: [..]`: those of a model get their types when a pass uses them. */
const Val *state_value(Elab *e, Inst *inst, const Ast *a)
{
    if (inst->of) {
        return optimizer_state(e, inst, a);
    }
    Memory *m = NEW(e->arena, Memory);
    m->ast = a;
    m->inst = inst;
    Val *v = val_new(e, V_MEMORY, a->span);
    v->memory = m;
    return grows_known(e, a) ? v : poison(e, a->span);
}
