/* dataset.c: the rows of a `data` block: opens its source, leaves out what its filter refuses and texts that
 * are too long, makes batches of fields.
 *
 * Row i of a dataset is row kept[i] of its source; the rows of a mix are those of its parts, one part behind
 * the other. A batch is made in pieces of CHUNK rows: their cells
 * are found once, then every field's program runs over them. Texts are collected as tokens of all rows
 * first, of whatever part they are, and then laid out (tokenrows.c). */
#include "dataset.h"
#include "mix.h"
#include "order.h"
#include "textfields.h"

enum { CHUNK = 64 };

struct Dataset {
    Arena *arena;
    const Plan *plan;
    const PlanData *data;
    Source *source;   /* NULL: a mix */
    RowProg **fields; /* data->nfield, NULL where it is of tokens; then the filter, if any */
    TextFields *texts;
    int64_t looked, overlong, longest; /* rows looked at; texts over their length; tokens */
    int64_t counted, learned;          /* rows that stay, and the tokens that they teach */
    int64_t *kept;                     /* malloc; NULL: all rows of the source */
    int64_t rows;                      /* of a mix: of an epoch */
    DataWorker *own;                   /* of data_batch */
    Dataset **part;
    int64_t *base; /* the number of each part's first row */
    Mix mix;
};

struct DataWorker {
    const Dataset *ds;
    Arena *arena;
    RowWork **work; /* of each field and the filter */
    Cell *cells;    /* of CHUNK rows, or NULL */
    int64_t rows[CHUNK];
    DataWorker **part;
    void **out; /* the fields of one row, for a part */
    TextWork *texts;
    int64_t *measured;    /* of CHUNK rows: the tokens of each text */
    SampleTokens *tokens; /* of the batch, for each text */
    TokenRows layout;
};

/* A mix has the fields of its parts. */
static const Dataset *first_part(const Dataset *ds)
{
    return ds->part ? ds->part[0] : ds;
}

static const PlanText *text_at(const Dataset *ds, uint32_t k)
{
    return &ds->plan->texts[first_part(ds)->data->text0 + k];
}

static const PlanField *field_at(const Dataset *ds, uint32_t f)
{
    return &ds->plan->fields[ds->data->field0 + f];
}

static size_t row_bytes(const PlanField *field)
{
    size_t n = dtype_info((DType)field->dtype)->bytes;
    for (uint32_t i = 0; i < field->rank; i++)
        n *= field->dim[i];
    return n;
}

/* ---- workers ---- */

static uint32_t programs(const PlanData *data)
{
    return data->nfield + data->filters;
}

DataWorker *data_worker_new(const Dataset *ds)
{
    Arena *arena = arena_new();
    DataWorker *w = NEW(arena, DataWorker);
    w->ds = ds;
    w->arena = arena;
    w->part = NEW_ARRAY(arena, DataWorker *, ds->data->npart);
    w->out = NEW_ARRAY(arena, void *, ds->data->nfield);
    ASSERT(ds->part || ds->data->npart == 0);
    for (uint32_t k = 0; k < ds->data->npart; k++)
        w->part[k] = data_worker_new(ds->part[k]);
    w->layout.arena = arena;
    w->tokens = NEW_ARRAY(arena, SampleTokens, ds->data->ntext + (size_t)1);
    for (uint32_t k = 0; k < ds->data->ntext; k++)
        w->tokens[k].arena = arena;
    if (!ds->source)
        return w;
    w->texts = textwork_new(arena, ds->texts);
    w->measured = NEW_ARRAY(arena, int64_t, (size_t)CHUNK * ds->data->ntext + 1);
    w->work = NEW_ARRAY(arena, RowWork *, programs(ds->data));
    for (uint32_t f = 0; f < programs(ds->data); f++)
        w->work[f] = ds->fields[f] ? rowwork_new(arena, ds->fields[f]) : NULL;
    if (ds->source->kind->cells)
        w->cells = NEW_ARRAY(arena, Cell, (size_t)CHUNK * ds->data->ncolumn + 1);
    return w;
}

void data_worker_free(DataWorker *w)
{
    if (!w)
        return;
    for (uint32_t k = 0; k < w->ds->data->npart; k++)
        data_worker_free(w->part[k]);
    for (uint32_t f = 0; w->work && f < programs(w->ds->data); f++)
        rowwork_free(w->work[f]);
    textwork_free(w->texts);
    arena_free(w->arena);
}

uint32_t data_workers(const Dataset *ds)
{
    return ds->data->workers ? ds->data->workers : 1;
}

