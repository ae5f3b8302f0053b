/* query.c: what passes ask about a node that ops.def has no column for. */
#include "ir.h"

bool node_is_state(const Node *n, uint32_t *state)
{
    if (n->op != OP_STATE)
        return false;
    *state = (uint32_t)node_int(n, "id");
    return true;
}

bool node_is_get(const Node *n, uint32_t *member)
{
    if (n->op != OP_GET)
        return false;
    *member = (uint32_t)node_int(n, "i");
    return true;
}
