/* sampleplan.h: a small plan written by hand that has a row in every section: four kernels (rows
 * with scratch, a reduction in two phases, a table, the body of a loop), three entries, data, an eval and a
 * run. */
#ifndef MDL_SAMPLEPLAN_H
#define MDL_SAMPLEPLAN_H

#include "plan.h"

/* Extents and indices that tests need. */
enum {
    SAMPLE_MAX_ROWS = 64, /* B in 1..64 */
    SAMPLE_COLUMNS = 8,
    SAMPLE_CHUNKS = 16, /* tasks of the reduction's first phase */
    /* dims */
    SD_B = 0,
    SD_COLUMNS,
    SD_CHUNKS,
    SD_ONE,
    SD_ROWS_TWO, /* tasks of the table kernel */
    /* tensors */
    ST_X = 0,
    ST_Y,
    ST_SUM,
    ST_WEIGHT,
    ST_GRAD,
    ST_WSUM,
    ST_BIAS,
    ST_WALKED,
    ST_OTHER,
    ST_ROW, /* moves */
    ST_OLD,
    ST_NEW,
    /* states */
    SS_WEIGHT = 0,
    SS_GRAD,
    SS_SUM,
    SS_WSUM,
    SS_BIAS,
    /* entries */
    SE_MICRO = 0,
    SE_UPDATE,
    SE_WALK /* the rows of x added to the weight, round by round */
};

static const char sample_scale[] = "#include \"mdl.h\"\n"
                                   "void k_scale(const MdlArgs *a, int64_t task, void *scratch)\n"
                                   "{\n"
                                   "    const float *x = (const float *)a->buf[0] + task * 8;\n"
                                   "    const float *w = a->buf[1];\n"
                                   "    float *y = (float *)a->buf[2] + task * 8;\n"
                                   "    float *t = scratch;\n"
                                   "    for (int i = 0; i < 8; i++)\n"
                                   "        t[i] = x[i] * w[i];\n"
                                   "    for (int i = 0; i < 8; i++)\n"
                                   "        y[i] = t[i] + (float)a->block[1];\n"
                                   "}\n";

static const char sample_total[] =
    "#include \"mdl.h\"\n"
    "void k_total_0(const MdlArgs *a, int64_t task, void *scratch)\n"
    "{\n"
    "    const float *y = a->buf[0];\n"
    "    float sum = 0;\n"
    "    for (int64_t i = task; i < a->block[0] * 8; i += 16)\n"
    "        sum += y[i];\n"
    "    ((float *)a->workspace)[task] = sum;\n"
    "}\n"
    "void k_total_1(const MdlArgs *a, int64_t task, void *scratch)\n"
    "{\n"
    "    const float *part = a->workspace;\n"
    "    float sum = 0;\n"
    "    for (int i = 0; i < 16; i++)\n"
    "        sum += part[i];\n"
    "    *(float *)a->buf[1] = a->block[3] ? sum : *(float *)a->buf[1] + sum;\n"
    "}\n";

static const char sample_step[] = "#include \"mdl.h\"\n"
                                  "void k_step(const MdlArgs *a, int64_t task, void *scratch)\n"
                                  "{\n"
                                  "    const MdlRow *r = &a->row[task];\n"
                                  "    float *w = r->p[0];\n"
                                  "    const float *g = r->p[1];\n"
                                  "    union { int64_t i; double f; } lr = {a->block[2]};\n"
                                  "    for (int64_t i = 0; i < r->n; i++)\n"
                                  "        w[i] -= (float)lr.f * (g ? g[i] : 1.0f);\n"
                                  "}\n";

static const char sample_row[] = "#include \"mdl.h\"\n"
                                 "void k_row(const MdlArgs *a, int64_t task, void *scratch)\n"
                                 "{\n"
                                 "    const float *x = a->buf[0], *old = a->buf[1];\n"
                                 "    float *next = a->buf[2];\n"
                                 "    for (int i = 0; i < 8; i++)\n"
                                 "        next[i] = 2 * old[i] + x[i];\n"
                                 "}\n";

