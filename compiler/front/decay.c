/* decay.c: W0106: weight decay that a program asks for and that pulls the gains of norms, which begin at
 * 1, towards 0. Biases begin at 0, and a default of the library is nobody's wish: both alone say nothing. */
#include "stages.h"

static bool is_gain(const State *w)
{
    return w->init.kind == INIT_ONES || (w->init.kind == INIT_CONSTANT && w->init.a == 1);
}

/* The decay that is written in the arguments; NULL when there is none, or it is 0. */
static const Val *written(Elab *e, const Args *args)
{
    Sym name = sym(e->ir->syms, "weight_decay");
    for (uint32_t i = 0; args && i < args->n; i++) {
        double d;
        if (args->name[i] == name && val_as_double(args->at[i], &d)) {
            return d > 0 ? args->at[i] : NULL;
        }
    }
    return NULL;
}

void decay_check(Stage *s, uint32_t group, const Args *args)
{
    Elab *e = s->e;
    const Val *decay = written(e, args);
    StrBuf names = sb_new(e->arena);
    uint32_t n = 0, gains = 0;
    for (uint32_t i = 0; decay && i < s->nparam; i++) {
        const State *w = e->program->states.at[i];
        if (w->kind != SK_PARAM || !w->trained || s->choices[i].group != group ||
            w->type->rank > 1) {
            continue;
        }
        if (n < 3) {
            sb_printf(&names, "%s`%s`", n ? ", " : "", w->path);
        }
        n++;
        gains += is_gain(w);
    }
    if (!gains) {
        return;
    }
    Diag *d = diag_at(e->diags, DIAG_W0106, decay->span,
                      "`weight_decay` applies to %u norm and bias vector%s", n, n == 1 ? "" : "s");
    diag_note(d, "in %s: %s%s", stage_text(s), sb_text(&names), n > 3 ? ", .." : "");
    diag_help(d, "leave them out behind the other clauses: `train **.bias, **.norm*.* { "
                 "weight_decay = 0 }`");
}
