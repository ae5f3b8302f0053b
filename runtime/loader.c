/* loader.c: one thread that fills a ring of two host batches ahead of the trainer.
 *
 *     slot k % 2 is EMPTY -> the thread fills it with batch k -> FULL -> the trainer takes it;
 *     taking batch k gives the slot of batch k - 1 back
 *
 * Batches come in order and their contents depend on the spec alone, so timing cannot change a
 * run. An error of batch k is reported when batch k is asked for. */
#include "loader.h"
#include "clock.h"
#include <pthread.h>
#include <signal.h>

enum { RING = 2, BATCH_ALIGN = 64 };

typedef struct Slot {
    void **fields;
    int64_t n;
    bool full;
    Err err;
} Slot;

struct Loader {
    LoaderSpec spec;
    Arena *arena;
    int64_t *rows; /* of the batch being made */
    void *memory;
    Slot ring[RING];
    int64_t taken; /* batches handed out; the last one is still in use */
    bool stop;
    bool has_thread;
    pthread_t thread;
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
    size_t total = BATCH_ALIGN;
    for (uint32_t f = 0; f < data->nfield; f++)
        if (!field_bytes(&l->spec.plan->fields[data->field0 + f], l->spec.batch, &bytes[f]) ||
            __builtin_add_overflow(total, bytes[f] * RING, &total))
            return err_set(err, ERR_DEVICE, "a batch of %lld rows does not fit into memory",
                           (long long)l->spec.batch);
    l->memory = malloc(total);
    if (!l->memory)
        return err_set(err, ERR_DEVICE, "not enough memory for two batches of %lld rows: %zu bytes",
                       (long long)l->spec.batch, total);
    uint8_t *at = (uint8_t *)align_up((uintptr_t)l->memory);
    for (int s = 0; s < RING; s++) {
        l->ring[s].fields = NEW_ARRAY(l->arena, void *, data->nfield);
        for (uint32_t f = 0; f < data->nfield; f++) {
            l->ring[s].fields[f] = at;
            at += bytes[f];
        }
    }
    return true;
}

static void fill(Loader *l, Slot *slot, int64_t batch)
{
    const LoaderSpec *spec = &l->spec;
    int64_t from = spec->begin + batch * spec->batch, n = data_rows(spec->ds);
    slot->n = from >= spec->end ? 0 : spec->end - from;
    if (slot->n > spec->batch)
        slot->n = spec->batch;
    for (int64_t i = 0; i < slot->n; i++) {
        int64_t p = from + i;
        l->rows[i] = spec->in_order ? p % n : data_order(spec->ds, spec->seed, p / n, p % n);
    }
    slot->err = (Err){0};
    if (slot->n)
        data_batch(spec->ds, l->rows, slot->n, slot->fields, &slot->err);
}

static void *run(void *arg)
{
    Loader *l = arg;
    bool more = true;
    for (int64_t batch = 0; more; batch++) {
        Slot *slot = &l->ring[batch % RING];
        pthread_mutex_lock(&l->lock);
        while (slot->full && !l->stop)
            pthread_cond_wait(&l->changed, &l->lock);
        bool stop = l->stop;
        pthread_mutex_unlock(&l->lock);
        if (stop)
            break;
        fill(l, slot, batch);
        more = slot->n > 0 && slot->err.kind == ERR_NONE;
        pthread_mutex_lock(&l->lock);
        slot->full = true;
        pthread_cond_broadcast(&l->changed);
        pthread_mutex_unlock(&l->lock);
    }
    return NULL;
}

/* Signals are for the main thread: the loader's blocks them all. */
static bool start(Loader *l, Err *err)
{
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&l->thread, NULL, run, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    l->has_thread = rc == 0;
    return rc == 0 || err_set(err, ERR_DEVICE, "cannot start a thread: %s", strerror(rc));
}

Loader *loader_new(const LoaderSpec *spec, Err *err)
{
    ASSERT(spec->batch > 0 && 0 <= spec->begin && spec->begin <= spec->end);
    Arena *arena = arena_new();
    Loader *l = NEW(arena, Loader);
    *l = (Loader){.spec = *spec, .arena = arena};
    bool ok = alloc_ring(l, err);
    if (ok)
        l->rows = NEW_ARRAY(arena, int64_t, spec->batch);
    if (ok && start(l, err))
        return l;
    loader_free(l);
    return NULL;
}

void loader_free(Loader *l)
{
    if (!l)
        return;
    if (l->has_thread) {
        pthread_mutex_lock(&l->lock);
        l->stop = true;
        pthread_cond_broadcast(&l->changed);
        pthread_mutex_unlock(&l->lock);
        pthread_join(l->thread, NULL);
        pthread_mutex_destroy(&l->lock);
        pthread_cond_destroy(&l->changed);
    }
    free(l->memory);
    arena_free(l->arena);
}

bool loader_next(Loader *l, LoaderBatch *out, Err *err)
{
    Slot *slot = &l->ring[l->taken % RING];
    pthread_mutex_lock(&l->lock);
    if (l->taken > 0)
        l->ring[(l->taken - 1) % RING].full = false;
    pthread_cond_broadcast(&l->changed);
    while (!slot->full)
        pthread_cond_wait(&l->changed, &l->lock);
    pthread_mutex_unlock(&l->lock);
    if (slot->err.kind != ERR_NONE) {
        err_set(err, slot->err.kind, "%s", slot->err.text);
        return err_help(err, "%s", slot->err.help);
    }
    *out = (LoaderBatch){slot->fields, slot->n};
    if (slot->n) /* behind the end the thread is gone, and its last slot answers again */
        l->taken++;
    return true;
}
