/* curriculum.h: the stages of a run, one after the other. */
#ifndef MDL_CURRICULUM_H
#define MDL_CURRICULUM_H

#include "program.h"
#include "runfolder.h"

/* Fills info->stages: what the program says of their order, and the hashes of the plans that lie in dir. */
bool curriculum_stages(Cli *cli, Compile *c, const char *dir, RunInfo *info, Err *err);

/* Trains the stage whose plan the folder names, or all of it in order; goes on where it stopped. */
bool curriculum_train(Cli *cli, const RunFolder *folder, Err *err);

#endif
