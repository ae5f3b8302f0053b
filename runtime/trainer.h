/* trainer.h: the state of a training run, shared by train.c (the loop) and actions.c (what happens
 * between updates). */
#ifndef MDL_TRAINER_H
#define MDL_TRAINER_H

#include "feed.h"
#include "loader.h"
#include "progress.h"
#include "runlog.h"

typedef struct Window { /* updates since the last logged step */
    double loss;        /* sum */
    int64_t n;
    double began_at;
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
    Feed feed;
    RunLog log;
    Progress progress;
    int lock;
    int64_t rows;  /* of ds */
    int64_t total; /* updates of the whole run, for the schedule */
    int64_t last;  /* the update to stop after; below total only when asked */
    double steps_per_epoch;
    CkptPosition pos;
    int64_t saved;   /* step of the newest checkpoint, -1: none */
    double retry_at; /* 0, or when to try again to save what could not be saved */
    Window window;
    RunPoint point; /* of the update that ended last */
    double began_at;
} Trainer;

/* ---- actions.c ---- */

/* Evaluations and checkpoints that are due after the update that ended last. */
bool actions_run(Trainer *t, Err *err);
/* Saves unless the newest checkpoint is of this step. */
bool actions_save(Trainer *t, Err *err);
/* How many checkpoints are kept. */
uint32_t actions_keep(const Trainer *t);

#endif
