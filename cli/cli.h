/* cli.h: the parsed command line, and what all commands share. Results go to stdout, all else to
 * stderr; the exit code is the kind of the error (base.h). */
#ifndef MDL_CLI_H
#define MDL_CLI_H

#include "base.h"
#include "diag.h"

typedef enum OptionId {
#define OPTION(id, ...) OPT_##id,
#include "options.def"
#undef OPTION
    OPT_COUNT
} OptionId;

typedef struct OptionInfo {
    const char *name;
    const char *argument; /* NULL: a switch */
    const char *commands;
    const char *help;
} OptionInfo;

typedef struct Cli Cli;

typedef struct Command {
    const char *name;
    bool (*run)(Cli *cli, Err *err);
    const char *words;
    int after_file; /* words that may follow FILE; -1: there is no FILE */
    const char *summary, *help;
} Command;

typedef VEC(const char *) Words;

struct Cli {
    Arena *arena;
    const Command *command; /* NULL: none was given */
    Words words;            /* what is not an option; cli_file takes the first */
    Words sets, skips, denied, args;
    const char *value[OPT_COUNT];           /* "" for switches, NULL when absent */
    int64_t threads, max_steps, max_tokens; /* 0 when absent */
    int64_t seed;                           /* -1 when absent */
    int mode;                               /* of --mode, in its order */
    struct TargetOptions *targets;          /* targets.h */
    bool color, quiet;
    DiagFormat format;
    bool live;  /* stderr is a terminal: progress may draw */
    bool drawn; /* a line of progress stands at the cursor */
};

/* ---- args.c ---- */

/* Fills a zeroed *cli. ERR_USAGE. */
bool cli_parse(Cli *cli, int argc, const char *const *argv, Err *err);
const Command *command_at(uint32_t i); /* NULL at the end */
const Command *command_find(const char *name);
const OptionInfo *option_at(uint32_t i); /* NULL at the end */
bool option_belongs(const OptionInfo *option, const char *command);
bool cli_has(const Cli *cli, OptionId id);
/* The value of an option as a whole number in lo..hi; *out stays when it is absent. */
typedef struct IntRange {
    int64_t lo, hi;
} IntRange;
bool cli_int(const Cli *cli, OptionId id, IntRange range, int64_t *out, Err *err);
/* One of `words` (separated by '|'): its number in *out, which stays when the option is absent. */
bool cli_choice(const Cli *cli, OptionId id, const char *words, int *out, Err *err);
/* The value of an option that the command cannot do without; NULL after ERR_USAGE. */
const char *cli_need(const Cli *cli, OptionId id, Err *err);
bool usage_error(Err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ---- file.c ---- */

/* Takes the FILE from the words: the first one, or the only .mdl file of the current folder. */
const char *cli_file(Cli *cli, Err *err);
bool path_is_source(const char *path); /* ends in .mdl */

/* ---- report.c ---- */

void report_diags(Cli *cli, const Diags *diags);
void report_err(Cli *cli, const Err *err);
/* A line that is drawn over by the next one; "" clears it. Only on a terminal. */
void report_progress(Cli *cli, const char *what);

/* ---- help.c ---- */

void help_all(void);
void help_command(const Command *command);

/* ---- docs/explain, as tools/embed.cmake makes it: "E0101.md", its text; ended by NULL ---- */

extern const char *const mdl_explain_names[];
extern const char *const mdl_explain_texts[];

#define COMMAND(name, function, ...) bool function(Cli *cli, Err *err);
#include "commands.def"
#undef COMMAND

#endif
