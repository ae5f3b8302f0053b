/* cuda_queue.c: an event is recorded behind every launch and copy, in a ring; the oldest that is not reached
 * says what the GPU is at. One that is not reached in time is taken for a kernel that hangs. Errors of a
 * kernel show in a later call: the message then names the launches that were on their way. */
#include "cuda_queue.h"
#include <time.h>

enum { CHAINS_FROM = 12030 }; /* the driver that keeps such launches in graphs */
enum { STAGE_BYTES = 4 << 20, SPIN_NS = 2000000, SLEEP_NS = 30000, LIMIT_SECONDS = 60 };

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static CudaMark *mark_at(CudaQueue *q, uint64_t number)
{
    return &q->marks[number % CUDA_MARKS];
}

/* ---- errors ---- */

static bool pass_on(const CudaQueue *q, Err *err)
{
    if (q->failed.kind == ERR_NONE)
        return true;
    err_set(err, q->failed.kind, "%s", q->failed.text);
    return q->failed.help[0] ? err_help(err, "%s", q->failed.help) : false;
}

/* An error of something that was on its way. */
static bool fail_under_way(CudaQueue *q, int result)
{
    char on[400];
    const char *first = mark_at(q, q->reached)->what, *last = mark_at(q, q->set - 1)->what;
    if (q->set - q->reached < 2)
        snprintf(on, sizeof(on), "%s", first);
    else
        snprintf(on, sizeof(on), "one of the %llu launches from %s to %s",
                 (unsigned long long)(q->set - q->reached), first, last);
    return cuda_failed(q->api, "running", on, result, &q->failed);
}

static bool fail_late(CudaQueue *q)
{
    q->lost = true;
    err_set(&q->failed, ERR_DEVICE, "%s has not ended within %lld seconds",
            mark_at(q, q->reached)->what, (long long)(q->limit / 1000000000));
    return err_help(&q->failed, "the kernel hangs, which is a fault of it, or the GPU is shared: "
                                "MDL_GPU_TIMEOUT=SECONDS waits longer, 0 for ever");
}

/* ---- waiting ---- */

/* How far the GPU is. */
static bool look(CudaQueue *q)
{
    while (q->reached < q->set) {
        int result = q->api->event_query(mark_at(q, q->reached)->event);
        if (result == CUDA_NOT_READY)
            return true;
        if (result != CUDA_OK)
            return fail_under_way(q, result);
        q->reached++;
        q->since = now_ns();
    }
    return true;
}

/* First without sleep, since a launch is short and a token is waited for; then with some. */
static bool wait_for(CudaQueue *q, uint64_t mark)
{
    const int64_t from = now_ns();
    while (q->failed.kind == ERR_NONE) {
        if (!look(q) || q->reached >= mark)
            break;
        int64_t now = now_ns();
        if (q->limit && now - q->since > q->limit)
            return fail_late(q);
        if (now - from > SPIN_NS)
            nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
    }
    return q->failed.kind == ERR_NONE;
}

bool cuda_queue_wait(CudaQueue *q, Err *err)
{
    if (q->failed.kind == ERR_NONE)
        wait_for(q, q->set);
    return pass_on(q, err);
}

bool cuda_queue_enter(CudaQueue *q)
{
    if (q->failed.kind != ERR_NONE)
        return false;
    int result = q->api->context_current(q->context);
    return result == CUDA_OK || cuda_failed(q->api, "cuCtxSetCurrent", NULL, result, &q->failed);
}

bool cuda_queue_did(CudaQueue *q, const char *call, const char *what, int result)
{
    q->behind_kernel = false;
    if (q->failed.kind != ERR_NONE)
        return false;
    if (result >= CUDA_ILLEGAL_ADDRESS && q->reached < q->set)
        return fail_under_way(q, result); /* the call only tells */
    if (result != CUDA_OK)
        return cuda_failed(q->api, call, what, result, &q->failed);
    if (q->keeps)
        return true;
    if (q->set - q->reached == CUDA_MARKS && !wait_for(q, q->reached + 1))
        return false;
    CudaMark *m = mark_at(q, q->set);
    m->what = what;
    result = q->api->event_record(m->event, q->stream);
    if (result != CUDA_OK)
        return cuda_failed(q->api, "cuEventRecord", what, result, &q->failed);
    if (q->reached == q->set)
        q->since = now_ns();
    q->set++;
    return !q->each || wait_for(q, q->set);
}

/* ---- the GPU's clock ---- */

static bool note_time(CudaQueue *q, int which, Err *err)
{
    if (cuda_queue_enter(q)) {
        int result = q->api->event_record(q->clock[which], q->stream);
        cuda_queue_did(q, "cuEventRecord", "a measurement", result);
    }
    return pass_on(q, err);
}

bool cuda_queue_from(CudaQueue *q, Err *err)
{
    return note_time(q, 0, err);
}

bool cuda_queue_passed(CudaQueue *q, double *seconds, Err *err)
{
    float ms = 0;
    if (!note_time(q, 1, err) || !cuda_queue_wait(q, err))
        return false;
    int result = q->api->event_elapsed(&ms, q->clock[0], q->clock[1]);
    if (result != CUDA_OK)
        cuda_failed(q->api, "cuEventElapsedTime", "a measurement", result, &q->failed);
    *seconds = (double)ms * 1e-3;
    return pass_on(q, err);
}

/* ---- copies ---- */

/* A stage that nothing uses any more. */
static CudaStage *next_stage(CudaQueue *q)
{
    CudaStage *s = &q->stages[q->stage];
    q->stage = (q->stage + 1) % CUDA_STAGES;
    return wait_for(q, s->mark) ? s : NULL;
}

