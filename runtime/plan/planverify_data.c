/* planverify_data.c: the part of plan_verify about data sets and training. */
#include "planverify.h"
#include <math.h>

enum { MAX_LIST = 4096, MAX_TEXT = 1 << 24 };
static const int64_t MAX_COUNT = INT64_C(1) << 48; /* of rows, steps, elements of a field */

/* Indexed by RowOp. */
static const uint32_t row_pops[] = {
#define ROWOP(id, name, pops, doc) pops,
#include "rowops.def"
#undef ROWOP
};

/* Every operation pushes one value; what is left at the end is the field. */
static bool verify_code(const Row *r, uint32_t code0, uint32_t ncode, uint32_t ncolumn)
{
    uint32_t depth = 0;
    if (ncode > MAX_LIST)
        return row_bad(r, "its code is too long");
    for (uint32_t i = 0; i < ncode; i++) {
        const PlanCode *c = &r->plan->codes[code0 + i];
        if (!row_index(r, "row operation", c->op, RO_COUNT))
            return false;
        if (row_pops[c->op] > depth)
            return row_bad(r, "operation %u of its code finds too few values", i);
        depth = depth - row_pops[c->op] + 1;
        if (depth > PLAN_ROW_STACK)
            return row_bad(r, "its code holds too many values");
        bool column = c->op == RO_COLUMN || c->op == RO_TEXT;
        if ((column && !row_index(r, "column", c->a, ncolumn)) ||
            (c->op == RO_STRING && !row_text(r, "string", c->a)))
            return false;
    }
    return depth == 1 || row_bad(r, "its code leaves %u values", depth);
}

/* Tokens are i32[length], marks bool[length], `last` one number. */
static bool verify_token_field(const Row *r, const PlanField *f, int64_t length)
{
    bool mark = f->kind == PF_LEARN || f->kind == PF_VALID, last = f->kind == PF_LAST;
    bool fits = f->dtype == (mark ? (uint32_t)DT_BOOL : (uint32_t)DT_I32) &&
                f->rank == (last ? 0u : 1u) && (last || f->dim[0] == length);
    if (f->ncode)
        return row_bad(r, "a field of tokens has code");
    return fits || row_bad(r, "not what its source of tokens gives");
}

static bool verify_texts(const Plan *p, const PlanData *d, Err *err)
{
    for (uint32_t i = 0; i < d->ntext; i++) {
        const PlanText *t = &p->texts[d->text0 + i];
        const Row r = {p, err, "texts", d->text0 + i};
        if (!row_name(&r, "name", t->name) ||
            !row_range(&r, "code", t->code0, t->ncode, p->ncodes) ||
            !row_index(&r, "tokenizer", t->tokenizer, p->ntokenizers) ||
            !row_index(&r, "overlong", t->overlong, PO_ERROR + 1) ||
            !verify_code(&r, t->code0, t->ncode, d->ncolumn))
            return false;
        if (t->length < 1 || t->length > MAX_TEXT)
            return row_bad(&r, "rows of %lld tokens", (long long)t->length);
    }
    return true;
}

static bool is_stream(const PlanData *d)
{
    return d->source == PD_TEXT || d->source == PD_BIN;
}

static bool verify_field(const Row *r, const PlanField *f, const PlanData *d)
{
    bool tokens = is_stream(d) || f->text;
    if (!row_index(r, "kind", f->kind, PF_LAST + 1) || !row_index(r, "text", f->text, d->ntext + 1))
        return false;
    if (tokens != (f->kind != PF_CODE))
        return row_bad(r, "its kind %u is not one of its source", f->kind);
    if (!row_name(r, "name", f->name) || !row_index(r, "dtype", f->dtype, DT_COUNT) ||
        !row_index(r, "rank", f->rank, PLAN_MAX_RANK + 1) ||
        !row_range(r, "code", f->code0, f->ncode, r->plan->ncodes))
        return false;
    int64_t n = 1;
    for (uint32_t k = 0; k < f->rank; k++)
        if (!f->dim[k] || __builtin_mul_overflow(n, (int64_t)f->dim[k], &n) || n > MAX_COUNT)
            return row_bad(r, "bad extent %u", f->dim[k]);
    if (!tokens)
        return verify_code(r, f->code0, f->ncode, d->ncolumn);
    return verify_token_field(r, f,
                              f->text ? r->plan->texts[d->text0 + f->text - 1].length
                                      : r->plan->streams[d->stream].length);
}

