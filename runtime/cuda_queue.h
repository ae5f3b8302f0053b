/* cuda_queue.h: the one queue of work of a GPU: what was asked for is marked, so that waiting has a limit and
 * an error has a name; and memory that copies of the host's go through. */
#ifndef MDL_CUDA_QUEUE_H
#define MDL_CUDA_QUEUE_H

#include "cuda_api.h"

enum { CUDA_MARKS = 256, CUDA_STAGES = 2 };

typedef struct CudaMark {
    CudaEvent event;
    const char *what; /* the kernel, or what is copied; lives as long as the queue */
} CudaMark;

typedef struct CudaStage {
    char *at;      /* of the host, pinned */
    uint64_t mark; /* it is free when this one is reached */
} CudaStage;

typedef struct CudaQueue {
    const CudaApi *api;
    CudaContext context;
    CudaStream stream;
    CudaMark marks[CUDA_MARKS]; /* the last ones, by number */
    uint64_t set, reached;      /* marks */
    int64_t since;              /* when the last one was reached, or work began; ns */
    int64_t limit;              /* of the time for one mark; 0: none */
    CudaEvent clock[2];         /* of cuda_queue_from and cuda_queue_passed */
    bool each;                  /* waits after each mark */
    bool keeps;                 /* launches are kept, not run: nothing is marked */
    bool chains;        /* a kernel may be launched before the end of the one before it .. */
    bool behind_kernel; /* .. which is what the stream was given last */
    CudaStage stages[CUDA_STAGES];
    uint32_t stage; /* the next one */
    Err failed;     /* nothing is done any more */
    bool lost;      /* something does not end: the driver would wait for it, too */
} CudaQueue;

/* Settings: $MDL_GPU_TIMEOUT (seconds for one launch, 60; 0: none), $MDL_GPU_SYNC=1, $MDL_GPU_CHAIN=0 (no kernel is
 * launched before the end of another). ERR_DEVICE, ERR_USAGE.
 * It is closed also after an error. */
bool cuda_queue_open(CudaQueue *q, const CudaApi *api, int device, Err *err);
void cuda_queue_close(CudaQueue *q, int device);
/* Before any call of the driver: the context belongs to this thread. False when all has failed. */
bool cuda_queue_enter(CudaQueue *q);
/* Takes note of what a call gave, and marks its work. False, and failed, when it gave an error. */
bool cuda_queue_did(CudaQueue *q, const char *call, const char *what, int result);
/* Waits for all work. False: *err. */
bool cuda_queue_wait(CudaQueue *q, Err *err);
/* Notes the time at which all work so far is done; and, when it is, how long ago the noted one is. */
bool cuda_queue_from(CudaQueue *q, Err *err);
bool cuda_queue_passed(CudaQueue *q, double *seconds, Err *err);
/* `from` may change when it returns. */
bool cuda_queue_upload(CudaQueue *q, CudaAddress to, const void *from, size_t bytes, Err *err);
/* Behind all work; `to` is filled when it returns. */
bool cuda_queue_download(CudaQueue *q, void *to, CudaAddress from, size_t bytes, Err *err);

#endif
