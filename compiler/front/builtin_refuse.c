/* builtin_refuse.c: functions by which a function judges its own arguments: one_of(word, "a", "b") for
 * those that are a choice, fail("text") for what has no meaning. Both blame the caller. */
#include "builtin.h"

/* The argument of the running function that has this value: where the caller wrote it. */
static const Val *argument_of(const Elab *e, const Val *v, Sym *name)
{
    const CallFrame *c = e->calls;
    for (uint32_t i = 0; c && c->frame && i < c->fn->kid[0]->nkid; i++) {
        const Val *x = env_local(c->frame, c->fn->kid[0]->kid[i]->name);
        if (x && x->kind == v->kind && x->kind == V_STR && x->str == v->str) {
            *name = c->fn->kid[0]->kid[i]->name;
            return x;
        }
    }
    return NULL;
}

static const Val *not_one_of(Elab *e, const Val *v, const Args *args)
{
    Sym name = NULL, *words = NEW_ARRAY(e->arena, Sym, args->n);
    const Val *given = argument_of(e, v, &name);
    StrBuf sb = sb_new(e->arena);
    for (uint32_t i = 1; i < args->n; i++) {
        words[i - 1] = args->at[i]->str;
        sb_printf(&sb, "%s\"%s\"", i > 1 ? ", " : "", args->at[i]->str);
    }
    Span at = given ? given->span : v->span;
    const char *who = name ? name_quoted(e, name) : "this";
    Diag *d = diag_at(e->diags, DIAG_E0802, at, "%s is one of %s, got %s", who, sb_text(&sb),
                      val_text(e, v));
    Sym near = v->kind == V_STR ? sym_nearest(v->str, words, args->n - 1) : NULL;
    if (near) {
        diag_fix(d, at, arena_printf(e->arena, "\"%s\"", near), "a similar word exists");
    }
    return poison(e, args->call);
}

const Val *call_one_of(Elab *e, const Builtin *b, Args *args)
{
    if (args->n < 2) {
        diag_at(e->diags, DIAG_E0303, args->call, "`%s` takes a string, and those that it may be",
                b->name);
        return poison(e, args->call);
    }
    const Val *v = args->at[0];
    bool found = false;
    for (uint32_t i = 0; i < args->n; i++) {
        const Val *x = args->at[i];
        if (val_is_poison(x)) {
            return poison(e, args->call);
        }
        if (i && x->kind != V_STR) {
            diag_at(e->diags, DIAG_E0205, x->span, "`%s` takes strings, got %s", b->name,
                    val_text(e, x));
            return poison(e, args->call);
        }
        found = found || (i && v->kind == V_STR && v->str == x->str);
    }
    return found ? v : not_one_of(e, v, args);
}

const Val *call_fail(Elab *e, const Builtin *b, Args *args)
{
    const CallFrame *c = e->calls;
    const Val *v = args_count(e, b, args, 1) ? args->at[0] : poison(e, args->call);
    if (!val_is_poison(v) && v->kind != V_STR) {
        diag_at(e->diags, DIAG_E0205, v->span, "`%s` takes a string, got %s", b->name,
                val_text(e, v));
    } else if (!val_is_poison(v)) {
        bool called = c && c->frame && c->frame->call.file;
        Diag *d = diag_at(e->diags, DIAG_E0404, called ? c->frame->call : args->call, "%s", v->str);
        if (called) {
            diag_also(d, args->call, "refused here");
        }
    }
    return poison(e, args->call);
}
