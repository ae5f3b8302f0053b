/* launch.c: the emulator as an object, and a launch: all blocks, or clusters of them, one after the other. */
#include "engine.h"
#include <errno.h>
#include <sys/mman.h>

enum { SHARED_MAPPED = 256 << 10 };

static bool map_shared(Simt *s, Err *err)
{
    void *p = mmap(NULL, ALL_SHARED, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return err_set(err, ERR_DEVICE, "no memory for a block: %s", strerror(errno));
    s->memory = s->face.shared = p;
    /* Guard pages behind each block's: a kernel that runs over the end stops there. */
    for (size_t at = SHARED_MAPPED; at < ALL_SHARED; at += SHARED_APART)
        mprotect(s->memory + at, SHARED_APART - SHARED_MAPPED, PROT_NONE);
    return true;
}

Simt *simt_new(Err *err)
{
    Simt *s = calloc(1, sizeof(*s));
    if (!s) {
        err_set(err, ERR_DEVICE, "no memory for the emulator");
        return NULL;
    }
    s->check.arena = arena_new();
    s->face.barrier = block_barrier;
    s->face.cluster_sync = block_cluster_sync;
    warp_install(&s->face);
    access_install(&s->face);
    turn_install(&s->face);
    copy_install(&s->face);
    matrix_install(&s->face);
    mbar_install(&s->face);
    tma_install(&s->face);
    wgmma_install(&s->face);
    registers_install(&s->face);
    grid_install(&s->face);
    if (map_shared(s, err) && fibre_stacks_map(&s->stacks, MAX_THREADS, STACK_BYTES, err))
        return s;
    simt_free(s);
    return NULL;
}

void simt_free(Simt *s)
{
    if (!s)
        return;
    mbar_begin_block(s); /* nothing is on its way any more */
    tma_begin_block(s);
    wgmma_begin_block(s);
    if (s->memory)
        munmap(s->memory, ALL_SHARED);
    fibre_stacks_unmap(&s->stacks);
    while (s->regions.n)
        simt_remove_buffer(s, s->regions.at[0].lo);
    free(s->regions.at);
    shadow_unmap(s->check.shared, ALL_SHARED);
    if (s->check.arena) {
        blocks_begin_launch(s);
        view_free(s);
    }
    arena_free(s->check.arena);
    copy_free(s);
    tma_free(s);
    wgmma_free(s);
    free(s);
}

/* ---- a launch ---- */

static bool is_launchable(Simt *s)
{
    const SimtLaunch *l = s->launch;
    if (l->threads < WARP || l->threads > MAX_THREADS || l->threads % WARP)
        report(s, FAULT_LAUNCH, AT(0), "a block of %d threads: whole warps are needed, up to %d",
               l->threads, MAX_THREADS);
    else if (s->cluster > MAX_CLUSTER || s->nthread > MAX_THREADS || l->blocks % s->cluster)
        report(s, FAULT_LAUNCH, AT(0), "%lld blocks in clusters of %d with %d threads",
               (long long)l->blocks, s->cluster, s->nthread);
    else if (l->shared > MAX_SHARED)
        report(s, FAULT_LAUNCH, AT(0), "a block with %zu bytes of shared memory: at most %d",
               l->shared, MAX_SHARED);
    else if (l->blocks < 0 || l->blocks > INT32_MAX)
        report(s, FAULT_LAUNCH, AT(0), "%lld blocks", (long long)l->blocks);
    else
        return true;
    return false;
}

static int64_t common_divisor(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static void run_blocks(Simt *s)
{
    int64_t n = s->launch->blocks / s->cluster, first = 0, step = 1;
    if (s->random && n > 1) {
        first = (int64_t)(random_next(s) % (uint64_t)n);
        step = 1 + (int64_t)(random_next(s) % (uint64_t)(n - 1));
        while (common_divisor(step, n) != 1)
            step = step % (n - 1) + 1;
    }
    for (int64_t i = 0, at = first; i < n && block_run(s, (int32_t)(at * s->cluster)); i++)
        at = (at + step) % n;
}

/* Times of marks have 32 bits; long before they run out, all are forgotten. */
static void begin_checks(Simt *s)
{
    Checker *k = &s->check;
    if (k->launch > UINT32_MAX / 2) {
        for (uint32_t i = 0; i < s->regions.n; i++) {
            shadow_unmap(s->regions.at[i].words, s->regions.at[i].bytes);
            s->regions.at[i].words = NULL;
        }
        shadow_unmap(k->shared, ALL_SHARED);
        k->shared = NULL;
        memset(k->own, 0, sizeof(k->own));
    }
    blocks_begin_launch(s);
    place_begin_launch(s);
    k->launch = view_latest(s) + 1;
}

bool simt_launch(Simt *s, const SimtLaunch *launch)
{
    s->launch = launch;
    s->args = *launch->args;
    s->cluster = launch->cluster > 1 ? launch->cluster : 1;
    s->block_threads = launch->threads;
    s->nthread = launch->threads * s->cluster;
    s->random = launch->seed ? launch->seed * UINT64_C(0x9e3779b97f4a7c15) | 1 : 0;
    s->stopped = false;
    s->nreport = s->nfound = 0;
    s->argument = 0;
    s->face.thread = s->face.block = s->face.first = s->face.rank = 0;
    s->face.blocks = (int32_t)launch->blocks;
    s->here = &s->main;
    s->main.bytes = 0; /* the caller's stack, which ASan tells */
    if (is_launchable(s)) {
        if (launch->check)
            begin_checks(s);
        launch->enter(&s->face);
        run_blocks(s);
    }
    if (s->stopped) { /* what still waits is given up */
        s->nfibre = 0;
        s->idle = NULL;
    }
    report_finish(s);
    s->launch = NULL;
    return s->nreport == 0;
}
