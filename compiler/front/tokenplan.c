/* tokenplan.c: text as tokens in the plan: the tokenizer, the stream that rows are cut from, and the fields
 * that every source of tokens gives. */
#include "data.h"

enum { BYTES = 256 };

const TokenField token_fields[TOKEN_FIELDS] = {
    {"tokens", DT_I32, 1, PF_TOKENS}, {"targets", DT_I32, 1, PF_TARGETS},
    {"learn", DT_BOOL, 1, PF_LEARN},  {"valid", DT_BOOL, 1, PF_VALID},
    {"pos", DT_I32, 1, PF_POS},       {"seg", DT_I32, 1, PF_SEG},
    {"last", DT_I32, 0, PF_LAST},
};

/* ---- tokenizers ---- */

/* The number of a special token; PLAN_NONE without one of that name. */
static uint32_t special_id(const Tokenizer *t, const char *name)
{
    for (uint32_t i = 0; name && i < t->nspecial; i++) {
        if (strcmp(t->special[i], name) == 0) {
            return BYTES + i;
        }
    }
    return PLAN_NONE;
}

uint32_t tokenizer_plan(Elab *e, PlanBuilder *b, const Tokenizer *t, Span span)
{
    if (strcmp(t->kind, "bytes") != 0) {
        not_yet(e, span, arena_printf(e->arena, "a tokenizer of %s", t->kind));
    }
    PlanTokenizer p = {.kind = PT_BYTES,
                       .vocab = BYTES + t->nspecial,
                       .special0 = b->specials.n,
                       .nspecial = t->nspecial,
                       .eos = special_id(t, TOKEN_EOS),
                       .pad = special_id(t, t->pad ? t->pad : TOKEN_EOS)};
    for (uint32_t i = 0; i < t->nspecial; i++) {
        PlanSpecial s = {planb_text(b, t->special[i]), BYTES + i};
        VEC_PUSH(b->arena, &b->specials, s);
    }
    VEC_PUSH(b->arena, &b->tokenizers, p);
    return b->tokenizers.n - 1;
}

int64_t tokenizer_size(const Tokenizer *t)
{
    return strcmp(t->kind, "bytes") == 0 ? BYTES + (int64_t)t->nspecial : 0;
}

/* `tokens` of a source of them, `said.tokens` of a text field. */
static bool is_tokens(const Node *input)
{
    const char *name = node_sym(input, "name"), *dot = strrchr(name, '.');
    return strcmp(dot ? dot + 1 : name, "tokens") == 0;
}

int64_t rows_read(const Program *p, const Node *n, const Node *at, const State **table)
{
    bool tokens = false;
    int64_t rows = -1;
    for (uint32_t k = 0; k < n->nin; k++) {
        uint32_t id;
        const Node *in = n->in[k];
        tokens = tokens || in == at;
        if (node_is_state(in, &id) && p->states.at[id]->kind == SK_PARAM && in->type->rank == 2 &&
            dim_is_const(in->type->dims[0], &rows)) {
            *table = p->states.at[id];
        }
    }
    return tokens && *table ? rows : -1;
}

static bool have_rows(Elab *e, const Graph *g, const Node *batch, int64_t size, Span span)
{
    for (uint32_t i = 0; i < g->nodes.n; i++) {
        const State *table = NULL;
        int64_t rows = rows_read(e->program, g->nodes.at[i], batch, &table);
        if (rows < 0 || rows >= size) {
            continue;
        }
        Diag *d = diag_at(e->diags, DIAG_E0705, span,
                          "the tokenizer has %lld tokens, the embedding `%s` has %lld rows",
                          (long long)size, table->path, (long long)rows);
        diag_also(d, g->nodes.at[i]->span, "tokens are looked up here");
        return false;
    }
    return true;
}

bool tokens_have_rows(Elab *e, const Graph *g, const Tokenizer *t, Span span)
{
    int64_t size = t ? tokenizer_size(t) : 0;
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        if (is_tokens(g->inputs.at[i]) && !have_rows(e, g, g->inputs.at[i], size, span)) {
            return false;
        }
    }
    return true;
}

/* ---- texts ---- */

