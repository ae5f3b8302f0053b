/* source_arrays.c: arrays in files, one a column: idx, npy, and members of an npz archive. The first axis
 * is the rows. */
#include "source.h"

typedef struct Arrays {
    HostArray *at;
    uint32_t n; /* that were read */
} Arrays;

static bool read_idx(HostArray *out, HostFile file, const char *member, Err *err)
{
    UNUSED(member);
    return idx_parse(out, file.data, file.n, err);
}

static bool read_npy(HostArray *out, HostFile file, const char *member, Err *err)
{
    UNUSED(member);
    return npy_parse(out, file.data, file.n, err);
}

static HostParseFn *parser_of(uint32_t source)
{
    static const struct {
        PlanSourceKind source;
        HostParseFn *parse;
    } parsers[] = {{PD_IDX, read_idx}, {PD_NPY, read_npy}, {PD_NPZ, npz_parse}};
    for (size_t i = 0; i < COUNT(parsers); i++)
        if (parsers[i].source == source)
            return parsers[i].parse;
    BUG("source %u has no arrays", source);
}

static bool read_column(Source *s, uint32_t c, HostArray *array, Err *err)
{
    const PlanColumn *column = source_plan_column(s, c);
    const char *path = source_path(s, column->file, err), *name = s->columns[c].name;
    if (!path || !host_array_read(array, parser_of(s->data->source), path,
                                  plan_text(s->plan, column->member), err))
        return false;
    if (array->rank == 0)
        return err_set(err, ERR_DATA, "%s: `%s` is a single number, and rows are needed", path,
                       name);
    if (array->bytes == 0)
        return err_set(err, ERR_DATA, "%s: `%s` has no elements", path, name);
    if (column->text)
        return err_set(err, ERR_DATA, "%s: `%s` holds numbers, and is used as text", path, name);
    return true;
}

static void set_column(SourceColumn *c, const HostArray *array)
{
    c->dtype = array->dtype;
    c->load = row_loaders[array->dtype];
    c->rank = array->rank - 1;
    memcpy(c->dim, array->dim + 1, sizeof *c->dim * c->rank);
    c->count = host_array_count(array) / array->dim[0];
    c->dense = array->data;
    c->stride = (size_t)c->count * dtype_info(array->dtype)->bytes;
}

static bool open_arrays(Source *s, Err *err)
{
    Arrays *arrays = NEW(s->arena, Arrays);
    uint32_t n = s->data->ncolumn;
    arrays->at = NEW_ARRAY(s->arena, HostArray, n + 1);
    s->self = arrays;
    if (n == 0)
        return err_set(err, ERR_DATA, "its source has no arrays");
    for (; arrays->n < n; arrays->n++) {
        if (!read_column(s, arrays->n, &arrays->at[arrays->n], err)) {
            arrays->n++;
            return false;
        }
        set_column(&s->columns[arrays->n], &arrays->at[arrays->n]);
    }
    s->rows = arrays->at[0].dim[0];
    for (uint32_t c = 1; c < n; c++)
        if (arrays->at[c].dim[0] != s->rows)
            return err_set(err, ERR_DATA, "`%s` has %lld rows, `%s` has %lld", s->columns[0].name,
                           (long long)s->rows, s->columns[c].name, (long long)arrays->at[c].dim[0]);
    return true;
}

static void close_arrays(Source *s)
{
    Arrays *arrays = s->self;
    for (uint32_t c = 0; arrays && c < arrays->n; c++)
        host_array_free(&arrays->at[c]);
}

const SourceKind source_arrays = {.open = open_arrays, .close = close_arrays};
