/* cuda_graph.c: stream capture. Arguments of a kept launch are those of the time of recording, so they must
 * be addresses that stay: what changes from call to call lies in memory of the device. */
#include "cuda_graph.h"

static bool failed(CudaQueue *q, const char *call, const char *what, int result)
{
    return cuda_failed(q->api, call, what, result, &q->failed);
}

bool cuda_graph_begin(CudaGraphs *g, CudaQueue *q, uint32_t number, const char *what)
{
    if (q->each || !cuda_queue_enter(q))
        return false;
    int result = q->api->capture_begin(q->stream, CUDA_CAPTURE_OF_THREAD);
    if (result != CUDA_OK)
        return failed(q, "cuStreamBeginCapture", what, result);
    while (g->kept.n <= number)
        VEC_PUSH(g->arena, &g->kept, ((CudaKept){0}));
    g->kept.at[number].what = arena_printf(g->arena, "the launches of %s", what);
    g->recording = number + 1;
    q->keeps = true;
    q->behind_kernel = false;
    return true;
}

void cuda_graph_end(CudaGraphs *g, CudaQueue *q)
{
    CudaKept *k = &g->kept.at[g->recording - 1];
    CudaGraph graph = NULL;
    q->keeps = false;
    g->recording = 0;
    int result = q->api->capture_end(q->stream, &graph);
    if (q->failed.kind == ERR_NONE && result != CUDA_OK)
        failed(q, "cuStreamEndCapture", k->what, result);
    if (q->failed.kind == ERR_NONE) {
        result = q->api->graph_make(&k->exec, graph, 0);
        if (result != CUDA_OK)
            failed(q, "cuGraphInstantiate", k->what, result);
    }
    if (graph)
        q->api->graph_destroy(graph);
    if (q->failed.kind == ERR_NONE)
        cuda_queue_did(q, "cuGraphLaunch", k->what, q->api->graph_run(k->exec, q->stream));
}

bool cuda_graph_run(CudaGraphs *g, CudaQueue *q, uint32_t number)
{
    if (number >= g->kept.n || !g->kept.at[number].exec)
        return false;
    const CudaKept *k = &g->kept.at[number];
    if (cuda_queue_enter(q))
        cuda_queue_did(q, "cuGraphLaunch", k->what, q->api->graph_run(k->exec, q->stream));
    return true;
}

void cuda_graph_forget(CudaGraphs *g, CudaQueue *q)
{
    Err ignored = {0};
    if (!g->kept.n || !cuda_queue_wait(q, &ignored) || !cuda_queue_enter(q))
        return; /* what failed goes with the context */
    for (uint32_t i = 0; i < g->kept.n; i++) {
        if (g->kept.at[i].exec)
            q->api->graph_free(g->kept.at[i].exec);
        g->kept.at[i].exec = NULL;
    }
}