/* Finds the cells of w->rows. */
static bool locate(DataWorker *w, RowBlock *block, Err *err)
{
    const Source *s = w->ds->source;
    for (int64_t r = 0; w->cells && r < block->n; r++)
        if (!s->kind->cells(s, block->rows[r], w->cells + r * w->ds->data->ncolumn, err))
            return source_at_row(s, block->rows[r], err);
    block->cells = w->cells;
    return true;
}

/* ---- which rows ---- */

/* A text that is too long: the row stays unless such are dropped. */
static bool judge_text(Dataset *ds, const PlanText *text, int64_t n, bool *keeps, Err *err)
{
    ds->longest = n > ds->longest ? n : ds->longest;
    if (n <= text->length)
        return true;
    ds->overlong++;
    *keeps = text->overlong != PO_DROP;
    if (text->overlong != PO_ERROR)
        return true;
    err_set(err, ERR_DATA, "its text has %lld tokens, and a row has %lld", (long long)n,
            (long long)text->length);
    err_help(err, "`overlong = truncate` cuts such texts, `overlong = drop` leaves them out");
    return err_context(err, "field `%s`", plan_text(ds->plan, text->name));
}

/* tokens[k * step] of text k; NULL: the row does not stay. The last token of a text has no next one. */
static void count_learned(Dataset *ds, const int64_t *tokens, int64_t step)
{
    ds->counted += tokens != NULL;
    for (uint32_t k = 0; tokens && k < ds->data->ntext; k++) {
        int64_t n = tokens[k * step], length = text_at(ds, k)->length;
        n = n < length ? n : length;
        ds->learned += n > 0 ? n - 1 : 0;
    }
}

/* Which rows of the block stay. */
static bool judge(Dataset *ds, DataWorker *w, const RowBlock *block, uint8_t *keeps, Err *err)
{
    const PlanData *data = ds->data;
    memset(keeps, 1, (size_t)block->n);
    if (data->filters &&
        !rowprog_run(ds->fields[data->nfield], w->work[data->nfield], block, keeps, err))
        return false;
    if (!textfields_measure(ds->texts, w->texts, block, w->measured, err))
        return false;
    for (int64_t r = 0; r < block->n; r++) {
        ds->looked += keeps[r];
        for (uint32_t k = 0; keeps[r] && k < data->ntext; k++) {
            bool stays = true;
            if (!judge_text(ds, text_at(ds, k), w->measured[k * block->n + r], &stays, err))
                return source_at_row(ds->source, block->rows[r], err);
            keeps[r] = stays;
        }
        if (data->ntext)
            count_learned(ds, keeps[r] ? w->measured + r : NULL, block->n);
    }
    return true;
}

/* Numbers the rows that stay, where not all of them do. */
static bool begin_kept(Dataset *ds, Err *err)
{
    bool drops = ds->data->filters;
    for (uint32_t k = 0; k < ds->data->ntext; k++)
        drops = drops || text_at(ds, k)->overlong == PO_DROP;
    if (!drops)
        return true;
    ds->kept = malloc(sizeof *ds->kept * (size_t)(ds->rows + 1));
    return ds->kept ||
           err_set(err, ERR_DEVICE, "not enough memory to number %lld rows", (long long)ds->rows);
}

static bool look_at_rows(Dataset *ds, DataWorker *w, Err *err)
{
    uint8_t keeps[CHUNK];
    int64_t all = ds->rows, n = 0, most = ds->data->limit < 0 ? all : ds->data->limit;
    if (!begin_kept(ds, err))
        return false;
    for (int64_t from = 0; from < all && n < most; from += CHUNK) {
        RowBlock block = {w->rows, all - from < CHUNK ? all - from : CHUNK, NULL};
        for (int64_t r = 0; r < block.n; r++)
            w->rows[r] = from + r;
        if (!locate(w, &block, err) || !judge(ds, w, &block, keeps, err))
            return false;
        for (int64_t r = 0; r < block.n; r++) {
            if (keeps[r] && ds->kept)
                ds->kept[n] = from + r;
            n += keeps[r];
        }
    }
    ds->rows = ds->kept ? n : all;
    if (n == 0 && ds->overlong)
        return err_set(err, ERR_DATA,
                       "no text is short enough for its rows: the longest has %lld "
                       "tokens",
                       (long long)ds->longest);
    return n > 0 || err_set(err, ERR_DATA, "`filter` leaves none of its %lld rows", (long long)all);
}

void data_remarks(const Dataset *ds, StrBuf *out)
{
    for (uint32_t k = 0; ds->part && k < ds->data->npart; k++)
        data_remarks(ds->part[k], out);
    bool drops = false;
    for (uint32_t k = 0; !ds->part && k < ds->data->ntext; k++)
        drops = drops || text_at(ds, k)->overlong == PO_DROP;
    if (ds->overlong)
        sb_printf(out, "data `%s`: %lld of %lld texts %s: they have up to %lld tokens\n",
                  plan_text(ds->plan, ds->data->name), (long long)ds->overlong,
                  (long long)ds->looked * ds->data->ntext, drops ? "are left out" : "are cut",
                  (long long)ds->longest);
}