/* `text`: which of the data's, or 0; the field's name is `name`. */
static void add_field(PlanBuilder *b, const TokenField *f, const char *name, int64_t length,
                      uint32_t text)
{
    PlanField p = {.name = planb_text(b, name),
                   .kind = f->kind,
                   .dtype = f->dtype,
                   .rank = f->rank,
                   .code0 = b->codes.n,
                   .text = text};
    p.dim[0] = f->rank ? (uint32_t)length : 0;
    VEC_PUSH(b->arena, &b->fields, p);
}

bool text_plan(Elab *e, PlanBuilder *b, const DataSpec *s, PlanData *d, const DataField *f)
{
    PlanText t = {.name = planb_text(b, f->ast->name),
                  .code0 = b->codes.n,
                  .tokenizer = tokenizer_plan(e, b, s->tokenizer, f->ast->span),
                  .overlong = s->overlong,
                  .length = f->length};
    if (!row_text_code(e, b, s, d, f->value)) {
        return false;
    }
    t.ncode = b->codes.n - t.code0;
    VEC_PUSH(b->arena, &b->texts, t);
    d->ntext++;
    for (uint32_t i = 0; i < TOKEN_FIELDS; i++) {
        const char *name = arena_printf(e->arena, "%s.%s", f->ast->name, token_fields[i].name);
        add_field(b, &token_fields[i], name, f->length, d->ntext);
    }
    return true;
}

/* ---- streams ---- */

static double share(Elab *e, const DataSpec *s, const char *name, double otherwise)
{
    const Val *v = record_arg(e, s->source, UINT32_MAX, name);
    return v && v->kind == V_PERCENT ? v->f : otherwise;
}

static bool shares_fit(Elab *e, const DataSpec *s, const PlanStream *p)
{
    if (p->from < p->to) {
        return true;
    }
    diag_at(e->diags, DIAG_E0802, s->source->span, "nothing of the text lies from %g%% to %g%%",
            p->from * 100, p->to * 100);
    return false;
}

static void refuse(Elab *e, const DataSpec *s)
{
    if (s->filter || s->map) {
        not_yet(e, s->span, "`filter` and `map` of one stream of tokens");
    }
    if (s->nfield) {
        not_yet(e, s->field[0].ast->span, "a field beside those of a stream of tokens");
    }
}

/* bin("f", i32): what its numbers are. */
static bool tokens_type(Elab *e, const DataSpec *s, DType *out)
{
    const Val *v = record_arg(e, s->source, 1, "dtype");
    *out = v && v->kind == V_DTYPE ? v->dtype : DT_F32;
    if (dtype_is_int(*out) && *out != DT_BOOL) {
        return true;
    }
    diag_at(e->diags, DIAG_E0802, v ? v->span : s->span, "tokens are integers: `bin(\"f\", i32)`");
    return false;
}

bool stream_plan(Elab *e, PlanBuilder *b, const DataSpec *s, PlanData *d)
{
    const Val *files = record_arg(e, s->source, 0, s->info->tokens ? "file" : "glob");
    const Val *stride = record_arg(e, s->source, UINT32_MAX, "stride");
    DType dtype = DT_U8;
    if (s->info->tokens && !tokens_type(e, s, &dtype)) {
        return false;
    }
    PlanStream p = {.files = planb_text(b, files->str),
                    .tokenizer =
                        s->info->tokens ? PLAN_NONE : tokenizer_plan(e, b, s->tokenizer, s->span),
                    .dtype = dtype,
                    .length = s->length,
                    .from = share(e, s, "from", 0),
                    .to = share(e, s, "to", 1)};
    if (stride && stride->kind != V_NONE &&
        (!val_as_int(stride, &p.stride) || p.stride < 1 || p.stride > s->length)) {
        diag_at(e->diags, DIAG_E0802, stride->span,
                "`stride` is a number of tokens from 1 to `length`, got %s", val_text(e, stride));
        return false;
    }
    refuse(e, s);
    for (uint32_t i = 0; i < TOKEN_FIELDS; i++) {
        add_field(b, &token_fields[i], token_fields[i].name, s->length, 0);
    }
    d->stream = b->streams.n;
    VEC_PUSH(b->arena, &b->streams, p);
    return shares_fit(e, s, &p);
}
