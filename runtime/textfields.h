/* textfields.h: the text fields of a data block. The texts of samples become tokens (textfields.c), and
 * samples of tokens become rows of a batch, one each or several in a row (tokenrows.c). */
#ifndef MDL_TEXTFIELDS_H
#define MDL_TEXTFIELDS_H

#include "rowprog.h"
#include "tokenize.h"

/* The tokens of samples, one sample behind the other. */
typedef struct SampleTokens {
    Arena *arena;
    Tokens tokens;
    VEC(uint32_t) end; /* of each sample: behind its last token */
} SampleTokens;

/* ---- textfields.c ---- */

typedef struct TextFields TextFields; /* does not change once it is made */
typedef struct TextWork TextWork;     /* what one thread needs */

/* The texts of the source's data. ERR_DATA: the code of one does not fit the columns. */
TextFields *textfields_new(Arena *arena, const Source *source, Err *err);
TextWork *textwork_new(Arena *arena, const TextFields *f);
void textwork_free(TextWork *w); /* NULL is fine */
/* Appends the samples of the block to out[k] for text k, each cut to the length of its rows. */
bool textfields_read(const TextFields *f, TextWork *w, const RowBlock *block, SampleTokens *out,
                     Err *err);
/* The tokens of each sample before it is cut: out[k * block->n + r] of text k. */
bool textfields_measure(const TextFields *f, TextWork *w, const RowBlock *block, int64_t *out,
                        Err *err);

/* ---- tokenrows.c ---- */

/* Where the samples of a batch lie in its rows. */
typedef struct TokenRows {
    Arena *arena;
    int64_t length, rows;
    int64_t nsample, nrow; /* room */
    struct TokenPlace {
        int64_t row, at;
        int32_t seg; /* samples before it in the row */
    } * sample;
    struct TokenFill {
        int64_t used;
        int32_t segs;
    } * row;
    int64_t *tree;
} TokenRows;

/* Each sample in the first row with room for all of it, in their order (first fit). A sample without
 * tokens takes no place; there is one row at least. */
void tokenrows_pack(TokenRows *t, const SampleTokens *s, int64_t length);
/* Each sample in a row of its own. */
void tokenrows_spread(TokenRows *t, const SampleTokens *s, int64_t length);
/* A field of all rows. `pad`: the token where there is none, or PLAN_NONE: 0. */
void tokenrows_fill(const TokenRows *t, const SampleTokens *s, PlanFieldKind kind, uint32_t pad,
                    void *out);

#endif
