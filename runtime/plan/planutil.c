/* planutil.c: small questions about a loaded plan. */
#include "plan.h"

const char *plan_text(const Plan *plan, PStr s)
{
    ASSERT(s < plan->ntext);
    return plan->text + s;
}

/* syms: the values of run-time sizes; NULL: their upper ends. plan_verify has shown that no step of
 * this overflows for extents in their ranges. */
static int64_t value_of(const Plan *plan, uint32_t dim, const int64_t *syms)
{
    ASSERT(dim < plan->ndims);
    const PlanTerm *term = plan->terms + plan->dims[dim].term0;
    int64_t sum = 0;
    for (uint32_t i = 0; i < plan->dims[dim].nterm; i++) {
        int64_t product = term[i].coef;
        for (uint32_t k = 0; k < term[i].nsym; k++) {
            uint32_t sym = term[i].sym[k];
            product *= syms ? syms[sym] : plan->syms[sym].hi;
        }
        sum += product;
    }
    return sum;
}

int64_t plan_dim(const Plan *plan, uint32_t dim, const int64_t *syms)
{
    return value_of(plan, dim, syms);
}

int64_t plan_blocks(const PlanPhase *phase, int64_t tasks, int64_t processors)
{
    int64_t each = phase->threads ? phase->threads / phase->team : 1;
    int64_t blocks = (tasks + each - 1) / each;
    int64_t held = processors * (phase->blocks ? phase->blocks : 1), together = phase->stays;
    if (!together)
        return blocks;
    int64_t most = held / together > 0 ? held / together : 1;
    int64_t clusters = (blocks + together - 1) / together;
    return (clusters < most ? clusters : most) * together;
}

int64_t plan_dim_hi(const Plan *plan, uint32_t dim)
{
    return value_of(plan, dim, NULL);
}

const PlanVariant *plan_variant(const Plan *plan, uint32_t kernel, uint32_t target)
{
    ASSERT(kernel < plan->nkernels && target < plan->ntargets);
    return &plan->variants[plan->kernels[kernel].variant0 + target];
}

const char *plan_target_kind(PlanTargetKind kind)
{
    static const char *const names[] = {[PLAN_CPU] = "cpu", [PLAN_CUDA] = "cuda"};
    return names[kind];
}

void plan_put_targets(const Plan *plan, StrBuf *sb)
{
    for (uint32_t t = 0; t < plan->ntargets; t++)
        sb_printf(sb, "%s%s", t ? ", " : "", plan_text(plan, plan->targets[t].isa));
}

uint64_t plan_hash(const Plan *plan)
{
    return plan->hash;
}

uint32_t plan_find_entry(const Plan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->nentries; i++)
        if (strcmp(plan_text(plan, plan->entries[i].name), name) == 0)
            return i;
    return PLAN_NONE;
}

uint32_t plan_find_eval(const Plan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->nevals; i++)
        if (strcmp(plan_text(plan, plan->evals[i].name), name) == 0)
            return i;
    return PLAN_NONE;
}
