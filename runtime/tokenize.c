/* tokenize.c: the tokenizers of the runtime. Bytes: token k below 256 is the byte k. */
#include "tokenize.h"

enum { BYTES = 256 };

void tokenize(Arena *arena, const PlanTokenizer *t, const char *text, size_t n, Tokens *out)
{
    ASSERT(t->kind == PT_BYTES);
    for (size_t i = 0; i < n; i++)
        VEC_PUSH(arena, out, (int32_t)(unsigned char)text[i]);
}

size_t token_text(const PlanTokenizer *t, int32_t token, char *out)
{
    ASSERT(t->kind == PT_BYTES);
    if (token < 0 || token >= BYTES)
        return 0;
    *out = (char)token;
    return 1;
}
