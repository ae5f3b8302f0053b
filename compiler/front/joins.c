/* joins.c: stages behind several others (language.md 9). A stage begins with the weights of those it is
 * `after`; what only one of them changed, itself or through those it is behind, is taken from that one. What two
 * changed each on their own is E0805. Tensors are known by their keys, which adapters keep. */
#include "stages.h"

static bool any_join(const Front *f)
{
    bool any = false;
    for (uint32_t i = 0; i < f->stages.n; i++) {
        any = any || f->stages.at[i]->nafter > 1;
    }
    return any;
}

void stages_note_trained(Stage *s)
{
    Front *f = s->e->front;
    StageDef *def = (StageDef *)s->def;
    if (!any_join(f) || def->trained.n) {
        return;
    }
    for (uint32_t i = 0; i < s->nparam; i++) {
        const State *w = s->e->program->states.at[i];
        if (w->trained) {
            VEC_PUSH(f->arena, &def->trained, w->key ? w->key : w->path);
        }
    }
}

/* Marks stage i and all that it is behind. */
static void mark_behind(const Front *f, uint32_t i, bool *mark)
{
    if (mark[i]) {
        return;
    }
    mark[i] = true;
    for (uint32_t k = 0; k < f->stages.at[i]->nafter; k++) {
        mark_behind(f, f->stages.at[i]->after[k], mark);
    }
}

/* What the stages marked in `only` but not in `not` change: key -> StageDef. */
static Map *changed(const Front *f, const bool *only, const bool * not )
{
    Map *keys = map_new(f->arena);
    for (uint32_t i = 0; i < f->stages.n; i++) {
        StageDef *d = f->stages.at[i];
        for (uint32_t k = 0; only[i] && !not [i] && k < d->trained.n; k++) {
            map_put(keys, MAP_KEY(d->trained.at[k]), d);
        }
    }
    return keys;
}

static bool check_pair(Front *f, const StageDef *d, uint32_t a, uint32_t b)
{
    bool *behind_a = NEW_ARRAY(f->arena, bool, f->stages.n);
    bool *behind_b = NEW_ARRAY(f->arena, bool, f->stages.n);
    mark_behind(f, a, behind_a);
    mark_behind(f, b, behind_b);
    const Map *of_a = changed(f, behind_a, behind_b), *of_b = changed(f, behind_b, behind_a);
    for (uint32_t i = 0; i < map_count(of_a); i++) {
        const StageDef *first = map_value_at(of_a, i), *second = map_get(of_b, map_key_at(of_a, i));
        if (!second) {
            continue;
        }
        Diag *diag =
            diag_at(f->ir->diags, DIAG_E0805, d->header ? d->header->span : d->span,
                    "`%s` and `%s` both train `%s`: which one does `%s` begin with?", first->name,
                    second->name, (Sym)(uintptr_t)map_key_at(of_a, i), d->name);
        diag_help(diag, "stages that are joined train different parameters");
        return false;
    }
    return true;
}

void stages_check_joins(Front *f)
{
    for (uint32_t i = 0; i < f->stages.n; i++) {
        const StageDef *d = f->stages.at[i];
        bool ok = true;
        for (uint32_t k = 1; k < d->nafter; k++) {
            for (uint32_t j = 0; j < k && ok; j++) {
                ok = check_pair(f, d, d->after[j], d->after[k]);
            }
        }
    }
}
