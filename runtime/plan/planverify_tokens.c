/* planverify_tokens.c: the part of plan_verify about tokenizers and streams of tokens. */
#include "planverify.h"

enum { BYTES = 256, MAX_SPECIALS = 1 << 20, MAX_LENGTH = 1 << 24 };

/* The specials of a tokenizer are numbered from the end of its vocabulary. */
static bool verify_tokenizer(const Row *r, const PlanTokenizer *t)
{
    const Plan *p = r->plan;
    if (!row_index(r, "kind", t->kind, PT_BYTES + 1) ||
        !row_range(r, "specials", t->special0, t->nspecial, p->nspecials))
        return false;
    if (t->nspecial > MAX_SPECIALS || t->vocab != BYTES + t->nspecial)
        return row_bad(r, "a vocabulary of %u with %u special tokens", t->vocab, t->nspecial);
    for (uint32_t i = 0; i < t->nspecial; i++) {
        const PlanSpecial *s = &p->specials[t->special0 + i];
        if (!row_name(r, "special", s->text))
            return false;
        if (s->id != BYTES + i)
            return row_bad(r, "special token %u has number %u", i, s->id);
    }
    return (t->eos == PLAN_NONE || row_index(r, "eos", t->eos, t->vocab)) &&
           (t->pad == PLAN_NONE || row_index(r, "pad", t->pad, t->vocab));
}

static bool verify_stream(const Row *r, const PlanStream *s)
{
    if (!row_name(r, "files", s->files) || !row_index(r, "dtype", s->dtype, DT_COUNT) ||
        (s->tokenizer != PLAN_NONE &&
         !row_index(r, "tokenizer", s->tokenizer, r->plan->ntokenizers)))
        return false;
    bool whole = dtype_is_int((DType)s->dtype) && s->dtype != DT_BOOL;
    if (!whole || (s->tokenizer != PLAN_NONE && s->dtype != DT_U8))
        return row_bad(r, "tokens of type %s", dtype_info((DType)s->dtype)->name);
    if (s->length < 1 || s->length > MAX_LENGTH || s->stride < 0 || s->stride > MAX_LENGTH)
        return row_bad(r, "rows of %lld every %lld", (long long)s->length, (long long)s->stride);
    return (0 <= s->from && s->from < s->to && s->to <= 1) ||
           row_bad(r, "from %g to %g of the text", s->from, s->to);
}

bool verify_tokens(const Plan *p, Err *err)
{
    for (uint32_t i = 0; i < p->ntokenizers; i++)
        if (!verify_tokenizer(&(Row){p, err, "tokenizers", i}, &p->tokenizers[i]))
            return false;
    for (uint32_t i = 0; i < p->nstreams; i++)
        if (!verify_stream(&(Row){p, err, "streams", i}, &p->streams[i]))
            return false;
    return true;
}