/* Filter first: what is left is limited. */
static bool choose_rows(Dataset *ds, Err *err)
{
    const PlanData *data = ds->data;
    if (ds->rows == 0)
        return err_set(err, ERR_DATA, "it has no rows");
    if ((data->filters || (data->ntext && ds->source)) && data->limit != 0 &&
        !look_at_rows(ds, ds->own, err))
        return false;
    if (data->share > 0)
        ds->rows = (int64_t)((double)ds->rows * data->share);
    if (data->limit >= 0 && data->limit < ds->rows)
        ds->rows = data->limit;
    return ds->rows > 0 || err_set(err, ERR_DATA, "its `limit` leaves no rows");
}

/* ---- opening ---- */

/* An epoch of a mix is as many samples as its parts have rows. */
static bool open_parts(Dataset *ds, Err *err)
{
    const PlanData *data = ds->data;
    double *weight = NEW_ARRAY(ds->arena, double, data->npart);
    ds->part = NEW_ARRAY(ds->arena, Dataset *, data->npart);
    ds->base = NEW_ARRAY(ds->arena, int64_t, data->npart);
    for (uint32_t k = 0; k < data->npart; k++) {
        const PlanMixPart *part = &ds->plan->parts[data->part0 + k];
        weight[k] = part->weight;
        ds->base[k] = ds->rows;
        ds->part[k] = data_open(ds->plan, part->data, err);
        if (!ds->part[k])
            return false;
        ds->rows += data_rows(ds->part[k]);
    }
    ds->mix = mix_new(ds->arena, weight, data->npart);
    ds->own = data_worker_new(ds);
    return choose_rows(ds, err);
}

static bool open_all(Dataset *ds, Err *err)
{
    if (ds->data->source == PD_MIX)
        return open_parts(ds, err);
    ds->source = source_open(ds->arena, ds->plan, ds->data, err);
    if (!ds->source)
        return false;
    for (uint32_t f = 0; f < programs(ds->data); f++) {
        const PlanField *field = field_at(ds, f);
        if (field->kind != PF_CODE)
            continue;
        ds->fields[f] = rowprog_new(ds->arena, ds->source, field, err);
        if (!ds->fields[f])
            return false;
    }
    ds->texts = textfields_new(ds->arena, ds->source, err);
    if (!ds->texts)
        return false;
    ds->own = data_worker_new(ds);
    ds->rows = ds->source->rows;
    return choose_rows(ds, err);
}

Dataset *data_open(const Plan *plan, uint32_t d, Err *err)
{
    ASSERT(d < plan->ndatas);
    Arena *arena = arena_new();
    Dataset *ds = NEW(arena, Dataset);
    *ds = (Dataset){.arena = arena, .plan = plan, .data = &plan->datas[d]};
    ds->fields = NEW_ARRAY(arena, RowProg *, programs(ds->data));
    if (open_all(ds, err))
        return ds;
    err_context(err, "data `%s`", plan_text(plan, ds->data->name));
    data_close(ds);
    return NULL;
}

void data_close(Dataset *ds)
{
    if (!ds)
        return;
    data_worker_free(ds->own);
    for (uint32_t k = 0; ds->part && k < ds->data->npart; k++)
        data_close(ds->part[k]);
    source_close(ds->source);
    free(ds->kept);
    arena_free(ds->arena);
}

double data_learned(const Dataset *ds)
{
    double sum = 0, all = 0;
    if (!ds->part)
        return ds->data->ntext ? (double)ds->learned / (double)ds->counted : ds->source->learned;
    for (uint32_t k = 0; k < ds->data->npart; k++) {
        double weight = ds->plan->parts[ds->data->part0 + k].weight;
        sum += weight * data_learned(ds->part[k]);
        all += weight;
    }
    return sum / all;
}

uint32_t data_sources(const Dataset *ds)
{
    return ds->part ? ds->data->npart : 1;
}

DataSource data_source(const Dataset *ds, uint32_t k)
{
    ds = ds->part ? ds->part[k] : ds;
    return (DataSource){plan_text(ds->plan, ds->data->name), ds->source->files.at,
                        ds->source->files.n, ds->rows};
}

/* ---- rows ---- */

int64_t data_rows(const Dataset *ds)
{
    return ds->rows;
}

/* A batch that is being made. */
typedef struct Making {
    void *const *out;
    SampleTokens *tokens; /* of each text */
    Err *err;
} Making;

