/* datastats.c: counts over all samples of a data block, in batches as they are trained on. */
#include "datastats.h"
#include "dataset.h"
#include "results.h"
#include <math.h>

/* Of a field of numbers, or of the tokens of one text. */
typedef struct Counts {
    const char *name;
    const PlanField *field; /* numbers */
    const PlanField *valid, *learn, *pos;
    int64_t values, odd; /* finite ones, others */
    double sum, least, most;
    int64_t rows, length, tokens, learned; /* of tokens */
    int64_t texts, shortest, longest;
} Counts;

typedef struct Counting {
    const DataView *v;
    VEC(Counts) at;
    void **out; /* room for a batch of each field */
} Counting;

const PlanField *dataview_field(const DataView *v, uint32_t f)
{
    return &v->plan->fields[v->plan->datas[v->data].field0 + f];
}

size_t dataview_elements(const PlanField *f)
{
    size_t n = 1;
    for (uint32_t k = 0; k < f->rank; k++)
        n *= f->dim[k];
    return n;
}

static const void *values_of(const Counting *c, const PlanField *f)
{
    return c->out[f - dataview_field(c->v, 0)];
}

/* ---- preparing ---- */

/* The part of `said.tokens` in front of the dot; "tokens" of a source of tokens. */
static const char *group_name(const DataView *v, const PlanField *f)
{
    const char *name = plan_text(v->plan, f->name), *dot = strrchr(name, '.');
    return dot ? arena_strndup(v->cli->arena, name, (size_t)(dot - name)) : "tokens";
}

static Counts *group(Counting *c, const PlanField *f)
{
    const char *name = group_name(c->v, f);
    for (uint32_t i = 0; i < c->at.n; i++)
        if (!c->at.at[i].field && strcmp(c->at.at[i].name, name) == 0)
            return &c->at.at[i];
    Counts fresh = {.name = name, .shortest = INT64_MAX};
    VEC_PUSH(c->v->cli->arena, &c->at, fresh);
    return &VEC_LAST(&c->at);
}

static void add_numbers(Counting *c, const PlanField *f)
{
    Counts fresh = {.name = plan_text(c->v->plan, f->name),
                    .field = f,
                    .least = (double)INFINITY,
                    .most = -(double)INFINITY};
    VEC_PUSH(c->v->cli->arena, &c->at, fresh);
}

static void prepare(Counting *c)
{
    const DataView *v = c->v;
    uint32_t n = v->plan->datas[v->data].nfield;
    c->out = NEW_ARRAY(v->cli->arena, void *, n + (size_t)1);
    for (uint32_t i = 0; i < n; i++) {
        const PlanField *f = dataview_field(v, i);
        size_t bytes = dataview_elements(f) * dtype_info((DType)f->dtype)->bytes;
        c->out[i] = arena_alloc(v->cli->arena, bytes * (size_t)v->batch);
        if (f->kind == PF_CODE)
            add_numbers(c, f);
        else if (f->kind == PF_VALID)
            group(c, f)->valid = f;
        else if (f->kind == PF_LEARN)
            group(c, f)->learn = f;
        else if (f->kind == PF_POS)
            group(c, f)->pos = f;
    }
}

/* ---- counting ---- */

static void count_numbers(const Counting *c, Counts *x, int64_t rows)
{
    const void *data = values_of(c, x->field);
    size_t n = dataview_elements(x->field) * (size_t)rows;
    for (size_t i = 0; i < n; i++) {
        double v = dtype_load((DType)x->field->dtype, data, i);
        if (!isfinite(v)) {
            x->odd++;
            continue;
        }
        x->values++;
        x->sum += v;
        x->least = v < x->least ? v : x->least;
        x->most = v > x->most ? v : x->most;
    }
}

/* A text begins wherever the position is 0. */
static void count_tokens(const Counting *c, Counts *x, int64_t rows)
{
    const uint8_t *valid = values_of(c, x->valid), *learn = values_of(c, x->learn);
    const int32_t *pos = values_of(c, x->pos);
    x->length = x->valid->dim[0];
    x->rows += rows;
    for (int64_t i = 0; i < rows * x->length; i++) {
        bool last = (i + 1) % x->length == 0 || !valid[i + 1] || pos[i + 1] == 0;
        x->tokens += valid[i];
        x->learned += learn[i];
        if (!valid[i] || !last)
            continue;
        int64_t n = pos[i] + 1;
        x->texts++;
        x->shortest = n < x->shortest ? n : x->shortest;
        x->longest = n > x->longest ? n : x->longest;
    }
}

