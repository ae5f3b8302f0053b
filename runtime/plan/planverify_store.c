/* planverify_store.c: weights that are kept in few bits. */
#include "planverify.h"

enum { WORD = 8 }; /* numbers of 4 bits */

static int64_t extent(const Plan *p, const PlanTensor *t, uint32_t k)
{
    Bounds b;
    return k < t->rank && dim_bounds(p, t->dim[k], &b) ? b.hi : 0;
}

static bool verify_codes(const Row *r, const PlanState *s)
{
    const Plan *p = r->plan;
    const PlanTensor *t = &p->tensors[s->tensor];
    if (!row_index(r, "store", s->store, PLAN_STORE_INT4 + 1) || !row_index(r, "axis", s->axis, 2))
        return false;
    DType dtype = s->store == PLAN_STORE_INT8 ? DT_I8 : DT_I32;
    if (s->store == PLAN_STORE_PLAIN || t->dtype != dtype || t->rank != 2 || !s->key)
        return row_bad(r, "it is no stored weight");
    for (uint32_t i = 0; i < p->nstates; i++)
        if (p->states[i].kind == PS_SCALE && p->states[i].of == (uint32_t)(s - p->states))
            return true;
    return row_bad(r, "it has no scales");
}

/* Rows of the codes, and whole blocks of them. */
static bool verify_scale(const Row *r, const PlanState *s)
{
    const Plan *p = r->plan;
    if (!row_index(r, "of", s->of, p->nstates))
        return false;
    const PlanState *codes = &p->states[s->of];
    if (codes->kind != PS_CODES || codes->tensor >= p->ntensors)
        return row_bad(r, "`of` is not a stored weight");
    const PlanTensor *t = &p->tensors[s->tensor], *c = &p->tensors[codes->tensor];
    bool bytes = codes->store == PLAN_STORE_INT8;
    int64_t blocks = bytes ? 1 : extent(p, t, 1), n = extent(p, c, 1) * (bytes ? 1 : WORD);
    bool fits = t->dtype == (bytes ? DT_F32 : DT_BF16) && t->rank == (bytes ? 1 : 2) &&
                extent(p, t, 0) == extent(p, c, 0) && blocks > 0 && n > 0 && n % blocks == 0 &&
                (bytes || n / blocks % WORD == 0);
    return fits || row_bad(r, "it does not fit state %u", s->of);
}

bool verify_store(const Row *r, const PlanState *s)
{
    if (s->kind == PS_CODES)
        return verify_codes(r, s);
    if (s->kind == PS_SCALE)
        return verify_scale(r, s);
    return s->store == PLAN_STORE_PLAIN || row_bad(r, "it is stored, and has no codes");
}
