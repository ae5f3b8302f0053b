/* planverify_gemm.c: products that a library computes lie in the tensors that launches give. */
#include "planverify.h"

enum { MOST_ARG = 256 };
static const int64_t MOST_EXTENT = INT32_MAX;

static bool is_extent(int64_t n)
{
    return n >= 1 && n <= MOST_EXTENT;
}

static bool verify_gemm(const Row *r, const PlanGemm *g)
{
    if (!row_index(r, "left", g->left, MOST_ARG) || !row_index(r, "right", g->right, MOST_ARG) ||
        (g->add != PLAN_NONE && !row_index(r, "add", g->add, MOST_ARG)) ||
        !row_index(r, "into", g->into, MOST_ARG) || !row_index(r, "turn_left", g->turn_left, 2) ||
        !row_index(r, "turn_right", g->turn_right, 2))
        return false;
    bool half = g->operand < DT_COUNT && dtype_is_half((DType)g->operand);
    if ((!half && g->operand != DT_F32) || (g->result != g->operand && g->result != DT_F32))
        return row_bad(r, "its element types are %u and %u", g->operand, g->result);
    if (!is_extent(g->m) || !is_extent(g->n) || !is_extent(g->k) ||
        g->ld_left < (g->turn_left ? g->m : g->k) || g->ld_right < (g->turn_right ? g->k : g->n) ||
        !is_extent(g->ld_left) || !is_extent(g->ld_right))
        return row_bad(r, "its sizes are wrong");
    bool near = g->apart_left >= 0 && g->apart_left <= MOST_EXTENT && g->apart_right >= 0 &&
                g->apart_right <= MOST_EXTENT;
    if (!is_extent(g->batch) || !near || (g->batch > 1 && g->m * g->n > MOST_EXTENT))
        return row_bad(r, "its members are wrong");
    return true;
}

bool verify_gemms(const Plan *p, Err *err)
{
    for (uint32_t i = 0; i < p->ngemms; i++)
        if (!verify_gemm(&(Row){p, err, "gemms", i}, &p->gemms[i]))
            return false;
    return true;
}

/* A matrix of so many lines, so long, ld apart, for each member of a batch. */
typedef struct Lines {
    uint32_t arg, dtype;
    int64_t lines, length, ld, apart;
} Lines;

/* All are below 2^31. */
static bool lines_fit(const Row *r, const PlanStep *s, const Lines *m, int64_t batch)
{
    const Plan *p = r->plan;
    const PlanArg *a = step_buffer(p, s, m->arg);
    if (!a || p->tensors[a->tensor].dtype != m->dtype)
        return row_bad(r, "kernel %u multiplies argument %u, which is no such matrix", s->kernel,
                       m->arg);
    uint64_t elements = (uint64_t)(m->lines - 1) * (uint64_t)m->ld + (uint64_t)m->length;
    elements += (uint64_t)(batch - 1) * (uint64_t)m->apart;
    uint64_t room = p->tensors[a->tensor].bytes - a->offset;
    return elements <= room / dtype_info((DType)m->dtype)->bytes ||
           row_bad(r, "kernel %u multiplies more of argument %u than there is", s->kernel, m->arg);
}

bool verify_multiplied(const Row *r, const PlanStep *s)
{
    const Plan *p = r->plan;
    for (uint32_t t = 0; t < p->ntargets; t++) {
        const PlanVariant *v = plan_variant(p, s->kernel, t);
        if (!v->ngemm)
            continue;
        const PlanGemm *g = &p->gemms[v->gemm0];
        const Lines all[] = {{g->left, g->operand, g->turn_left ? g->k : g->m,
                              g->turn_left ? g->m : g->k, g->ld_left, g->apart_left},
                             {g->right, g->operand, g->turn_right ? g->n : g->k,
                              g->turn_right ? g->k : g->n, g->ld_right, g->apart_right},
                             {g->into, g->result, g->m, g->n, g->n, g->m * g->n},
                             {g->add, g->result, g->m, g->n, g->n, g->m * g->n}};
        for (size_t i = 0; i < COUNT(all) - (g->add == PLAN_NONE); i++)
            if (!lines_fit(r, s, &all[i], g->batch))
                return false;
    }
    return true;
}
