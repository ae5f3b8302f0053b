/* kernellines.h: the #line directives of kernel text, which name lines of the model. */
#ifndef MDL_KERNEL_LINES_H
#define MDL_KERNEL_LINES_H

#include "base.h"

/* A plan's text has a directive where the line of the model changes: it holds up to the next one. */

/* Without them: what is compiled as a rule, and named after. */
void kernel_without_lines(StrBuf *out, const char *text);
/* With one before every line, as C counts: for debuggers. */
void kernel_with_lines(StrBuf *out, const char *text);

#endif
