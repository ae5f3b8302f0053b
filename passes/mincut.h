/* mincut.h: the least cut between two nodes of a network with capacities. */
#ifndef MDL_MINCUT_H
#define MDL_MINCUT_H

#include "base.h"

/* More than all finite capacities together. */
#define MINCUT_INF (INT64_MAX / 4)

typedef struct MinCut MinCut;

/* Nodes are 0 .. n-1. */
MinCut *mincut_new(Arena *arena, uint32_t n);
void mincut_edge(MinCut *m, uint32_t from, uint32_t to, int64_t capacity);
/* The capacity of the least cut; afterwards mincut_side says on which side a node lies. Of several
 * least cuts it is the one with the fewest nodes at s. */
int64_t mincut_run(MinCut *m, uint32_t s, uint32_t t);
/* True: with s. */
bool mincut_side(const MinCut *m, uint32_t node);

#endif
