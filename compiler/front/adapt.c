/* adapt.c: `adapt P with M(args)`: every submodule that a pattern matches becomes the `base` of an M. */
#include "stages.h"

/* M or M(args): the module and its arguments; NULL after a diagnostic. */
static const Val *adapter(Stage *s, const StageLine *line, Args **args)
{
    Elab *e = s->e;
    const Ast *with = line->ast->kid[1], *expr = with ? with->kid[0] : NULL;
    if (!with || with->kind != A_WITH) {
        diag_at(e->diags, DIAG_E0107, line->ast->span,
                "`adapt` needs a module: `adapt layers.* with LoRA(r: 16)`");
        return NULL;
    }
    Env *env = stage_env(s, line->scope);
    bool call = expr->kind == A_CALL;
    const Val *module = eval(e, env, call ? expr->kid[0] : expr);
    if (module->kind != V_MODULE) {
        if (!val_is_poison(module)) {
            diag_at(e->diags, DIAG_E0205, expr->span, "expected a module, got %s",
                    val_text(e, module));
        }
        return NULL;
    }
    *args = args_eval(e, env, call ? expr : NULL, NULL);
    (*args)->call = expr->span;
    return module;
}

bool adapt_clause(Stage *s, const StageLine *line)
{
    Args *args;
    const Val *module = adapter(s, line, &args);
    bool ok = module != NULL;
    for (uint32_t g = 0; module && g < line->ast->kid[0]->nkid; g++) {
        const Ast *glob = line->ast->kid[0]->kid[g];
        Inst **found = NULL;
        uint32_t n = matching(s, glob, &found);
        ok = (n || no_match(s, glob, "module")) && ok;
        for (uint32_t i = 0; i < n && ok; i++) {
            ok = inst_adapt(s->e, found[i], module, args, glob->span);
        }
    }
    return ok;
}
