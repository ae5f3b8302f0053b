/* block.c: the threads of one block, or of the blocks of a cluster, as fibres, and barriers between them.
 *
 * A fibre runs threads from begin to end, one after the other, until one of them has to wait; only then
 * the next thread takes a fibre of its own. So a kernel that never waits is a plain loop. Threads that can
 * run stand in a ring; with a seed any of them may be next. When none can, what is asynchronous goes on;
 * when there is nothing of that either, the block is dead, and who waits where is reported. */
#include "engine.h"

/* ---- order ---- */

/* xorshift64* */
uint64_t random_next(Simt *s)
{
    s->random ^= s->random >> 12;
    s->random ^= s->random << 25;
    s->random ^= s->random >> 27;
    return s->random * UINT64_C(0x2545f4914f6cdd1d) >> 32;
}

static void push_ready(Simt *s, int thread)
{
    s->ready[(s->first_ready + s->nready++) % MAX_THREADS] = (uint16_t)thread;
}

static int pop_ready(Simt *s)
{
    if (s->random) {
        int other = (s->first_ready + (int)(random_next(s) % (uint64_t)s->nready)) % MAX_THREADS;
        uint16_t swap = s->ready[other];
        s->ready[other] = s->ready[s->first_ready];
        s->ready[s->first_ready] = swap;
    }
    int thread = s->ready[s->first_ready];
    s->first_ready = (s->first_ready + 1) % MAX_THREADS;
    s->nready--;
    return thread;
}

/* ---- fibres and threads ---- */

static void run_threads(void *arg);

static Fibre *idle_fibre(Simt *s)
{
    Fibre *f = s->idle;
    if (f) {
        s->idle = f->next;
        return f;
    }
    f = &s->fibre[s->nfibre];
    f->stack = fibre_stack(&s->stacks, s->nfibre++);
    f->bytes = s->stacks.bytes;
    fibre_make(f, run_threads, s);
    return f;
}

static void go(Simt *s, Fibre *to)
{
    Fibre *from = s->here;
    if (from == to)
        return;
    s->here = to;
    fibre_switch(from, to);
}

/* It is this thread, and its block, that runs. */
static void become(Simt *s, int thread)
{
    int rank = thread / s->block_threads;
    s->face.thread = thread;
    s->face.rank = rank;
    s->face.first = rank * s->block_threads;
    s->face.block = s->first_block + rank;
    s->face.shared = s->memory + (size_t)rank * SHARED_APART;
}

void threads_go_on(Simt *s)
{
    if (s->random && s->loads.n && random_next(s) % 8 == 0)
        tma_step(s);
    if (!s->nready) {
        go(s, &s->main);
        return;
    }
    int next = pop_ready(s);
    Thread *t = &s->thread[next];
    become(s, next);
    if (t->state == THREAD_NEW)
        t->fibre = idle_fibre(s);
    t->state = THREAD_READY;
    go(s, t->fibre);
}

void thread_wait(Simt *s, ThreadState state, const char *call, int line)
{
    Thread *t = thread_now(s);
    t->state = state;
    t->call = call;
    t->line = line;
    threads_go_on(s);
}

void thread_yield(Simt *s)
{
    if (!s->random)
        return;
    push_ready(s, s->face.thread);
    threads_go_on(s);
}

void thread_wake(Simt *s, int thread)
{
    s->thread[thread].state = THREAD_READY;
    push_ready(s, thread);
}

void launch_stop(Simt *s)
{
    s->stopped = true;
    go(s, &s->main);
    BUG("a stopped launch went on");
}

/* ---- the end of a thread ---- */

static void check_barriers(Simt *s)
{
    for (int i = 0; i < MAX_BARRIERS; i++) {
        const Barrier *b = &s->barrier[s->face.rank][i];
        if (b->arrived && s->block_live[s->face.rank] < b->wanted) {
            report(s, FAULT_EXIT, AT(b->line),
                   "a thread ends while %d others wait at barrier %d for %d threads", b->arrived, i,
                   b->wanted);
            launch_stop(s);
        }
    }
    if (s->meeting.arrived) {
        report(s, FAULT_EXIT, AT(s->meeting.line),
               "a thread ends while %d others wait for their cluster", s->meeting.arrived);
        launch_stop(s);
    }
}

static void end_thread(Simt *s)
{
    copy_leave(s, s->face.thread);
    tma_leave(s, s->face.thread);
    wgmma_leave(s, s->face.thread);
    grid_leave(s);
    thread_now(s)->state = THREAD_DONE;
    s->live--;
    s->block_live[s->face.rank]--;
    warp_leave(s, s->face.thread);
    check_barriers(s);
}

/* What a fibre does: the thread it was taken for, then others that begin: when the next one is new, it
 * takes the fibre that has just become idle, which is this one. */
static void run_threads(void *arg)
{
    Simt *s = arg;
    for (;;) {
        s->launch->kernel(&s->args);
        end_thread(s);
        s->here->next = s->idle;
        s->idle = s->here;
        threads_go_on(s);
    }
}

/* ---- a block ---- */

