/* tinyplan.h: a plan written by hand for tests of the trainer: linear regression by gradient descent
 * with momentum. y = w . x + b over idx files x.idx [rows, d] and y.idx [rows], batches of 8. */
#ifndef MDL_TINYPLAN_H
#define MDL_TINYPLAN_H

#include "runtime.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct TinyOptions {
    const char *dir; /* holds the data; MDL_BINARY_DIR/tiny-... */
    uint32_t d;
    int64_t steps;
    double lr;
    double save_every; /* steps; 0: the default, each epoch */
    uint32_t keep;
} TinyOptions;

enum { TINY_ROWS = 37, TINY_BATCH = 8 };
enum { TS_W, TS_B, TS_GW, TS_GB, TS_MW, TS_MB, TS_SUM, TS_WEIGHT, TS_NORM, TS_COUNT };
enum { TT_X = TS_COUNT, TT_Y, TT_ESUM, TT_EWEIGHT };

typedef struct Tiny {
    PlanBuilder *b;
    uint32_t one, rows, d; /* dims */
    uint64_t state, temp;
} Tiny;

static inline uint32_t tiny_dim(Tiny *t, int64_t coef, bool symbol)
{
    PlanTerm term = {.coef = coef, .nsym = symbol};
    VEC_PUSH(t->b->arena, &t->b->terms, term);
    PlanDim dim = {t->b->terms.n - 1, 1};
    VEC_PUSH(t->b->arena, &t->b->dims, dim);
    return t->b->dims.n - 1;
}

static inline void tiny_tensor(Tiny *t, const char *path, PlanArena arena, uint32_t rank,
                               const uint32_t *dim)
{
    uint64_t elements = 1;
    for (uint32_t i = 0; i < rank; i++) {
        const PlanTerm *term = &t->b->terms.at[t->b->dims.at[dim[i]].term0];
        elements *= (uint64_t)term->coef * (term->nsym ? TINY_BATCH : 1);
    }
    uint64_t *end = arena == PA_TEMP ? &t->temp : &t->state;
    PlanTensor p = {.name = planb_text(t->b, path),
                    .path = planb_text(t->b, path),
                    .dtype = DT_F32,
                    .rank = rank,
                    .arena = arena,
                    .offset = arena == PA_INPUT ? 0 : *end,
                    .bytes = (elements * 4 + 63) / 64 * 64};
    for (uint32_t i = 0; i < rank; i++)
        p.dim[i] = dim[i];
    if (arena != PA_INPUT)
        *end += p.bytes;
    VEC_PUSH(t->b->arena, &t->b->tensors, p);
}

static inline void tiny_state(Tiny *t, const char *path, PlanStateKind kind, bool vector)
{
    tiny_tensor(t, path, PA_STATE, vector, &t->d);
    PlanState s = {.tensor = t->b->tensors.n - 1,
                   .kind = kind,
                   .key = kind == PS_PARAM ? planb_text(t->b, path) : 0,
                   .of = kind == PS_PARAM || kind == PS_LOOP ? PLAN_NONE
                         : vector                            ? TS_W
                                                             : TS_B,
                   .init = kind == PS_PARAM && vector ? PI_NORMAL : PI_ZEROS,
                   .trained = kind == PS_PARAM,
                   .init_a = 0.5};
    VEC_PUSH(t->b->arena, &t->b->states, s);
}

typedef struct TinyArgs {
    uint32_t n, at[8];
} TinyArgs;

