/* mbar.c: mbarriers: words of shared memory that count arrivals and bytes, phase by phase. A wait for a
 * parity passes when the phase of that parity is complete, so for 1 before the first one.
 *
 * The counts are kept here; the word itself holds a mark, so that a kernel that writes over it is found. */
#include "engine.h"

static const uint64_t MARK = UINT64_C(0x6d6261727269656d);

/* ---- finding one ---- */

static Mbar *find(Simt *s, const uint64_t *at)
{
    for (uint32_t i = 0; i < s->nmbar; i++)
        if (s->mbar[i].at == at)
            return &s->mbar[i];
    return NULL;
}

static void check_place(Simt *s, const uint64_t *at, AccessKind kind, int line)
{
    const Access a = {.at = at,
                      .bytes = sizeof(*at),
                      .align = sizeof(*at),
                      .kind = kind,
                      .shared = true,
                      .call = "an mbarrier",
                      .where = AT(line)};
    access_check(s, &a);
}

Mbar *mbar_get(Simt *s, uint64_t *at, int line)
{
    check_place(s, at, ACCESS_READ, line); /* behind its initialisation */
    Mbar *b = find(s, at);
    if (!b)
        report(s, FAULT_MBARRIER, AT(line),
               "the word at %d of shared memory is no mbarrier: it was not initialised",
               (int)access_offset(s, at));
    else if (*at != MARK)
        report(s, FAULT_MBARRIER, AT(line), "the mbarrier at %d of shared memory was written over",
               (int)access_offset(s, at));
    else
        return b;
    launch_stop(s);
}

static void init(MdlEngine *e, uint64_t *at, int arrivals, int line)
{
    Simt *s = simt_of(e);
    check_place(s, at, ACCESS_WRITE, line);
    if (find(s, at))
        report(s, FAULT_MBARRIER, AT(line), "an mbarrier is initialised again");
    else if (arrivals < 1 || arrivals > 0xfffff)
        report(s, FAULT_MBARRIER, AT(line), "an mbarrier for %d arrivals", arrivals);
    else if (s->nmbar == MAX_MBARS)
        report(s, FAULT_MBARRIER, AT(line), "more than %d mbarriers", MAX_MBARS);
    else {
        *at = MARK;
        s->mbar[s->nmbar++] = (Mbar){.at = at,
                                     .wanted = arrivals,
                                     .pending = arrivals,
                                     .owner = s->face.thread,
                                     .line = line};
        return;
    }
    launch_stop(s);
}

/* What the thread initialised is seen by asynchronous units behind this. */
static void fence(MdlEngine *e)
{
    Simt *s = simt_of(e);
    for (uint32_t i = 0; i < s->nmbar; i++)
        if (s->mbar[i].owner == s->face.thread)
            s->mbar[i].fenced = true;
}

/* ---- phases ---- */

static void complete_phase(Simt *s, Mbar *b)
{
    if (b->pending || b->bytes)
        return;
    b->phase++;
    b->pending = b->wanted;
    view_drop(s, b->done);
    b->done = b->coming;
    b->coming = NULL;
    for (int i = 0; i < s->nthread; i++)
        if (s->thread[i].state == THREAD_AT_MBARRIER && s->thread[i].mbar == b)
            thread_wake(s, i);
}

static void arrive(MdlEngine *e, uint64_t *at, int bytes, int line)
{
    Simt *s = simt_of(e);
    Mbar *b = mbar_get(s, at, line);
    if (!b->pending) {
        report(s, FAULT_MBARRIER, AT(line),
               "more arrivals in a phase than the %d that the mbarrier is for", b->wanted);
        launch_stop(s);
    }
    if (s->launch->check)
        view_release(s, s->face.thread, &b->coming);
    b->bytes += bytes;
    b->pending--;
    complete_phase(s, b);
    thread_yield(s);
}

static void arrive_in(MdlEngine *e, uint64_t *at, int rank, int line)
{
    arrive(e, access_in_block(simt_of(e), at, rank, line), 0, line);
}

void mbar_transfer_done(Simt *s, Mbar *b, int64_t bytes, const View *view)
{
    if (view)
        view_join(s, &b->coming, view);
    b->bytes -= bytes;
    complete_phase(s, b);
}

static void wait(MdlEngine *e, uint64_t *at, int parity, int line)
{
    Simt *s = simt_of(e);
    Mbar *b = mbar_get(s, at, line);
    if (parity != 0 && parity != 1) {
        report(s, FAULT_MBARRIER, AT(line), "a wait for parity %d", parity);
        launch_stop(s);
    }
    while ((int)(b->phase & 1) == parity) {
        thread_now(s)->mbar = b;
        thread_wait(s, THREAD_AT_MBARRIER, "mdl_mbar_wait", line);
    }
    if (s->launch->check && b->done)
        view_acquire(s, s->face.thread, b->done);
}

void mbar_begin_block(Simt *s)
{
    for (uint32_t i = 0; i < s->nmbar; i++) {
        view_drop(s, s->mbar[i].coming);
        view_drop(s, s->mbar[i].done);
    }
    s->nmbar = 0;
}

void mbar_install(MdlEngine *e)
{
    e->mbar_init = init;
    e->mbar_fence = fence;
    e->mbar_arrive = arrive;
    e->mbar_arrive_in = arrive_in;
    e->mbar_wait = wait;
}
