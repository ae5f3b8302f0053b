/* pool.h: the threads of the CPU device. */
#ifndef MDL_POOL_H
#define MDL_POOL_H

#include "device.h"

typedef struct Pool Pool;

/* The CPUs this process may use. */
int pool_cpus(void);
/* The calling thread is worker 0, so `threads` - 1 are started. ERR_DEVICE when refused. */
Pool *pool_new(int threads, Err *err);
void pool_free(Pool *pool); /* NULL is fine */
int pool_threads(const Pool *pool);
/* At least `bytes` of 64-byte aligned scratch for each worker; not while tasks run. */
bool pool_reserve(Pool *pool, size_t bytes, Err *err);
/* fn(args, task, scratch) for every task in [0, tasks), each once, on any worker in any order;
 * returns when all are done. One caller at a time. */
void pool_run(Pool *pool, MdlKernelFn fn, const MdlArgs *args, int64_t tasks);

#endif
