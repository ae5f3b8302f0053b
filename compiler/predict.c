/* predict.c: the work of the launches of an entry, and its time. */
#include "predict.h"

#include <stdlib.h>
#include <string.h>

static Work work_of(const Plan *p, uint32_t kernel)
{
    const PlanKernel *k = &p->kernels[kernel];
    const PlanVariant *v = plan_variant(p, kernel, 0);
    Work w = {.flops = (double)k->flops,
              .products = (double)k->products,
              .matrix = (double)k->matrix,
              .bytes = (double)k->bytes,
              .launches = (double)v->nphase * (1.0 + v->again)};
    if (!class_find(plan_text(p, k->cls), &w.cls))
        BUG("no kernel class `%s`", plan_text(p, k->cls));
    for (uint32_t i = 0; i < v->nphase && !v->grain; i++) {
        const PlanPhase *f = &p->phases[v->phase0 + i];
        double blocks = (double)plan_dim_hi(p, f->tasks) * f->team / f->threads;
        w.stays = blocks > w.blocks ? f->stays > 0 : w.stays;
        w.blocks = blocks > w.blocks ? blocks : w.blocks;
    }
    return w;
}

static int by_time(const void *a, const void *b)
{
    const PredictRow *x = a, *y = b;
    double p = x->launches * x->one.seconds, q = y->launches * y->one.seconds;
    return p < q ? 1 : p > q ? -1 : x->kernel < y->kernel ? -1 : x->kernel > y->kernel;
}

/* How often each kernel is launched, loops at the upper ends of their lengths. */
static void count_launches(const Plan *p, const PlanEntry *e, double *launches)
{
    double times = 1;
    for (uint32_t i = 0; i < e->nstep; i++) {
        const PlanStep *s = &p->steps[e->step0 + i];
        double rounds = 1;
        if (s->kind != PT_LAUNCH)
            rounds = (double)plan_dim_hi(p, p->loops[s->kernel].length);
        if (s->kind == PT_LAUNCH)
            launches[s->kernel] += times;
        else if (rounds > 0)
            times = s->kind == PT_LOOP ? times * rounds : times / rounds;
    }
}

PredictEntry predict_entry(Arena *arena, const Plan *p, uint32_t entry, const Target *gpu)
{
    const PlanEntry *e = &p->entries[entry];
    double *launches = NEW_ARRAY(arena, double, p->nkernels + (size_t)1);
    PredictEntry out = {.name = plan_text(p, e->name),
                        .rows = NEW_ARRAY(arena, PredictRow, p->nkernels + (size_t)1)};
    count_launches(p, e, launches);
    for (uint32_t k = 0; k < p->nkernels; k++) {
        if (launches[k] <= 0)
            continue;
        PredictRow r = {.kernel = &p->kernels[k], .work = work_of(p, k), .launches = launches[k]};
        r.one = target_predict(gpu, &r.work);
        out.seconds += r.launches * r.one.seconds;
        out.products += r.launches * r.work.products;
        out.bytes += r.launches * r.work.bytes;
        out.rows[out.n++] = r;
    }
    qsort(out.rows, out.n, sizeof(*out.rows), by_time);
    return out;
}
