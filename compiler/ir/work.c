/* work.c: how much a graph computes: 2 * M * N * K for every contraction. Everything else is little
 * beside that, and depends on what is fused. */
#include "ir.h"

static double extents(const Ir *ir, const Type *t)
{
    double n = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        n *= (double)dim_hi(ir, t->dims[i]);
    return n;
}

double node_flops(const Ir *ir, const Node *n)
{
    DotAxes axes;
    double k = 1;
    node_dot_axes(n, &axes);
    for (uint32_t i = 0; i < axes.ncontract; i++)
        k *= (double)dim_hi(ir, n->in[0]->type->dims[axes.a_contract[i]]);
    return 2 * k * extents(ir, n->type);
}

/* known: Def -> double, its body's work. */
static double flops(const Graph *g, Arena *arena, Map *known)
{
    double sum = 0;
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const Node *n = g->nodes.at[i];
        OpClass cls = op_info(n->op)->cls;
        if (cls == OC_CONTRACT)
            sum += node_flops(g->ir, n);
        if (cls != OC_CALL)
            continue;
        const Def *def = node_def(n);
        double *work = map_get(known, MAP_KEY(def));
        if (!work) {
            work = NEW(arena, double);
            *work = flops(def->body, arena, known);
            map_put(known, MAP_KEY(def), work);
        }
        sum += *work;
    }
    return sum;
}

double graph_flops(const Graph *g)
{
    Arena *arena = arena_new();
    double n = flops(g, arena, map_new(arena));
    arena_free(arena);
    return n;
}