static inline void tiny_entry(Tiny *t, const char *name, const char *body, uint32_t ninput,
                              TinyArgs args)
{
    PlanBuilder *b = t->b;
    Arena *arena = b->arena;
    const char *symbol = arena_printf(arena, "tiny_%s", name);
    const char *source = arena_printf(
        arena,
        "#include \"mdl.h\"\nvoid %s(const MdlArgs *a, int64_t task, void *scratch)\n{\n"
        "    float *const *p = (float *const *)a->buf;\n    enum { D = %u };\n%s}\n",
        symbol, (unsigned)b->terms.at[b->dims.at[t->d].term0].coef, body);
    PlanPhase phase = {.symbol = planb_text(b, symbol), .tasks = t->one};
    VEC_PUSH(arena, &b->phases, phase);
    PlanKernel k = {.name = planb_text(b, name), .variant0 = b->variants.n};
    VEC_PUSH(arena, &b->kernels, k);
    PlanVariant v = {.source = planb_text(b, source), .phase0 = b->phases.n - 1, .nphase = 1};
    VEC_PUSH(arena, &b->variants, v);
    PlanStep step = {.kernel = b->kernels.n - 1, .arg0 = b->args.n, .narg = args.n};
    VEC_PUSH(arena, &b->steps, step);
    for (uint32_t i = 0; i < args.n; i++) {
        PlanArg arg = {.kind = PG_BUF, .tensor = args.at[i]};
        VEC_PUSH(arena, &b->args, arg);
    }
    PlanEntry e = {.name = planb_text(b, name),
                   .step0 = b->steps.n - 1,
                   .nstep = 1,
                   .input0 = 0,
                   .ninput = ninput,
                   .result0 = 2,
                   .nresult = ninput ? 2 : 0};
    VEC_PUSH(arena, &b->entries, e);
}

static const char *const tiny_micro =
    "    float sum = 0, gb = 0, gw[D] = {0};\n"
    "    for (int64_t i = 0; i < a->block[0]; i++) {\n"
    "        float e = p[3][0] - p[1][i];\n"
    "        for (int j = 0; j < D; j++) e += p[2][j] * p[0][i * D + j];\n"
    "        sum += e * e; gb += 2 * e;\n"
    "        for (int j = 0; j < D; j++) gw[j] += 2 * e * p[0][i * D + j];\n"
    "    }\n"
    "    for (int j = 0; j < D; j++) p[4][j] = gw[j];\n"
    "    p[5][0] = gb; p[6][0] = sum; p[7][0] = (float)a->block[0];\n";
static const char *const tiny_update =
    "    float lr = (float)mdl_slot_f64(a, 2), norm = 0;\n"
    "    for (int j = 0; j <= D; j++) {\n"
    "        float *w = j < D ? p[0] + j : p[1], *m = j < D ? p[4] + j : p[5];\n"
    "        float g = (j < D ? p[2][j] : p[3][0]) / p[6][0];\n"
    "        norm += g * g;\n"
    "        *m = 0.9f * *m + g;\n"
    "        *w -= lr * *m;\n"
    "    }\n"
    "    p[7][0] = norm;\n";
static const char *const tiny_eval =
    "    float sum = 0;\n"
    "    for (int64_t i = 0; i < a->block[0]; i++) {\n"
    "        float e = p[3][0] - p[1][i];\n"
    "        for (int j = 0; j < D; j++) e += p[2][j] * p[0][i * D + j];\n"
    "        sum += e * e;\n"
    "    }\n"
    "    p[4][0] = sum; p[5][0] = (float)a->block[0];\n";

