/* costs.c: the time of one launch:
 *
 *   launches * start + max(memory, arithmetic) + 0.4 * min(memory, arithmetic)
 *
 * the form in which fusion compares groups (fuse_cost.c), with the shares of the ceilings that the class reaches. The
 * smaller part weighs more than there: what a product reads first and writes last has no arithmetic beside it. */
#include "costs.h"

#include <math.h>

/* What lies between the ends of two launches of a graph beside their work: to begin, to fill the pipeline of memory, to end. */
static const double start = 2e-6;

/* Blocks, of a multiprocessor each, that ask for as much as memory can give: 64 bytes a cycle is what one gets. */
static const double saturate = 32;

/* How much longer memory takes because few blocks ask. */
static double thin(const Work *w)
{
    return w->blocks > 0 && w->blocks < saturate ? saturate / fmax(w->blocks, 1) : 1;
}

/* How much longer arithmetic takes because multiprocessors are without a block. */
static double idle(const Target *t, const Work *w)
{
    if (w->blocks <= 0)
        return 1;
    double rounds = w->blocks / t->cores;
    if (rounds < 1)
        return 1 / rounds;
    return w->stays ? ceil(rounds) / rounds : 1;
}

Prediction target_predict(const Target *t, const Work *w)
{
    ASSERT(t->kind == TK_CUDA);
    const ClassReach *r = &class_info(w->cls)->reach;
    Prediction p = {.memory = w->bytes * thin(w) / (t->bandwidth * r->memory)};
    if (w->matrix > 0)
        p.arithmetic += w->matrix / (t->matrix * r->matrix);
    if (w->products > w->matrix)
        p.arithmetic += (w->products - w->matrix) / (t->flops * r->products);
    /* an instruction each, where one of a product has two operations */
    p.arithmetic += 2 * (w->flops - w->products) / t->flops;
    p.arithmetic *= idle(t, w);
    p.seconds =
        w->launches * start + fmax(p.memory, p.arithmetic) + 0.4 * fmin(p.memory, p.arithmetic);
    return p;
}
