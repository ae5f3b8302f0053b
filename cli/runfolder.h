/* runfolder.h: what lies in the folder of a run besides the trainer's files (checkpoints/, run.jsonl):
 *
 *     run.json            the program: source, overrides, hash, version of mdl; its stages and their order
 *     plans/STAGE.plan    what is run; resuming runs this, not a new compilation
 *     stages/STAGE/       of a program with several stages: the trainer's files of each */
#ifndef MDL_RUNFOLDER_H
#define MDL_RUNFOLDER_H

#include "cli.h"
#include "plan.h"

typedef struct RunFolder {
    const char *dir;
    const char *plan; /* the path of its plan; NULL: of all stages of the folder */
    const char *work; /* where checkpoints of the stage are: dir, or a folder of the stage in it */
} RunFolder;

typedef struct RunStage {
    const char *name;
    Words after;   /* names of stages */
    uint64_t plan; /* hash of its plan; 0: not compiled */
} RunStage;

typedef struct RunInfo {
    uint64_t hash;
    const char *source;
    const char *version;
    Words sets;
    VEC(RunStage) stages; /* none: of a program without */
} RunInfo;

/* --run, else runs/NAME-HASH of the current folder. */
RunFolder run_folder(Cli *cli, const char *name, const char *stage, uint64_t hash);
/* The folder DIR, and where the plan of a stage lies in it. */
RunFolder run_folder_at(Cli *cli, const char *dir, const char *stage);
/* The same where the program has several stages. */
RunFolder run_folder_of_stage(Cli *cli, const char *dir, const char *stage);
/* Removes all plans of DIR. */
bool run_plans_remove(Cli *cli, const char *dir, Err *err);
/* The folder DIR of a run; its plan is --stage's, or the only one. ERR_FILE without one. Of several none is
 * chosen where `all` is true, else ERR_USAGE. */
bool run_folder_open(Cli *cli, const char *dir, bool all, RunFolder *out, Err *err);

/* *found = false and true when there is no run.json. ERR_DATA when it is damaged. */
bool run_info_read(Cli *cli, const char *dir, RunInfo *out, bool *found, Err *err);
bool run_info_write(const char *dir, const RunInfo *info, Err *err);
Plan *run_plan_load(const RunFolder *folder, Err *err);
/* Writes plans/..; makes folders as needed. */
bool run_plan_write(Cli *cli, const RunFolder *folder, Bytes plan, Err *err);

#endif
