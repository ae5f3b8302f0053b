/* planverify_tokens.c: the part of plan_verify about tokenizers and streams of tokens, and generates. */
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

/* ---- generates ---- */

/* One row of tokens, as many as `chunk` at most. */
static bool takes_tokens(const Plan *p, const PlanEntry *e, int64_t chunk)
{
    uint64_t most;
    if (e->ninput != 1)
        return false;
    const PlanTensor *t = &p->tensors[p->bindings[e->input0].tensor];
    return t->dtype == DT_I32 && t->rank == 2 && tensor_most(p, t, &most) &&
           most == (uint64_t)chunk;
}

static bool verify_generate(const Row *r, const PlanGenerate *g)
{
    const Plan *p = r->plan;
    if (!row_name(r, "name", g->name) || !row_index(r, "prefill", g->prefill, p->nentries) ||
        !row_index(r, "decode", g->decode, p->nentries) ||
        !row_index(r, "next token", g->next, p->nstates) ||
        !row_index(r, "tokenizer", g->tokenizer, p->ntokenizers))
        return false;
    if (g->context < 2 || g->context > MAX_LENGTH || g->chunk < 1 || g->chunk > g->context ||
        g->max_tokens < 0 || g->seed > INT64_MAX)
        return row_bad(r, "context %lld, %lld tokens at once, at most %lld", (long long)g->context,
                       (long long)g->chunk, (long long)g->max_tokens);
    uint64_t most;
    const PlanTensor *next = &p->tensors[p->states[g->next].tensor];
    if (p->states[g->next].kind != PS_LOOP || next->dtype != DT_I32 ||
        !tensor_most(p, next, &most) || most != 1)
        return row_bad(r, "the next token is not a whole number that runs");
    if (!takes_tokens(p, &p->entries[g->prefill], g->chunk) || p->entries[g->decode].ninput != 0)
        return row_bad(r, "its entries take other inputs");
    return true;
}

bool verify_generates(const Plan *p, Err *err)
{
    for (uint32_t i = 0; i < p->ngenerates; i++)
        if (!verify_generate(&(Row){p, err, "generates", i}, &p->generates[i]))
            return false;
    return true;
}
