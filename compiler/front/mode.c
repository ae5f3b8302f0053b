/* mode.c: train, eval, prefill, decode. While a stage trains, every instance has a mode of its own: a
 * frozen tower neither drops out nor moves its statistics (language.md 2.8). */
#include "blocks.h"

static const char *const names[MODE_COUNT] = {[MODE_TRAIN] = "train",
                                              [MODE_EVAL] = "eval",
                                              [MODE_PREFILL] = "prefill",
                                              [MODE_DECODE] = "decode"};

bool mode_find(const char *name, Mode *out)
{
    for (uint32_t m = 0; m < MODE_COUNT; m++) {
        if (strcmp(names[m], name) == 0) {
            *out = (Mode)m;
            return true;
        }
    }
    return false;
}

typedef struct Trained {
    bool any, some; /* it has parameters; some of them train */
} Trained;

static void look_below(const Inst *inst, Trained *t)
{
    for (uint32_t i = 0; i < inst->params.n && !t->some; i++) {
        const State *s = inst->params.at[i]->state;
        t->any = t->any || s->kind == SK_PARAM;
        t->some = s->kind == SK_PARAM && s->trained;
    }
    for (uint32_t i = 0; i < inst->subs.n && !t->some; i++) {
        look_below(inst->subs.at[i], t);
    }
}

Mode inst_mode(const Elab *e, const Inst *inst)
{
    if (e->mode != MODE_TRAIN) {
        return e->mode;
    }
    for (; inst; inst = inst->parent) {
        Trained t = {0};
        if (inst->has_mode) {
            return inst->mode;
        }
        look_below(inst, &t);
        if (t.any) {
            return t.some || e->all_train ? MODE_TRAIN : MODE_EVAL;
        }
    }
    return MODE_TRAIN;
}

Mode mode_here(const Elab *e)
{
    const CallFrame *c = e->calls;
    while (c && !c->inst) {
        c = c->up;
    }
    return inst_mode(e, c ? c->inst : NULL);
}

void inst_force_mode(Inst *root, const char *pattern, Mode mode)
{
    bool matches = match_pattern(pattern, root->path);
    for (uint32_t i = 0; i < root->params.n && !matches; i++) {
        matches = match_pattern(pattern, root->params.at[i]->state->path);
    }
    root->has_mode = root->has_mode || matches;
    root->mode = matches ? mode : root->mode;
    for (uint32_t i = 0; i < root->subs.n; i++) {
        inst_force_mode(root->subs.at[i], pattern, mode);
    }
}
