/* pick_gpu.c: the configuration of each kernel class on a GPU: how many threads share a row, how folds are cut
 * so that every multiprocessor has work, and which tile a product has. */
#include "attention.h"
#include "internal.h"
#include "pick.h"
#include "products.h"
#include "xent.h"

#include <math.h>
#include <string.h>

enum {
    WARP = 32,
    FULL = 4,         /* blocks of 256 threads that keep a multiprocessor busy */
    SHORT_ROW = 16,   /* elements that one thread folds as fast as a warp */
    WARP_ROW = 1024,  /* .. that a warp does */
    MOST_TEAM = 512,  /* threads of a row */
    PART = 2048,      /* elements of a part of a row */
    PART_ROWS = 32,   /* rows of a part of a column */
    FEW_ROWS = 64,    /* rows that are cut when .. */
    LONG_ROW = 16384, /* .. they have more elements than this */
    CHUNK = 8192,     /* elements of a tensor that a block works on */
    FOLDERS = 128,    /* threads of a block whose warps fold rows and columns; .. */
    FOLDS = 1024,     /* .. and bytes of its shared memory beside rows */
    LEAST_ROWS = 8,
    BLOCK = 256,       /* threads of a line that is summed up, or .. */
    MOST_BLOCK = 1024, /* .. where lines are few and longer than .. */
    LONG_LINE = 8192
};

