/* generate.c: writes a text token by token.
 *
 * The prompt is read by `prefill`, piece by piece; every further token is one call of `decode`. Both keep what
 * they need of earlier tokens in states of the plan and leave the next token in one, so a call gets nothing
 * but the number of tokens kept. When the context is full, the last half of the text is read again from
 * place 0, into emptied states, and writing goes on. The k-th token of a text is drawn with the number k,
 * whatever was read again, so a seed gives one text. */
#include "philox.h"
#include "runtime.h"
#include "tokenize.h"

typedef struct Writer {
    Runtime *rt;
    const Plan *plan;
    const PlanGenerate *g;
    const PlanTokenizer *tokenizer;
    const GenerateOptions *opt;
    int64_t *syms;
    uint32_t sym_t, sym_s; /* PLAN_NONE where the plan has no such extent */
    int32_t *kept;         /* the last tokens of the text, at most `context` */
    int64_t nkept, len;    /* len: those that the states have */
    int64_t count;         /* tokens of the text, the prompt included */
    int64_t seed;
} Writer;

static uint32_t find_sym(const Plan *p, const char *name)
{
    for (uint32_t i = 0; i < p->nsyms; i++)
        if (strcmp(plan_text(p, p->syms[i].name), name) == 0)
            return i;
    return PLAN_NONE;
}

static void set_sym(Writer *w, uint32_t sym, int64_t value)
{
    if (sym != PLAN_NONE)
        w->syms[sym] = value;
}

/* Runs an entry that reads n tokens; the next one is drawn. */
static bool run(Writer *w, uint32_t entry, const int32_t *tokens, int64_t n, Err *err)
{
    const void *inputs[] = {tokens};
    set_sym(w, w->sym_t, n);
    set_sym(w, w->sym_s, w->len + n);
    RtCall call = {.inputs = inputs,
                   .syms = w->syms,
                   .step = w->count,
                   .first = true,
                   .seed = w->seed,
                   .progress = 1,
                   .past = w->len};
    if (!rt_run(w->rt, entry, &call, err))
        return false;
    w->len += n;
    return true;
}

/* Sequences begin with zeros. */
static void empty_states(Writer *w)
{
    for (uint32_t i = 0; i < w->plan->nstates; i++)
        if (w->plan->states[i].kind == PS_KV)
            rt_clear_state(w->rt, i);
    w->len = 0;
}

/* Reads the last n tokens of the text as if it began with them. */
static bool read_tokens(Writer *w, int64_t n, Err *err)
{
    memmove(w->kept, w->kept + (w->nkept - n), (size_t)n * sizeof *w->kept);
    w->nkept = n;
    empty_states(w);
    while (w->len < n) {
        int64_t piece = n - w->len < w->g->chunk ? n - w->len : w->g->chunk;
        if (!run(w, w->g->prefill, w->kept + w->len, piece, err))
            return false;
    }
    return true;
}

static bool drawn(const Writer *w, int32_t *token, Err *err)
{
    double number;
    if (!rt_state_number(w->rt, w->g->next, &number, err))
        return false;
    *token = (int32_t)number;
    if (*token < 0 || *token >= (int64_t)w->tokenizer->vocab)
        return err_set(err, ERR_DATA, "the model wrote token %d of %u", *token,
                       w->tokenizer->vocab);
    return true;
}

/* The prompt, or what a text begins with; of a long one its end. */
static bool take_prompt(Writer *w, Arena *arena, Err *err)
{
    Tokens all = {0};
    size_t most = tokenize(w->tokenizer, w->opt->prompt, w->opt->nprompt, NULL, 0);
    if (most > INT32_MAX)
        return err_set(err, ERR_USAGE, "a prompt of %zu tokens", most);
    VEC_RESERVE(arena, &all, (uint32_t)most);
    tokenize(w->tokenizer, w->opt->prompt, w->opt->nprompt, all.at, most);
    all.n = (uint32_t)most;
    if (!all.n) {
        int32_t begin = w->tokenizer->eos != PLAN_NONE ? (int32_t)w->tokenizer->eos : '\n';
        VEC_PUSH(arena, &all, begin);
    }
    int64_t room = w->g->context - 1, n = all.n < room ? all.n : room;
    w->count = all.n;
    w->nkept = n;
    memcpy(w->kept, all.at + (all.n - n), (size_t)n * sizeof *w->kept);
    return read_tokens(w, n, err);
}

static bool emit(const Writer *w, int32_t token, Err *err)
{
    char text[TOKEN_TEXT];
    size_t n = token_text(w->tokenizer, token, text);
    return !n || w->opt->write(w->opt->user, text, n, err);
}

/* The next token, from the states as they are, or where they are full from the last half of the text. */
static bool go_on(Writer *w, Err *err)
{
    if (w->len < w->g->context)
        return run(w, w->g->decode, NULL, 1, err);
    return read_tokens(w, w->nkept, err);
}

static bool write_text(Writer *w, GenerateResult *out, Err *err)
{
    int64_t most = w->opt->max_tokens > 0 ? w->opt->max_tokens : w->g->max_tokens;
    while (out->tokens < most) {
        int32_t token;
        if (!drawn(w, &token, err))
            return false;
        out->ended = (uint32_t)token == w->tokenizer->eos;
        if (out->ended)
            return true;
        if (w->nkept == w->g->context) { /* states are full, too: the first half is not needed */
            w->nkept = w->g->context / 2;
            memmove(w->kept, w->kept + (w->g->context - w->nkept),
                    (size_t)w->nkept * sizeof *w->kept);
        }
        w->kept[w->nkept++] = token;
        w->count++;
        out->tokens++;
        if (!emit(w, token, err) || (out->tokens < most && !go_on(w, err)))
            return false;
    }
    return true;
}

bool rt_generate(Runtime *rt, uint32_t generate, const GenerateOptions *opt, GenerateResult *out,
                 Err *err)
{
    const Plan *plan = rt_plan(rt);
    ASSERT(generate < plan->ngenerates);
    const PlanGenerate *g = &plan->generates[generate];
    Arena *arena = arena_new();
    Writer w = {.rt = rt,
                .plan = plan,
                .g = g,
                .tokenizer = &plan->tokenizers[g->tokenizer],
                .opt = opt,
                .syms = NEW_ARRAY(arena, int64_t, plan->nsyms + (size_t)1),
                .sym_t = find_sym(plan, "T"),
                .sym_s = find_sym(plan, "S"),
                .kept = NEW_ARRAY(arena, int32_t, g->context)};
    uint64_t seed = opt->seed >= 0 ? (uint64_t)opt->seed : g->seed;
    w.seed = (int64_t)rng_seed(seed, plan_text(plan, g->name));
    for (uint32_t i = 0; i < plan->nsyms; i++)
        w.syms[i] = plan->syms[i].lo;
    *out = (GenerateResult){0};
    bool ok = take_prompt(&w, arena, err) && write_text(&w, out, err);
    arena_free(arena);
    return ok || err_context(err, "generate `%s`", plan_text(plan, g->name));
}
