/* contains.c: modules that contain themselves, though nothing makes an instance of them: the names of their
 * parts say it. Parts behind an `if` may end, so they are left to whoever makes an instance. */
#include "elab.h"

typedef struct Chain {
    const Item *module;
    const struct Chain *up;
} Chain;

typedef struct Search {
    Elab *e;
    Map *done; /* modules all of whose parts were followed */
} Search;

static const Item *module_of(const Item *whole, const Ast *part)
{
    const Ast *expr = part->kid[0];
    const Ast *callee = expr->kind == A_CALL ? expr->kid[0] : expr;
    const Item *item = callee->kind == A_ID ? file_item(whole->file, callee->name) : NULL;
    return item && item->ast->kind == A_MODULE ? item : NULL;
}

/* True after E0206, at the part that closes the circle. */
static bool closes(const Search *s, const Chain *chain, const Item *item, const Ast *part)
{
    const char *text = item->ast->name;
    for (const Chain *c = chain; c; c = c->up) {
        text = arena_printf(s->e->arena, "%s → %s", c->module->ast->name, text);
        if (c->module->ast == item->ast) {
            diag_at(s->e->diags, DIAG_E0206, part->span, "`%s` contains itself: %s",
                    item->ast->name, text);
            return true;
        }
    }
    return false;
}

static void follow(Search *s, const Item *module, const Chain *up)
{
    const Chain here = {module, up};
    const Ast *members = module->ast->kid[1];
    if (map_get(s->done, MAP_KEY(module->ast)) || !elab_enter(s->e, module->ast->span)) {
        return;
    }
    for (uint32_t i = 0; i < members->nkid; i++) {
        const Ast *a = members->kid[i];
        const Item *item = a->kind == A_SUB ? module_of(module, a) : NULL;
        if (item && !closes(s, &here, item, a)) {
            follow(s, item, &here);
        }
    }
    elab_leave(s->e);
    map_put(s->done, MAP_KEY(module->ast), (void *)module);
}

void contains_check(Elab *e, const File *file)
{
    Search s = {e, map_new(e->arena)};
    for (uint32_t i = 0; i < map_count(file->values); i++) {
        const Item *item = map_value_at(file->values, i);
        if (item->file == file && item->ast->kind == A_MODULE) {
            follow(&s, item, NULL);
        }
    }
}
