/* runlog.h: run.jsonl, one JSON object per line for each logged step and event of a run. */
#ifndef MDL_RUNLOG_H
#define MDL_RUNLOG_H

#include "runtime.h"

typedef struct RunLog {
    int fd;
    bool torn;   /* the last line is incomplete */
    bool failed; /* and it was said */
} RunLog;

/* What is logged of a step; a NaN is written as null. */
typedef struct RunPoint {
    int64_t step;
    double epoch, loss, lr, gnorm, samples_per_s, seconds;
    double tokens_per_s;    /* 0: the rows are no tokens */
    double wait;            /* share of the time that went into waiting for data */
    double memory;          /* MB that the process has held at most */
    const EvalMetric *taps; /* what the program shows to the log */
    uint32_t ntap;
} RunPoint;

/* Opens run_dir/run.jsonl. What a killed process logged behind `step` is dropped: those steps will be
 * logged again. step > 0 adds a resume event, 0 starts the log anew. */
bool runlog_open(RunLog *log, const char *run_dir, int64_t step, Err *err);
void runlog_close(RunLog *log);

/* A disk that is full costs lines of the log, with one warning, and not the run. */
void runlog_step(RunLog *log, const RunPoint *point);

typedef struct RunEval {
    int64_t step, rows;
    const char *name;
    const EvalMetric *metrics;
    uint32_t nmetric;
    double seconds;
} RunEval;
void runlog_eval(RunLog *log, const RunEval *eval);
typedef struct RunSample {
    int64_t step;
    const char *name, *prompt, *text;
    size_t ntext;
} RunSample;
void runlog_sample(RunLog *log, const RunSample *sample);
/* "save", "interrupt", "diverged", "end". */
void runlog_event(RunLog *log, const char *event, int64_t step);

#endif
