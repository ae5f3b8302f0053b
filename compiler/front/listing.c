/* listing.c: front_stage_about(): a stage without its graphs. The model is instantiated and the clauses are
 * applied; so a list of the stages of a 7B model takes milliseconds. */
#include "stages.h"

static uint64_t count_of(const Type *t)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < t->rank; i++) {
        int64_t v = 0;
        dim_is_const(t->dims[i], &v);
        n *= (uint64_t)v;
    }
    return n;
}

static uint64_t trained_elements(const Stage *s, const State *w)
{
    uint64_t n = count_of(w->type), rows = 0;
    const Choice *c = &s->choices[w->id];
    int64_t all = 1;
    if (!w->trained || !c->nrows) {
        return w->trained ? n : 0;
    }
    dim_is_const(w->type->dims[0], &all);
    for (uint32_t i = 0; i < c->nrows; i++) {
        rows += (uint64_t)(c->rows[i].hi - c->rows[i].lo);
    }
    return n / (uint64_t)all * rows;
}

/* `load vision from ..`: what is loaded of a model; the rest is initialised. */
static const char *loads_of(Stage *s)
{
    const Item *item = map_get(s->e->models, MAP_KEY(s->model));
    const Ast *body = item ? item->ast->kid[3] : NULL;
    StrBuf sb = sb_new(s->e->arena);
    for (uint32_t i = 0; body && i < body->nkid; i++) {
        const Ast *a = body->kid[i];
        for (uint32_t k = 0; a->kind == A_CLAUSE && k < a->kid[0]->nkid; k++) {
            sb_printf(&sb, "%s%s", sb.n ? ", " : "", a->kid[0]->kid[k]->text);
        }
    }
    const StageLine *init = stage_line(s->def, "init");
    bool fresh = init && init->ast->kind == A_ATTR && init->ast->kid[0]->name &&
                 strcmp(init->ast->kid[0]->name, "fresh") == 0;
    return sb.n && !fresh ? arena_printf(s->e->arena, "%s: load", sb_text(&sb)) : "init";
}

bool front_stage_about(Front *f, uint32_t i, FrontStage *out)
{
    ASSERT(i < f->stages.n);
    const StageDef *def = f->stages.at[i];
    uint32_t errors = diags_reported(f->ir->diags);
    Program *p = program_new(f->ir, def->path);
    Stage s;
    if (f->stages_wrong || !stage_begin(&s, elab_new(f, p, f->arena), planb_new(f->arena), def)) {
        return false;
    }
    *out = (FrontStage){
        .path = def->path,
        .name = def->name,
        .block = def->block,
        .model = def->model,
        .nafter = def->nafter,
        .after = def->after,
        .program = p,
        .nstate = s.nparam,
        .steps = s.run.steps,
        .tokens = s.run.tokens,
        .epochs = s.run.epochs,
        .batch = s.run.batch,
        .micro = s.micro,
        .lr = s.run.lr,
        .precision = s.e->precision.tf32 ? "tf32" : dtype_info(s.e->precision.compute)->name};
    uint64_t *trained = NEW_ARRAY(f->arena, uint64_t, s.nparam + 1);
    for (uint32_t k = 0; k < s.nparam; k++) {
        trained[k] = trained_elements(&s, p->states.at[k]);
        out->tensors += trained[k] > 0;
        out->elements += trained[k];
    }
    out->trained = trained;
    out->from = loads_of(&s);
    return diags_reported(f->ir->diags) == errors;
}
