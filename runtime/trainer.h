/* trainer.h: the state of a training run, shared by train.c (the loop) and actions.c (what happens
 * between updates). */
#ifndef MDL_TRAINER_H
#define MDL_TRAINER_H

#include "best.h"
#include "factor.h"
#include "feed.h"
#include "loader.h"
#include "progress.h"
#include "runlog.h"
#include "tensorboard.h"
#include "trace.h"

typedef struct Window { /* updates since the last logged step */
    double loss;        /* sum */
    int64_t n;          /* of how many */
    int64_t steps;      /* with those left out */
    int64_t tokens;     /* of their batches */
    double began_at;
    double waited; /* seconds, for data */
} Window;

typedef struct Trainer {
    Runtime *rt;
    const Plan *plan;
    const PlanRun *run;
    const TrainOptions *opt;
    Arena *arena;
    Dataset *ds;
    Dataset **eval_data; /* by plan eval; NULL until it first runs */
    bool *eval_done;     /* by plan eval: has run after this update */
    Loader *loader;
    Feed feed, weigh_feed; /* of `micro`, of `weigh` */
    void **slice;          /* by field: where the rows of a pass begin */
    char *buffers;         /* running statistics from before the step */
    RtCall call;           /* what the entries of this step have in common */
    bool skipped;          /* the step was left out: not finite */
    int skips;             /* in a row */
    RunLog log;
    BoardFile board;
    Trace *trace; /* or NULL */
    Progress progress;
    int lock;
    int64_t rows;  /* of ds */
    int64_t total; /* updates of the whole run, for the schedule */
    int64_t last;  /* the update to stop after; below total only when asked */
    double steps_per_epoch;
    Factor *factor; /* of a schedule of the program's own, or NULL */
    CkptPosition pos;
    int64_t saved;   /* step of the newest checkpoint, -1: none */
    double retry_at; /* 0, or when to try again to save what could not be saved */
    Window window;
    EvalMetric *taps; /* of the update that ended last; by the plan's tap */
    double *tap_sum;  /* over the window */
    RunPoint point;   /* of the update that ended last */
    double before;    /* point.seconds of the one before it */
    Best best,
        found; /* by the metric of `best`: among checkpoints; of this step, until it is saved */
    double began_at;
} Trainer;

/* ---- step.c ---- */

/* What was not finite: "loss", "norm of the gradient". */
typedef struct StepFault {
    const char *what;
    double value;
} StepFault;

/* Once, behind the data. */
bool step_init(Trainer *t, Err *err);
/* One update on the batch: t->point has loss, lr and gnorm; t->skipped. ERR_DIVERGED ends the run. */
bool step_run(Trainer *t, const LoaderBatch *batch, Err *err);

/* One pass of it: again, for evidence. */
typedef struct StepPass {
    uint32_t entry;
    int64_t pass;
    const LoaderBatch *batch;
    RtCall call;
} StepPass;
bool step_pass(Trainer *t, const StepPass *x, Err *err);
/* How many passes the batch takes. */
int64_t step_passes(const Trainer *t, const LoaderBatch *batch);

/* ---- actions.c ---- */

/* Evaluations and checkpoints that are due after the update that ended last. */
bool actions_run(Trainer *t, Err *err);
/* Saves unless the newest checkpoint is of this step. */
bool actions_save(Trainer *t, Err *err);
/* Whether a multiple of `length` was passed by the update that ended last. */
bool actions_due(const Trainer *t, double length, PlanUnit unit);
/* Once, behind the states: which checkpoint was the best so far. */
bool actions_begin(Trainer *t, Err *err);
/* How many checkpoints are kept. */
uint32_t actions_keep(const Trainer *t);

#endif
