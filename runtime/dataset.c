/* dataset.c: the rows of a `data` block: finds its files, checks them, makes batches of fields. */
#include "hostarray.h"
#include "order.h"
#include "rowprog.h"
#include "runtime.h"
#include "stream.h"

struct Dataset {
    Arena *arena;
    const Plan *plan;
    const PlanData *data;
    HostArray *columns;
    RowSource source;
    RowProg **fields;
    Stream *stream; /* of a text source, which has no columns */
    int64_t rows;
};

/* ---- finding files ---- */

/* The folders to look in: beside the program, then those of $MDL_DATA. */
typedef VEC(const char *) Folders;

static Folders list_folders(Arena *arena, const char *dir)
{
    Folders folders = {0};
    VEC_PUSH(arena, &folders, *dir ? dir : ".");
    const char *list = getenv("MDL_DATA");
    while (list && *list) {
        size_t n = strcspn(list, ":");
        if (n)
            VEC_PUSH(arena, &folders, arena_strndup(arena, list, n));
        list += n + (list[n] == ':');
    }
    return folders;
}

static const char *find_file(Arena *arena, const char *dir, const char *name, Err *err)
{
    if (name[0] == '/') {
        if (file_exists(name))
            return name;
        err_set(err, ERR_FILE, "no file %s", name);
        return NULL;
    }
    Folders folders = list_folders(arena, dir);
    StrBuf tried = sb_new(arena);
    for (uint32_t i = 0; i < folders.n; i++) {
        const char *path = path_join(arena, folders.at[i], name);
        if (file_exists(path))
            return path;
        sb_printf(&tried, "%s%s", i ? ", " : "", path);
    }
    err_set(err, ERR_FILE, "no file %s; looked for %s", name, sb_text(&tried));
    err_help(err, "put it beside the program, or name the folder that holds it in MDL_DATA "
                  "(several are separated by `:`)");
    return NULL;
}

/* ---- opening ---- */

static bool open_column(Dataset *ds, uint32_t c, Err *err)
{
    const PlanColumn *column = &ds->plan->columns[ds->data->column0 + c];
    const char *path = find_file(ds->arena, plan_text(ds->plan, ds->data->dir),
                                 plan_text(ds->plan, column->file), err);
    HostArray *array = &ds->columns[c];
    if (!path || !host_array_read(array, (PlanSourceKind)ds->data->source, path,
                                  plan_text(ds->plan, column->member), err))
        return false;
    if (array->rank == 0)
        return err_set(err, ERR_DATA, "%s: `%s` is a single number, and rows are needed", path,
                       plan_text(ds->plan, column->name));
    if (array->bytes == 0)
        return err_set(err, ERR_DATA, "%s: `%s` has no elements", path,
                       plan_text(ds->plan, column->name));
    return true;
}

static bool limit_rows(Dataset *ds, Err *err)
{
    if (ds->data->limit >= 0 && ds->data->limit < ds->rows)
        ds->rows = ds->data->limit;
    return ds->rows > 0 || err_set(err, ERR_DATA, "limit = 0 leaves no rows");
}

static bool check_rows(Dataset *ds, Err *err)
{
    if (ds->data->ncolumn == 0)
        return err_set(err, ERR_DATA, "its source has no arrays");
    const PlanColumn *names = &ds->plan->columns[ds->data->column0];
    ds->rows = ds->columns[0].dim[0];
    for (uint32_t c = 1; c < ds->data->ncolumn; c++)
        if (ds->columns[c].dim[0] != ds->rows)
            return err_set(err, ERR_DATA, "`%s` has %lld rows, `%s` has %lld",
                           plan_text(ds->plan, names[0].name), (long long)ds->rows,
                           plan_text(ds->plan, names[c].name), (long long)ds->columns[c].dim[0]);
    return limit_rows(ds, err);
}

static bool open_stream(Dataset *ds, Err *err)
{
    Folders folders = list_folders(ds->arena, plan_text(ds->plan, ds->data->dir));
    ds->stream =
        stream_open(ds->plan, &ds->plan->streams[ds->data->stream], folders.at, folders.n, err);
    if (!ds->stream)
        return false;
    ds->rows = stream_rows(ds->stream);
    return true;
}

static bool open_all(Dataset *ds, Err *err)
{
    if (ds->data->source == PD_TEXT)
        return open_stream(ds, err) && limit_rows(ds, err);
    for (uint32_t c = 0; c < ds->data->ncolumn; c++)
        if (!open_column(ds, c, err))
            return false;
    if (!check_rows(ds, err))
        return false;
    ds->source = (RowSource){ds->plan, ds->data, ds->columns};
    for (uint32_t f = 0; f < ds->data->nfield; f++) {
        const PlanField *field = &ds->plan->fields[ds->data->field0 + f];
        ds->fields[f] = rowprog_new(ds->arena, &ds->source, field, err);
        if (!ds->fields[f])
            return false;
    }
    return true;
}

Dataset *data_open(const Plan *plan, uint32_t d, Err *err)
{
    ASSERT(d < plan->ndatas);
    Arena *arena = arena_new();
    Dataset *ds = NEW(arena, Dataset);
    *ds = (Dataset){.arena = arena, .plan = plan, .data = &plan->datas[d]};
    ds->columns = NEW_ARRAY(arena, HostArray, ds->data->ncolumn);
    ds->fields = NEW_ARRAY(arena, RowProg *, ds->data->nfield);
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
    for (uint32_t c = 0; c < ds->data->ncolumn; c++)
        host_array_free(&ds->columns[c]);
    stream_close(ds->stream);
    arena_free(ds->arena);
}

/* ---- rows ---- */

int64_t data_rows(const Dataset *ds)
{
    return ds->rows;
}

bool data_batch(Dataset *ds, const int64_t *rows, int64_t n, void *const *out, Err *err)
{
    for (int64_t i = 0; i < n; i++)
        ASSERT(0 <= rows[i] && rows[i] < ds->rows);
    for (uint32_t f = 0; ds->stream && f < ds->data->nfield; f++)
        stream_fill(ds->stream, (PlanFieldKind)ds->plan->fields[ds->data->field0 + f].kind, rows, n,
                    out[f]);
    for (uint32_t f = 0; !ds->stream && f < ds->data->nfield; f++)
        if (!rowprog_run(ds->fields[f], rows, n, out[f], err))
            return err_context(err, "data `%s`", plan_text(ds->plan, ds->data->name));
    return true;
}

int64_t data_order(const Dataset *ds, uint64_t seed, int64_t epoch, int64_t i)
{
    return ds->data->shuffle ? order_permute((OrderKey){seed, epoch}, ds->rows, i) : i;
}
