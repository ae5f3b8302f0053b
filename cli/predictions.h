/* predictions.h: `mdl plan --predict`: how long the entries of a program should take on a GPU. */
#ifndef MDL_PREDICTIONS_H
#define MDL_PREDICTIONS_H

#include "program.h"

/* Makes kernels for the GPU of --predict the ones that programs are compiled for. ERR_USAGE. */
bool predict_target(Cli *cli, Err *err);
/* In a session (program.h): the stages, or that of --stage, then the `generate` blocks; of these the entry of
 * --entry alone. */
bool predict_program(Cli *cli, Compile *c, void *user, Err *err);

#endif
