/* memplan.c: looking up a value's slot; the plan itself is made by passes/memplan.c. */
#include "memplan.h"

const Slot *memplan_slot(const MemPlan *m, const Node *value)
{
    ASSERT(!value->type->is_tuple);
    return &m->slots[m->first_slot[value->id]];
}

static uint32_t result_count(const Node *n)
{
    return n->type->is_tuple ? n->type->nelem : 1;
}

const Slot *memplan_carry(const MemPlan *m, const Node *loop, uint32_t carry)
{
    ASSERT((int64_t)carry < node_int(loop, "carry"));
    return &m->slots[m->first_slot[loop->id] + result_count(loop) + carry];
}

const Slot *memplan_body_arena(const MemPlan *m, const Node *loop)
{
    return &m->slots[m->first_slot[loop->id] + result_count(loop) + node_int(loop, "carry")];
}