static inline void sample_meta(PlanBuilder *b, const char *isa)
{
    VEC_PUSH(b->arena, &b->meta,
             ((PlanMeta){.name = planb_text(b, "sample"),
                         .source_path = planb_text(b, "sample.mdl"),
                         .compiler = planb_text(b, "0.1.0"),
                         .state_bytes = 320,
                         .temp_bytes = 2048}));
    planb_target(b, PLAN_CPU, isa);
    VEC_LAST(&b->targets).workspace_bytes = 64;
}

/* A constant, or coef * B when `sym`. */
static inline void sample_dim(PlanBuilder *b, int64_t coef, bool sym)
{
    PlanDim dim = {b->terms.n, 1};
    VEC_PUSH(b->arena, &b->terms, ((PlanTerm){.coef = coef, .nsym = sym}));
    VEC_PUSH(b->arena, &b->dims, dim);
}

static inline void sample_shapes(PlanBuilder *b)
{
    static const struct {
        const char *name;
        PlanSlotKind kind;
    } slots[] = {{"B", PB_SYM}, {"step", PB_STEP}, {"lr", PB_LR}, {"first", PB_FIRST}};
    VEC_PUSH(b->arena, &b->syms, ((PlanSym){planb_text(b, "B"), 0, 1, SAMPLE_MAX_ROWS, 1}));
    for (size_t i = 0; i < COUNT(slots); i++)
        VEC_PUSH(b->arena, &b->slots, ((PlanSlot){planb_text(b, slots[i].name), slots[i].kind}));
    sample_dim(b, 1, true);
    sample_dim(b, SAMPLE_COLUMNS, false);
    sample_dim(b, SAMPLE_CHUNKS, false);
    sample_dim(b, 1, false);
    sample_dim(b, 2, false);
}

typedef struct SampleTensor {
    const char *name;
    PlanArena arena;
    uint64_t offset, bytes;
    uint32_t rank, dim[2];
} SampleTensor;

static inline void sample_tensors(PlanBuilder *b)
{
    static const SampleTensor all[] = {
        [ST_X] = {"x", PA_INPUT, 0, 2048, 2, {SD_B, SD_COLUMNS}},
        [ST_Y] = {"y", PA_TEMP, 0, 2048, 2, {SD_B, SD_COLUMNS}},
        [ST_SUM] = {"loss_sum", PA_STATE, 0, 4, 0, {0}},
        [ST_WEIGHT] = {"fc.weight", PA_STATE, 64, 32, 1, {SD_COLUMNS}},
        [ST_GRAD] = {"fc.weight'", PA_STATE, 128, 32, 1, {SD_COLUMNS}},
        [ST_WSUM] = {"loss_weight", PA_STATE, 192, 4, 0, {0}},
        [ST_BIAS] = {"fc.bias", PA_STATE, 256, 32, 1, {SD_COLUMNS}},
        [ST_WALKED] = {"walked", PA_TEMP, 0, 32, 1, {SD_COLUMNS}},
        [ST_OTHER] = {"walked", PA_TEMP, 64, 32, 1, {SD_COLUMNS}},
        [ST_ROW] = {"row", PA_MOVING, 0, 32, 1, {SD_COLUMNS}},
        [ST_OLD] = {"old", PA_MOVING, 1, 32, 1, {SD_COLUMNS}},
        [ST_NEW] = {"next", PA_MOVING, 2, 32, 1, {SD_COLUMNS}},
    };
    for (size_t i = 0; i < COUNT(all); i++) {
        PlanTensor t = {.name = planb_text(b, all[i].name),
                        .path = planb_text(b, all[i].name),
                        .dtype = DT_F32,
                        .rank = all[i].rank,
                        .arena = all[i].arena,
                        .offset = all[i].offset,
                        .bytes = all[i].bytes};
        memcpy(t.dim, all[i].dim, sizeof(all[i].dim));
        VEC_PUSH(b->arena, &b->tensors, t);
    }
    const PlanState states[] = {
        [SS_WEIGHT] = {.tensor = ST_WEIGHT,
                       .kind = PS_PARAM,
                       .key = planb_text(b, "fc.weight"),
                       .init = PI_ONES,
                       .trained = 1},
        [SS_GRAD] = {.tensor = ST_GRAD, .kind = PS_GRAD, .of = SS_WEIGHT, .init = PI_ZEROS},
        [SS_SUM] = {.tensor = ST_SUM, .kind = PS_LOOP, .init = PI_ZEROS},
        [SS_WSUM] = {.tensor = ST_WSUM, .kind = PS_LOOP, .init = PI_ZEROS},
        [SS_BIAS] = {.tensor = ST_BIAS,
                     .kind = PS_PARAM,
                     .key = planb_text(b, "fc.bias"),
                     .init = PI_UNIFORM,
                     .trained = 1,
                     .init_a = 0.5},
    };
    for (size_t i = 0; i < COUNT(states); i++)
        VEC_PUSH(b->arena, &b->states, states[i]);
}

