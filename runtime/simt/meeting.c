/* meeting.c: order between blocks of one launch. There is none, but where one block counts down what another
 * one waits for: writes, mdl_threadfence, an atomic operation; then in the block that finds that all have
 * come, mdl_threadfence again, and reads. */
#include "engine.h"

/* ---- blocks ---- */

void blocks_begin(Simt *s, int32_t block)
{
    Checker *k = &s->check;
    VEC_PUSH(k->arena, &k->begin, ((BlockBegin){k->block, block}));
    k->acquired.n = 0;
}

/* The begin of the block that ran at a time of this launch. */
static const BlockBegin *begin_at(const Checker *k, uint32_t time)
{
    uint32_t lo = 0, hi = k->begin.n;
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (k->begin.at[mid].time <= time)
            lo = mid;
        else
            hi = mid;
    }
    return &k->begin.at[lo];
}

int32_t blocks_at(const Simt *s, uint32_t time)
{
    return begin_at(&s->check, time)->block;
}

void blocks_begin_launch(Simt *s)
{
    Checker *k = &s->check;
    for (uint32_t i = 0; k->meetings && i < map_count(k->meetings); i++) {
        const Meeting *m = map_value_at(k->meetings, i);
        for (uint32_t r = 0; r < m->release.n; r++)
            view_drop(s, m->release.at[r].view);
    }
    arena_reset(k->arena);
    k->meetings = map_new(k->arena);
    memset(&k->acquired, 0, sizeof(k->acquired));
    memset(&k->begin, 0, sizeof(k->begin));
}

/* ---- fences and atomics ---- */

void blocks_fence(Simt *s)
{
    Checker *k = &s->check;
    int t = s->face.thread;
    view_drop(s, k->fence_view[t]);
    k->fence_view[t] = view_hold(k->seen[t]);
    k->fence_own[t] = k->own[t]++;
    for (uint32_t i = 0; i < k->acquired.n; i++) {
        Acquired *a = &k->acquired.at[i];
        if (a->thread == t && !a->fenced) {
            a->fenced = true;
            a->time = k->own[t];
        }
    }
}

static Meeting *meeting_at(Checker *k, const void *at)
{
    Meeting *m = map_get(k->meetings, MAP_KEY(at));
    if (!m) {
        m = NEW(k->arena, Meeting);
        map_put(k->meetings, MAP_KEY(at), m);
    }
    return m;
}

void blocks_look(Simt *s, const void *at)
{
    Checker *k = &s->check;
    Meeting *m = meeting_at(k, at);
    if (m->release.n)
        VEC_PUSH(k->arena, &k->acquired,
                 ((Acquired){m, m->release.n, 0, (uint16_t)s->face.thread, false}));
}

void blocks_atomic(Simt *s, const void *at)
{
    Checker *k = &s->check;
    uint16_t t = (uint16_t)s->face.thread;
    Meeting *m = meeting_at(k, at);
    blocks_look(s, at);
    if (k->fence_view[t]) {
        const Release r = {view_hold(k->fence_view[t]), k->block, k->fence_own[t], t};
        VEC_PUSH(k->arena, &m->release, r);
    }
}

static bool is_released(const Release *r, const Mark *m)
{
    return m->time <= (m->actor == r->thread ? r->own : r->view->at[m->actor]);
}

bool blocks_have_met(const Simt *s, uint16_t actor, const Mark *mark)
{
    const Checker *k = &s->check;
    uint32_t begin = begin_at(k, mark->time)->time;
    if (actor >= s->nthread)
        return false;
    for (uint32_t i = 0; i < k->acquired.n; i++) {
        const Acquired *a = &k->acquired.at[i];
        bool here = a->thread == actor || k->seen[actor]->at[a->thread] >= a->time;
        for (uint32_t r = 0; a->fenced && here && r < a->n; r++) {
            const Release *release = &a->meeting->release.at[r];
            if (release->begin == begin && is_released(release, mark))
                return true;
        }
    }
    return false;
}
