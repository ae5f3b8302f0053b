/* wellformed.c: what the grammar cannot say of a declaration and nobody else would notice, since it is
 * not an error to evaluate it: two formals of one name, a vjp where none is looked for. */
#include "files.h"

static void check_names(Front *f, const Ast *list)
{
    Map *seen = map_new(f->arena);
    for (uint32_t i = 0; i < list->nkid; i++) {
        const Ast *a = list->kid[i], *old = a->name ? map_get(seen, MAP_KEY(a->name)) : NULL;
        if (old) {
            Diag *d = diag_at(f->ir->diags, DIAG_E0202, a->name_span.file ? a->name_span : a->span,
                              "two arguments are called `%s`", a->name);
            diag_also(d, old->name_span.file ? old->name_span : old->span, "first here");
        } else if (a->name) {
            map_put(seen, MAP_KEY(a->name), (void *)a);
        }
    }
}

static void check_expressions(Front *f, const Ast *a)
{
    if (a->kind == A_VJP) {
        diag_at(f->ir->diags, DIAG_E0107, a->name_span, "`vjp` stands at the end of an `op`");
        return;
    }
    if (a->kind == A_FORMALS || (a->kind == A_LAMBDA && a->kid[0]->kind == A_TUPLE)) {
        check_names(f, a->kind == A_LAMBDA ? a->kid[0] : a);
    }
    for (uint32_t i = 0; i < a->nkid; i++) {
        if (a->kid[i]) {
            check_expressions(f, a->kid[i]);
        }
    }
}

/* The vjp of an op is the last of its statements, and the only one of its kind. */
static void check_op(Front *f, const Ast *op)
{
    const Ast *body = op->kid[2];
    check_expressions(f, op->kid[0]);
    if (body->kind != A_STMTS) {
        check_expressions(f, body);
        return;
    }
    for (uint32_t i = 0; i < body->nkid; i++) {
        const Ast *a = body->kid[i];
        bool vjp = a->kind == A_VJP && i + 1 == body->nkid;
        check_expressions(f, vjp ? a->kid[0] : a);
    }
}

void check_wellformed(Front *f, const Ast *item)
{
    if (item->kind == A_OP) {
        check_op(f, item);
    } else {
        check_expressions(f, item);
    }
}