static inline void sample_kernel(PlanBuilder *b, const char *name, const char *source, uint32_t n)
{
    VEC_PUSH(b->arena, &b->kernels,
             ((PlanKernel){.name = planb_text(b, name),
                           .cls = planb_text(b, "map"),
                           .group = planb_text(b, "group text"),
                           .variant0 = b->variants.n,
                           .flops = 512,
                           .bytes = 4096}));
    VEC_PUSH(b->arena, &b->variants,
             ((PlanVariant){.source = planb_text(b, source),
                            .phase0 = b->phases.n,
                            .nphase = n,
                            .scratch = 32,
                            .workspace = 64}));
}

static inline void sample_phase(PlanBuilder *b, const char *symbol, uint32_t tasks)
{
    VEC_PUSH(b->arena, &b->phases, ((PlanPhase){.symbol = planb_text(b, symbol), .tasks = tasks}));
}

static inline void sample_buf(PlanBuilder *b, uint32_t tensor)
{
    VEC_PUSH(b->arena, &b->args, ((PlanArg){.kind = PG_BUF, .tensor = tensor}));
}

static inline void sample_kernels(PlanBuilder *b)
{
    sample_kernel(b, "scale", sample_scale, 1);
    sample_phase(b, "k_scale", SD_B);
    sample_kernel(b, "total", sample_total, 2);
    sample_phase(b, "k_total_0", SD_CHUNKS);
    sample_phase(b, "k_total_1", SD_ONE);
    sample_kernel(b, "step", sample_step, 1);
    sample_phase(b, "k_step", SD_ROWS_TWO);
    VEC_LAST(&b->variants).grain = SAMPLE_COLUMNS;

    PlanRow rows[2] = {{.n = SAMPLE_COLUMNS}, {.n = SAMPLE_COLUMNS}};
    for (uint32_t k = 0; k < PLAN_ROW_BUFS; k++)
        rows[0].tensor[k] = rows[1].tensor[k] = PLAN_NONE;
    rows[0].tensor[0] = ST_WEIGHT;
    rows[0].tensor[1] = ST_GRAD;
    rows[1].tensor[0] = ST_BIAS;
    VEC_PUSH(b->arena, &b->rows, rows[0]);
    VEC_PUSH(b->arena, &b->rows, rows[1]);
}

static inline void sample_entries(PlanBuilder *b)
{
    sample_buf(b, ST_X);
    sample_buf(b, ST_WEIGHT);
    sample_buf(b, ST_Y);
    VEC_PUSH(b->arena, &b->steps, ((PlanStep){PT_LAUNCH, 0, 0, 3}));
    sample_buf(b, ST_Y);
    sample_buf(b, ST_SUM);
    VEC_PUSH(b->arena, &b->steps, ((PlanStep){PT_LAUNCH, 1, 3, 2}));
    VEC_PUSH(b->arena, &b->args, ((PlanArg){.kind = PG_TABLE, .row0 = 0, .nrow = 2}));
    VEC_PUSH(b->arena, &b->steps, ((PlanStep){PT_LAUNCH, 2, 5, 1}));

    static const struct {
        const char *name;
        uint32_t tensor;
    } bindings[] = {{"x", ST_X}, {"y", ST_Y}, {"loss", ST_SUM}, {"same", ST_X}};
    for (size_t i = 0; i < COUNT(bindings); i++)
        VEC_PUSH(b->arena, &b->bindings,
                 ((PlanBinding){planb_text(b, bindings[i].name), bindings[i].tensor}));
    VEC_PUSH(b->arena, &b->entries, ((PlanEntry){planb_text(b, "micro"), 0, 2, 0, 1, 1, 3, 0}));
    VEC_PUSH(b->arena, &b->entries, ((PlanEntry){planb_text(b, "update"), 2, 1, 0, 0, 0, 0, 0}));
}