static int64_t ceil_of(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Threads that share a row of so many elements. */
static int64_t team_of(int64_t length)
{
    if (length <= SHORT_ROW)
        return 1;
    int64_t team = WARP;
    while (length > WARP_ROW && team < MOST_TEAM && team * 16 < length)
        team *= 2;
    return team;
}

/* The fold of rows, if there are any. */
static const Node *row_fold(const Graph *body)
{
    const Node *row = pick_first_of(body, OC_REDUCE);
    for (uint32_t i = 0; i < body->nodes.n && !node_folds_last(row); i++)
        if (op_info(body->nodes.at[i]->op)->cls == OC_REDUCE)
            row = body->nodes.at[i];
    return row;
}

/* The order of a fold follows from its extents alone, whatever else its kernel does: what is computed again in
 * another group must give the same bits. So rows are cut only where they are few and very long. */
static void gpu_reduce(PassCx *cx, const Graph *body, int64_t *config)
{
    const Target *t = cx->target;
    const Node *fold = pick_first_of(body, OC_REDUCE);
    int64_t count = pick_count(cx->ir, fold->type), all = pick_count(cx->ir, fold->in[0]->type);
    int64_t length = pick_clamp(count > 0 ? all / count : 1, 1, all + 1);
    int64_t full = t->cores * FULL;
    int64_t blocks = pick_clamp(count / t->vector / 256, 1, full);
    config[0] = pick_clamp(full / blocks, 1, ceil_of(length, PART_ROWS));
    config[1] = 1;
    config[2] = config[0];
    if (!node_folds_last(fold))
        return;
    /* behind a permutation also what is last may lie as columns, and is then cut as those are */
    bool cut = count < FEW_ROWS && length > LONG_ROW;
    config[0] = cut ? pick_clamp(full / pick_clamp(count, 1, full), 1, ceil_of(length, PART)) : 1;
    config[1] = team_of(ceil_of(length, config[0]));
    config[2] = config[0] > 1 ? config[0] : config[2];
}

/* Blocks of a multiprocessor, each with two rows or more of every warp, or of all, in shared memory (gpu_row_col.c). */
static int64_t resident_folders(PassCx *cx, const Graph *body, int64_t length, int64_t walkers,
                                int64_t threads)
{
    int64_t all = pick_count(cx->ir, row_fold(body)->in[0]->type), bytes = 0;
    for (uint32_t i = 0; i < body->inputs.n; i++)
        if (pick_count(cx->ir, body->inputs.at[i]->type) == all)
            bytes += length * dtype_info(body->inputs.at[i]->type->dtype)->bytes;
    int64_t fit = (int64_t)cx->target->l1 / (2 * walkers * bytes + 2 * FOLDS);
    return pick_clamp(fit, 1, pick_clamp(4 * FOLDERS / threads, 1, 3));
}

static void gpu_row_col(PassCx *cx, const Graph *body, int64_t *config)
{
    const Node *row = row_fold(body);
    int64_t rows = pick_count(cx->ir, row->type), all = pick_count(cx->ir, row->in[0]->type);
    int64_t length = rows > 0 ? all / rows : 1, team = team_of(length);
    int64_t threads = team > WARP ? team : FOLDERS, walkers = threads / team;
    int64_t blocks = cx->target->cores * FULL * 256, least = LEAST_ROWS;
    if (team > 1) {
        blocks = cx->target->cores * resident_folders(cx, body, length, walkers, threads);
        least = 2 * walkers;
    }
    config[0] = pick_clamp(ceil_of(rows, blocks), least, rows > least ? rows : least);
    config[1] = team;
}

/* Threads that share a line of a running sum. One, where lines are short, where neighbouring threads have neighbouring
 * lines and these fill the GPU, and where pieces may not be joined (gpu_prefix.c). */
static int64_t prefix_team(PassCx *cx, const Graph *body)
{
    const Node *scan = pick_first_of(body, OC_SCAN);
    const Type *t = scan->type;
    uint32_t axis = (uint32_t)node_int(scan, "axis");
    int64_t n = dim_hi(cx->ir, t->dims[axis]), all = pick_count(cx->ir, t), inner = 1;
    for (uint32_t i = axis + 1; i < t->rank; i++)
        inner *= dim_hi(cx->ir, t->dims[i]);
    int64_t lines = n > 0 ? all / n : 0;
    if (n < WARP || (inner >= WARP && lines >= cx->target->cores * 128))
        return 1;
    if (dtype_is_float(t->dtype) && !op_info(scan->op)->pieces)
        return 1;
    if (n <= WARP_ROW)
        return WARP;
    return n <= LONG_LINE || lines >= cx->target->cores ? BLOCK : MOST_BLOCK;
}

/* ---- products ---- */

typedef struct GpuTile {
    int64_t bm, bn, bk, stages, wm, wn;
    int64_t groups; /* of four warps multiply: wgmma */
} GpuTile;

/* Best first: larger tiles read each operand fewer times. Warpgroups take lines of 64 steps of depth. */
static const GpuTile group_tiles[] = {{128, 256, 64, 4, 8, 1, 1}, {128, 128, 64, 3, 8, 1, 1},
                                      {128, 64, 64, 4, 8, 1, 1},  {64, 128, 64, 4, 4, 1, 1},
                                      {64, 64, 64, 4, 4, 1, 1},   {32, 64, 64, 4, 1, 2, 0},
                                      {16, 64, 64, 4, 1, 2, 0}};
static const GpuTile tensor_tiles[] = {{128, 128, 32, 4, 2, 4, 0}, {128, 64, 32, 4, 4, 2, 0},
                                       {64, 128, 32, 4, 2, 4, 0},  {64, 64, 32, 4, 2, 2, 0},
                                       {32, 64, 64, 4, 1, 2, 0},   {16, 64, 64, 4, 1, 2, 0}};
/* 16 x 8 sums a thread, 8 x 8 or 4 x 8; 64 columns a warp. */
static const GpuTile float_tiles[] = {{128, 128, 16, 4, 2, 2, 0}, {128, 128, 16, 3, 4, 2, 0},
                                      {128, 64, 16, 4, 4, 1, 0},  {64, 64, 16, 4, 2, 1, 0},
                                      {32, 64, 16, 4, 1, 1, 0},   {64, 64, 16, 4, 4, 1, 0},
                                      {32, 64, 16, 4, 2, 1, 0}};

/* Of the products of a set: of 16-bit operands, or of f32 that may be rounded; operands that are only read, which
 * warpgroups of an sm_90a can multiply, as they share no registers with who computes. */
typedef struct GpuProduct {
    PickExtents size;
    int64_t n;
    bool tensor, tf32, read, groups;
} GpuProduct;

/* Where warpgroups can multiply, warps that do it take longer: half the rate, and all wait for each step. */
static const double BY_WARPS = 1.5;

/* Time of the product, up to a factor: rounds of tiles on all multiprocessors, each as long as what it
 * multiplies and reads. */
static double tile_time(const GpuTile *t, const Target *target, const GpuProduct *of)
{
    const PickExtents *e = &of->size;
    double tiles = (double)ceil_of(e->m, t->bm) * (double)ceil_of(e->n, t->bn);
    double waves = tiles / target->cores;
    waves = waves < 1 ? 1 : waves;
    if (t->groups) /* one block has a multiprocessor: the last round takes as long as any */
        waves = ceil(waves);
    double area = (double)(t->bm * t->bn), edge = (double)(t->bm + t->bn);
    double warps = of->groups && !t->groups ? BY_WARPS : 1;
    return waves * warps * (double)of->n * (area + 64 * edge + 1024);
}

/* Shared memory of the ring, when no dot lends another its operand, and of the sums as rows. */
static int64_t tile_shared(const GpuTile *t, const GpuProduct *of)
{
    int64_t pad = of->tensor ? 0
                  : of->tf32 ? 16
                             : 8; /* of tiles that are turned, or read as fragments */
    int64_t ring = t->stages * of->n * (t->bm + t->bn + pad) * t->bk * (of->tensor ? 2 : 4);
    int64_t rows = of->n * t->bm * (t->bn + 8) * 4;
    return ring > rows ? ring : rows;
}

/* The tile with fewer stages where these do not fit. */
static GpuTile fit_stages(const GpuTile *t, const Target *target, const GpuProduct *of)
{
    GpuTile fit = *t;
    while (fit.stages > 2 && tile_shared(&fit, of) > (int64_t)target->l1)
        fit.stages--;
    return fit;
}

/* Sums of a thread; of one that also computes f32; of several products of f32, each of which has operands of its own
 * in registers. */
enum { MOST_SUMS = 128, MOST_COMPUTING = 64, MOST_TOGETHER = 64 };

enum { MOST_TILES = 8 };

/* The tiles that fit, best first but for their time; one at least. */
static uint32_t fitting_tiles(const Target *target, const GpuProduct *of, GpuTile *out)
{
    int64_t n = of->n;
    bool tensor = of->tensor;
    const GpuTile *from = !tensor ? float_tiles : of->groups ? group_tiles : tensor_tiles;
    size_t count = !tensor      ? COUNT(float_tiles)
                   : of->groups ? COUNT(group_tiles)
                                : COUNT(tensor_tiles);
    uint32_t found = 0;
    for (size_t i = 0; i < count; i++) {
        const GpuTile t = fit_stages(&from[i], target, of);
        int64_t one = t.bm * t.bn / (t.wm * t.wn * WARP), sums = one * n;
        bool fits = sums <= (tensor || n == 1 ? MOST_SUMS : MOST_TOGETHER) &&
                    (tensor || of->read || one <= MOST_COMPUTING) &&
                    tile_shared(&t, of) <= (int64_t)target->l1;
        if (fits || (i + 1 == count && !found))
            out[found++] = t;
    }
    ASSERT(found <= MOST_TILES);
    return found;
}

static GpuTile choose_gpu_tile(const Target *target, const GpuProduct *of)
{
    GpuTile tiles[MOST_TILES];
    uint32_t n = fitting_tiles(target, of, tiles), best = 0;
    double least = 0;
    for (uint32_t i = 0; i < n; i++) {
        double time = tile_time(&tiles[i], target, of);
        if (i && time >= least)
            continue;
        best = i;
        least = time;
    }
    return tiles[best];
}

static bool on_tensor_cores(const Node *dot)
{
    DType a = products_operand(dot->in[0]), b = products_operand(dot->in[1]);
    return a == b && dtype_is_half(a);
}

/* All sets of a launch have blocks of the same threads, so they share one tile: that of the largest. */
static GpuProduct gpu_product(PassCx *cx, const Graph *body)
{
    Products p;
    if (!products_find(body, cx->arena, &p))
        BUG("pick: the products of '%s' do not fit together", body->name ? body->name : "?");
    uint32_t together[PRODUCTS_MOST] = {0}, most = 1;
    PickExtents e = {0};
    bool tensor = true, tf32 = true, read = true;
    for (uint32_t d = 0; d < p.n; d++) {
        PickExtents one = pick_extents(cx->ir, p.dot[d]);
        e.m = one.m > e.m ? one.m : e.m;
        e.n = one.n > e.n ? one.n : e.n;
        together[p.set[d]]++;
        tensor = tensor && on_tensor_cores(p.dot[d]);
        tf32 = tf32 && node_int(p.dot[d], "tf32") != 0;
        read = read && products_read(p.dot[d]->in[0]) && products_read(p.dot[d]->in[1]);
    }
    for (uint32_t s = 0; s < p.nset; s++) /* of a sum one is kept */
        if (together[s] > most && !products_total(body, &p, s))
            most = together[s];
    bool groups = tensor && read && strcmp(cx->target->isa, "sm_90a") == 0;
    return (GpuProduct){e, most, tensor, tf32, read, groups};
}

static void put_tile(const GpuTile *t, int64_t *config)
{
    const int64_t ints[] = {t->bm, t->bn, t->bk, t->stages, t->wm, t->wn, t->groups};
    memcpy(config, ints, sizeof ints);
}

static void gpu_gemm_tile(PassCx *cx, const Graph *body, int64_t *config)
{
    const GpuProduct of = gpu_product(cx, body);
    const GpuTile t = choose_gpu_tile(cx->target, &of);
    put_tile(&t, config);
}

uint32_t pick_gpu_gemm_candidates(PassCx *cx, const Graph *body, PickConfig *out)
{
    GpuTile tiles[MOST_TILES];
    const GpuProduct of = gpu_product(cx, body);
    uint32_t n = fitting_tiles(cx->target, &of, tiles),
             members = class_info(KC_GEMM)->config[TK_CUDA].n;
    for (uint32_t i = 0; i < n; i++) {
        int64_t *config = NEW_ARRAY(cx->arena, int64_t, members);
        put_tile(&tiles[i], config);
        out[i] = (PickConfig){config, members};
    }
    return n;
}

/* ---- attention ---- */

/* Rows that a block holds, 16 a warp, and columns of a step, for heads of up to so many elements. */
typedef struct GpuAttend {
    int64_t width, rows, cols, stages;
} GpuAttend;

/* 64 rows a warpgroup. */
static const GpuAttend attend_groups[] = {{128, 128, 128, 2}, {256, 128, 64, 2}};
static const GpuAttend attend_bwd_groups[] = {{128, 128, 64, 4}, {256, 128, 32, 2}};
enum { LEAST_GROUP = 64 };

static const GpuAttend attend_tiles[] = {{64, 128, 64, 2}, {128, 64, 64, 2}, {256, 64, 32, 2}};
/* Of f32 steps are short: the more weights a thread passes on, the more registers it takes. */
static const GpuAttend attend_floats[] = {{256, 64, 16, 2}};

static const GpuAttend attend_bwd_tiles[] = {{64, 64, 64, 2}, {128, 64, 32, 2}, {256, 64, 32, 2}};
static const GpuAttend attend_bwd_floats[] = {{128, 64, 16, 2}, {256, 32, 16, 2}};

static bool attend_on_tensor_cores(const Node *const *operand, uint32_t n)
{
    DType dt = products_operand(operand[0]);
    for (uint32_t i = 1; i < n; i++)
        if (products_operand(operand[i]) != dt)
            return false;
    return dtype_is_half(dt);
}

/* Operands that are only read: those who fill have few registers. */
static bool attend_by_groups(const PassCx *cx, const Node *const *operand, uint32_t n)
{
    bool groups = strcmp(cx->target->isa, "sm_90a") == 0;
    for (uint32_t i = 0; i < n; i++)
        groups = groups && products_read(operand[i]);
    return groups;
}

/* Whether blocks of half as many rows, `parts` for a head, are better, as there are not enough for all processors. Two
 * warpgroups do more than twice what one does: they split where all parts are then at work at once. */
static bool attend_splits(bool groups, int64_t rows, int64_t heads, int64_t parts, int64_t cores)
{
    return groups ? heads * parts <= cores : rows > 32 && heads * ceil_of(parts, 2) < cores;
}

/* Fewer rows where there are fewer, or more blocks are wanted. */
static void attend_config(const PassCx *cx, const GpuAttend *from, const Attention *a,
                          int64_t lines, int64_t *config)
{
    int64_t d = dim_hi(cx->ir, a->d), e = dim_hi(cx->ir, a->e), width = d > e ? d : e;
    const GpuAttend *t = from;
    while (t->width < width)
        t++;
    int64_t heads = dim_hi(cx->ir, a->b) * dim_hi(cx->ir, a->kv) * dim_hi(cx->ir, a->g);
    int64_t rows = t->rows, cores = cx->target->cores;
    bool groups = from == attend_groups || from == attend_bwd_groups;
    int64_t least = groups ? LEAST_GROUP : 16;
    while (rows > least && (rows / 2 >= lines ||
                            attend_splits(groups, rows, heads, ceil_of(lines, rows / 2), cores)))
        rows /= 2;
    const int64_t ints[] = {rows, t->cols, t->stages};
    memcpy(config, ints, sizeof ints);
}

/* How blocks of attention get their tiles of queries (attention, groups). */
enum { ATTEND_ONE = 1, ATTEND_PAIRS, ATTEND_DRAWN };

/* Pairs of tiles of queries, dealt out among blocks that stay, if they leave few of them idle at the end. The longest
 * first to whoever is ready, where that saves each block more steps than clearing the count of tickets takes. */
static int64_t attend_deals(const PassCx *cx, const Attention *a, const int64_t *config)
{
    enum { WORTH = 3 /* steps: some 5 us */ };
    int64_t heads = dim_hi(cx->ir, a->b) * dim_hi(cx->ir, a->kv) * dim_hi(cx->ir, a->g);
    int64_t tiles = ceil_of(dim_hi(cx->ir, a->t), config[0]), pairs = heads * ceil_of(tiles, 2);
    int64_t cores = cx->target->cores, all = ceil_of(pairs, cores) * cores;
    if (pairs * 10 < all * 9)
        return ATTEND_ONE;
    int64_t steps = ceil_of(dim_hi(cx->ir, a->s), config[1]) + 1; /* of a pair */
    bool worth = (all - pairs) * steps >= WORTH * cores;
    return worth && attention_ends_at_query(cx->ir, a) ? ATTEND_DRAWN : ATTEND_PAIRS;
}

enum {
    FEW_QUERIES = 16,
    FEW_ROWS_HELD = 8,     /* queries of heads of a group that a block has */
    FEW_COLUMNS_HELD = 96, /* of queries and outputs, of all rows: of a thread */
    LEAST_SPLIT = 64,
    MOST_SPLIT = 1024, /* keys that a block looks at */
};

/* They leave a tile of 16 mostly empty, and few blocks the machine. */
bool pick_few_queries(const PassCx *cx, const Attention *a)
{
    int64_t heads = dim_hi(cx->ir, a->b) * dim_hi(cx->ir, a->kv) * dim_hi(cx->ir, a->g);
    bool idle = dim_hi(cx->ir, a->t) <= FEW_QUERIES && heads < cx->target->cores;
    return idle || attention_small(cx->ir, a);
}

/* Rows of which a thread can hold its columns: those of a vector of 16 bytes, or of some. */
static int64_t attend_few_rows(const PassCx *cx, const Attention *a)
{
    const Node *operand[] = {a->dot->in[1], a->out->in[1]};
    int64_t w = attend_on_tensor_cores(operand, COUNT(operand)) ? 8 : 4;
    int64_t d = ceil_of(dim_hi(cx->ir, a->d), w), e = ceil_of(dim_hi(cx->ir, a->e), w), lanes = 1;
    while (lanes < WARP && lanes < (d > e ? d : e))
        lanes *= 2;
    int64_t columns = (ceil_of(d, lanes) + ceil_of(e, lanes)) * w;
    return pick_clamp(FEW_COLUMNS_HELD / columns, 1, FEW_ROWS_HELD);
}

/* Keys are split so that all multiprocessors have some blocks, as far as splits stay worth their merging. */
static void attend_few_config(const PassCx *cx, const Attention *a, int64_t *config)
{
    int64_t lines = dim_hi(cx->ir, a->g) * pick_clamp(dim_hi(cx->ir, a->t), 1, INT32_MAX);
    int64_t chunks = ceil_of(lines, attend_few_rows(cx, a)), keys = LEAST_SPLIT;
    double all = (double)dim_hi(cx->ir, a->b) * (double)dim_hi(cx->ir, a->kv) * (double)chunks *
                 (double)dim_hi(cx->ir, a->s);
    while (keys < MOST_SPLIT && all / (double)keys > (double)cx->target->cores * FULL)
        keys *= 2;
    int64_t rows = ceil_of(lines, chunks);
    const int64_t ints[] = {rows, rows > FEW_ROWS_HELD / 2 ? 2 : 4, 1, 0, keys};
    memcpy(config, ints, sizeof ints);
}

static void gpu_attention(PassCx *cx, const Graph *body, int64_t *config)
{
    Attention a;
    if (!attention_find(body, &a))
        BUG("pick: no attention in '%s'", body->name ? body->name : "?");
    if (pick_few_queries(cx, &a)) {
        attend_few_config(cx, &a, config);
        return;
    }
    const Node *operand[] = {a.dot->in[0], a.dot->in[1], a.out->in[1]};
    bool tensor = attend_on_tensor_cores(operand, COUNT(operand));
    int64_t t = dim_hi(cx->ir, a.t);
    config[3] = tensor && t > LEAST_GROUP / 2 && attend_by_groups(cx, operand, COUNT(operand));
    const GpuAttend *warps = tensor ? attend_tiles : attend_floats;
    attend_config(cx, config[3] ? attend_groups : warps, &a, t, config);
    config[4] = 0;
    if (config[3])
        config[3] = attend_deals(cx, &a, config);
}

/* Of five products, whose gradients of queries are added by turns: two groups have half of the columns each. */
static const GpuAttend attend_turns[] = {{64, 128, 64, 4}, {128, 128, 64, 3}};
enum { TURNS_GROUP = 32 /* heads that share keys */ };

/* Whether blocks can take turns, and would not wait for each other: each begins at the first query that sees its keys,
 * if keys end at the query. Only a mask lets it. */
static bool attend_by_turns(const PassCx *cx, const AttentionBwd *b, int64_t *config)
{
    const GpuAttend *t = attend_turns;
    int64_t d = dim_hi(cx->ir, b->a.d), e = dim_hi(cx->ir, b->a.e);
    if (!b->dq.results || !b->dk.results || !b->dv.results || d > attend_turns[1].width ||
        dim_hi(cx->ir, b->a.g) > TURNS_GROUP || !attention_ends_at_query(cx->ir, &b->a))
        return false;
    while (t->width < d)
        t++;
    if (d <= t->width - 32 || e > t->width) /* columns in use are as many as the products have */
        return false;
    const int64_t ints[] = {t->rows, t->cols, t->stages, 2};
    memcpy(config, ints, sizeof ints);
    return true;
}

static void gpu_attention_bwd(PassCx *cx, const Graph *body, int64_t *config, bool turns)
{
    AttentionBwd b;
    if (!attention_find_bwd(body, &b))
        BUG("pick: no gradient of attention in '%s'", body->name ? body->name : "?");
    const Node *operand[] = {b.a.dot->in[0], b.a.dot->in[1], b.grad->in[0], b.grad->in[1]};
    bool tensor = attend_on_tensor_cores(operand, COUNT(operand));
    int64_t t = dim_hi(cx->ir, b.a.t), s = dim_hi(cx->ir, b.a.s), lines = t > s ? t : s;
    config[3] = tensor && lines > LEAST_GROUP / 2 && attend_by_groups(cx, operand, COUNT(operand));
    const GpuAttend *warps = tensor ? attend_bwd_tiles : attend_bwd_floats;
    attend_config(cx, config[3] ? attend_bwd_groups : warps, &b.a, lines, config);
    if (turns && config[3] && config[0] == attend_turns[0].rows)
        attend_by_turns(cx, &b, config);
}

uint32_t pick_gpu_attention_bwd_candidates(PassCx *cx, const Graph *body, PickConfig *out)
{
    enum { MEMBERS = 4 };
    for (uint32_t i = 0; i < 2; i++) {
        int64_t *config = NEW_ARRAY(cx->arena, int64_t, MEMBERS);
        gpu_attention_bwd(cx, body, config, i == 0);
        out[i] = (PickConfig){config, MEMBERS};
    }
    return 2;
}

/* ---- linear cross-entropy ---- */

enum { XENT_KEPT = 512 << 20, XENT_ROWS = 16384, XENT_SMALL = 64 };

/* One tile for its three products. */
static GpuTile xent_tile(const PassCx *cx, const Xent *x, int64_t rows)
{
    static const GpuTile groups = {128, 256, 64, 4, 8, 1, 1};
    static const GpuTile tensor[] = {{128, 128, 32, 4, 2, 4, 0}, {64, 64, 32, 4, 2, 2, 0}};
    static const GpuTile floats[] = {{128, 128, 16, 3, 4, 2, 0}, {64, 64, 16, 4, 2, 1, 0}};
    bool small = rows <= XENT_SMALL || x->depth <= XENT_SMALL || x->classes <= XENT_SMALL;
    if (!on_tensor_cores(x->dot))
        return floats[small];
    bool read = products_read(x->dot->in[0]) && products_read(x->dot->in[1]);
    return read && !small && strcmp(cx->target->isa, "sm_90a") == 0 ? groups : tensor[small];
}

/* Rows of a round: for the derivative, as many as keep its scores within bounds, the same in all rounds. */
static int64_t xent_rows(const Xent *x, int64_t rows, const GpuTile *t, bool gradient)
{
    if (!gradient)
        return XENT_ROWS;
    int64_t bytes = on_tensor_cores(x->dot) ? 2 : 4;
    int64_t most = pick_clamp(XENT_KEPT / bytes / x->classes / t->bm * t->bm, t->bm, XENT_ROWS);
    int64_t rounds = rows > 0 ? ceil_of(rows, most) : 1;
    return pick_clamp(ceil_of(ceil_of(rows, rounds), t->bm) * t->bm, t->bm, most);
}

static void gpu_xent_config(PassCx *cx, const Graph *body, bool gradient, int64_t *config)
{
    Xent x;
    if (!xent_match(body, &x))
        BUG("pick: '%s' is no linear cross-entropy", body->name ? body->name : "?");
    int64_t rows = dim_hi(cx->ir, x.rows);
    const GpuTile t = xent_tile(cx, &x, rows);
    const int64_t ints[] = {t.bm, t.bn, t.bk,     t.stages,
                            t.wm, t.wn, t.groups, xent_rows(&x, rows, &t, gradient)};
    memcpy(config, ints, sizeof ints);
}

/* ---- all classes ---- */

void pick_gpu(PassCx *cx, KernelClass cls, const Graph *body, PickConfig *out)
{
    uint32_t n = class_info(cls)->config[TK_CUDA].n;
    int64_t *config = NEW_ARRAY(cx->arena, int64_t, n + 1);
    *out = (PickConfig){config, n};
    for (uint32_t i = 0; i < n; i++)
        config[i] = 1; /* the least a thread can do */
    switch (cls) {
    case KC_REDUCE:
        gpu_reduce(cx, body, config);
        return;
    case KC_ROW_COL:
        gpu_row_col(cx, body, config);
        return;
    case KC_PREFIX:
        config[1] = prefix_team(cx, body);
        return;
    case KC_GEMM:
        gpu_gemm_tile(cx, body, config);
        return;
    case KC_ATTENTION:
        gpu_attention(cx, body, config);
        return;
    case KC_ATTENTION_BWD:
        gpu_attention_bwd(cx, body, config, true);
        return;
    case KC_MULTI_MAP:
    case KC_MULTI_SUMSQ:
        config[0] = CHUNK;
        return;
    case KC_MAP:
    case KC_SCATTER:
    case KC_SORT:
    case KC_UPDATE:
        return;
    case KC_XENT:
    case KC_XENT_GRAD:
    case KC_XENT_BOTH:
        gpu_xent_config(cx, body, cls != KC_XENT, config);
        return;
    case KC_COUNT:
        break;
    }
    BUG("no such kernel class: %d", (int)cls);
}
