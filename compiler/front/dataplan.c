/* dataplan.c: a DataSpec as rows of the plan: columns, fields, their code. What the loader cannot do is
 * refused there, and left out where nothing is run. */
#include "data.h"

/* Of arrays all that are named are read, whether a field uses them or not: their rows must agree. */
static void plan_columns(Elab *e, PlanBuilder *b, const DataSpec *s)
{
    for (uint32_t i = 0; i < s->columns->n; i++) {
        source_column(e, b, s, &(SourceCell){s->columns->at[i].name, false});
    }
}

static bool plan_field(Elab *e, PlanBuilder *b, const DataSpec *s, PlanData *data,
                       const DataField *f)
{
    PlanField p = {.name = planb_text(b, f->ast->name), .code0 = b->codes.n};
    if (f->kind == FK_RAGGED) {
        return not_yet(e, f->ast->span, "a field of varying length");
    }
    if (f->kind == FK_TEXT) {
        return text_plan(e, b, s, data, f);
    }
    p.dtype = f->type->dtype;
    p.rank = f->type->rank;
    for (uint32_t i = 0; i < p.rank; i++) {
        int64_t v;
        bool constant = dim_is_const(f->type->dims[i], &v);
        ASSERT(constant);
        p.dim[i] = (uint32_t)v;
    }
    if (!row_code(e, b, s, data, f->value)) {
        return false;
    }
    p.ncode = b->codes.n - p.code0;
    VEC_PUSH(b->arena, &b->fields, p);
    return true;
}

static bool plan_source(Elab *e, PlanBuilder *b, const DataSpec *s, PlanData *d)
{
    const char *what = arena_printf(e->arena, "`%s(..)`", s->info->name);
    d->column0 = b->columns.n;
    d->source = s->info->plan;
    if (!s->info->runs) {
        return not_yet(e, s->source->span, what);
    }
    if (s->info->stream) {
        return stream_plan(e, b, s, d);
    }
    plan_columns(e, b, s);
    return true;
}

/* The filter is one more field, behind those of the batch. */
static bool plan_filter(Elab *e, PlanBuilder *b, const DataSpec *s, PlanData *d)
{
    PlanField p = {.name = planb_text(b, "filter"), .dtype = DT_BOOL, .code0 = b->codes.n};
    d->filters = s->filter && !s->info->stream;
    if (!d->filters) {
        return true; /* of a stream it is refused there */
    }
    if (!row_code(e, b, s, d, s->filter)) {
        return false;
    }
    p.ncode = b->codes.n - p.code0;
    VEC_PUSH(b->arena, &b->fields, p);
    return true;
}

static bool plan_data(Elab *e, PlanBuilder *b, const DataSpec *s, uint32_t *index);

typedef VEC(PlanMixPart) MixParts;

/* A mix within a mix is its parts, with their shares of its weight. */
static bool plan_parts(Elab *e, PlanBuilder *b, const DataSpec *s, double weight, MixParts *out)
{
    double sum = 0;
    for (uint32_t i = 0; i < s->npart; i++) {
        sum += s->weight[i] / s->npart; /* stays finite */
    }
    for (uint32_t i = 0; i < s->npart; i++) {
        PlanMixPart part = {.weight = weight * (s->weight[i] / s->npart / sum)};
        bool ok = s->part[i]->npart ? plan_parts(e, b, s->part[i], part.weight, out)
                                    : plan_data(e, b, s->part[i], &part.data);
        if (!ok) {
            return false;
        }
        if (!s->part[i]->npart) {
            VEC_PUSH(b->arena, out, part);
        }
    }
    return true;
}

