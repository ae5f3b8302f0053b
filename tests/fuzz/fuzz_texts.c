/* LIBS: mdl_runtime mdl_plan mdl_base */
/* fuzz_texts.c: arbitrary bytes as JSON lines and as CSV whose texts become rows of tokens, packed or not;
 * and as streams of text and of numbers. The first two bytes choose how. Of accepted data every row of
 * every field keeps the contract of tokens: next tokens are those that follow, positions count from 0 in
 * each segment, nothing is learned where nothing is. */
#define _GNU_SOURCE
#include "fuzz_file.h"

#include "runtime.h"

enum { FIELDS = 7, MOST = 48, LONGEST = 16, VOCAB = 258, EOS = 256, PAD = 257 };

static const struct {
    PlanFieldKind kind;
    DType dtype;
    uint32_t rank;
} fields[FIELDS] = {{PF_TOKENS, DT_I32, 1}, {PF_TARGETS, DT_I32, 1}, {PF_LEARN, DT_BOOL, 1},
                    {PF_VALID, DT_BOOL, 1}, {PF_POS, DT_I32, 1},     {PF_SEG, DT_I32, 1},
                    {PF_LAST, DT_I32, 0}};

typedef struct Use {
    const char *path;
    PlanSourceKind source;
    int64_t length;
    uint8_t choice; /* bits */
} Use;

static bool chosen(const Use *u, int bit)
{
    return u->choice >> bit & 1;
}

static void add_fields(PlanBuilder *b, const Use *u, uint32_t text)
{
    for (size_t i = 0; i < FIELDS; i++)
        VEC_PUSH(b->arena, &b->fields,
                 ((PlanField){.name = planb_text(b, "f"),
                              .kind = fields[i].kind,
                              .dtype = fields[i].dtype,
                              .rank = fields[i].rank,
                              .dim = {fields[i].rank ? (uint32_t)u->length : 0},
                              .text = text}));
}

static void add_text(PlanBuilder *b, const Use *u, PlanData *d)
{
    VEC_PUSH(b->arena, &b->columns,
             ((PlanColumn){planb_text(b, "t"), planb_text(b, u->path), 0, 1}));
    VEC_PUSH(b->arena, &b->codes, ((PlanCode){RO_TEXT, 0, 0}));
    VEC_PUSH(b->arena, &b->texts,
             ((PlanText){.name = planb_text(b, "t"),
                         .ncode = 1,
                         .overlong = (u->choice >> 2 & 3) % 3,
                         .length = u->length}));
    d->ncolumn = d->ntext = 1;
    d->packs = chosen(u, 1);
}

static void add_stream(PlanBuilder *b, const Use *u, PlanData *d)
{
    static const DType types[] = {DT_U8, DT_I16, DT_I32, DT_I64};
    bool text = u->source == PD_TEXT;
    VEC_PUSH(b->arena, &b->streams,
             ((PlanStream){.files = planb_text(b, u->path),
                           .tokenizer = text ? 0 : PLAN_NONE,
                           .dtype = text ? DT_U8 : types[u->choice >> 1 & 3],
                           .length = u->length,
                           .stride = (u->choice >> 3) % (u->length + 1),
                           .from = chosen(u, 6) ? 0.25 : 0,
                           .to = chosen(u, 7) ? 0.9 : 1}));
    d->stream = 0;
}

static Plan *make_plan(Arena *arena, const Use *u)
{
    PlanBuilder *b = planb_new(arena);
    bool stream = u->source == PD_TEXT || u->source == PD_BIN;
    PlanData d = {.name = planb_text(b, "d"), .source = u->source, .nfield = FIELDS, .limit = -1};
    planb_target(b, PLAN_CPU, "generic");
    VEC_PUSH(arena, &b->meta, ((PlanMeta){.name = planb_text(b, "fuzz")}));
    for (uint32_t i = EOS; i < VOCAB; i++)
        VEC_PUSH(arena, &b->specials, ((PlanSpecial){planb_text(b, "<x>"), i}));
    VEC_PUSH(arena, &b->tokenizers,
             ((PlanTokenizer){.vocab = VOCAB,
                              .nspecial = VOCAB - EOS,
                              .eos = chosen(u, 0) ? EOS : PLAN_NONE,
                              .pad = PAD}));
    if (stream)
        add_stream(b, u, &d);
    else
        add_text(b, u, &d);
    add_fields(b, u, !stream);
    VEC_PUSH(arena, &b->datas, d);
    Bytes bytes = planb_finish(b);
    Err err = {0};
    Plan *plan = plan_from_bytes(bytes.data, bytes.n, &err);
    ASSERT(plan);
    return plan;
}

typedef struct Batch {
    int32_t tokens[MOST * LONGEST], targets[MOST * LONGEST];
    uint8_t learn[MOST * LONGEST], valid[MOST * LONGEST];
    int32_t pos[MOST * LONGEST], seg[MOST * LONGEST], last[MOST];
} Batch;

static void check_row(const Batch *b, int64_t row, const Use *u)
{
    int64_t at = row * u->length;
    ASSERT(b->last[row] >= 0 && b->last[row] < u->length);
    for (int64_t i = at; i < at + u->length; i++) {
        bool first = i == at, next = i + 1 < at + u->length && b->seg[i + 1] == b->seg[i];
        ASSERT(b->tokens[i] >= 0 && (u->source == PD_BIN || b->tokens[i] < VOCAB));
        ASSERT(b->learn[i] == (b->targets[i] >= 0) && b->learn[i] <= b->valid[i]);
        ASSERT(!b->learn[i] || !next || b->targets[i] == b->tokens[i + 1]);
        ASSERT(first || b->seg[i] == b->seg[i - 1] || b->seg[i] == b->seg[i - 1] + 1);
        ASSERT(b->pos[i] == (first || b->seg[i] != b->seg[i - 1] ? 0 : b->pos[i - 1] + 1));
    }
}

static void check_rows(Dataset *ds, const Use *u)
{
    static Batch b;
    void *const out[FIELDS] = {b.tokens, b.targets, b.learn, b.valid, b.pos, b.seg, b.last};
    int64_t rows[MOST], n = data_rows(ds) < MOST ? data_rows(ds) : MOST;
    uint64_t seed = u->choice;
    Err err = {0};
    ASSERT(n > 0);
    for (int64_t i = 0; i < n; i++)
        rows[i] = data_sample(ds, &seed, i);
    int64_t made = data_batch(ds, rows, n, out, &err);
    ASSERT(made <= n && (made > 0 || (err.text[0] && err.kind == ERR_DATA)));
    for (int64_t i = 0; i < made; i++)
        check_row(&b, i, u);
}

static void read_as(const Use *u)
{
    Arena *arena = arena_new();
    Plan *plan = make_plan(arena, u);
    Err err = {0};
    Dataset *ds = data_open(plan, 0, &err);
    ASSERT(ds || (err.text[0] && err.kind != ERR_NONE));
    if (ds)
        check_rows(ds, u);
    data_close(ds);
    plan_free(plan);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const PlanSourceKind sources[] = {PD_JSONL, PD_PAIRS, PD_TEXT, PD_BIN};
    if (n < 2)
        return 0;
    FuzzFile file = fuzz_file_open(data + 2, n - 2);
    for (size_t i = 0; i < COUNT(sources); i++)
        read_as(&(Use){file.path, sources[i], 1 + data[1] % LONGEST, data[0]});
    fuzz_file_close(&file);
    return 0;
}
