/* progress.h: how a run is doing, on stderr: one live line on a terminal, plain lines elsewhere. */
#ifndef MDL_PROGRESS_H
#define MDL_PROGRESS_H

#include "runlog.h"

typedef struct Progress {
    const char *stage;
    int64_t total;
    bool quiet, terminal;
    bool silent; /* no lines of steps: the program wants none */
    bool drawn;  /* a live line stands at the cursor */
    double drawn_at, began_at;
    int64_t began_step;
} Progress;

void progress_begin(Progress *p, const char *stage, int64_t step, int64_t total, bool quiet);
/* After every step; draws only on a terminal, and not more often than people can read. */
void progress_live(Progress *p, const RunPoint *point);
/* After every logged step; prints only where there is no terminal. */
void progress_log(Progress *p, const RunPoint *point);
/* A line that stays: results, checkpoints. */
void progress_say(Progress *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The same, but quiet runs say it too. */
void progress_warn(Progress *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
void progress_end(Progress *p);
/* While kernels are compiled: one live line on a terminal, one plain line elsewhere. */
void progress_compiling(void *user, uint32_t done, uint32_t total);
/* "main 412/1407  loss 1.083  lr 1.93e-05  gnorm 0.71  41.2k samples/s  eta 0:12" */
void progress_format(StrBuf *sb, const Progress *p, const RunPoint *point);

#endif
