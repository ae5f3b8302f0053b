/* loader.c: threads that fill a ring of host batches ahead of the trainer.
 *
 *     a thread takes the next ticket, k, as soon as slot k % slots has been given back -> fills it with
 *     batch k -> FULL; the trainer takes batches by number, and gives batch k - 1 back with batch k
 *
 * There is one slot more than threads. Batches come in order and their contents depend on the spec alone, so
 * neither timing nor the number of threads can change a run. An error of batch k is reported when batch k is
 * asked for. All memory is taken in loader_new. */
#include "loader.h"
#include "clock.h"
#include "dataset.h"
#include <pthread.h>
#include <signal.h>

enum { BATCH_ALIGN = 64 };

typedef struct Slot {
    void **fields;
    int64_t n;
    bool full;
    Err err;
} Slot;

typedef struct Thread {
    struct Loader *loader;
    DataWorker *worker;
    int64_t *rows; /* of the batch being made */
    pthread_t id;
} Thread;

struct Loader {
    LoaderSpec spec;
    Arena *arena;
    void *memory;
    Slot *ring;
    uint32_t nslot;
    int64_t ticket; /* the next batch to be made */
    int64_t taken;  /* batches handed out; the last one is still in use */
    bool stop;
    Thread *threads;
    uint32_t nthread, nstarted;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

static size_t align_up(size_t n)
{
    return (n + BATCH_ALIGN - 1) / BATCH_ALIGN * BATCH_ALIGN;
}

static bool field_bytes(const PlanField *field, int64_t batch, size_t *out)
{
    size_t n = dtype_info((DType)field->dtype)->bytes;
    for (uint32_t i = 0; i < field->rank; i++)
        if (__builtin_mul_overflow(n, field->dim[i], &n))
            return false;
    if (__builtin_mul_overflow(n, (size_t)batch, &n) || n > SIZE_MAX / 4)
        return false;
    *out = align_up(n);
    return true;
}

static bool alloc_ring(Loader *l, Err *err)
{
    const PlanData *data = &l->spec.plan->datas[l->spec.data];
    size_t *bytes = NEW_ARRAY(l->arena, size_t, data->nfield);
    size_t total = BATCH_ALIGN, slots;
    for (uint32_t f = 0; f < data->nfield; f++)
        if (!field_bytes(&l->spec.plan->fields[data->field0 + f], l->spec.batch, &bytes[f]) ||
            __builtin_mul_overflow(bytes[f], (size_t)l->nslot, &slots) ||
            __builtin_add_overflow(total, slots, &total))
            return err_set(err, ERR_DEVICE, "a batch of %lld rows does not fit into memory",
                           (long long)l->spec.batch);
    l->memory = malloc(total);
    if (!l->memory)
        return err_set(err, ERR_DEVICE, "not enough memory for %u batches of %lld rows: %zu bytes",
                       l->nslot, (long long)l->spec.batch, total);
    uint8_t *at = (uint8_t *)align_up((uintptr_t)l->memory);
    l->ring = NEW_ARRAY(l->arena, Slot, l->nslot);
    for (uint32_t s = 0; s < l->nslot; s++) {
        l->ring[s].fields = NEW_ARRAY(l->arena, void *, data->nfield);
        for (uint32_t f = 0; f < data->nfield; f++) {
            l->ring[s].fields[f] = at;
            at += bytes[f];
        }
    }
    return true;
}

/* The samples of a batch; 0 behind the end. */
static int64_t batch_samples(const LoaderSpec *spec, int64_t batch)
{
    int64_t from = spec->begin + batch * spec->batch;
    int64_t left = from >= spec->end ? 0 : spec->end - from;
    return left < spec->batch ? left : spec->batch;
}

static void fill(Thread *t, Slot *slot, int64_t batch)
{
    const LoaderSpec *spec = &t->loader->spec;
    int64_t from = spec->begin + batch * spec->batch;
    int64_t n = batch_samples(spec, batch);
    for (int64_t i = 0; i < n; i++)
        t->rows[i] = data_sample(spec->ds, spec->in_order ? NULL : &spec->seed, from + i);
    slot->err = (Err){0};
    slot->n = data_batch_by(t->worker, t->rows, n, slot->fields, &slot->err);
}

/* Waits for a slot; -1 when there is nothing left to do. Called with the lock. */
static int64_t take_ticket(Loader *l)
{
    while (!l->stop && batch_samples(&l->spec, l->ticket) > 0) {
        int64_t given_back = l->taken > 0 ? l->taken - 1 : 0;
        if (l->ticket < given_back + l->nslot)
            return l->ticket++;
        pthread_cond_wait(&l->changed, &l->lock);
    }
    return -1;
}

static void *run(void *arg)
{
    Thread *t = arg;
    Loader *l = t->loader;
    pthread_mutex_lock(&l->lock);
    for (int64_t batch; (batch = take_ticket(l)) >= 0;) {
        Slot *slot = &l->ring[batch % l->nslot];
        slot->full = false;
        pthread_mutex_unlock(&l->lock);
        fill(t, slot, batch);
        pthread_mutex_lock(&l->lock);
        slot->full = true;
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* Signals are for the main thread: the loader's block them all, but for what they do themselves. */
static bool start(Loader *l, Err *err)
{
    sigset_t all, before;
    int rc = 0;
    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; rc == 0 && l->nstarted < l->nthread; l->nstarted += rc == 0) {
        Thread *t = &l->threads[l->nstarted];
        t->loader = l;
        t->rows = NEW_ARRAY(l->arena, int64_t, l->spec.batch);
        t->worker = data_worker_new(l->spec.ds);
        rc = pthread_create(&t->id, NULL, run, t);
        if (rc)
            data_worker_free(t->worker);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 || err_set(err, ERR_DEVICE, "cannot start a thread: %s", strerror(rc));
}

/* No more threads than batches. */
static uint32_t count_threads(const LoaderSpec *spec)
{
    int64_t n = (spec->end - spec->begin + spec->batch - 1) / spec->batch;
    uint32_t want = data_workers(spec->ds);
    return n < (int64_t)want ? (uint32_t)(n ? n : 1) : want;
}

Loader *loader_new(const LoaderSpec *spec, Err *err)
{
    ASSERT(spec->batch > 0 && 0 <= spec->begin && spec->begin <= spec->end);
    Arena *arena = arena_new();
    Loader *l = NEW(arena, Loader);
    *l = (Loader){.spec = *spec, .arena = arena, .nthread = count_threads(spec)};
    l->nslot = l->nthread + 1;
    l->threads = NEW_ARRAY(arena, Thread, l->nthread);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    if (alloc_ring(l, err) && start(l, err))
        return l;
    loader_free(l);
    return NULL;
}

void loader_free(Loader *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    for (uint32_t i = 0; i < l->nstarted; i++) {
        pthread_join(l->threads[i].id, NULL);
        data_worker_free(l->threads[i].worker);
    }
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->changed);
    free(l->memory);
    arena_free(l->arena);
}

bool loader_next(Loader *l, LoaderBatch *out, Err *err)
{
    if (batch_samples(&l->spec, l->taken) == 0) {
        *out = (LoaderBatch){l->ring[0].fields, 0};
        return true;
    }
    Slot *slot = &l->ring[l->taken % l->nslot];
    pthread_mutex_lock(&l->lock);
    while (l->ticket <= l->taken || !slot->full)
        pthread_cond_wait(&l->changed, &l->lock);
    pthread_mutex_unlock(&l->lock);
    if (slot->err.kind != ERR_NONE) {
        err_set(err, slot->err.kind, "%s", slot->err.text);
        return err_help(err, "%s", slot->err.help);
    }
    *out = (LoaderBatch){slot->fields, slot->n};
    pthread_mutex_lock(&l->lock);
    l->taken++; /* this gives the batch before it back */
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    return true;
}
