/* memplan.c: looking up a value's slot; the plan itself is made by passes/memplan.c. */
#include "memplan.h"

const Slot *memplan_slot(const MemPlan *m, const Node *value)
{
    ASSERT(!value->type->is_tuple);
    return &m->slots[m->first_slot[value->id]];
}
