/* trace.h: what happened in some steps of a run, for chrome://tracing and ui.perfetto.dev. */
#ifndef MDL_TRACE_H
#define MDL_TRACE_H

#include "runtime.h"

typedef struct Trace Trace;

Trace *trace_new(Runtime *rt);
void trace_free(Trace *t); /* NULL is fine */
/* Launches are recorded between these. */
void trace_begin(Trace *t);
void trace_end(Trace *t, int64_t step);
/* A span of the caller's, in seconds of clock_now. */
void trace_span(Trace *t, const char *name, double from, double to);
bool trace_write(const Trace *t, const char *path, Err *err);
/* Seconds and launches of every kernel since rt_open, longest first, as JSON. */
bool trace_write_kernels(Runtime *rt, const char *path, Err *err);

#endif
