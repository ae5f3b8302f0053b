/* tensors.c: which tensors the addresses of a launch stand for, so that a kernel that leaves one is found
 * though the next one lies right behind.
 *
 * A launch does not say which step of the plan it is: equal layers share a kernel. So of each address the
 * largest of the tensors counts that any step gives it, and the name is that of the first. */
#include "tensors.h"

typedef struct Place {
    uint64_t bytes;
    const char *name;
} Place;

typedef struct Kernel {
    Place place[MDL_GPU_BUFS];
    uint32_t n;
    bool table;
} Kernel;

struct KernelTensors {
    Kernel *at;
};

static void add_tensor(const Plan *p, const PlanArg *a, Place *place)
{
    const PlanTensor *t = &p->tensors[a->tensor];
    uint64_t bytes = t->bytes > a->offset ? t->bytes - a->offset : 0;
    if (!place->name)
        place->name = plan_text(p, t->path);
    place->bytes = bytes > place->bytes ? bytes : place->bytes;
}

static void add_step(const Plan *p, const PlanStep *step, Kernel *k)
{
    uint32_t n = 0;
    for (uint32_t i = step->arg0; i < step->arg0 + step->narg; i++) {
        if (p->args[i].kind == PG_TABLE)
            k->table = true;
        else if (n < MDL_GPU_BUFS)
            add_tensor(p, &p->args[i], &k->place[n++]);
    }
    k->n = n > k->n ? n : k->n;
}

KernelTensors *tensors_of_plan(Arena *arena, const Plan *plan)
{
    KernelTensors *t = NEW(arena, KernelTensors);
    t->at = NEW_ARRAY(arena, Kernel, plan->nkernels + (size_t)1);
    for (uint32_t i = 0; i < plan->nsteps; i++)
        if (plan->steps[i].kind == PT_LAUNCH)
            add_step(plan, &plan->steps[i], &t->at[plan->steps[i].kernel]);
    return t;
}

uint32_t tensors_of_launch(const KernelTensors *t, uint32_t kernel, const MdlGpuArgs *args,
                           SimtArgument *out)
{
    const Kernel *k = &t->at[kernel];
    if (k->table)
        return 0;
    for (uint32_t i = 0; i < k->n; i++)
        out[i] = (SimtArgument){args->buf[i], k->place[i].bytes, k->place[i].name};
    return k->n;
}
