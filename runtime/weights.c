/* weights.c: parameters and buffers from safetensors files, by key. */
#include "quantise.h"
#include "runtime.h"

/* "f32[16, 784]" */
static const char *type_text(Arena *arena, const char *element, const int64_t *dim, uint32_t rank)
{
    StrBuf sb = sb_new(arena);
    sb_puts(&sb, element);
    for (uint32_t k = 0; k < rank; k++)
        sb_printf(&sb, "%s%lld", k ? ", " : "[", (long long)dim[k]);
    if (rank)
        sb_putc(&sb, ']');
    return sb_text(&sb);
}

static bool is_missing(const StFile *file, const char *key, Err *err)
{
    err_set(err, ERR_DATA, "there is no tensor %s", key);
    Arena *arena = arena_new();
    Sym *names = NEW_ARRAY(arena, Sym, file->n + (size_t)1);
    for (uint32_t i = 0; i < file->n; i++)
        names[i] = file->tensors[i].name;
    Sym near = sym_nearest(key, names, file->n);
    if (near)
        err_help(err, "the file has %s", near);
    arena_free(arena);
    return false;
}

/* What a state is in a file. Codes were floats there, whose rows may go along either axis. */
static DType file_type(const Plan *p, const PlanState *s, int64_t *dim)
{
    const PlanTensor *t = &p->tensors[s->tensor];
    for (uint32_t k = 0; k < t->rank; k++)
        dim[k] = plan_dim_hi(p, t->dim[k]);
    if (s->kind != PS_CODES)
        return (DType)t->dtype;
    int64_t rows = dim[0], n = s->store == PLAN_STORE_INT4 ? 8 * dim[1] : dim[1];
    dim[s->axis] = n;
    dim[1 - s->axis] = rows;
    return DT_F32;
}

/* Numbers of another float type are converted; all else has to be equal. */
static bool check_type(const Plan *p, const PlanState *s, const StTensor *have, Err *err)
{
    int64_t dim[PLAN_MAX_RANK] = {0};
    const PlanTensor *want = &p->tensors[s->tensor];
    DType dtype = file_type(p, s, dim);
    bool same = want->rank == have->rank;
    for (uint32_t k = 0; k < want->rank; k++)
        same = same && dim[k] == have->dim[k];
    DKind kind;
    bool floats = st_kind(have, &kind) && kind == DK_FLOAT && dtype_is_float(dtype);
    same = same && (dtype == have->dtype || floats);
    if (same)
        return true;
    Arena *arena = arena_new();
    err_set(err, ERR_DATA, "%s is %s in the file; the program has %s", have->name,
            type_text(arena, st_type_name(have), have->dim, have->rank),
            type_text(arena, dtype_info(dtype)->name, dim, want->rank));
    arena_free(arena);
    return false;
}

static void copy(DType dtype, void *to, const StTensor *from, size_t bytes)
{
    if (dtype == from->dtype) {
        memcpy(to, from->data, bytes);
        return;
    }
    for (size_t i = 0, n = st_count(from); i < n; i++)
        dtype_store(dtype, to, i, st_load(from, i));
}

/* Row r of a weight, whose rows go along `axis`. */
static void read_row(const StTensor *from, uint32_t axis, size_t r, double *to)
{
    size_t n = (size_t)from->dim[axis], rows = (size_t)from->dim[1 - axis];
    if (axis && from->dtype == DT_F32) {
        const char *at = (const char *)from->data + r * n * sizeof(float);
        for (size_t i = 0; i < n; i++) {
            float x;
            memcpy(&x, at + i * sizeof x, sizeof x);
            to[i] = (double)x;
        }
        return;
    }
    for (size_t i = 0; i < n; i++)
        to[i] = st_load(from, axis ? r * n + i : i * rows + r);
}

/* blocks: scales of a row. */
static bool quantise(const PlanState *codes, const StTensor *from, void *to, void *scale,
                     size_t blocks, Err *err)
{
    size_t n = (size_t)from->dim[codes->axis], rows = (size_t)from->dim[1 - codes->axis];
    double *row = malloc((n + 1) * sizeof *row);
    if (!row)
        return err_set(err, ERR_DEVICE, "no memory for a row of %s", from->name);
    bool ok = true;
    for (size_t r = 0; r < rows && ok; r++) {
        read_row(from, codes->axis, r, row);
        ok = codes->store == PLAN_STORE_INT8
                 ? quantise_int8(row, n, (int8_t *)to + r * n, (float *)scale + r)
                 : quantise_int4(row, n, n / blocks, (int32_t *)to + r * n / 8,
                                 (uint16_t *)scale + r * blocks);
        if (!ok)
            err_set(err, ERR_DATA,
                    "%s has numbers that are not finite, or too large, which few bits cannot hold",
                    from->name);
    }
    free(row);
    return ok;
}

/* The codes of state `scale` and the scales themselves. */
static bool load_stored(Runtime *rt, uint32_t scale, const StTensor *from, Err *err)
{
    const Plan *p = rt_plan(rt);
    uint32_t codes = p->states[scale].of;
    RtLoan to, by;
    if (!rt_lend_state(rt, codes, RT_WRITE, &to, err))
        return false;
    if (!rt_lend_state(rt, scale, RT_WRITE, &by, err)) {
        rt_return(rt, &to, err);
        return false;
    }
    const PlanTensor *t = &p->tensors[p->states[scale].tensor];
    size_t blocks = t->rank == 2 ? (size_t)plan_dim_hi(p, t->dim[1]) : 1;
    bool ok = quantise(&p->states[codes], from, to.data, by.data, blocks, err);
    ok = rt_return(rt, &to, err) && ok;
    return rt_return(rt, &by, err) && ok;
}

/* The key of a weight, 0 of other states. A master is its parameter with more bits; codes and scales come
 * together. */
static PStr weight_key(const Plan *p, const PlanState *s)
{
    if (s->kind == PS_MASTER || s->kind == PS_SCALE)
        return p->states[s->of].key;
    return s->kind == PS_PARAM || s->kind == PS_BUFFER ? s->key : 0;
}

static bool load(Runtime *rt, const StFile *file, Err *err)
{
    const Plan *p = rt_plan(rt);
    for (int pass = 0; pass < 2; pass++) { /* checks all before it changes any */
        for (uint32_t i = 0; i < p->nstates; i++) {
            const PlanState *state = &p->states[i];
            PStr key = weight_key(p, state);
            if (!key)
                continue;
            const PlanState *stored = state->kind == PS_SCALE ? &p->states[state->of] : state;
            const StTensor *have = st_find(file, plan_text(p, key));
            if (!have)
                return is_missing(file, plan_text(p, key), err);
            if (!check_type(p, stored, have, err))
                return false;
            RtLoan to;
            if (!pass)
                continue;
            if (stored != state) {
                if (!load_stored(rt, i, have, err))
                    return false;
                continue;
            }
            if (!rt_lend_state(rt, i, RT_WRITE, &to, err))
                return false;
            if (to.bytes)
                copy((DType)p->tensors[state->tensor].dtype, to.data, have, to.bytes);
            if (!rt_return(rt, &to, err))
                return false;
        }
    }
    return true;
}

bool rt_load_weights(Runtime *rt, const char *path, Err *err)
{
    StFile *file = st_open_weights(path, err);
    if (!file)
        return false;
    bool ok = load(rt, file, err) || err_context(err, "%s", path);
    st_close(file);
    return ok;
}
