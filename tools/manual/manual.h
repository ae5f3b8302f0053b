/* manual.h: pages of docs/ that are made from tables: ops.md, errors.md, std.md. */
#ifndef MDL_MANUAL_H
#define MDL_MANUAL_H

#include "base.h"

/* manual_ops.c: every operation of ops.def */
void manual_ops(StrBuf *sb);
/* manual_errors.c: every diagnostic of diags.def */
void manual_errors(StrBuf *sb);
/* manual_blocks.c: every attribute of schema.def */
void manual_blocks(StrBuf *sb);
/* manual_std.c: what a program may name without an import */
void manual_std(StrBuf *sb);

/* A cell of a table: `|` would end it. */
void manual_cell(StrBuf *sb, const char *text);

#endif
