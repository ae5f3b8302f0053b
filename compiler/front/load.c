/* load.c: the body of a model: where its weights come from. */
#include "blocks.h"

bool loads_check(Elab *e, const Ast *model)
{
    const Ast *body = model->kid[3];
    bool ok = true;
    for (uint32_t i = 0; body && i < body->nkid; i++) {
        const Ast *a = body->kid[i];
        bool load = a->kind == A_CLAUSE && strcmp(a->text, "load") == 0;
        if (!load && a->kind != A_ERROR) {
            Diag *d = diag_at(e->diags, DIAG_E0107, a->name_span.file ? a->name_span : a->span,
                              "this statement does not belong in `model`");
            diag_note(d, "a model holds `load P from ..`");
        }
        ok = ok && load && not_yet(e, a->span, "`load`");
    }
    return ok;
}
