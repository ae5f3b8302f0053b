/* schedule.h: what order, inplace and memplan share: the groups of a fused graph and what must run
 * before what. */
#ifndef MDL_SCHEDULE_H
#define MDL_SCHEDULE_H

#include "passes.h"

#define NO_GROUP UINT32_MAX

typedef VEC(uint32_t) Numbers;

/* Groups are numbered in node order. Edges: a reader after its producer, and the group that
 * overwrites a state after all other readers of the old value. */
typedef struct Flow {
    const Graph *g;
    Arena *arena;
    uint32_t n;
    const Node **group;
    uint32_t *number; /* by node id: the group's number; of a get its group's; else NO_GROUP */
    Numbers *after;   /* by group: who must run later */
    Numbers *before;
} Flow;

Flow *flow_new(Arena *arena, const Graph *g);
void flow_edge(Flow *f, uint32_t before, uint32_t after);
bool flow_reaches(const Flow *f, uint32_t from, uint32_t to);
/* Every state's writer after the other readers of the old value; false, and no edge added, when that
 * is impossible. */
bool flow_overwrite(Flow *f, const GraphWrite *w);

/* inplace.c: g with a copy for every write that cannot go straight to the state's buffer. */
const Graph *inplace_writes(PassCx *cx, Arena *scratch, const Graph *g);
/* May result r of a group lie where operand k lies? Each element of k is read before it is written. */
bool inplace_may_share(PassCx *cx, Arena *scratch, const Node *group, uint32_t k, uint32_t r);

/* A group or a loop: what one step, or the steps of a loop, compute. */
bool node_is_step(const Node *n);
/* The group (or loop) and result number behind an operand, a result or a write; false for leaves. */
bool value_of_group(const Node *n, const Node **group, uint32_t *result);

/* order.c: bytes[s]: what value s takes in the arena, 0 for states and inputs; first[node id] + result
 * number = value; kept[s]: a result, lives to the end. Fills order with group numbers. */
typedef struct OrderIn {
    const Flow *flow;
    const uint32_t *first;
    const uint64_t *bytes;
    const bool *kept;
    uint32_t nvalue;
} OrderIn;
void order_groups(const OrderIn *in, uint32_t *order);

#endif
