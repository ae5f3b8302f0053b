/* order.c: a linear order of the groups with a low peak of live memory.
 *
 * List scheduling: of the groups that can run, the one that adds least to what is live (results
 * allocated minus operands that die); ties: the lower number. The order of the graph is kept instead
 * when its simulated peak is not higher: it follows the program, and greedy choices can be wrong.
 * Both are deterministic. */
#include "schedule.h"

#include <string.h>

typedef struct Live {
    const OrderIn *in;
    uint32_t *left; /* by value: groups that still read it */
    uint64_t now, peak;
} Live;

/* The value behind an operand; false when it takes no memory of the arena. */
static bool operand_value(const OrderIn *in, const Node *n, uint32_t *value)
{
    const Node *group;
    uint32_t result;
    if (!value_of_group(n, &group, &result))
        return false;
    *value = in->first[group->id] + result;
    return in->bytes[*value] > 0;
}

static bool is_first(const Node *group, uint32_t k)
{
    for (uint32_t i = 0; i < k; i++) {
        if (group->in[i] == group->in[k])
            return false;
    }
    return true;
}

static uint32_t result_count(const Node *group)
{
    return group->type->is_tuple ? group->type->nelem : 1;
}

static Live live_new(const OrderIn *in)
{
    Live l = {.in = in};
    const Flow *f = in->flow;
    l.left = NEW_ARRAY(f->arena, uint32_t, in->nvalue + 1);
    for (uint32_t i = 0; i < f->n; i++) {
        for (uint32_t k = 0; k < f->group[i]->nin; k++) {
            uint32_t v;
            if (operand_value(in, f->group[i]->in[k], &v) && is_first(f->group[i], k))
                l.left[v]++;
        }
    }
    return l;
}

static uint64_t born(const Live *l, const Node *group)
{
    uint64_t bytes = 0;
    for (uint32_t r = 0; r < result_count(group); r++)
        bytes += l->in->bytes[l->in->first[group->id] + r];
    return bytes;
}

/* Bytes that die with this group: last reads. */
static uint64_t dying(const Live *l, const Node *group)
{
    uint64_t bytes = 0;
    for (uint32_t k = 0; k < group->nin; k++) {
        uint32_t v;
        if (operand_value(l->in, group->in[k], &v) && is_first(group, k) && l->left[v] == 1 &&
            !l->in->kept[v])
            bytes += l->in->bytes[v];
    }
    return bytes;
}

static void run(Live *l, const Node *group)
{
    l->now += born(l, group);
    l->peak = l->now > l->peak ? l->now : l->peak;
    l->now -= dying(l, group);
    for (uint32_t k = 0; k < group->nin; k++) {
        uint32_t v;
        if (operand_value(l->in, group->in[k], &v) && is_first(group, k))
            l->left[v]--;
    }
    for (uint32_t r = 0; r < result_count(group); r++) { /* written, but never read */
        uint32_t v = l->in->first[group->id] + r;
        if (l->left[v] == 0 && !l->in->kept[v])
            l->now -= l->in->bytes[v];
    }
}

/* One list schedule; `greedy`: by memory, else by number alone. Returns its peak. */
static uint64_t schedule(const OrderIn *in, bool greedy, uint32_t *order)
{
    const Flow *f = in->flow;
    Live l = live_new(in);
    uint32_t *waits = NEW_ARRAY(f->arena, uint32_t, f->n + 1), done = 0;
    Numbers ready = {0};
    for (uint32_t i = 0; i < f->n; i++) {
        waits[i] = f->before[i].n;
        if (waits[i] == 0)
            VEC_PUSH(f->arena, &ready, i);
    }
    while (ready.n > 0) {
        uint32_t best = 0;
        int64_t least = 0;
        for (uint32_t i = 0; i < ready.n; i++) {
            const Node *n = f->group[ready.at[i]];
            int64_t grows = greedy ? (int64_t)(born(&l, n) - dying(&l, n)) : 0;
            if (i > 0 && (grows > least || (grows == least && ready.at[i] > ready.at[best])))
                continue;
            best = i;
            least = grows;
        }
        uint32_t at = ready.at[best];
        ready.at[best] = ready.at[--ready.n];
        order[done++] = at;
        run(&l, f->group[at]);
        for (uint32_t i = 0; i < f->after[at].n; i++) {
            if (--waits[f->after[at].at[i]] == 0)
                VEC_PUSH(f->arena, &ready, f->after[at].at[i]);
        }
    }
    ASSERT(done == f->n);
    return l.peak;
}

void order_groups(const OrderIn *in, uint32_t *order)
{
    uint32_t *greedy = NEW_ARRAY(in->flow->arena, uint32_t, in->flow->n + 1);
    uint64_t plain = schedule(in, false, order);
    if (schedule(in, true, greedy) < plain)
        memcpy(order, greedy, in->flow->n * sizeof *order);
}
