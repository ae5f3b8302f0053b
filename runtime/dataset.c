/* dataset.c: the rows of a `data` block: opens its source, leaves out what its filter refuses, makes
 * batches of fields.
 *
 * Row i of a dataset is row kept[i] of its source; the rows of a mix are those of its parts, one part behind
 * the other. A batch is made in pieces of CHUNK rows: their cells
 * are found once, then every field's program runs over them. */
#include "dataset.h"
#include "mix.h"
#include "order.h"
#include "rowprog.h"

enum { CHUNK = 64 };

struct Dataset {
    Arena *arena;
    const Plan *plan;
    const PlanData *data;
    Source *source;   /* NULL: a mix */
    RowProg **fields; /* data->nfield, NULL where the source fills it; then the filter, if any */
    int64_t *kept;    /* malloc; NULL: all rows of the source */
    int64_t rows;     /* of a mix: of an epoch */
    DataWorker *own;  /* of data_batch */
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
};

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
    if (!ds->source)
        return w;
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

/* ---- the filter ---- */

static bool keep_rows(Dataset *ds, DataWorker *w, Err *err)
{
    uint32_t filter = ds->data->nfield;
    uint8_t keeps[CHUNK];
    int64_t all = ds->rows, most = ds->data->limit < 0 ? all : ds->data->limit;
    ds->kept = malloc(sizeof *ds->kept * (size_t)(all + 1));
    if (!ds->kept)
        return err_set(err, ERR_DEVICE, "not enough memory to number %lld rows", (long long)all);
    ds->rows = 0;
    for (int64_t from = 0; from < all && ds->rows < most; from += CHUNK) {
        RowBlock block = {w->rows, all - from < CHUNK ? all - from : CHUNK, NULL};
        for (int64_t r = 0; r < block.n; r++)
            w->rows[r] = from + r;
        if (!locate(w, &block, err) ||
            !rowprog_run(ds->fields[filter], w->work[filter], &block, keeps, err))
            return false;
        for (int64_t r = 0; r < block.n; r++)
            if (keeps[r])
                ds->kept[ds->rows++] = from + r;
    }
    return ds->rows > 0 ||
           err_set(err, ERR_DATA, "`filter` leaves none of its %lld rows", (long long)all);
}

/* Filter first: what is left is limited. */
static bool choose_rows(Dataset *ds, Err *err)
{
    const PlanData *data = ds->data;
    if (ds->rows == 0)
        return err_set(err, ERR_DATA, "it has no rows");
    if (data->filters && data->limit != 0 && !keep_rows(ds, ds->own, err))
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

/* ---- rows ---- */

int64_t data_rows(const Dataset *ds)
{
    return ds->rows;
}

/* Rows w->rows, to row `at` of the outputs. */
static bool run_chunk(DataWorker *w, int64_t n, int64_t at, void *const *out, Err *err)
{
    const Dataset *ds = w->ds;
    RowBlock block = {w->rows, n, NULL};
    if (!locate(w, &block, err))
        return false;
    for (uint32_t f = 0; f < ds->data->nfield; f++) {
        uint8_t *to = (uint8_t *)out[f] + (size_t)at * row_bytes(field_at(ds, f));
        bool good = ds->fields[f] ? rowprog_run(ds->fields[f], w->work[f], &block, to, err)
                                  : ds->source->kind->fill(ds->source, field_at(ds, f),
                                                           &(SourceRows){w->rows, n}, to, err);
        if (!good)
            return false;
    }
    return true;
}

/* Row by row: neighbours are of different parts. */
static bool batch_of_mix(DataWorker *w, const int64_t *rows, int64_t n, void *const *out, Err *err)
{
    const Dataset *ds = w->ds;
    for (int64_t i = 0; i < n; i++) {
        uint32_t k = ds->data->npart - 1;
        while (k && rows[i] < ds->base[k])
            k--;
        for (uint32_t f = 0; f < ds->data->nfield; f++)
            w->out[f] = (uint8_t *)out[f] + (size_t)i * row_bytes(field_at(ds, f));
        int64_t row = rows[i] - ds->base[k];
        if (!data_batch_by(w->part[k], &row, 1, w->out, err))
            return false;
    }
    return true;
}

bool data_batch_by(DataWorker *w, const int64_t *rows, int64_t n, void *const *out, Err *err)
{
    const Dataset *ds = w->ds;
    if (!ds->source)
        return batch_of_mix(w, rows, n, out, err);
    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t m = n - at < CHUNK ? n - at : CHUNK;
        for (int64_t r = 0; r < m; r++) {
            ASSERT(0 <= rows[at + r] && rows[at + r] < ds->rows);
            w->rows[r] = ds->kept ? ds->kept[rows[at + r]] : rows[at + r];
        }
        if (!run_chunk(w, m, at, out, err))
            return err_context(err, "data `%s`", plan_text(ds->plan, ds->data->name));
    }
    return true;
}

bool data_batch(Dataset *ds, const int64_t *rows, int64_t n, void *const *out, Err *err)
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
