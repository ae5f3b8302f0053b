/* textfields.c: texts of rows to tokens. A text ends with `<eos>` where its tokenizer has one, so that a
 * model learns where to stop; one that is cut has lost its end. */
#include "textfields.h"

typedef struct TextField {
    const PlanText *text;
    const PlanTokenizer *tokenizer;
    RowProg *prog;
} TextField;

struct TextFields {
    uint32_t n;
    TextField *at;
};

struct TextWork {
    uint32_t n;
    RowWork **work;
};

TextFields *textfields_new(Arena *arena, const Source *source, Err *err)
{
    const Plan *plan = source->plan;
    TextFields *f = NEW(arena, TextFields);
    f->n = source->data->ntext;
    f->at = NEW_ARRAY(arena, TextField, f->n + (size_t)1);
    for (uint32_t k = 0; k < f->n; k++) {
        const PlanText *text = &plan->texts[source->data->text0 + k];
        f->at[k] = (TextField){text, &plan->tokenizers[text->tokenizer],
                               rowprog_text_new(arena, source, text, err)};
        if (!f->at[k].prog)
            return NULL;
    }
    return f;
}

TextWork *textwork_new(Arena *arena, const TextFields *f)
{
    TextWork *w = NEW(arena, TextWork);
    w->n = f->n;
    w->work = NEW_ARRAY(arena, RowWork *, f->n + (size_t)1);
    for (uint32_t k = 0; k < f->n; k++)
        w->work[k] = rowwork_new(arena, f->at[k].prog);
    return w;
}

void textwork_free(TextWork *w)
{
    for (uint32_t k = 0; w && k < w->n; k++)
        rowwork_free(w->work[k]);
}

/* ---- reading ---- */

typedef struct Reading {
    const TextField *field;
    SampleTokens *out;
    int64_t *counts; /* or NULL: tokens are wanted */
} Reading;

static bool take_tokens(void *user, int64_t row, RowText text, Err *err)
{
    UNUSED(row);
    const Reading *x = user;
    SampleTokens *s = x->out;
    size_t most = (size_t)x->field->text->length, room = text.n < most ? text.n + 1 : most;
    if (room > INT32_MAX - (size_t)s->tokens.n)
        return err_set(err, ERR_DEVICE, "a batch of more than 2^31 tokens");
    VEC_RESERVE(s->arena, &s->tokens, s->tokens.n + (uint32_t)room);
    int32_t *at = s->tokens.at + s->tokens.n;
    size_t n = tokenize(x->field->tokenizer, text.at, text.n, at, room);
    if (n < room && x->field->tokenizer->eos != PLAN_NONE)
        at[n++] = (int32_t)x->field->tokenizer->eos;
    s->tokens.n += (uint32_t)(n < room ? n : room);
    VEC_PUSH(s->arena, &s->end, s->tokens.n);
    return true;
}

static bool take_count(void *user, int64_t row, RowText text, Err *err)
{
    UNUSED(err);
    const Reading *x = user;
    size_t n = tokenize(x->field->tokenizer, text.at, text.n, NULL, 0);
    x->counts[row] = (int64_t)n + (x->field->tokenizer->eos != PLAN_NONE);
    return true;
}

bool textfields_read(const TextFields *f, TextWork *w, const RowBlock *block, SampleTokens *out,
                     Err *err)
{
    for (uint32_t k = 0; k < f->n; k++) {
        Reading x = {&f->at[k], &out[k], NULL};
        if (!rowprog_texts(f->at[k].prog, w->work[k], block, &(RowTextTaker){take_tokens, &x}, err))
            return false;
    }
    return true;
}

bool textfields_measure(const TextFields *f, TextWork *w, const RowBlock *block, int64_t *out,
                        Err *err)
{
    for (uint32_t k = 0; k < f->n; k++) {
        Reading x = {&f->at[k], NULL, out + k * block->n};
        if (!rowprog_texts(f->at[k].prog, w->work[k], block, &(RowTextTaker){take_count, &x}, err))
            return false;
    }
    return true;
}
