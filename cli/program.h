/* program.h: what the commands that compile share: the session of a .mdl file, and its plan running
 * on a device. */
#ifndef MDL_PROGRAM_H
#define MDL_PROGRAM_H

#include "cli.h"
#include "compile.h"
#include "runtime.h"

/* Opens a session on the file with the options of the command line, runs fn in it, shows the
 * diagnostics and closes it. */
typedef bool (*ProgramFn)(Cli *cli, Compile *c, void *user, Err *err);
typedef struct ProgramUse {
    const char *path;
    ProgramFn fn;
    void *user;
} ProgramUse;
bool with_program(Cli *cli, const ProgramUse *use, Err *err);
/* The same for commands that can do nothing with a plan: ERR_USAGE unless path is a .mdl file. */
bool with_source(Cli *cli, const ProgramUse *use, Err *err);

/* The stage that --stage, or the file's only train block, names; NULL for a program without. False
 * when there are several to choose from. */
bool stage_is(const char *path, const char *word); /* path, or an end of it */
bool choose_stage(Cli *cli, const Compile *c, const char **stage, Err *err);

/* A `generate` block, or a chat where these count, by its name; NULL: the only one. */
typedef struct BlockChoice {
    const char *wanted;
    bool chats;
} BlockChoice;
bool choose_block(Cli *cli, const Compile *c, BlockChoice choice, uint32_t *block, Err *err);
/* Elaborates what --block names, or --stage. */
bool begin_program(Cli *cli, Compile *c, Err *err);

/* After compile_plan: which rows `micro = auto` has chosen, and why, where it had to choose. */
void report_micro(Cli *cli, const Compile *c);

/* A plan on its device, with the options --threads, --device. The plan outlives the runtime. */
Runtime *open_runtime(Cli *cli, const Plan *plan, Err *err);

#endif