/* Rows w->rows, to row `at` of the outputs. */
static bool run_chunk(DataWorker *w, int64_t n, int64_t at, const Making *x)
{
    const Dataset *ds = w->ds;
    RowBlock block = {w->rows, n, NULL};
    if (!locate(w, &block, x->err) ||
        !textfields_read(ds->texts, w->texts, &block, x->tokens, x->err))
        return false;
    for (uint32_t f = 0; f < ds->data->nfield; f++) {
        const PlanField *field = field_at(ds, f);
        if (field->text)
            continue;
        uint8_t *to = (uint8_t *)x->out[f] + (size_t)at * row_bytes(field);
        bool good = ds->fields[f] ? rowprog_run(ds->fields[f], w->work[f], &block, to, x->err)
                                  : ds->source->kind->fill(ds->source, field,
                                                           &(SourceRows){w->rows, n}, to, x->err);
        if (!good)
            return false;
    }
    return true;
}

static bool collect(DataWorker *w, const SourceRows *rows, const Making *x);

/* Row by row: neighbours are of different parts. */
static bool collect_mix(DataWorker *w, const SourceRows *rows, const Making *x)
{
    const Dataset *ds = w->ds;
    for (int64_t i = 0; i < rows->n; i++) {
        uint32_t k = ds->data->npart - 1;
        while (k && rows->at[i] < ds->base[k])
            k--;
        for (uint32_t f = 0; f < ds->data->nfield; f++)
            w->out[f] = (uint8_t *)x->out[f] + (size_t)i * row_bytes(field_at(ds, f));
        int64_t row = rows->at[i] - ds->base[k];
        Making part = {w->out, x->tokens, x->err};
        if (!collect(w->part[k], &(SourceRows){&row, 1}, &part))
            return false;
    }
    return true;
}

static bool collect(DataWorker *w, const SourceRows *rows, const Making *x)
{
    const Dataset *ds = w->ds;
    if (!ds->source)
        return collect_mix(w, rows, x);
    for (int64_t at = 0; at < rows->n; at += CHUNK) {
        int64_t m = rows->n - at < CHUNK ? rows->n - at : CHUNK;
        for (int64_t r = 0; r < m; r++) {
            int64_t row = rows->at[at + r];
            ASSERT(0 <= row && row < ds->rows);
            w->rows[r] = ds->kept ? ds->kept[row] : row;
        }
        if (!run_chunk(w, m, at, x))
            return err_context(x->err, "data `%s`", plan_text(ds->plan, ds->data->name));
    }
    return true;
}

/* The fields of the texts; gives the rows that they need. */
static int64_t lay_out(DataWorker *w, void *const *out)
{
    const Dataset *ds = w->ds;
    int64_t rows = 0;
    for (uint32_t k = 0; k < ds->data->ntext; k++) {
        const PlanText *text = text_at(ds, k);
        uint32_t pad = ds->plan->tokenizers[text->tokenizer].pad;
        (ds->data->packs ? tokenrows_pack : tokenrows_spread)(&w->layout, &w->tokens[k],
                                                              text->length);
        rows = w->layout.rows;
        for (uint32_t f = 0; f < ds->data->nfield; f++)
            if (field_at(ds, f)->text == k + 1)
                tokenrows_fill(&w->layout, &w->tokens[k], (PlanFieldKind)field_at(ds, f)->kind, pad,
                               out[f]);
    }
    return rows;
}

int64_t data_batch_by(DataWorker *w, const int64_t *rows, int64_t n, void *const *out, Err *err)
{
    for (uint32_t k = 0; k < w->ds->data->ntext; k++)
        w->tokens[k].tokens.n = w->tokens[k].end.n = 0;
    if (!collect(w, &(SourceRows){rows, n}, &(Making){out, w->tokens, err}))
        return 0;
    return w->ds->data->ntext ? lay_out(w, out) : n;
}

int64_t data_batch(Dataset *ds, const int64_t *rows, int64_t n, void *const *out, Err *err)
{
    return data_batch_by(ds->own, rows, n, out, err);
}

/* Each part of a mix has epochs and an order of its own. */
int64_t data_sample(const Dataset *ds, const uint64_t *seed, int64_t p)
{
    bool mixed = seed && ds->data->shuffle;
    if (ds->source) {
        OrderKey key = {mixed ? *seed : 0, p / ds->rows};
        return mixed ? order_permute(key, ds->rows, p % ds->rows) : p % ds->rows;
    }
    MixPlace place = mix_place(&ds->mix, mixed ? seed : NULL, p);
    uint64_t own = seed ? *seed + (place.part + 1) * UINT64_C(0x9e3779b97f4a7c15) : 0;
    return ds->base[place.part] +
           data_sample(ds->part[place.part], seed ? &own : NULL, place.index);
}
