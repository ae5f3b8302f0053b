/* record.c: constructor calls kept as written (cosine(warmup: 5%), idx(images: ..)): whoever knows
 * what they mean reads their arguments. */
#include "elab.h"

Sym record_name(const Val *record)
{
    const Ast *a = record->code.ast;
    return a->kind == A_CALL ? a->kid[0]->name : a->name;
}

uint32_t record_count(const Val *record)
{
    const Ast *a = record->code.ast;
    return a->kind == A_CALL ? a->nkid - 1 : 0;
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
