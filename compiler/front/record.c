/* record.c: constructor calls kept as written (cosine(warmup: 5%), idx(images: ..)): whoever knows
 * what they mean reads their arguments. */
#include "elab.h"

/* False after E0303. Where the caller names things, they are looked at by whoever reads them. */
static bool given_once(Elab *e, const Builtin *b, const Ast *call, uint32_t i)
{
    const Ast *k = call->kid[i];
    bool any = strstr(builtin_formals(b), "..:") != NULL;
    for (uint32_t j = 1; j < i && !any; j++) {
        if (call->kid[j]->kind == A_NAMED && call->kid[j]->name == k->name) {
            diag_at(e->diags, DIAG_E0303, k->span, "`%s` gets `%s` twice", b->name, k->name);
            return false;
        }
    }
    return true;
}

const Val *record_new(Elab *e, Env *env, const Ast *a)
{
    uint32_t positional = 0;
    bool ok = true;
    Sym name = a->kind == A_CALL ? a->kid[0]->name : a->name;
    const Builtin *b = map_get(e->front->builtins, MAP_KEY(name));
    for (uint32_t i = 1; a->kind == A_CALL && i < a->nkid; i++) {
        const Ast *k = a->kid[i];
        bool named = k->kind == A_NAMED;
        if (named) {
            ok = builtin_check_name(e, b, k->name, k->name_span) && given_once(e, b, a, i) && ok;
        } else if (positional++ == builtin_places(b)) {
            Diag *d =
                diag_at(e->diags, DIAG_E0303, k->span, "too many arguments for `%s`", b->name);
            if (k->kind == A_LIST && builtin_places(b) == 0)
                diag_help(d, "a tensor of a shape is made where its type stands: `x: [B, D] = 0`");
            ok = false;
        }
    }
    Val *r = val_new(e, V_RECORD, a->span);
    r->code.ast = a;
    r->code.env = env;
    return ok ? r : poison(e, a->span);
}

Sym record_name(const Val *record)
{
    const Ast *a = record->code.ast;
    return a->kind == A_CALL ? a->kid[0]->name : a->name;
}

const Val *record_arg(Elab *e, const Val *record, uint32_t i, const char *name)
{
    const Ast *a = record->code.ast;
    uint32_t position = 0;
    for (uint32_t k = 1; a->kind == A_CALL && k < a->nkid; k++) {
        const Ast *arg = a->kid[k];
        bool named = arg->kind == A_NAMED;
        if (named ? name && strcmp(arg->name, name) == 0 : position == i) {
            return eval(e, record->code.env, named ? arg->kid[0] : arg);
        }
        position += !named;
    }
    return NULL;
}