/* Field by field the same types. */
static bool are_alike(const Plan *p, const PlanData *a, const PlanData *b)
{
    bool alike = a->nfield == b->nfield && a->ntext == b->ntext && a->packs == b->packs;
    for (uint32_t i = 0; alike && i < a->nfield; i++) {
        const PlanField *x = &p->fields[a->field0 + i], *y = &p->fields[b->field0 + i];
        alike = x->dtype == y->dtype && x->rank == y->rank && x->text == y->text &&
                memcmp(x->dim, y->dim, sizeof *x->dim * x->rank) == 0;
    }
    return alike;
}

/* A mix has the fields of its parts, which come before it. */
static bool verify_mix(const Row *r, const PlanData *d)
{
    const Plan *p = r->plan;
    if (!row_range(r, "parts", d->part0, d->npart, p->nparts))
        return false;
    if (d->npart < 1 || d->npart > MAX_LIST || d->ncolumn || d->filters)
        return row_bad(r, "%u parts, %u columns, %u filters", d->npart, d->ncolumn, d->filters);
    for (uint32_t k = 0; k < d->npart; k++) {
        const PlanMixPart *part = &p->parts[d->part0 + k];
        if (!row_index(r, "part", part->data, r->i))
            return false;
        if (p->datas[part->data].source == PD_MIX || !are_alike(p, d, &p->datas[part->data]))
            return row_bad(r, "part %u does not fit", k);
        if (!(part->weight > 0 && part->weight < (double)INFINITY))
            return row_bad(r, "weight %g", part->weight);
    }
    return true;
}

/* Packed texts share rows, so there is one, and nothing else. */
static bool verify_packing(const Row *r, const PlanData *d)
{
    bool alone = d->ntext == 1;
    for (uint32_t i = 0; alone && i < d->nfield; i++)
        alone = r->plan->fields[d->field0 + i].text == 1;
    return !d->packs || alone || row_bad(r, "it packs more than one text");
}

static bool verify_one_data(const Row *r, const PlanData *d)
{
    const Plan *p = r->plan;
    if (!row_text(r, "name", d->name) || !row_text(r, "dir", d->dir) ||
        !row_index(r, "source", d->source, PD_COUNT) ||
        !row_range(r, "columns", d->column0, d->ncolumn, p->ncolumns) ||
        !row_range(r, "fields", d->field0, d->nfield, p->nfields) ||
        !row_index(r, "shuffle", d->shuffle, 2) || !row_index(r, "filters", d->filters, 2) ||
        !row_range(r, "filter", d->field0, d->nfield + d->filters, p->nfields) ||
        !row_range(r, "texts", d->text0, d->ntext, p->ntexts) ||
        !row_index(r, "packs", d->packs, 2))
        return false;
    bool stream = is_stream(d), mix = d->source == PD_MIX;
    if (stream && !row_index(r, "stream", d->stream, p->nstreams))
        return false;
    if ((d->ncolumn < 1) != (stream || mix) || d->nfield < 1 || d->ncolumn > MAX_LIST ||
        d->nfield > MAX_LIST || d->ntext > MAX_LIST || (stream && d->ntext))
        return row_bad(r, "%u columns, %u fields", d->ncolumn, d->nfield);
    if ((!mix && d->npart) ||
        (stream && (p->streams[d->stream].tokenizer == PLAN_NONE) != (d->source == PD_BIN)))
        return row_bad(r, "parts or a tokenizer that its source has not");
    if (d->limit < -1)
        return row_bad(r, "limit %lld", (long long)d->limit);
    if (!(d->share >= 0 && d->share < 1))
        return row_bad(r, "share %g", d->share);
    if (d->workers > PLAN_MAX_WORKERS)
        return row_bad(r, "%u workers", d->workers);
    if (!verify_packing(r, d))
        return false;
    if (mix)
        return verify_mix(r, d);
    if (!verify_texts(p, d, r->err))
        return false;
    for (uint32_t i = 0; i < d->nfield + d->filters; i++) {
        const Row f = {p, r->err, "fields", d->field0 + i};
        if (!verify_field(&f, &p->fields[f.i], d))
            return false;
    }
    return true;
}

