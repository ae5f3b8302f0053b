/* cuda_graph.h: launches that are kept by the driver as graphs, and run again as one: what each costs on the
 * host is then paid once. */
#ifndef MDL_CUDA_GRAPH_H
#define MDL_CUDA_GRAPH_H

#include "cuda_queue.h"

typedef struct CudaKept {
    CudaGraphExec exec; /* NULL: none */
    const char *what;
} CudaKept;

typedef struct CudaGraphs {
    Arena *arena;
    VEC(CudaKept) kept; /* by number */
    uint32_t recording; /* number + 1; 0: none */
} CudaGraphs;

/* False: the queue waits for each launch, or has failed. */
bool cuda_graph_begin(CudaGraphs *g, CudaQueue *q, uint32_t number, const char *what);
/* Keeps what came since, and runs it. */
void cuda_graph_end(CudaGraphs *g, CudaQueue *q);
/* False: there is none of this number. */
bool cuda_graph_run(CudaGraphs *g, CudaQueue *q, uint32_t number);
void cuda_graph_forget(CudaGraphs *g, CudaQueue *q);

#endif
