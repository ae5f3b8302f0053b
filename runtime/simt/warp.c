/* warp.c: what the 32 lanes of a warp do together. A lane that comes waits; the last one does it for all,
 * through what each of them brought. Lanes that are at different calls, or have ended, are reported: on a
 * GPU the result would be undefined, or the warp would hang.
 *
 * None of it orders memory but mdl_syncwarp. */
#include "engine.h"

/* ---- meeting ---- */

static void check_meeting(Simt *s, const Warp *w, const char *call, int line)
{
    if (w->live < WARP)
        report(s, FAULT_EXIT, AT(line), "%s of a warp of which %d lanes have ended", call,
               WARP - w->live);
    else if (w->arrived && (w->call != call || w->line != line))
        report(s, FAULT_DIVERGENT, AT(line),
               "lanes of one warp are at %s here and at %s in line %d", call, w->call, w->line);
    else
        return;
    launch_stop(s);
}

void warp_meet(Simt *s, const WarpCall *call, const void *arg, int line)
{
    int self = s->face.thread, warp = self / WARP;
    Warp *w = &s->warp[warp];
    check_meeting(s, w, call->name, line);
    w->call = call->name;
    w->line = line;
    w->arg[self % WARP] = arg;
    if (++w->arrived < WARP) {
        thread_wait(s, THREAD_AT_WARP, call->name, line);
        return;
    }
    w->arrived = 0;
    call->run(s, w);
    for (int i = warp * WARP; i < (warp + 1) * WARP; i++)
        if (i != self)
            thread_wake(s, i);
    thread_yield(s);
}

void warp_leave(Simt *s, int thread)
{
    Warp *w = &s->warp[thread / WARP];
    w->live--;
    if (!w->arrived)
        return;
    report(s, FAULT_EXIT, AT(w->line), "a lane ends while %d others of its warp wait at %s",
           w->arrived, w->call);
    launch_stop(s);
}

/* ---- shuffles and votes ---- */

enum { MOST_BYTES = 64 };

static int source_lane(const MdlLanes *l, int lane)
{
    switch (l->op) {
    case MDL_LANES_XOR:
        return (lane ^ l->arg) % WARP;
    case MDL_LANES_AT:
        return l->arg & (WARP - 1);
    case MDL_LANES_UP:
        return lane >= l->arg ? lane - l->arg : lane;
    case MDL_LANES_DOWN:
        return lane + l->arg < WARP ? lane + l->arg : lane;
    case MDL_LANES_BALLOT:
        break;
    }
    return lane;
}

static void exchange(Simt *s, const Warp *w)
{
    char value[WARP][MOST_BYTES];
    UNUSED(s);
    for (int i = 0; i < WARP; i++) {
        const MdlLanes *l = w->arg[i];
        memcpy(value[i], l->value, (size_t)l->bytes);
    }
    for (int i = 0; i < WARP; i++) {
        const MdlLanes *l = w->arg[i];
        memcpy(l->value, value[source_lane(l, i)], (size_t)l->bytes);
    }
}

static void vote(Simt *s, const Warp *w)
{
    uint32_t mask = 0;
    UNUSED(s);
    for (int i = 0; i < WARP; i++)
        mask |= *(const uint32_t *)((const MdlLanes *)w->arg[i])->value ? UINT32_C(1) << i : 0;
    for (int i = 0; i < WARP; i++)
        *(uint32_t *)((const MdlLanes *)w->arg[i])->value = mask;
}

/* By MdlLanesOp. */
static const WarpCall lane_calls[] = {
    [MDL_LANES_XOR] = {"mdl_shfl_xor", exchange}, [MDL_LANES_AT] = {"mdl_shfl", exchange},
    [MDL_LANES_UP] = {"mdl_shfl_up", exchange},   [MDL_LANES_DOWN] = {"mdl_shfl_down", exchange},
    [MDL_LANES_BALLOT] = {"a vote", vote},
};

static void lanes(MdlEngine *e, const MdlLanes *l, int line)
{
    ASSERT(l->bytes <= MOST_BYTES);
    warp_meet(simt_of(e), &lane_calls[l->op], l, line);
}

/* ---- syncwarp ---- */

static void sync_lanes(Simt *s, const Warp *w)
{
    uint16_t thread[WARP];
    UNUSED(w);
    for (int i = 0; i < WARP; i++)
        thread[i] = (uint16_t)(s->face.thread / WARP * WARP + i);
    if (s->launch->check)
        view_meet(s, thread, WARP);
}

static const WarpCall syncwarp_call = {"mdl_syncwarp", sync_lanes};

static void syncwarp(MdlEngine *e, int line)
{
    warp_meet(simt_of(e), &syncwarp_call, NULL, line);
}

static void threadfence(MdlEngine *e)
{
    if (simt_of(e)->launch->check)
        blocks_fence(simt_of(e));
}

void warp_install(MdlEngine *e)
{
    e->lanes = lanes;
    e->syncwarp = syncwarp;
    e->threadfence = threadfence;
}
