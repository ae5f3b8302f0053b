/* memplan.h: schedule and memory of a fused entry: made by passes (order.c, memplan.c), read by
 * codegen; it lies here because neither of the two may include the other. memplan_slot is in
 * compiler/target/memplan.c. */
#ifndef MDL_MEMPLAN_H
#define MDL_MEMPLAN_H

#include "ir.h"

/* Where a materialised value of a fused graph lives. */
typedef enum Place {
    PLACE_NONE,
    PLACE_TEMP,
    PLACE_STATE,
    PLACE_INPUT,
    PLACE_RESULT,
    PLACE_OUT /* a result of the body of a loop: the loop says where */
} Place;

typedef struct Slot {
    Place place;
    uint32_t index;  /* STATE: state id; INPUT: input number; RESULT, OUT: result number */
    uint64_t offset; /* TEMP, RESULT: bytes from the start of the entry's arena, 64-aligned */
    uint64_t bytes;  /* planned for the upper end of DYN dims */
} Slot;

/* Schedule and memory of one fused entry. `graph` is the fused graph with copies added where a state
 * cannot be written in place: read results and writes there. Every write's value has the state's own
 * buffer (PLACE_STATE), also where its group reads the old value at the same element. Values are identified by (group node, result number):
 * slot index = first_slot[node id] + result number. Leaves that groups read have one slot.
 *
 * A loop is one step here; its body has a plan of its own, whose arena is a slot behind those of the loop's
 * results and the second buffers of its carries (memplan_carry, memplan_body_arena). */
typedef struct MemPlan {
    const Graph *graph;
    VEC(const Node *) order;     /* groups and loops in execution order */
    const struct MemPlan **body; /* by node id: of a loop */
    uint32_t *first_slot;        /* by node id */
    Slot *slots;
    uint32_t nslot;
    uint64_t arena_bytes; /* peak */
    uint64_t live_bytes;  /* most bytes of TEMP and RESULT values live at once: a lower bound */
    /* the largest live tensors at the peak, biggest first; node: the group or the get */
    struct {
        const Node *node;
        uint64_t bytes;
    } top[10];
    uint32_t ntop;
} MemPlan;

/* The slot of a value read by a group: an input of an OP_GROUP node (leaf, group, or get). */
const Slot *memplan_slot(const MemPlan *m, const Node *value);
/* Of a loop: the second buffer of a carry, and the arena of its body. */
const Slot *memplan_carry(const MemPlan *m, const Node *loop, uint32_t carry);
const Slot *memplan_body_arena(const MemPlan *m, const Node *loop);
#endif