bool verify_data(const Plan *p, Err *err)
{
    for (uint32_t i = 0; i < p->ncolumns; i++) {
        const Row r = {p, err, "columns", i};
        if (!row_text(&r, "name", p->columns[i].name) ||
            !row_name(&r, "file", p->columns[i].file) ||
            !row_text(&r, "member", p->columns[i].member) ||
            !row_index(&r, "text", p->columns[i].text, 2))
            return false;
    }
    if (!verify_tokens(p, err))
        return false;
    if (p->ndatas > MAX_LIST)
        return err_set(err, ERR_DATA, "the plan has too many data sets: %u", p->ndatas);
    for (uint32_t i = 0; i < p->ndatas; i++)
        if (!verify_one_data(&(Row){p, err, "datas", i}, &p->datas[i]))
            return false;
    return true;
}

/* ---- training ---- */

static bool verify_segments(const Plan *p, Err *err)
{
    for (uint32_t i = 0; i < p->nsegments; i++) {
        const PlanSegment *s = &p->segments[i];
        const Row r = {p, err, "segments", i};
        if (!row_index(&r, "curve", s->curve, PC_SQRT + 1) ||
            !row_index(&r, "unit", s->unit, PU_REST + 1))
            return false;
        if (!isfinite(s->length) || s->length < 0 || !isfinite(s->f0) || !isfinite(s->f1))
            return row_bad(&r, "a number is not usable");
    }
    return true;
}

/* Metrics and losses are read on the host as one number. */
static bool is_scalar(const Plan *p, uint32_t tensor)
{
    uint64_t most;
    return tensor_most(p, &p->tensors[tensor], &most) && most == 1;
}

static bool verify_metric(const Row *r, const PlanMetric *m, const PlanEntry *e)
{
    const Plan *p = r->plan;
    if (!row_name(r, "name", m->name) || !row_index(r, "sum", m->sum, e->nresult) ||
        !row_index(r, "weight", m->weight, e->nresult))
        return false;
    return (is_scalar(p, p->bindings[e->result0 + m->sum].tensor) &&
            is_scalar(p, p->bindings[e->result0 + m->weight].tensor)) ||
           row_bad(r, "its results are not single numbers");
}

static bool verify_eval(const Row *r, const PlanEval *e)
{
    const Plan *p = r->plan;
    if (!row_name(r, "name", e->name) || !row_index(r, "entry", e->entry, p->nentries) ||
        !row_index(r, "data", e->data, p->ndatas) ||
        !row_range(r, "metrics", e->metric0, e->nmetric, p->nmetrics))
        return false;
    if (e->batch < 1 || e->batch > MAX_COUNT || e->limit < -1 || e->nmetric > MAX_LIST)
        return row_bad(r, "batch %lld, limit %lld", (long long)e->batch, (long long)e->limit);
    for (uint32_t i = 0; i < e->nmetric; i++) {
        const Row m = {p, r->err, "metrics", e->metric0 + i};
        if (!verify_metric(&m, &p->metrics[m.i], &p->entries[e->entry]))
            return false;
    }
    return true;
}

static bool verify_unit(const Row *r, uint32_t unit)
{
    return unit == PU_MINUTES || row_index(r, "unit", unit, PU_EPOCHS + 1);
}

/* The metric of `best` is one of the eval that it names. */
static bool verify_best(const Row *r, const PlanAction *a)
{
    const Plan *p = r->plan;
    if (a->eval == PLAN_NONE)
        return true;
    if (!row_index(r, "eval", a->eval, p->nevals) ||
        !row_index(r, "metric", a->metric, p->nmetrics))
        return false;
    const PlanEval *e = &p->evals[a->eval];
    return (a->metric >= e->metric0 && a->metric - e->metric0 < e->nmetric) ||
           row_bad(r, "metric %u is none of its eval", a->metric);
}

static bool verify_actions(const Plan *p, Err *err)
{
    for (uint32_t i = 0; i < p->nactions; i++) {
        const PlanAction *a = &p->actions[i];
        const Row r = {p, err, "actions", i};
        if (!verify_unit(&r, a->unit) || !row_index(&r, "kind", a->kind, PX_SAMPLE + 1))
            return false;
        if (!isfinite(a->length) || a->length <= 0)
            return row_bad(&r, "it happens every %g", a->length);
        if (a->kind == PX_EVAL && !row_index(&r, "eval", a->eval, p->nevals))
            return false;
        if (a->kind == PX_SAVE && !verify_best(&r, a))
            return false;
        if (a->kind == PX_SAMPLE && (!row_index(&r, "generate", a->generate, p->ngenerates) ||
                                     !row_text(&r, "prompt", a->prompt)))
            return false;
    }
    return true;
}

