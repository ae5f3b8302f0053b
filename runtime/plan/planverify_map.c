/* planverify_map.c: what a GPU copies in boxes lies in the tensors that launches give, whatever the extents: the
 * hardware, and the emulator in its place, look at nothing but the map. */
#include "planverify.h"

/* PTX ISA, tensor maps: boxes of up to 256 elements, extents of 32 bits, strides of 40. */
enum { MOST_BOX = 256, MOST_ARG = 256, RUN = 16 };
static const int64_t MOST_EXTENT = INT64_C(1) << 32, MOST_STRIDE = INT64_C(1) << 39;

static bool verify_dim(const Row *r, const PlanMap *m, uint32_t k)
{
    const Plan *p = r->plan;
    Bounds extent, stride = {1, 1};
    if (!row_index(r, "dim", m->dim[k], p->ndims) ||
        (k && !row_index(r, "stride", m->stride[k - 1], p->ndims)))
        return false;
    if (m->box[k] < 1 || m->box[k] > MOST_BOX)
        return row_bad(r, "a box of %u elements", m->box[k]);
    if (!dim_bounds(p, m->dim[k], &extent) || extent.lo < 0 || extent.hi > MOST_EXTENT ||
        (k && !dim_bounds(p, m->stride[k - 1], &stride)) || stride.lo < 0 ||
        stride.hi > MOST_STRIDE)
        return row_bad(r, "dimension %u is too large", k);
    return true;
}

static bool verify_map(const Row *r, const PlanMap *m)
{
    Bounds first;
    if ((m->arg != PLAN_NONE && !row_index(r, "argument", m->arg, MOST_ARG)) ||
        !row_index(r, "dtype", m->dtype, DT_COUNT) ||
        !row_index(r, "first", m->first, r->plan->ndims))
        return false;
    if (m->rank < 2 || m->rank > COUNT(m->dim))
        return row_bad(r, "%u dimensions", m->rank);
    if (m->swizzle != 0 && m->swizzle != 32 && m->swizzle != 64 && m->swizzle != 128)
        return row_bad(r, "a swizzle of %u bytes", m->swizzle);
    for (uint32_t k = 0; k < m->rank; k++)
        if (!verify_dim(r, m, k))
            return false;
    uint32_t run = m->box[0] * dtype_info((DType)m->dtype)->bytes;
    if (run % RUN || (m->swizzle && run > m->swizzle))
        return row_bad(r, "lines of %u bytes", run);
    if (m->offset % RUN || m->offset > (uint64_t)MOST_STRIDE)
        return row_bad(r, "%llu bytes before it", (unsigned long long)m->offset);
    return (dim_bounds(r->plan, m->first, &first) && first.lo >= 0) ||
           row_bad(r, "it begins before the tensor");
}

bool verify_maps(const Plan *p, Err *err)
{
    for (uint32_t i = 0; i < p->nmaps; i++)
        if (!verify_map(&(Row){p, err, "maps", i}, &p->maps[i]))
            return false;
    return true;
}

/* Bytes from the address that a map begins at to the end of the last element, whatever the extents. */
static bool map_bytes(const Plan *p, const PlanMap *m, uint64_t *out)
{
    Bounds at;
    if (!dim_bounds(p, m->first, &at))
        return false;
    int64_t last = at.hi;
    for (uint32_t k = 0; k < m->rank; k++) {
        Bounds extent, stride = {1, 1};
        int64_t more;
        if (!dim_bounds(p, m->dim[k], &extent) || (k && !dim_bounds(p, m->stride[k - 1], &stride)))
            return false;
        if (__builtin_mul_overflow(extent.hi > 0 ? extent.hi - 1 : 0, stride.hi, &more) ||
            __builtin_add_overflow(last, more, &last))
            return false;
    }
    int64_t bytes;
    if (__builtin_mul_overflow(last + 1, (int64_t)dtype_info((DType)m->dtype)->bytes, &bytes))
        return false;
    *out = (uint64_t)bytes;
    return true;
}

const PlanArg *step_buffer(const Plan *p, const PlanStep *s, uint32_t n)
{
    for (uint32_t i = 0; i < s->narg; i++) {
        const PlanArg *a = &p->args[s->arg0 + i];
        if (a->kind == PG_BUF && n-- == 0)
            return a;
    }
    return NULL;
}

static bool map_fits(const Row *r, const PlanStep *s, const PlanVariant *v, const PlanMap *m)
{
    const Plan *p = r->plan;
    const PlanArg *a = m->arg == PLAN_NONE ? NULL : step_buffer(p, s, m->arg);
    uint64_t bytes;
    if (m->arg == PLAN_NONE)
        return (map_bytes(p, m, &bytes) && v->workspace >= m->offset &&
                bytes <= v->workspace - m->offset) ||
               row_bad(r, "kernel %u maps more than its workspace", s->kernel);
    if (!a)
        return row_bad(r, "kernel %u maps argument %u, which there is not", s->kernel, m->arg);
    const PlanTensor *t = &p->tensors[a->tensor];
    if (t->dtype != m->dtype || a->offset % RUN || m->offset)
        return row_bad(r, "kernel %u maps argument %u as another type", s->kernel, m->arg);
    if (!map_bytes(p, m, &bytes) || bytes > t->bytes - a->offset)
        return row_bad(r, "kernel %u maps more of argument %u than there is", s->kernel, m->arg);
    return true;
}

bool verify_mapped(const Row *r, const PlanStep *s)
{
    const Plan *p = r->plan;
    for (uint32_t t = 0; t < p->ntargets; t++) {
        const PlanVariant *v = plan_variant(p, s->kernel, t);
        for (uint32_t i = 0; i < v->nmap; i++)
            if (!map_fits(r, s, v, &p->maps[v->map0 + i]))
                return false;
    }
    return true;
}