static bool plan_mix(Elab *e, PlanBuilder *b, const DataSpec *s, PlanData *d)
{
    MixParts parts = {0};
    if (!plan_parts(e, b, s, 1, &parts)) {
        return false;
    }
    d->part0 = b->parts.n;
    d->npart = parts.n;
    for (uint32_t i = 0; i < parts.n; i++) {
        if (!(parts.at[i].weight > 0)) {
            diag_at(e->diags, DIAG_E0802, s->span, "a part of the mix has next to no weight");
            return false;
        }
        VEC_PUSH(b->arena, &b->parts, parts.at[i]);
    }
    const PlanData *first = &b->datas.at[parts.at[0].data];
    d->field0 = first->field0;
    d->nfield = first->nfield;
    d->text0 = first->text0;
    d->ntext = first->ntext;
    d->column0 = b->columns.n;
    return true;
}

static bool plan_rows(Elab *e, PlanBuilder *b, const DataSpec *s, PlanData *d)
{
    uint32_t later = e->front->later.n;
    ASSERT(s->block);
    d->field0 = b->fields.n;
    d->text0 = b->texts.n;
    bool ok = plan_source(e, b, s, d);
    for (uint32_t i = 0; i < s->nfield; i++) {
        ok = plan_field(e, b, s, d, &s->field[i]) && ok;
    }
    d->nfield = b->fields.n - d->field0;
    ok = plan_filter(e, b, s, d) && ok;
    d->ncolumn = b->columns.n - d->column0;
    if (ok && later == e->front->later.n && !d->ncolumn && s->info->runs && !s->info->stream) {
        diag_at(e->diags, DIAG_E0802, s->source->span,
                "no field of `data %s` reads a column of its source", s->block->name);
        return false;
    }
    return ok;
}

static bool plan_data(Elab *e, PlanBuilder *b, const DataSpec *s, uint32_t *index)
{
    const File *file = e->front->files.at[0];
    PlanData d = {.name = planb_text(b, s->block ? s->block->name : "mix"),
                  .source = s->info->plan,
                  .dir = planb_text(b, path_dir(e->arena, file->path)),
                  .shuffle = s->shuffle,
                  .limit = s->limit,
                  .share = s->limit_share < 1 ? s->limit_share : 0,
                  .packs = data_packs(s),
                  .workers = (uint32_t)s->workers};
    bool ok = s->npart ? plan_mix(e, b, s, &d) : plan_rows(e, b, s, &d);
    *index = b->datas.n;
    VEC_PUSH(b->arena, &b->datas, d);
    return ok;
}

/* A template without learn(..) teaches nothing. */
static bool teaches(Elab *e, const DataSpec *s, const Ast *expr)
{
    bool ok = true;
    for (uint32_t i = 0; i < s->npart; i++) {
        ok = teaches(e, s->part[i], expr) && ok;
    }
    if (!s->template || s->template->learns) {
        return ok;
    }
    const Ast *answer = block_attr(s->template->block, "assistant");
    Diag *d = diag_at(e->diags, DIAG_E0704, answer->span, "nothing in this template is learned");
    diag_label(d, "no `learn(..)` segment");
    diag_also(d, expr->span, "used for training here");
    diag_help(d, "learn the answer: `assistant = [learn(content, eos)]`");
    return false;
}

/* The tokenizer with the most tokens; each part of a mix may have its own. */
static const Tokenizer *largest_tokenizer(const DataSpec *s)
{
    const Tokenizer *most = s->tokenizer;
    for (uint32_t i = 0; i < s->npart; i++) {
        const Tokenizer *t = largest_tokenizer(s->part[i]);
        most = t && (!most || tokenizer_size(t) > tokenizer_size(most)) ? t : most;
    }
    return most;
}

bool data_tokens_fit(Elab *e, const DataUse *use, Span span)
{
    return tokens_have_rows(e, e->g, largest_tokenizer(use->spec), span);
}

bool data_use(Elab *e, PlanBuilder *b, Env *env, const Ast *expr, DataUse *use)
{
    const Val *v = eval(e, env, expr);
    use->spec = val_is_poison(v) ? NULL : data_of(e, val_at(e, v, expr->span), use->training);
    return use->spec && (!use->training || teaches(e, use->spec, expr)) &&
           plan_data(e, b, use->spec, &use->index);
}
