/* targets.h: what plans are compiled for, by the options --target, --device, --arch and --isa. */
#ifndef MDL_TARGETS_H
#define MDL_TARGETS_H

#include "cli.h"
#include "compile.h"
#include "runtime.h"

typedef struct TargetOptions {
    VEC(CompileTarget) all; /* of --target, or what follows from the other options */
    RtDevice device;        /* of --device */
} TargetOptions;

/* Reads the options; ERR_USAGE. */
bool targets_parse(Cli *cli, Err *err);
/* The targets that a program is compiled for. ERR_DEVICE: it is to run on a device that does not work here. */
bool targets_choose(Cli *cli, CompileOptions *opt, Err *err);
/* ERR_USAGE for options that say what to compile, and for what, where nothing is compiled: path is a plan or
 * the folder of a run. */
bool options_of_plan(const Cli *cli, const char *path, Err *err);
/* The same where the plan of a run is there already, unless it is what they ask for. */
bool targets_are_those(Cli *cli, const Plan *plan, Err *err);

#endif
