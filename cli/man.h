/* man.h: manual pages from the tables. */
#ifndef MDL_MAN_H
#define MDL_MAN_H

#include "cli.h"

typedef struct ExitCode {
    int code;
    const char *text; /* NULL at the end */
} ExitCode;
extern const ExitCode exit_codes[];

/* In troff. */
const char *man_all(Arena *arena);
const char *man_command(Arena *arena, const Command *command);
/* mdl.1 and mdl-NAME.1 of all commands. */
bool man_write(Arena *arena, const char *folder, Err *err);

#endif