static bool count_all(Counting *c, Err *err)
{
    const DataView *v = c->v;
    int64_t all = data_rows(v->ds), *rows = NEW_ARRAY(v->cli->arena, int64_t, v->batch);
    for (int64_t from = 0; from < all; from += v->batch) {
        int64_t n = all - from < v->batch ? all - from : v->batch;
        for (int64_t i = 0; i < n; i++)
            rows[i] = data_sample(v->ds, v->seed, from + i);
        int64_t made = data_batch(v->ds, rows, n, c->out, err);
        if (!made)
            return false;
        for (uint32_t i = 0; i < c->at.n; i++)
            (c->at.at[i].field ? count_numbers : count_tokens)(c, &c->at.at[i], made);
    }
    return true;
}

/* ---- printing ---- */

static const char *type_of(const Arena *arena, const PlanField *f)
{
    StrBuf sb = sb_new((Arena *)(uintptr_t)arena);
    sb_puts(&sb, dtype_info((DType)f->dtype)->name);
    for (uint32_t k = 0; k < f->rank; k++)
        sb_printf(&sb, "%s%u", k ? ", " : "[", f->dim[k]);
    sb_puts(&sb, f->rank ? "]" : "");
    return sb_text(&sb);
}

static void put_numbers(const DataView *v, const Counts *x)
{
    printf("  %-12s %s", x->name, type_of(v->cli->arena, x->field));
    if (x->values)
        printf("  least %g, mean %.6g, most %g", x->least, x->sum / (double)x->values, x->most);
    if (x->odd)
        printf("  %lld not finite", (long long)x->odd);
    puts("");
}

static void put_tokens(const Counts *x)
{
    double places = (double)x->rows * (double)x->length;
    printf("  %-12s %lld tokens, %lld learned\n", x->name, (long long)x->tokens,
           (long long)x->learned);
    if (x->texts)
        printf("  %-12s %lld texts of %lld to %lld tokens, mean %.1f\n", "", (long long)x->texts,
               (long long)x->shortest, (long long)x->longest, (double)x->tokens / (double)x->texts);
    printf("  %-12s %lld rows of %lld tokens, %.1f %% full\n", "", (long long)x->rows,
           (long long)x->length, 100 * (double)x->tokens / places);
}

static bool put_json(const Counting *c)
{
    const char *name = plan_text(c->v->plan, c->v->plan->datas[c->v->data].name);
    json_t *fields = json_array();
    for (uint32_t i = 0; i < c->at.n; i++) {
        const Counts *x = &c->at.at[i];
        json_t *json = x->field
                           ? json_pack("{s:s, s:s, s:I, s:I}", "field", x->name, "type",
                                       type_of(c->v->cli->arena, x->field), "values",
                                       (json_int_t)x->values, "not_finite", (json_int_t)x->odd)
                           : json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "field", x->name, "tokens",
                                       (json_int_t)x->tokens, "learned", (json_int_t)x->learned,
                                       "texts", (json_int_t)x->texts, "rows", (json_int_t)x->rows,
                                       "length", (json_int_t)x->length);
        if (x->field && x->values) {
            json_object_set_new(json, "least", json_real(x->least));
            json_object_set_new(json, "mean", json_real(x->sum / (double)x->values));
            json_object_set_new(json, "most", json_real(x->most));
        }
        json_array_append_new(fields, json);
    }
    return print_json(json_pack("{s:s, s:s, s:I, s:I, s:o}", "schema", "mdl.data.1", "data", name,
                                "samples", (json_int_t)data_rows(c->v->ds), "batch",
                                (json_int_t)c->v->batch, "fields", fields),
                      10);
}

bool datastats_print(const DataView *v, Err *err)
{
    Counting c = {.v = v};
    prepare(&c);
    if (!count_all(&c, err))
        return false;
    if (cli_has(v->cli, OPT_json))
        return put_json(&c) || err_set(err, ERR_DEVICE, "not enough memory for a line of JSON");
    printf("data %s: %lld samples, %lld in a batch\n%s",
           plan_text(v->plan, v->plan->datas[v->data].name), (long long)data_rows(v->ds),
           (long long)v->batch, v->remarks);
    for (uint32_t i = 0; i < c.at.n; i++)
        if (c.at.at[i].field)
            put_numbers(v, &c.at.at[i]);
        else
            put_tokens(&c.at.at[i]);
    return true;
}