/* One round for each row of x, from the last on. */
static inline void sample_loop(PlanBuilder *b)
{
    sample_kernel(b, "row", sample_row, 1);
    sample_phase(b, "k_row", SD_ONE);
    VEC_PUSH(b->arena, &b->loops, ((PlanLoop){SD_B, 1, 0, 1}));
    VEC_PUSH(b->arena, &b->carries, ((PlanCarry){ST_WEIGHT, ST_WALKED, ST_OTHER}));
    VEC_PUSH(b->arena, &b->moves, ((PlanMove){PM_SLICE, 0, ST_X}));
    VEC_PUSH(b->arena, &b->moves, ((PlanMove){PM_OLD, 0, 0}));
    VEC_PUSH(b->arena, &b->moves, ((PlanMove){PM_NEW, 0, 0}));
    uint32_t arg0 = b->args.n, step0 = b->steps.n, bind = b->bindings.n;
    sample_buf(b, ST_ROW);
    sample_buf(b, ST_OLD);
    sample_buf(b, ST_NEW);
    VEC_PUSH(b->arena, &b->steps, ((PlanStep){.kind = PT_LOOP}));
    VEC_PUSH(b->arena, &b->steps, ((PlanStep){PT_LAUNCH, 3, arg0, 3}));
    VEC_PUSH(b->arena, &b->steps, ((PlanStep){.kind = PT_END}));
    VEC_PUSH(b->arena, &b->bindings, ((PlanBinding){planb_text(b, "x"), ST_X}));
    VEC_PUSH(b->arena, &b->bindings, ((PlanBinding){planb_text(b, "walked"), ST_WALKED}));
    VEC_PUSH(b->arena, &b->entries,
             ((PlanEntry){planb_text(b, "walk"), step0, 3, bind, 1, bind + 1, 1, 0}));
}

/* Rows of 8 tokens from a text, beside the data of the run. */
static inline void sample_tokens(PlanBuilder *b)
{
    VEC_PUSH(b->arena, &b->specials, ((PlanSpecial){planb_text(b, "<eos>"), 256}));
    VEC_PUSH(b->arena, &b->specials, ((PlanSpecial){planb_text(b, "<pad>"), 257}));
    VEC_PUSH(b->arena, &b->tokenizers, ((PlanTokenizer){PT_BYTES, 258, 0, 2, 256, 257}));
    VEC_PUSH(b->arena, &b->streams,
             ((PlanStream){.files = planb_text(b, "*.txt"),
                           .dtype = DT_U8,
                           .length = 8,
                           .stride = 4,
                           .from = 0.25,
                           .to = 1}));
    PlanField f = {.name = planb_text(b, "tokens"),
                   .kind = PF_TOKENS,
                   .dtype = DT_I32,
                   .rank = 1,
                   .dim = {8},
                   .code0 = b->codes.n};
    uint32_t first = b->fields.n;
    VEC_PUSH(b->arena, &b->fields, f);
    VEC_PUSH(b->arena, &b->datas,
             ((PlanData){.name = planb_text(b, "texts"),
                         .dir = planb_text(b, "."),
                         .source = PD_TEXT,
                         .field0 = first,
                         .nfield = 1,
                         .limit = -1}));
}