static inline void tiny_program(Tiny *t, uint32_t d)
{
    PlanBuilder *b = t->b;
    Arena *arena = b->arena;
    PlanSlot slots[] = {{planb_text(b, "B"), PB_SYM},
                        {planb_text(b, "step"), PB_STEP},
                        {planb_text(b, "lr"), PB_LR}};
    for (size_t i = 0; i < COUNT(slots); i++)
        VEC_PUSH(arena, &b->slots, slots[i]);
    PlanSym sym = {.name = planb_text(b, "B"), .lo = 1, .hi = TINY_BATCH, .divisor = 1};
    VEC_PUSH(arena, &b->syms, sym);
    t->one = tiny_dim(t, 1, false);
    t->rows = tiny_dim(t, 1, true);
    t->d = tiny_dim(t, d, false);
    tiny_state(t, "w", PS_PARAM, true);
    tiny_state(t, "b", PS_PARAM, false);
    tiny_state(t, "w/grad", PS_GRAD, true);
    tiny_state(t, "b/grad", PS_GRAD, false);
    tiny_state(t, "w/momentum", PS_OPT, true);
    tiny_state(t, "b/momentum", PS_OPT, false);
    tiny_state(t, "loss.sum", PS_LOOP, false);
    tiny_state(t, "loss.weight", PS_LOOP, false);
    tiny_state(t, "gnorm", PS_LOOP, false);
    tiny_tensor(t, "x", PA_INPUT, 2, (uint32_t[]){t->rows, t->d});
    tiny_tensor(t, "y", PA_INPUT, 1, &t->rows);
    tiny_tensor(t, "sum", PA_TEMP, 0, NULL);
    tiny_tensor(t, "weight", PA_TEMP, 0, NULL);
    for (uint32_t i = TT_X; i <= TT_EWEIGHT; i++) {
        PlanBinding binding = {b->tensors.at[i].name, i};
        VEC_PUSH(arena, &b->bindings, binding);
    }
    tiny_entry(t, "micro", tiny_micro, 2,
               (TinyArgs){8, {TT_X, TT_Y, TS_W, TS_B, TS_GW, TS_GB, TS_SUM, TS_WEIGHT}});
    tiny_entry(t, "update", tiny_update, 0,
               (TinyArgs){8, {TS_W, TS_B, TS_GW, TS_GB, TS_MW, TS_MB, TS_WEIGHT, TS_NORM}});
    tiny_entry(t, "eval", tiny_eval, 2,
               (TinyArgs){6, {TT_X, TT_Y, TS_W, TS_B, TT_ESUM, TT_EWEIGHT}});
}

static inline void tiny_training(PlanBuilder *b, const TinyOptions *o)
{
    Arena *arena = b->arena;
    const char *const names[] = {"x", "y"};
    for (uint32_t i = 0; i < 2; i++) {
        PlanColumn c = {.name = planb_text(b, names[i]),
                        .file = planb_text(b, arena_printf(arena, "%s.idx", names[i]))};
        VEC_PUSH(arena, &b->columns, c);
        PlanCode code = {.op = RO_COLUMN, .a = i};
        VEC_PUSH(arena, &b->codes, code);
        PlanField f = {.name = planb_text(b, names[i]),
                       .dtype = DT_F32,
                       .rank = 1 - i,
                       .dim = {i ? 0 : o->d},
                       .code0 = i,
                       .ncode = 1};
        VEC_PUSH(arena, &b->fields, f);
    }
    PlanData data = {.name = planb_text(b, "line"),
                     .dir = planb_text(b, o->dir),
                     .source = PD_IDX,
                     .ncolumn = 2,
                     .nfield = 2,
                     .shuffle = 1,
                     .limit = -1};
    VEC_PUSH(arena, &b->datas, data);
    PlanSegment warmup = {PC_LINEAR, PU_SHARE, 0.1, 0, 1, 0, 0},
                decay = {PC_COSINE, PU_REST, 0, 1, 0, 0, 0};
    VEC_PUSH(arena, &b->segments, warmup);
    VEC_PUSH(arena, &b->segments, decay);
    PlanMetric metric = {planb_text(b, "error"), 0, 1};
    VEC_PUSH(arena, &b->metrics, metric);
    PlanEval eval = {
        .name = planb_text(b, "test"), .entry = 2, .nmetric = 1, .batch = TINY_BATCH, .limit = -1};
    VEC_PUSH(arena, &b->evals, eval);
    PlanAction every = {.unit = PU_EPOCHS, .kind = PX_EVAL, .length = 1};
    VEC_PUSH(arena, &b->actions, every);
    PlanAction save = {.unit = PU_STEPS, .kind = PX_SAVE, .length = o->save_every, .keep = o->keep};
    if (o->save_every > 0)
        VEC_PUSH(arena, &b->actions, save);
    PlanRun run = {.stage = planb_text(b, "main"),
                   .model = planb_text(b, "line"),
                   .micro = 0,
                   .update = 1,
                   .nsegment = 2,
                   .naction = b->actions.n,
                   .log_length = 1,
                   .batch = TINY_BATCH,
                   .steps = o->steps,
                   .lr = o->lr,
                   .seed = 1234,
                   .loss_sum = TS_SUM,
                   .loss_weight = TS_WEIGHT,
                   .keep = o->keep,
                   .gnorm = TS_NORM,
                   .finite = PLAN_NONE,
                   .weigh = PLAN_NONE,
                   .factor = PLAN_NONE,
                   .rows = TINY_BATCH,
                   .log_to = PLAN_LOG_CONSOLE | PLAN_LOG_JSONL | PLAN_LOG_TENSORBOARD};
    VEC_PUSH(arena, &b->runs, run);
}

