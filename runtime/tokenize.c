/* tokenize.c: the tokenizers of the runtime. Bytes: token k below 256 is the byte k. */
#include "tokenize.h"

enum { BYTES = 256 };

size_t tokenize(const PlanTokenizer *t, const char *text, size_t n, int32_t *out, size_t most)
{
    ASSERT(t->kind == PT_BYTES);
    for (size_t i = 0; i < n && i < most; i++)
        out[i] = (int32_t)(unsigned char)text[i];
    return n;
}

size_t token_text(const PlanTokenizer *t, int32_t token, char *out)
{
    ASSERT(t->kind == PT_BYTES);
    if (token < 0 || token >= BYTES)
        return 0;
    *out = (char)token;
    return 1;
}
