/* tokenrows.c: samples of tokens as rows of a batch.
 *
 * First fit: a sample goes into the first row that has room for all of it. A tournament tree over the
 * free places of the rows finds that row in O(log rows). Where a sample lies follows from the lengths of
 * the batch's samples alone, so neither threads nor a resumed run can change it.
 *
 * In a row positions and next tokens begin anew with each sample, and what is left over counts as one
 * more: so `causal(pos)`, `packed(pos)` and `same(seg)` keep samples apart. */
#include "textfields.h"

static int64_t sample_begin(const SampleTokens *s, int64_t i)
{
    return i ? s->end.at[i - 1] : 0;
}

static int64_t sample_count(const SampleTokens *s, int64_t i)
{
    return s->end.at[i] - sample_begin(s, i);
}

/* ---- where samples lie ---- */

static void begin(TokenRows *t, const SampleTokens *s, int64_t length)
{
    int64_t n = s->end.n ? s->end.n : 1;
    if (n > t->nsample) {
        t->nsample = n;
        t->nrow = 1;
        while (t->nrow < n)
            t->nrow *= 2;
        t->sample = NEW_ARRAY(t->arena, struct TokenPlace, n);
        t->row = NEW_ARRAY(t->arena, struct TokenFill, t->nrow);
        t->tree = NEW_ARRAY(t->arena, int64_t, 2 * t->nrow);
    }
    t->length = length;
    t->rows = 0;
    memset(t->row, 0, sizeof *t->row * (size_t)t->nrow);
}

static void put(TokenRows *t, int64_t sample, int64_t n, int64_t row)
{
    struct TokenFill *fill = &t->row[row];
    t->sample[sample] = (struct TokenPlace){row, fill->used, fill->segs};
    fill->used += n;
    fill->segs += n > 0;
    t->rows = row < t->rows ? t->rows : row + 1;
}

/* Node i of the tree is the most room of any row below it; the children of i are 2i and 2i + 1. */
static int64_t first_with_room(const TokenRows *t, int64_t n)
{
    int64_t i = 1;
    while (i < t->nrow)
        i = t->tree[2 * i] >= n ? 2 * i : 2 * i + 1;
    return i - t->nrow;
}

static void take_room(TokenRows *t, int64_t row, int64_t n)
{
    int64_t i = t->nrow + row;
    t->tree[i] -= n;
    for (i /= 2; i > 0; i /= 2)
        t->tree[i] = t->tree[2 * i] > t->tree[2 * i + 1] ? t->tree[2 * i] : t->tree[2 * i + 1];
}

void tokenrows_pack(TokenRows *t, const SampleTokens *s, int64_t length)
{
    begin(t, s, length);
    for (int64_t i = 1; i < 2 * t->nrow; i++)
        t->tree[i] = length;
    for (int64_t i = 0; i < s->end.n; i++) {
        int64_t n = sample_count(s, i), row = n ? first_with_room(t, n) : 0;
        ASSERT(n <= length && row < t->nrow); /* there are as many rows as samples */
        put(t, i, n, row);
        take_room(t, row, n);
    }
    t->rows = t->rows ? t->rows : 1;
}

void tokenrows_spread(TokenRows *t, const SampleTokens *s, int64_t length)
{
    begin(t, s, length);
    for (int64_t i = 0; i < s->end.n; i++)
        put(t, i, sample_count(s, i), i);
}

/* ---- fields ---- */

typedef struct Filling {
    const TokenRows *t;
    PlanFieldKind kind;
    int32_t *numbers; /* or NULL */
    uint8_t *marks;
} Filling;

static void store(const Filling *f, int64_t row, int64_t i, int32_t v)
{
    int64_t at = row * f->t->length + i;
    ASSERT(f->numbers || f->marks);
    if (f->numbers)
        f->numbers[at] = v;
    else
        f->marks[at] = (uint8_t)v;
}

/* Element i of a sample's n tokens. */
static int32_t of_sample(PlanFieldKind kind, const int32_t *tokens, int64_t i, int64_t n)
{
    switch (kind) {
    case PF_TOKENS:
        return tokens[i];
    case PF_TARGETS:
        return i + 1 < n ? tokens[i + 1] : -1;
    case PF_LEARN:
        return i + 1 < n;
    case PF_VALID:
        return 1;
    case PF_POS:
        return (int32_t)i;
    case PF_SEG:
    case PF_CODE:
    case PF_LAST:
        break;
    }
    BUG("field %d is not one of each token", (int)kind);
}

static void fill_sample(const Filling *f, const SampleTokens *s, int64_t sample)
{
    const struct TokenPlace *place = &f->t->sample[sample];
    const int32_t *tokens = s->tokens.at + sample_begin(s, sample);
    int64_t n = sample_count(s, sample);
    for (int64_t i = 0; i < n; i++)
        store(f, place->row, place->at + i,
              f->kind == PF_SEG ? place->seg : of_sample(f->kind, tokens, i, n));
}

/* What is left over of a row. */
static void fill_rest(const Filling *f, int64_t row, uint32_t pad)
{
    const struct TokenFill *fill = &f->t->row[row];
    for (int64_t i = fill->used; i < f->t->length; i++) {
        int32_t v = 0;
        if (f->kind == PF_TOKENS)
            v = pad == PLAN_NONE ? 0 : (int32_t)pad;
        else if (f->kind == PF_TARGETS)
            v = -1;
        else if (f->kind == PF_POS)
            v = (int32_t)(i - fill->used);
        else if (f->kind == PF_SEG)
            v = fill->segs;
        store(f, row, i, v);
    }
}

void tokenrows_fill(const TokenRows *t, const SampleTokens *s, PlanFieldKind kind, uint32_t pad,
                    void *out)
{
    bool mark = kind == PF_LEARN || kind == PF_VALID;
    Filling f = {t, kind, mark ? NULL : out, mark ? out : NULL};
    for (int64_t row = 0; kind == PF_LAST && row < t->rows; row++)
        f.numbers[row] = t->row[row].used ? (int32_t)(t->row[row].used - 1) : 0;
    if (kind == PF_LAST)
        return;
    for (int64_t i = 0; i < s->end.n; i++)
        fill_sample(&f, s, i);
    for (int64_t row = 0; row < t->rows; row++)
        fill_rest(&f, row, pad);
}