/* A packed text of each row. */
static inline void sample_texts(PlanBuilder *b)
{
    PlanData d = {.name = planb_text(b, "docs"),
                  .dir = planb_text(b, "."),
                  .source = PD_JSONL,
                  .column0 = b->columns.n,
                  .ncolumn = 1,
                  .field0 = b->fields.n,
                  .nfield = 1,
                  .ntext = 1,
                  .packs = 1,
                  .limit = -1};
    PlanText text = {.name = planb_text(b, "said"), .code0 = b->codes.n, .ncode = 1, .length = 8};
    PlanField f = {.name = planb_text(b, "said.pos"),
                   .kind = PF_POS,
                   .dtype = DT_I32,
                   .rank = 1,
                   .dim = {8},
                   .text = 1};
    VEC_PUSH(b->arena, &b->columns,
             ((PlanColumn){planb_text(b, "text"), planb_text(b, "x.jsonl"), 0, 1}));
    VEC_PUSH(b->arena, &b->codes, ((PlanCode){RO_TEXT, 0, 0}));
    VEC_PUSH(b->arena, &b->texts, text);
    VEC_PUSH(b->arena, &b->fields, f);
    VEC_PUSH(b->arena, &b->datas, d);
}

static inline void sample_training(PlanBuilder *b)
{
    VEC_PUSH(b->arena, &b->columns,
             ((PlanColumn){planb_text(b, "image"), planb_text(b, "x.npz"), planb_text(b, "a"), 0}));
    static const PlanCode codes[] = {
        {RO_COLUMN, 0, 0}, {RO_NUMBER, 0, 255}, {RO_DIV, 0, 0}, {RO_NEG, 0, 0}};
    for (size_t i = 0; i < COUNT(codes); i++)
        VEC_PUSH(b->arena, &b->codes, codes[i]);
    VEC_PUSH(b->arena, &b->fields,
             ((PlanField){planb_text(b, "x"), PF_CODE, DT_F32, 1, {SAMPLE_COLUMNS}, 0, 4, 0}));
    VEC_PUSH(b->arena, &b->datas,
             ((PlanData){.name = planb_text(b, "rows"),
                         .dir = planb_text(b, "."),
                         .source = PD_NPZ,
                         .ncolumn = 1,
                         .nfield = 1,
                         .shuffle = 1,
                         .limit = -1}));
    VEC_PUSH(b->arena, &b->segments, ((PlanSegment){PC_LINEAR, PU_STEPS, 10, 0, 1, 0, 0}));
    VEC_PUSH(b->arena, &b->segments, ((PlanSegment){PC_COSINE, PU_REST, 0, 1, 0, 0, 0}));
    VEC_PUSH(b->arena, &b->metrics, ((PlanMetric){planb_text(b, "accuracy"), 1, 1}));
    VEC_PUSH(b->arena, &b->evals, ((PlanEval){planb_text(b, "test"), 0, 0, 0, 1, 0, 32, -1}));
    VEC_PUSH(b->arena, &b->actions,
             ((PlanAction){.unit = PU_EPOCHS, .kind = PX_EVAL, .length = 1}));
    VEC_PUSH(b->arena, &b->actions,
             ((PlanAction){.unit = PU_EPOCHS, .kind = PX_SAVE, .length = 1, .keep = 2}));
    VEC_PUSH(b->arena, &b->taps, ((PlanTap){planb_text(b, "shown"), SS_SUM, SS_WSUM}));
    VEC_PUSH(b->arena, &b->runs,
             ((PlanRun){.stage = planb_text(b, "main"),
                        .model = planb_text(b, "net"),
                        .micro = SE_MICRO,
                        .update = SE_UPDATE,
                        .nsegment = 2,
                        .naction = 2,
                        .log_length = 10,
                        .batch = 32,
                        .epochs = 3,
                        .lr = 1e-3,
                        .seed = 1,
                        .loss_sum = SS_SUM,
                        .loss_weight = SS_WSUM,
                        .gnorm = PLAN_NONE,
                        .finite = PLAN_NONE,
                        .weigh = PLAN_NONE,
                        .factor = PLAN_NONE,
                        .rows = 32}));
}

static inline PlanBuilder *sample_builder(Arena *arena, const char *isa)
{
    PlanBuilder *b = planb_new(arena);
    sample_meta(b, isa);
    sample_shapes(b);
    sample_tensors(b);
    sample_kernels(b);
    sample_entries(b);
    sample_loop(b);
    sample_training(b);
    sample_tokens(b);
    sample_texts(b);
    return b;
}

#endif
