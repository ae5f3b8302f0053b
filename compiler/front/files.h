/* files.h: sources and settings of a program: private to front. */
#ifndef MDL_FILES_H
#define MDL_FILES_H

#include "elab.h"

/* Loads a file and what it imports; NULL after an error (Err for the world, diagnostics for text). */
File *file_load(Front *f, const char *path, Err *err);
bool std_load(Front *f);
/* Formals of one name (E0202), a vjp in the wrong place (E0107): wellformed.c. */
void check_wellformed(Front *f, const Ast *item);
/* Applies one `--set PATH=EXPR` to the syntax trees (set.c): E0811, E0102. */
bool setting_apply(Front *f, const char *text);

#endif