static bool verify_loop_state(const Row *r, const char *field, uint32_t state)
{
    const Plan *p = r->plan;
    if (!row_index(r, field, state, p->nstates))
        return false;
    return (p->states[state].kind == PS_LOOP && is_scalar(p, p->states[state].tensor)) ||
           row_bad(r, "%s is not a single running number", field);
}

static bool verify_factor(const Row *r, uint32_t field)
{
    const PlanData two = {.ncolumn = 2};
    if (field == PLAN_NONE)
        return true;
    if (!row_index(r, "factor", field, r->plan->nfields))
        return false;
    const Row f = {r->plan, r->err, "fields", field};
    const PlanField *x = &r->plan->fields[field];
    return verify_field(&f, x, &two) &&
           ((x->dtype == DT_F64 && !x->rank) || row_bad(r, "its factor is not a single number"));
}

static bool verify_run(const Row *r, const PlanRun *run)
{
    const Plan *p = r->plan;
    if (!row_text(r, "stage", run->stage) || !row_text(r, "model", run->model) ||
        !row_index(r, "micro", run->micro, p->nentries) ||
        !row_index(r, "update", run->update, p->nentries) ||
        !row_index(r, "data", run->data, p->ndatas) ||
        !row_range(r, "segments", run->segment0, run->nsegment, p->nsegments) ||
        !row_range(r, "actions", run->action0, run->naction, p->nactions) ||
        !verify_loop_state(r, "loss sum", run->loss_sum) ||
        !verify_loop_state(r, "loss weight", run->loss_weight) ||
        (run->gnorm != PLAN_NONE && !verify_loop_state(r, "gradient norm", run->gnorm)) ||
        (run->finite != PLAN_NONE && !verify_loop_state(r, "finite", run->finite)) ||
        (run->weigh != PLAN_NONE && !row_index(r, "weigh", run->weigh, p->nentries)) ||
        !row_index(r, "on_nan", run->on_nan, PN_SKIP + 1))
        return false;
    if (run->batch < 1 || run->batch > MAX_COUNT || run->steps < 0 || run->steps > MAX_COUNT)
        return row_bad(r, "batch %lld, steps %lld", (long long)run->batch, (long long)run->steps);
    bool divides = p->datas[run->data].packs || (run->rows > 0 && run->batch % run->rows == 0);
    if (run->rows < 1 || run->rows > run->batch || !divides)
        return row_bad(r, "passes of %lld rows for a batch of %lld", (long long)run->rows,
                       (long long)run->batch);
    if (run->tokens < 0 || run->tokens > MAX_COUNT)
        return row_bad(r, "%lld tokens", (long long)run->tokens);
    if (!verify_factor(r, run->factor) || !verify_unit(r, run->log_unit))
        return false;
    if (!isfinite(run->log_length) || run->log_length <= 0)
        return row_bad(r, "it logs every %g", run->log_length);
    if (!isfinite(run->epochs) || run->epochs < 0 || run->epochs > 1e12 || !isfinite(run->lr))
        return row_bad(r, "epochs %g, learning rate %g", run->epochs, run->lr);
    return true;
}

static bool verify_taps(const Plan *p, Err *err)
{
    for (uint32_t i = 0; i < p->ntaps; i++) {
        const PlanTap *t = &p->taps[i];
        const Row r = {p, err, "taps", i};
        if (!row_text(&r, "name", t->name) || !verify_loop_state(&r, "sum", t->sum) ||
            !verify_loop_state(&r, "weight", t->weight))
            return false;
    }
    return p->ntaps <= MAX_LIST || err_set(err, ERR_DATA, "the plan has %u taps", p->ntaps);
}

bool verify_training(const Plan *p, Err *err)
{
    if (!verify_segments(p, err) || !verify_generates(p, err))
        return false;
    if (p->nevals > MAX_LIST || p->nruns > 1)
        return err_set(err, ERR_DATA, "the plan has %u evals and %u runs", p->nevals, p->nruns);
    for (uint32_t i = 0; i < p->nevals; i++)
        if (!verify_eval(&(Row){p, err, "evals", i}, &p->evals[i]))
            return false;
    return verify_actions(p, err) && verify_taps(p, err) &&
           (!p->nruns || verify_run(&(Row){p, err, "runs", 0}, p->runs));
}
