/* fuse_groups.c: the groups of the fusion pass as a graph: union-find, walks, a topological order.
 *
 * The order makes the CYCLE test cheap: a path from p to c runs only through groups between them, so
 * the search stays inside that window, and a merge reorders only the window (descendants of p go
 * behind the merged group), as in the dynamic topological sort of Pearce and Kelly. */
#include "fuse_groups.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *fuse_code_name(FuseCode code)
{
    switch (code) {
    case FUSE_OK:
        return "OK";
    case FUSE_MAP:
        return "MAP";
    case FUSE_RED:
        return "RED";
    case FUSE_CLASS:
        return "CLASS";
    case FUSE_EPI:
        return "EPI";
    case FUSE_RES:
        return "RES";
    case FUSE_CYCLE:
        return "CYCLE";
    case FUSE_COST:
        return "COST";
    }
    BUG("no such fusion code: %d", (int)code);
}

void ids_add(Arena *arena, Ids *ids, uint32_t id)
{
    uint32_t i = ids->n;
    while (i > 0 && ids->at[i - 1] > id)
        i--;
    if (i > 0 && ids->at[i - 1] == id)
        return;
    VEC_PUSH(arena, ids, id);
    memmove(ids->at + i + 1, ids->at + i, (ids->n - 1 - i) * sizeof *ids->at);
    ids->at[i] = id;
}

