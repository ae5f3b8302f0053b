/* stageweights.h: `--weights stage:NAME[@best|@STEP]`: parameters from a checkpoint of a run of the program. */
#ifndef MDL_STAGEWEIGHTS_H
#define MDL_STAGEWEIGHTS_H

#include "program.h"
#include "runfolder.h"

/* Where --weights names a stage, it names the file of its checkpoint from then on. The run is that of the program:
 * the folder that `mdl train` makes, or --run. */
bool stage_weights_of_program(Cli *cli, const Compile *c, const char *path, Err *err);
/* The same for a run that is given by its folder. */
bool stage_weights_of_run(Cli *cli, const char *dir, Err *err);

#endif