static size_t piece(size_t bytes, size_t at)
{
    return bytes - at < STAGE_BYTES ? bytes - at : STAGE_BYTES;
}

bool cuda_queue_upload(CudaQueue *q, CudaAddress to, const void *from, size_t bytes, Err *err)
{
    bool ok = cuda_queue_enter(q);
    for (size_t at = 0; ok && at < bytes; at += STAGE_BYTES) {
        CudaStage *s = next_stage(q);
        if (!s)
            break;
        memcpy(s->at, (const char *)from + at, piece(bytes, at));
        ok = cuda_queue_did(q, "cuMemcpyHtoDAsync", "an upload",
                            q->api->upload(to + at, s->at, piece(bytes, at), q->stream));
        s->mark = q->set;
    }
    return pass_on(q, err);
}

/* A piece comes while the one before it is copied on. */
bool cuda_queue_download(CudaQueue *q, void *to, CudaAddress from, size_t bytes, Err *err)
{
    bool ok = cuda_queue_enter(q);
    char *behind = NULL; /* where the piece of the other stage goes */
    const CudaStage *other = NULL;
    for (size_t at = 0; ok && at < bytes + STAGE_BYTES; at += STAGE_BYTES) {
        CudaStage *s = NULL;
        if (at < bytes && (s = next_stage(q)) != NULL) {
            ok = cuda_queue_did(q, "cuMemcpyDtoHAsync", "a download",
                                q->api->download(s->at, from + at, piece(bytes, at), q->stream));
            s->mark = q->set;
        }
        if (other && (ok = ok && wait_for(q, other->mark)))
            memcpy(behind, other->at, piece(bytes, (size_t)(behind - (char *)to)));
        other = s;
        behind = (char *)to + at;
    }
    if (ok && !bytes)
        wait_for(q, q->set);
    return pass_on(q, err);
}

/* ---- opening ---- */

static bool read_switch(const char *name, bool otherwise, bool *out, Err *err)
{
    const char *text = getenv(name);
    *out = text && *text ? strcmp(text, "1") == 0 : otherwise;
    if (text && *text && !*out && strcmp(text, "0") != 0)
        return err_set(err, ERR_USAGE, "$%s: `%s` is neither 0 nor 1", name, text);
    return true;
}

static bool read_settings(CudaQueue *q, Err *err)
{
    const char *limit = getenv("MDL_GPU_TIMEOUT");
    char *end = NULL;
    long seconds = limit && *limit ? strtol(limit, &end, 10) : LIMIT_SECONDS;
    if (!read_switch("MDL_GPU_SYNC", false, &q->each, err) ||
        !read_switch("MDL_GPU_CHAIN", true, &q->chains, err))
        return false;
    q->chains = q->chains && !q->each && q->api->version >= CHAINS_FROM;
    if ((end && *end) || seconds < 0 || seconds > 1000000)
        return err_set(err, ERR_USAGE, "$MDL_GPU_TIMEOUT: `%s` is no number of seconds", limit);
    q->limit = (int64_t)seconds * 1000000000;
    return true;
}

static bool make_parts(CudaQueue *q, Err *err)
{
    int result = q->api->stream_create(&q->stream, CUDA_STREAM_NON_BLOCKING);
    if (result != CUDA_OK)
        return cuda_failed(q->api, "cuStreamCreate", NULL, result, err);
    for (int i = 0; i < CUDA_MARKS; i++) {
        result = q->api->event_create(&q->marks[i].event, CUDA_EVENT_NO_TIMING);
        if (result != CUDA_OK)
            return cuda_failed(q->api, "cuEventCreate", NULL, result, err);
    }
    for (size_t i = 0; i < COUNT(q->clock); i++) {
        result = q->api->event_create(&q->clock[i], 0);
        if (result != CUDA_OK)
            return cuda_failed(q->api, "cuEventCreate", NULL, result, err);
    }
    for (int i = 0; i < CUDA_STAGES; i++) {
        result = q->api->host_alloc((void **)&q->stages[i].at, STAGE_BYTES, 0);
        if (result != CUDA_OK)
            return cuda_failed(q->api, "cuMemHostAlloc", NULL, result, err);
    }
    return true;
}

bool cuda_queue_open(CudaQueue *q, const CudaApi *api, int device, Err *err)
{
    *q = (CudaQueue){.api = api};
    if (!read_settings(q, err))
        return false;
    int result = api->context_retain(&q->context, device);
    if (result != CUDA_OK)
        return cuda_failed(api, "cuDevicePrimaryCtxRetain", NULL, result, err);
    return (cuda_queue_enter(q) || pass_on(q, err)) && make_parts(q, err);
}

void cuda_queue_close(CudaQueue *q, int device)
{
    if (q->lost || !q->context)
        return;
    Err ignored = {0};
    cuda_queue_wait(q, &ignored);
    if (q->lost)
        return;
    q->api->context_current(q->context);
    for (int i = 0; i < CUDA_STAGES; i++)
        if (q->stages[i].at)
            q->api->host_free(q->stages[i].at);
    for (int i = 0; i < CUDA_MARKS; i++)
        if (q->marks[i].event)
            q->api->event_destroy(q->marks[i].event);
    for (size_t i = 0; i < COUNT(q->clock); i++)
        if (q->clock[i])
            q->api->event_destroy(q->clock[i]);
    if (q->stream)
        q->api->stream_destroy(q->stream);
    q->api->context_current(NULL);
    q->api->context_release(device);
}
