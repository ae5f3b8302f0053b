/* datasamples.c: single samples as a model gets them: texts with what is learned of them, numbers as a few
 * of each field. */
#include "datastats.h"
#include "tokenize.h"

enum { SHOWN = 8 };

/* The tokenizer of a field of tokens, or NULL: numbers of a file. */
static const PlanTokenizer *tokenizer_of(const DataView *v, const PlanField *f)
{
    const Plan *p = v->plan;
    const PlanData *d = &p->datas[v->data];
    while (d->npart)
        d = &p->datas[p->parts[d->part0].data];
    uint32_t t =
        f->text ? p->texts[d->text0 + f->text - 1].tokenizer : p->streams[d->stream].tokenizer;
    return t == PLAN_NONE ? NULL : &p->tokenizers[t];
}

static void put_token(const DataView *v, const PlanTokenizer *t, int32_t token, StrBuf *sb)
{
    char text[TOKEN_TEXT];
    size_t n = t ? token_text(t, token, text) : 0;
    if (n == 1 && *text == '\n') {
        sb_puts(sb, "\\n");
    } else if (n == 1 && (unsigned char)*text < 0x20) {
        sb_printf(sb, "\\x%02x", (unsigned char)*text);
    } else if (n) {
        sb_putn(sb, text, n);
    } else if (t && token >= (int32_t)(t->vocab - t->nspecial) && token < (int32_t)t->vocab) {
        uint32_t k = (uint32_t)token - (t->vocab - t->nspecial);
        sb_puts(sb, plan_text(v->plan, v->plan->specials[t->special0 + k].text));
    } else {
        sb_printf(sb, "%s%d", sb->n ? " " : "", token);
    }
}

/* Token i is learned where the one before it has it as its target. */
static void put_tokens(const DataView *v, uint32_t f, void *const *out)
{
    const PlanField *field = dataview_field(v, f);
    const PlanTokenizer *t = tokenizer_of(v, field);
    const int32_t *tokens = out[f], *targets = out[f + 1];
    const uint8_t *valid = out[f + 3];
    int64_t n = 0, learned = 0, length = field->dim[0];
    bool color = v->cli->color, bright = false;
    StrBuf sb = sb_new(v->cli->arena);
    for (; n < length && valid[n]; n++) {
        bool teaches = n > 0 && targets[n - 1] >= 0;
        if (color && teaches != bright)
            sb_puts(&sb, teaches ? "\033[1;32m" : "\033[0m");
        bright = teaches;
        put_token(v, t, tokens[n], &sb);
    }
    for (int64_t i = 0; i < n; i++)
        learned += targets[i] >= 0;
    sb_puts(&sb, color && bright ? "\033[0m" : "");
    printf("  %-12s %lld tokens, %lld learned: %s\n", plan_text(v->plan, field->name), (long long)n,
           (long long)learned, sb_text(&sb));
}

static void put_numbers(const DataView *v, uint32_t f, const void *data)
{
    const PlanField *field = dataview_field(v, f);
    size_t n = dataview_elements(field);
    printf("  %-12s", plan_text(v->plan, field->name));
    for (size_t i = 0; i < n && i < SHOWN; i++)
        printf(" %g", dtype_load((DType)field->dtype, data, i));
    if (n > SHOWN)
        printf(" .. (%zu in all)", n);
    puts("");
}

static bool put_sample(const DataView *v, int64_t p, void *const *out, Err *err)
{
    int64_t row = data_sample(v->ds, v->seed, p);
    if (!data_batch(v->ds, &row, 1, out, err))
        return false;
    printf("sample %lld, row %lld\n", (long long)p, (long long)row);
    for (uint32_t f = 0; f < v->plan->datas[v->data].nfield; f++) {
        if (dataview_field(v, f)->kind == PF_CODE)
            put_numbers(v, f, out[f]);
        else if (dataview_field(v, f)->kind == PF_TOKENS)
            put_tokens(v, f, out);
    }
    return true;
}

bool datasamples_print(const DataView *v, int64_t n, Err *err)
{
    uint32_t nfield = v->plan->datas[v->data].nfield;
    void **out = NEW_ARRAY(v->cli->arena, void *, nfield + (size_t)1);
    for (uint32_t f = 0; f < nfield; f++)
        out[f] =
            arena_alloc(v->cli->arena, dataview_elements(dataview_field(v, f)) *
                                           dtype_info((DType)dataview_field(v, f)->dtype)->bytes);
    for (int64_t p = 0; p < n && p < data_rows(v->ds); p++)
        if (!put_sample(v, p, out, err))
            return false;
    return true;
}
