/* tokenize.h: text to tokens and back. */
#ifndef MDL_TOKENIZE_H
#define MDL_TOKENIZE_H

#include "plan.h"

typedef VEC(int32_t) Tokens;

/* How many tokens a text has; the first `most` of them go to out. Special tokens do not come from texts. */
size_t tokenize(const PlanTokenizer *t, const char *text, size_t n, int32_t *out, size_t most);
/* What a token writes, at most TOKEN_TEXT bytes; special tokens write nothing. */
enum { TOKEN_TEXT = 1 };
size_t token_text(const PlanTokenizer *t, int32_t token, char *out);

#endif
