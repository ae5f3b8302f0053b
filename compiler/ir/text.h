/* text.h: what printer and parser of graphs share; private to ir. */
#ifndef MDL_IR_TEXT_H
#define MDL_IR_TEXT_H

#include "ir.h"

const char *text_state_kind(StateKind kind);
const char *text_def_kind(DefKind kind); /* "composite" */
/* Characters of names that are written without quotes. */
bool text_is_name_char(char c);

#endif