bool ids_has(const Ids *ids, uint32_t id)
{
    uint32_t lo = 0, hi = ids->n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (ids->at[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < ids->n && ids->at[lo] == id;
}

/* ---- groups ---- */

uint32_t fuse_group_new(Fuse *fx, uint32_t kept, KernelClass cls)
{
    FGroup *g = NEW(fx->arena, FGroup);
    g->id = g->parent = fx->groups.n;
    g->cls = cls;
    ids_add(fx->arena, &g->kept, kept);
    VEC_PUSH(fx->arena, &fx->groups, g);
    fx->owner[kept] = g->id;
    return g->id;
}

uint32_t fuse_find(const Fuse *fx, uint32_t group)
{
    while (fx->groups.at[group]->parent != group) {
        FGroup *g = fx->groups.at[group];
        g->parent = fx->groups.at[g->parent]->parent;
        group = g->parent;
    }
    return group;
}

void fuse_note(Fuse *fx, uint32_t group, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    FGroup *g = fx->groups.at[group];
    for (uint32_t i = 0; i < g->notes.n; i++) {
        if (strcmp(g->notes.at[i], text) == 0)
            return;
    }
    VEC_PUSH(fx->arena, &g->notes, arena_strdup(fx->arena, text));
}

static int anchor_rank(OpClass cls)
{
    switch (cls) {
    case OC_SCAN:
    case OC_SORT:
    case OC_UPDATE:
    case OC_CONTRACT:
    case OC_SCATTER:
    case OC_MULTI:
    case OC_CALL:
    case OC_TUPLE: /* of a call: a group keeps no others */
        return 3;
    case OC_REDUCE:
        return 2;
    case OC_ELEM:
    case OC_GATHER:
        return 1;
    case OC_LEAF:
    case OC_VIEW:
    case OC_LOOP:
    case OC_GROUP:
        return 0;
    }
    return 0;
}

uint32_t fuse_anchor(const Fuse *fx, const FGroup *g)
{
    uint32_t best = g->kept.at[0];
    for (uint32_t i = 1; i < g->kept.n; i++) {
        uint32_t id = g->kept.at[i];
        int now = anchor_rank(fuse_class(fuse_node(fx, id)));
        int old = anchor_rank(fuse_class(fuse_node(fx, best)));
        if (now > old || (now == old && now == 1)) /* the last elementwise, the first fold */
            best = id;
    }
    return best;
}

const char *fuse_label(const Fuse *fx, uint32_t node)
{
    const Node *n = fuse_node(fx, node);
    const Node *call = fuse_class(n) == OC_TUPLE ? n->in[0] : n;
    const char *name = fuse_class(call) == OC_CALL ? node_def(call)->name : op_info(n->op)->name;
    return n->path ? arena_printf(fx->arena, "%s (%s)", name, n->path) : name;
}

/* ---- walks ---- */

static bool in_body(const Fuse *fx, const Body *body, uint32_t group)
{
    group = fuse_find(fx, group);
    return group == body->a || group == body->b;
}

bool fuse_is_read(const Fuse *fx, const Body *body, uint32_t id)
{
    const Node *n = fuse_node(fx, id);
    OpClass cls = fuse_class(n);
    if (cls == OC_LEAF)
        return !op_info(n->op)->folded;
    if (cls == OC_VIEW && !fx->solid[id])
        return false;
    return fx->owner[id] != FUSE_NONE && !in_body(fx, body, fx->owner[id]);
}

static void visit(Fuse *fx, Body *body, uint32_t id)
{
    if (fx->mark[id] == fx->stamp)
        return;
    fx->mark[id] = fx->stamp;
    if (fuse_is_read(fx, body, id)) {
        VEC_PUSH(fx->arena, &body->reads, id);
        return;
    }
    const Node *n = fuse_node(fx, id);
    for (uint32_t k = 0; k < n->nin; k++)
        visit(fx, body, n->in[k]->id);
    OpClass cls = fuse_class(n);
    if (cls == OC_LEAF || cls == OC_VIEW)
        return;
    body->nclass[cls]++;
    VEC_PUSH(fx->arena, &body->members, id);
}

static bool is_stored(const Fuse *fx, const Body *body, uint32_t id)
{
    if (fx->sink[id])
        return true;
    for (uint32_t i = 0; i < fx->readers[id].n; i++) {
        if (!in_body(fx, body, fx->readers[id].at[i]))
            return true;
    }
    return false;
}

void fuse_walk(Fuse *fx, uint32_t a, uint32_t b, Body *out)
{
    *out = (Body){.a = a, .b = b};
    fx->stamp++;
    for (int side = 0; side < 2; side++) {
        if (side == 1 && b == FUSE_NONE)
            break;
        const FGroup *g = fx->groups.at[side ? b : a];
        for (uint32_t i = 0; i < g->kept.n; i++)
            ids_add(fx->arena, &out->kept, g->kept.at[i]);
    }
    for (uint32_t i = 0; i < out->kept.n; i++) {
        if (is_stored(fx, out, out->kept.at[i]))
            VEC_PUSH(fx->arena, &out->stored, out->kept.at[i]);
    }
    fuse_walk_members(fx, out);
}

void fuse_walk_kept(Fuse *fx, uint32_t group, Body *out)
{
    fuse_walk(fx, group, FUSE_NONE, out);
    for (uint32_t i = 0; i < out->kept.n; i++)
        visit(fx, out, out->kept.at[i]);
}

void fuse_walk_members(Fuse *fx, Body *body)
{
    fx->stamp++;
    for (uint32_t i = 0; i < body->stored.n; i++)
        visit(fx, body, body->stored.at[i]);
}

uint32_t fuse_cone_reads(Fuse *fx, const Body *body, uint32_t member)
{
    Body cone = {.a = body->a, .b = body->b};
    fx->stamp++;
    visit(fx, &cone, member);
    return cone.reads.n;
}

/* ---- order ---- */

static uint32_t last_kept(const FGroup *g)
{
    return VEC_LAST(&g->kept);
}

/* Kept values have larger ids than all they are computed from, so their order is topological. */
void fuse_link(Fuse *fx)
{
    uint32_t *by_value = NEW_ARRAY(fx->arena, uint32_t, fx->n);
    for (uint32_t i = 0; i < fx->groups.n; i++)
        by_value[last_kept(fx->groups.at[i])] = i + 1;
    for (uint32_t id = 0; id < fx->n; id++) {
        if (!by_value[id])
            continue;
        FGroup *g = fx->groups.at[by_value[id] - 1];
        g->pos = fx->order.n;
        VEC_PUSH(fx->arena, &fx->order, g->id);
    }
    for (uint32_t i = 0; i < fx->order.n; i++) {
        FGroup *g = fx->groups.at[fx->order.at[i]];
        Body body;
        fuse_walk_kept(fx, g->id, &body);
        g->reads = body.reads;
        for (uint32_t k = 0; k < g->reads.n; k++)
            VEC_PUSH(fx->arena, &fx->readers[g->reads.at[k]], g->id);
    }
}

/* Puts g behind what it reads, and that behind what it reads ..; on a stack: programs are long. */
static void put_behind(Fuse *fx, uint32_t g, bool *done, Ids *order)
{
    Ids stack = {0};
    VEC_PUSH(fx->arena, &stack, g);
    while (stack.n) {
        uint32_t top = VEC_LAST(&stack), missing = FUSE_NONE;
        const Ids *reads = &fx->groups.at[top]->reads;
        for (uint32_t k = 0; k < reads->n && missing == FUSE_NONE; k++) {
            uint32_t owner = fx->owner[reads->at[k]];
            owner = owner == FUSE_NONE ? top : fuse_find(fx, owner);
            missing = owner != top && !done[owner] ? owner : FUSE_NONE;
        }
        if (missing != FUSE_NONE) {
            VEC_PUSH(fx->arena, &stack, missing);
            continue;
        }
        if (!done[top])
            VEC_PUSH(fx->arena, order, top);
        done[top] = true;
        stack.n--;
    }
}

void fuse_sort(Fuse *fx)
{
    uint32_t *by_value = NEW_ARRAY(fx->arena, uint32_t, fx->n + 1);
    bool *done = NEW_ARRAY(fx->arena, bool, fx->groups.n + 1);
    Ids order = {0};
    for (uint32_t i = 0; i < fx->order.n; i++)
        by_value[last_kept(fx->groups.at[fx->order.at[i]])] = fx->order.at[i] + 1;
    for (uint32_t id = 0; id < fx->n; id++)
        if (by_value[id])
            put_behind(fx, by_value[id] - 1, done, &order);
    ASSERT(order.n == fx->order.n);
    for (uint32_t i = 0; i < order.n; i++) {
        fx->order.at[i] = order.at[i];
        fx->groups.at[order.at[i]]->pos = i;
    }
}

/* The groups between two in the order; marked ones are descendants of the first. */
typedef struct Window {
    uint32_t from, to;     /* groups */
    uint32_t first, limit; /* their places */
    bool found;            /* the second is a descendant other than by one edge from the first */
} Window;

static void reach(Fuse *fx, Window *w, uint32_t at, uint32_t kept, bool direct)
{
    const Ids *readers = &fx->readers[kept];
    for (uint32_t k = 0; k < readers->n; k++) {
        uint32_t next = fuse_find(fx, readers->at[k]);
        if (next == at || fx->groups.at[next]->pos > w->limit)
            continue;
        if (next == w->to) {
            w->found = w->found || direct || at != w->from;
        } else if (fx->seen[next] != fx->look) {
            fx->seen[next] = fx->look;
            VEC_PUSH(fx->arena, &fx->stack, next);
        }
    }
}

/* Iterative: chains can be long. */
static Window search(Fuse *fx, uint32_t a, uint32_t b, bool direct)
{
    bool swap = fx->groups.at[a]->pos > fx->groups.at[b]->pos;
    Window w = {.from = swap ? b : a, .to = swap ? a : b};
    w.first = fx->groups.at[w.from]->pos;
    w.limit = fx->groups.at[w.to]->pos;
    fx->look++;
    fx->stack.n = 0;
    VEC_PUSH(fx->arena, &fx->stack, w.from);
    while (fx->stack.n > 0) {
        uint32_t at = fx->stack.at[--fx->stack.n];
        const FGroup *g = fx->groups.at[at];
        for (uint32_t i = 0; i < g->kept.n; i++)
            reach(fx, &w, at, g->kept.at[i], direct);
    }
    return w;
}

bool fuse_connected(Fuse *fx, uint32_t a, uint32_t b, bool direct)
{
    return search(fx, a, b, direct).found;
}

/* Rearranges the window: what does not descend from its first group, the merged group, the rest. */
static void reorder(Fuse *fx, const Window *w, uint32_t merged)
{
    Ids after = {0};
    uint32_t at = w->first;
    for (uint32_t pos = w->first; pos <= w->limit; pos++) {
        uint32_t id = fx->order.at[pos];
        if (id == w->from || id == w->to)
            continue;
        if (fx->seen[id] == fx->look)
            VEC_PUSH(fx->arena, &after, id);
        else
            fx->order.at[at++] = id;
    }
    fx->order.at[at++] = merged;
    for (uint32_t i = 0; i < after.n; i++)
        fx->order.at[at++] = after.at[i];
    memmove(fx->order.at + at, fx->order.at + w->limit + 1,
            (fx->order.n - w->limit - 1) * sizeof *fx->order.at);
    fx->order.n--;
    for (uint32_t pos = w->first; pos < fx->order.n; pos++)
        fx->groups.at[fx->order.at[pos]]->pos = pos;
}

uint32_t fuse_merge(Fuse *fx, const Body *body, KernelClass cls)
{
    Window w = search(fx, body->a, body->b, false);
    ASSERT(!w.found);
    uint32_t keep = body->a < body->b ? body->a : body->b;
    uint32_t drop = body->a < body->b ? body->b : body->a;
    reorder(fx, &w, keep);
    FGroup *g = fx->groups.at[keep], *gone = fx->groups.at[drop];
    gone->parent = keep;
    g->cls = cls;
    g->kept = body->kept;
    g->reads = body->reads;
    for (uint32_t i = 0; i < gone->notes.n; i++)
        VEC_PUSH(fx->arena, &g->notes, gone->notes.at[i]);
    return keep;
}
