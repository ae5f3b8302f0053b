/* gpuargs.c: arguments of a GPU kernel are one struct by value; only what it points to is on the device. */
#include "gpuargs.h"

bool gpuargs_count(const Plan *plan, uint32_t *nbuf, Err *err)
{
    for (uint32_t i = 0; i < plan->nsteps; i++) {
        const PlanStep *step = &plan->steps[i];
        uint32_t n = 0;
        if (step->kind != PT_LAUNCH)
            continue;
        for (uint32_t a = step->arg0; a < step->arg0 + step->narg; a++)
            n += plan->args[a].kind == PG_BUF;
        if (n > MDL_GPU_BUFS)
            return err_set(err, ERR_DATA, "kernel %s takes %u tensors; kernels of a GPU take %d",
                           plan_text(plan, plan->kernels[step->kernel].name), n, MDL_GPU_BUFS);
        nbuf[step->kernel] = n > nbuf[step->kernel] ? n : nbuf[step->kernel];
    }
    return true;
}

MdlGpuArgs gpuargs_of(const MdlArgs *args, uint32_t nbuf)
{
    MdlGpuArgs out = {
        .row = args->row, .nrow = args->nrow, .block = args->block, .workspace = args->workspace};
    for (uint32_t i = 0; i < nbuf; i++)
        out.buf[i] = args->buf[i];
    return out;
}

GpuTensor gpuargs_tensor(const Plan *plan, const PlanMap *map, const MdlGpuArgs *args,
                         const int64_t *syms)
{
    int64_t bytes = dtype_info((DType)map->dtype)->bytes;
    GpuTensor t = {.rank = (int)map->rank, .element = (int)bytes, .swizzle = (int)map->swizzle};
    char *base = map->arg == PLAN_NONE ? args->workspace : args->buf[map->arg];
    t.base = base + map->offset + plan_dim(plan, map->first, syms) * bytes;
    for (uint32_t k = 0; k < map->rank; k++) {
        int64_t n = plan_dim(plan, map->dim[k], syms);
        t.dim[k] = n > 0 ? n : 1;
        t.box[k] = (int)map->box[k];
        if (k)
            t.stride[k - 1] = plan_dim(plan, map->stride[k - 1], syms) * bytes;
    }
    return t;
}