static inline Plan *tiny_plan(Arena *arena, const TinyOptions *o)
{
    Tiny t = {.b = planb_new(arena)};
    planb_target(t.b, PLAN_CPU, "generic");
    tiny_program(&t, o->d);
    tiny_training(t.b, o);
    PlanMeta meta = {.name = planb_text(t.b, "tiny"), .state_bytes = t.state, .temp_bytes = t.temp};
    VEC_PUSH(arena, &t.b->meta, meta);
    Bytes bytes = planb_finish(t.b);
    Err err = {0};
    Plan *plan = plan_from_bytes(bytes.data, bytes.n, &err);
    if (!plan)
        fail_msg("%s", err.text);
    return plan;
}

static inline Runtime *tiny_open(const Plan *plan)
{
    RtOptions opt = {.threads = 1, .cache_dir = MDL_BINARY_DIR "/tiny-cache", .quiet = true};
    Err err = {0};
    Runtime *rt = rt_open(plan, &opt, &err);
    if (!rt)
        fail_msg("%s (%s)", err.text, err.help);
    return rt;
}

/* x is small integers as f32, y = x . (1, -2, 3, ...) + 4, all exact. */
static inline float tiny_x(uint32_t row, uint32_t j)
{
    return (float)((row * 7 + j * 5 + row * j) % 11) / 8 - 0.5f;
}

static inline float tiny_y(uint32_t row, uint32_t d)
{
    float y = 4;
    for (uint32_t j = 0; j < d; j++)
        y += (j % 2 ? -1.0f : 1.0f) * (float)(j + 1) * tiny_x(row, j);
    return y;
}

static inline void tiny_put(StrBuf *sb, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    for (int shift = 24; shift >= 0; shift -= 8)
        sb_putc(sb, (char)(bits >> shift & 255));
}

static inline void tiny_data(Arena *arena, const TinyOptions *o)
{
    StrBuf x = sb_new(arena), y = sb_new(arena);
    sb_putn(&x, "\0\0\x0d\2\0\0\0", 7);
    sb_putc(&x, TINY_ROWS);
    sb_putn(&x, "\0\0\0", 3);
    sb_putc(&x, (char)o->d);
    sb_putn(&y, "\0\0\x0d\1\0\0\0", 7);
    sb_putc(&y, TINY_ROWS);
    for (uint32_t row = 0; row < TINY_ROWS; row++) {
        for (uint32_t j = 0; j < o->d; j++)
            tiny_put(&x, tiny_x(row, j));
        tiny_put(&y, tiny_y(row, o->d));
    }
    Err err = {0};
    assert_true(file_mkdirs(o->dir, &err));
    assert_true(file_write_atomic(path_join(arena, o->dir, "x.idx"), x.text, x.n, &err));
    assert_true(file_write_atomic(path_join(arena, o->dir, "y.idx"), y.text, y.n, &err));
}

#endif
