/* mincut.c: Dinic's algorithm: levels by breadth-first search, then a blocking flow along ascending
 * levels, until the sink has no level. Paths are walked on a stack of our own: graphs are as deep as
 * programs are long. */
#include "mincut.h"

typedef struct Edge {
    uint32_t to, next; /* next edge of the same node; UINT32_MAX ends */
    int64_t left;      /* capacity that is left; edge ^ 1 is the way back */
} Edge;

struct MinCut {
    Arena *arena;
    uint32_t n;
    uint32_t *first; /* by node */
    uint32_t *level; /* by node: 1 + distance from s, 0: not reached */
    uint32_t *at;    /* by node: the edge that the blocking flow tries next */
    uint32_t *queue;
    VEC(Edge) edges;
};

MinCut *mincut_new(Arena *arena, uint32_t n)
{
    MinCut *m = NEW(arena, MinCut);
    *m = (MinCut){.arena = arena,
                  .n = n,
                  .first = NEW_ARRAY(arena, uint32_t, n),
                  .level = NEW_ARRAY(arena, uint32_t, n),
                  .at = NEW_ARRAY(arena, uint32_t, n),
                  .queue = NEW_ARRAY(arena, uint32_t, n)};
    for (uint32_t i = 0; i < n; i++)
        m->first[i] = UINT32_MAX;
    return m;
}

static void half_edge(MinCut *m, uint32_t from, uint32_t to, int64_t capacity)
{
    Edge e = {to, m->first[from], capacity};
    m->first[from] = m->edges.n;
    VEC_PUSH(m->arena, &m->edges, e);
}

void mincut_edge(MinCut *m, uint32_t from, uint32_t to, int64_t capacity)
{
    ASSERT(from < m->n && to < m->n && capacity >= 0);
    half_edge(m, from, to, capacity);
    half_edge(m, to, from, 0);
}

static bool find_levels(MinCut *m, uint32_t s, uint32_t t)
{
    uint32_t head = 0, tail = 0;
    for (uint32_t i = 0; i < m->n; i++)
        m->level[i] = 0;
    m->level[s] = 1;
    m->queue[tail++] = s;
    while (head < tail) {
        uint32_t v = m->queue[head++];
        for (uint32_t e = m->first[v]; e != UINT32_MAX; e = m->edges.at[e].next) {
            uint32_t to = m->edges.at[e].to;
            if (m->edges.at[e].left <= 0 || m->level[to])
                continue;
            m->level[to] = m->level[v] + 1;
            m->queue[tail++] = to;
        }
    }
    return m->level[t] > 0;
}

/* An edge of v to the next level with capacity left; UINT32_MAX when there is none any more. */
static uint32_t way_on(MinCut *m, uint32_t v)
{
    for (; m->at[v] != UINT32_MAX; m->at[v] = m->edges.at[m->at[v]].next) {
        const Edge *e = &m->edges.at[m->at[v]];
        if (e->left > 0 && m->level[e->to] == m->level[v] + 1)
            break;
    }
    return m->at[v];
}

/* Sends what fits along the path; returns how many of its edges are left before the first full one. */
static uint32_t send(MinCut *m, const uint32_t *path, uint32_t n, int64_t *flow)
{
    int64_t fits = INT64_MAX;
    uint32_t full = 0;
    for (uint32_t i = 0; i < n; i++)
        fits = m->edges.at[path[i]].left < fits ? m->edges.at[path[i]].left : fits;
    for (uint32_t i = n; i-- > 0;) {
        m->edges.at[path[i]].left -= fits;
        m->edges.at[path[i] ^ 1].left += fits;
        full = m->edges.at[path[i]].left == 0 ? i : full;
    }
    *flow += fits;
    return full;
}

static int64_t blocking_flow(MinCut *m, uint32_t s, uint32_t t)
{
    int64_t flow = 0;
    uint32_t *path = m->queue, n = 0, v = s; /* levels are done with the queue */
    for (uint32_t i = 0; i < m->n; i++)
        m->at[i] = m->first[i];
    for (;;) {
        if (v == t) {
            n = send(m, path, n, &flow);
            v = m->edges.at[path[n] ^ 1].to;
            continue;
        }
        uint32_t e = way_on(m, v);
        if (e != UINT32_MAX) {
            path[n++] = e;
            v = m->edges.at[e].to;
            continue;
        }
        if (n == 0)
            return flow;
        m->level[v] = 0; /* a dead end */
        v = m->edges.at[path[--n] ^ 1].to;
    }
}

int64_t mincut_run(MinCut *m, uint32_t s, uint32_t t)
{
    int64_t flow = 0;
    while (find_levels(m, s, t))
        flow += blocking_flow(m, s, t);
    return flow;
}

bool mincut_side(const MinCut *m, uint32_t node)
{
    return m->level[node] > 0;
}
