/* weights.c: parameters and buffers from safetensors files, by key. */
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

/* Numbers of another float type are converted; all else has to be equal. */
static bool check_type(const Plan *p, const PlanTensor *want, const StTensor *have, Err *err)
{
    int64_t dim[PLAN_MAX_RANK] = {0};
    bool same = want->rank == have->rank;
    for (uint32_t k = 0; k < want->rank; k++) {
        dim[k] = plan_dim_hi(p, want->dim[k]);
        same = same && dim[k] == have->dim[k];
    }
    DType dtype = (DType)want->dtype;
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

/* The key of a weight, 0 of other states. A master is its parameter with more bits. */
static PStr weight_key(const Plan *p, const PlanState *s)
{
    if (s->kind == PS_MASTER)
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
            const PlanTensor *want = &p->tensors[state->tensor];
            const StTensor *have = st_find(file, plan_text(p, key));
            if (!have)
                return is_missing(file, plan_text(p, key), err);
            if (!check_type(p, want, have, err))
                return false;
            RtLoan to;
            if (!pass)
                continue;
            if (!rt_lend_state(rt, i, RT_WRITE, &to, err))
                return false;
            if (to.bytes)
                copy((DType)want->dtype, to.data, have, to.bytes);
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
