/* builtin_models.c: start(m) and ema(m), a model with other weights than those that train; tap(x, "name"),
 * which shows a value to the log (language.md 8). */
#include "builtin.h"
#include "stages.h"

const Val *call_other_weights(Elab *e, const Builtin *b, Args *args)
{
    const Val *v = args_get(args, 0, "m");
    const Item *item = v && v->kind == V_INSTANCE ? map_get(e->models, MAP_KEY(v->inst)) : NULL;
    if (!args_count(e, b, args, 1) || val_is_poison(v)) {
        return poison(e, args->call);
    }
    if (!item) {
        diag_at(e->diags, DIAG_E0205, args->call, "`%s` takes a model, got %s", b->name,
                val_text(e, v));
        return poison(e, args->call);
    }
    bool average = strcmp(b->name, "ema") == 0;
    if (average && e->stage && !(e->stage->ema > 0)) {
        Diag *d =
            diag_at(e->diags, DIAG_E0803, args->call, "`ema(%s)` needs averages: %s has no `ema`",
                    item->name, stage_text(e->stage));
        diag_help(d, "say how fast they follow: `ema = 0.999`");
        return poison(e, args->call);
    }
    uint64_t key = hash_mix(MAP_KEY(item->ast), hash_text(b->name));
    const Val *known = map_get(e->memo, key);
    if (!known && e->stage) {
        known = average_model(e->stage, item, average, args->call);
    } else if (!known) {
        not_yet(e, args->call,
                average ? "`ema(..)` outside of a stage" : "`start(..)` outside of a stage");
        known = model_copy(e, item, sym_printf(e->ir->syms, "%s(%s)", b->name, item->name));
    }
    if (known) {
        map_put(e->memo, key, (void *)known);
    }
    return known;
}

/* Puts the mean of x into the log. Without gradient: only the loss is differentiated. */
static bool show(Elab *e, const char *name, const Val *x, Span span)
{
    const Node *sum, *weight;
    if (e->g != e->entry || e->lifted) {
        diag_at(e->diags, DIAG_E0309, span,
                "`tap` shows a value of a pass: not inside an op, a loop "
                "or an equation");
        return false;
    }
    const Val *loss = x->kind == V_LOSS ? x : loss_mean(e, tensor_of(e, x), NULL, span);
    if (!loss_pair(e, loss, NULL, &sum, &weight)) {
        return false;
    }
    stage_tap(e->stage, sym(e->ir->syms, name), sum, weight);
    return true;
}

const Val *call_tap(Elab *e, const Builtin *b, Args *args)
{
    const Val *x = args_get(args, 0, "x"), *name = args_get(args, 1, "name");
    if (!args_count(e, b, args, 2) || val_is_poison(x) || val_is_poison(name)) {
        return poison(e, args->call);
    }
    if (name->kind != V_STR || (x->kind != V_LOSS && !is_tensor(x))) {
        const Val *bad = name->kind != V_STR ? name : x;
        diag_at(e->diags, DIAG_E0205, bad->span,
                "`tap` takes a tensor or a loss, and a name, got %s", val_text(e, bad));
        return poison(e, args->call);
    }
    return e->stage && !show(e, name->str, x, args->call) ? poison(e, args->call) : x;
}