/* Where threads wait, most of them first named. */
static void report_dead(Simt *s)
{
    char text[400] = "";
    size_t n = 0;
    bool told[MAX_THREADS] = {false};
    int first = -1;
    for (int i = 0; i < s->nthread; i++) {
        const Thread *t = &s->thread[i];
        int same = 0;
        if (t->state == THREAD_DONE || told[i])
            continue;
        for (int k = i; k < s->nthread; k++)
            if (s->thread[k].state != THREAD_DONE && s->thread[k].line == t->line &&
                s->thread[k].call == t->call) {
                told[k] = true;
                same++;
            }
        if (n < sizeof(text) - 100)
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%d at %s in line %d",
                                  first < 0 ? "" : ", ", same, t->call, t->line);
        first = first < 0 ? i : first;
    }
    become(s, first);
    report(s, FAULT_DEADLOCK, AT(s->thread[first].line), "no thread can go on: %s", text);
}

static void begin_block(Simt *s)
{
    for (int r = 0; r < s->cluster; r++) {
        memset(s->memory + (size_t)r * SHARED_APART, 0xff, s->launch->shared);
        s->block_live[r] = s->block_threads;
    }
    s->live = s->nthread;
    s->nready = s->first_ready = 0;
    memset(s->barrier, 0, sizeof(s->barrier));
    s->meeting = (Barrier){0};
    memset(s->warp, 0, sizeof(s->warp));
    copy_begin_block(s);
    mbar_begin_block(s);
    tma_begin_block(s);
    wgmma_begin_block(s);
    registers_begin_block(s);
    for (int i = 0; i < s->nthread; i++) {
        s->thread[i] = (Thread){.state = THREAD_NEW};
        s->warp[i / WARP].live++;
        push_ready(s, i);
    }
}

bool block_run(Simt *s, int32_t first)
{
    s->first_block = first;
    become(s, 0);
    begin_block(s);
    if (s->launch->check) {
        view_begin_block(s);
        blocks_begin(s, first);
    }
    while (!s->stopped && s->live > 0) {
        if (s->nready) {
            threads_go_on(s);
        } else if (!tma_step(s)) {
            report_dead(s);
            s->stopped = true;
        }
    }
    if (!s->stopped)
        tma_end_block(s);
    return !s->stopped;
}

/* ---- barriers ---- */

/* Threads [first, first + count) that wait so, and the one that runs, have met. */
static void release(Simt *s, int first, int count, ThreadState state, int id)
{
    uint16_t thread[MAX_THREADS] = {(uint16_t)s->face.thread};
    uint32_t n = 1;
    for (int i = first; i < first + count; i++)
        if (s->thread[i].state == state && s->thread[i].barrier == id) {
            thread[n++] = (uint16_t)i;
            thread_wake(s, i);
        }
    if (s->launch->check)
        view_meet(s, thread, n);
}

static void check_arrival(Simt *s, int id, int wanted, int line)
{
    const Barrier *b = &s->barrier[s->face.rank][id];
    int live = s->block_live[s->face.rank];
    if (wanted < WARP || wanted % WARP || wanted > s->block_threads)
        report(s, FAULT_BARRIER, AT(line), "barrier %d for %d threads, in a block of %d", id,
               wanted, s->block_threads);
    else if (b->arrived && b->wanted != wanted)
        report(s, FAULT_BARRIER, AT(line),
               "barrier %d is for %d threads here, and for %d threads in line %d", id, wanted,
               b->wanted, b->line);
    else if (b->arrived && id == 0 && b->line != line)
        report(s, FAULT_DIVERGENT, AT(line),
               "threads of one block are at mdl_syncthreads here and in line %d", b->line);
    else if (wanted > live)
        report(s, FAULT_EXIT, AT(line), "barrier %d waits for %d threads, of which %d have ended",
               id, wanted, wanted - live);
    else
        return;
    launch_stop(s);
}

void block_barrier(MdlEngine *e, int id, int threads, int line)
{
    Simt *s = simt_of(e);
    int wanted = threads ? threads : s->block_threads;
    if (id < 0 || id >= MAX_BARRIERS) {
        report(s, FAULT_BARRIER, AT(line), "there is no barrier %d", id);
        launch_stop(s);
    }
    check_arrival(s, id, wanted, line);
    Barrier *b = &s->barrier[s->face.rank][id];
    b->wanted = wanted;
    b->line = line;
    thread_now(s)->barrier = id;
    if (++b->arrived == wanted) {
        b->arrived = 0;
        release(s, s->face.first, s->block_threads, THREAD_AT_BARRIER, id);
        thread_yield(s);
        return;
    }
    thread_wait(s, THREAD_AT_BARRIER, threads ? "mdl_barrier" : "mdl_syncthreads", line);
}

void block_cluster_sync(MdlEngine *e, int line)
{
    Simt *s = simt_of(e);
    if (s->live < s->nthread) {
        report(s, FAULT_EXIT, AT(line), "a cluster waits for %d threads that have ended",
               s->nthread - s->live);
        launch_stop(s);
    }
    s->meeting.line = line;
    thread_now(s)->barrier = 0;
    if (++s->meeting.arrived == s->nthread) {
        s->meeting.arrived = 0;
        release(s, 0, s->nthread, THREAD_AT_CLUSTER, 0);
        thread_yield(s);
        return;
    }
    thread_wait(s, THREAD_AT_CLUSTER, "mdl_cluster_sync", line);
}
