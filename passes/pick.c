/* pick.c: the configuration of each group's kernel class: a pure function of Def, class and target.
 *
 * Task sizes come from extents alone, never from the number of threads, so that a plan gives the
 * same bits everywhere. GEMM: of a short table of register tiles that fit the register file (mr x
 * nr/W accumulators, nr/W columns of the right panel, one broadcast) the one with the least modelled
 * time; kern_gemm.c says which are possible. */
#include "pick.h"
#include "attention.h"
#include "internal.h"
#include "products.h"
#include "xent.h"

#include <math.h>
#include <string.h>

enum {
    TASK_ELEMENTS = 16384,
    SPLIT_ELEMENTS = 8192,
    LEAST_ROWS = 16,
    SORT_ELEMENTS = 4096,
    TINY_ROWS = 64,
    LONG_FOLD = 16384,
    ATTENTION_KEYS = 128,
    ATTENTION_BWD_TILE = 64,
    TASK_FLOPS = 1 << 18
};

int64_t pick_clamp(int64_t v, int64_t lo, int64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

int64_t pick_count(Ir *ir, const Type *t)
{
    int64_t count = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        count *= dim_hi(ir, t->dims[i]);
    return count;
}

const Node *pick_first_of(const Graph *body, OpClass cls)
{
    for (uint32_t i = 0; i < body->nodes.n; i++) {
        if (op_info(body->nodes.at[i]->op)->cls == cls)
            return body->nodes.at[i];
    }
    BUG("pick: group body '%s' lacks its anchor", body->name ? body->name : "?");
}

/* ---- gemm ---- */

typedef struct Tile {
    const char *isa;
    int64_t mr, nr, kc, mc, nc;
} Tile;

/* The first of each instruction set is the usual one; others win for narrow or short results. */
static const Tile tiles[] = {
    {"avx512", 14, 32, 1024, 112, 2048}, {"avx512", 8, 48, 1024, 112, 2016},
    {"avx512", 16, 16, 1024, 112, 2048}, {"avx2", 6, 16, 256, 72, 2048},
    {"avx2", 4, 24, 256, 72, 2040},      {"avx2", 12, 8, 256, 72, 2048},
    {"generic", 4, 8, 256, 64, 1024},    {"generic", 8, 4, 256, 64, 1024}};

/* Depth of a block where one row of tiles is all: each task then packs what it reads of the right side. */
enum { OWN_DEPTH = 256 };

/* Cycles of the whole product, up to a factor: per step of depth mr * nr/W multiply-adds, nr/W loads
 * and mr broadcasts, two of each per cycle; latency hides only behind 8 accumulators or more. */
static double tile_cost(const Tile *t, const Target *target, int64_t m, int64_t n)
{
    double cols = (double)t->nr / target->vector, rows = (double)t->mr;
    double step = fmax(fmax(rows * cols, rows + cols), 8) / 2;
    return ceil((double)m / rows) * ceil((double)n / (double)t->nr) * step;
}

static double tiles_cost(const Tile *t, const Target *target, const PickExtents *of, uint32_t count)
{
    double cost = 0;
    for (uint32_t d = 0; d < count; d++)
        cost += tile_cost(t, target, of[d].m, of[d].n) * (double)of[d].k;
    return cost;
}

static const Tile *choose_tile(const Target *target, const PickExtents *of, uint32_t count)
{
    const Tile *best = NULL;
    double least = 0;
    for (size_t i = 0; i < COUNT(tiles); i++) {
        if (strcmp(tiles[i].isa, target->isa) != 0)
            continue;
        double cost = tiles_cost(&tiles[i], target, of, count);
        if (best && cost >= 0.95 * least) /* the model is no finer than that */
            continue;
        best = &tiles[i];
        least = cost;
    }
    ASSERT(best);
    return best;
}

/* The tile with fewer rows where that leaves fewer of them idle at the lower edge. */
static Tile fit_rows(const Tile *t, const Target *target, const PickExtents *of, uint32_t count)
{
    Tile best = *t, next = *t;
    double least = tiles_cost(t, target, of, count);
    for (next.mr--; 4 * next.mr >= 3 * t->mr; next.mr--) {
        double cost = tiles_cost(&next, target, of, count);
        if (cost >= 0.995 * least)
            continue;
        best.mr = next.mr;
        least = cost;
    }
    best.mc = t->mc / t->mr * best.mr;
    return best;
}

/* Rows, columns and depth of one matrix of a dot, at the upper end of DYN dims. */
PickExtents pick_extents(Ir *ir, const Node *dot)
{
    PickExtents e = {.k = 1};
    DotAxes axes;
    node_dot_axes(dot, &axes);
    const Type *a = dot->in[0]->type, *b = dot->in[1]->type;
    int64_t batch = 1;
    for (uint32_t i = 0; i < axes.ncontract; i++)
        e.k *= dim_hi(ir, a->dims[axes.a_contract[i]]);
    for (uint32_t i = 0; i < axes.nbatch; i++)
        batch *= dim_hi(ir, a->dims[axes.a_batch[i]]);
    int64_t shared = batch * e.k;
    e.m = shared > 0 ? pick_count(ir, a) / shared : 0;
    e.n = shared > 0 ? pick_count(ir, b) / shared : 0;
    if (e.n == 1) { /* a vector on the right: the kernel takes the matrix as the right side */
        e.n = e.m;
        e.m = 1;
    }
    return e;
}

/* A tile for each set of dots; one for all where they agree. `usual` NULL: the best for each. */
static void gemm_with(PassCx *cx, const Graph *body, const Tile *usual, PickConfig *out)
{
    enum { MEMBERS = 5 };
    Products p;
    if (!products_find(body, cx->arena, &p))
        BUG("pick: the products of '%s' do not fit together", body->name ? body->name : "?");
    int64_t *config = NEW_ARRAY(cx->arena, int64_t, MEMBERS * PRODUCTS_MOST);
    bool equal = true;
    for (uint32_t s = 0; s < p.nset; s++) {
        PickExtents of[PRODUCTS_TOGETHER] = {{0}};
        uint32_t count = 0;
        int64_t k = 0;
        for (uint32_t d = 0; d < p.n; d++) {
            if (p.set[d] != s)
                continue;
            of[count] = pick_extents(cx->ir, p.dot[d]);
            k = of[count].k > k ? of[count].k : k;
            count++;
        }
        const Tile *from = usual ? usual : choose_tile(cx->target, of, count);
        const Tile t = fit_rows(from, cx->target, of, count);
        int64_t kc = of[0].m > t.mc ? t.kc : pick_clamp(t.kc, 1, OWN_DEPTH);
        const int64_t mine[MEMBERS] = {t.mr, t.nr, k > 0 && k < kc ? k : kc, t.mc, t.nc};
        memcpy(config + s * MEMBERS, mine, sizeof mine);
        equal = equal && memcmp(config, mine, sizeof mine) == 0;
    }
    *out = (PickConfig){config, equal ? MEMBERS : MEMBERS * p.nset};
}

uint32_t pick_gemm_candidates(PassCx *cx, const Graph *body, PickConfig *out)
{
    uint32_t n = 0;
    for (size_t i = 0; i < COUNT(tiles) && n < PICK_MOST; i++)
        if (strcmp(tiles[i].isa, cx->target->isa) == 0)
            gemm_with(cx, body, &tiles[i], &out[n++]);
    return n;
}

/* ---- xent ---- */

enum { XENT_SCORES = 112 << 20, XENT_PACKED = 4 << 20, XENT_ROWS = 512 };

/* Tiles have classes down and rows across. Rows of a round: as many as keep its scores, if they are kept,
 * and its packed rows within bounds. */
static void pick_xent(PassCx *cx, const Graph *body, bool gradient, int64_t *config)
{
    Xent x;
    if (!xent_match(body, &x))
        BUG("pick: '%s' is no linear cross-entropy", body->name ? body->name : "?");
    int64_t all = dim_hi(cx->ir, x.rows),
            rows = pick_clamp(XENT_PACKED / 4 / x.depth, 1, XENT_ROWS);
    const PickExtents scores = {x.classes, pick_clamp(all, 1, XENT_ROWS), 1};
    const Tile *t = choose_tile(cx->target, &scores, 1);
    if (gradient)
        rows = pick_clamp(XENT_SCORES / 4 / x.classes, 1, rows);
    config[0] = t->mr;
    config[1] = t->nr;
    config[2] = pick_clamp(rows / t->nr, 1, XENT_ROWS) * t->nr;
}

/* ---- the others ---- */

/* Rows per task and, for few rows with long folds, parts of each row. */
static void pick_reduce(PassCx *cx, const Graph *body, int64_t *config)
{
    const Node *fold = pick_first_of(body, OC_REDUCE);
    int64_t rows = pick_count(cx->ir, fold->type);
    int64_t all = pick_count(cx->ir, fold->in[0]->type);
    int64_t length = rows > 0 ? all / rows : 1;
    config[0] = pick_clamp(TASK_ELEMENTS / (length > 0 ? length : 1), 1, TASK_ELEMENTS);
    config[1] =
        rows < TINY_ROWS && length > LONG_FOLD ? (length + SPLIT_ELEMENTS - 1) / SPLIT_ELEMENTS : 1;
}

/* Rows per task, each task with partial sums of all columns: a few rows at least, or the sums would cost as
 * much as the rows. */
static void pick_row_col(PassCx *cx, const Graph *body, int64_t *config)
{
    const Node *row = pick_first_of(body, OC_REDUCE);
    for (uint32_t i = 0; i < body->nodes.n && !node_folds_last(row); i++)
        if (op_info(body->nodes.at[i]->op)->cls == OC_REDUCE)
            row = body->nodes.at[i];
    int64_t rows = pick_count(cx->ir, row->type), all = pick_count(cx->ir, row->in[0]->type);
    int64_t length = pick_clamp(rows > 0 ? all / rows : 1, 1, TASK_ELEMENTS);
    config[0] = pick_clamp(TASK_ELEMENTS / length, LEAST_ROWS, TASK_ELEMENTS);
}

/* Registers hold a tile of queries by two vectors of keys. Of the heights, the one that computes the
 * fewest rows in vain. */
static int64_t query_rows(const Target *target, int64_t t)
{
    int64_t most = target->registers >= 32 ? 14 : 6, mr = most;
    for (int64_t i = most; i > most / 2; i--)
        if ((t + i - 1) / i * i < (t + mr - 1) / mr * mr)
            mr = i;
    return mr;
}

/* A task is long enough to be worth starting. */
static void pick_attention(PassCx *cx, const Graph *body, int64_t *config)
{
    Attention a;
    bool found = attention_find(body, &a);
    ASSERT(found);
    int64_t t = pick_clamp(dim_hi(cx->ir, a.t), 1, INT32_MAX),
            s = pick_clamp(dim_hi(cx->ir, a.s), 1, INT32_MAX);
    int64_t d = dim_hi(cx->ir, a.d) + dim_hi(cx->ir, a.e), width = cx->target->vector;
    int64_t mr = query_rows(cx->target, t);
    int64_t nr = 2 * width;
    config[0] = mr;
    config[1] = nr;
    config[2] = pick_clamp((s + nr - 1) / nr * nr, nr, ATTENTION_KEYS / nr * nr);
    config[3] =
        pick_clamp(TASK_FLOPS / (2 * mr * pick_clamp(s, 1, TASK_FLOPS) * d), 1, (t + mr - 1) / mr);
}

/* Keys and queries such that a block of scores and its gradients stay in the first cache. */
static void pick_attention_bwd(PassCx *cx, const Graph *body, int64_t *config)
{
    AttentionBwd b;
    bool found = attention_find_bwd(body, &b);
    ASSERT(found);
    int64_t t = pick_clamp(dim_hi(cx->ir, b.a.t), 1, INT32_MAX);
    int64_t s = pick_clamp(dim_hi(cx->ir, b.a.s), 1, INT32_MAX), nr = 2 * cx->target->vector;
    int64_t mr = query_rows(cx->target, t);
    config[0] = mr;
    config[1] = nr;
    config[2] = pick_clamp((s + nr - 1) / nr * nr, nr, ATTENTION_BWD_TILE / nr * nr);
    config[3] = mr * pick_clamp(ATTENTION_BWD_TILE / mr, 1, (t + mr - 1) / mr);
}

void pick_class(PassCx *cx, KernelClass cls, const Graph *body, PickConfig *out)
{
    if (cx->target->kind == TK_CUDA) {
        pick_gpu(cx, cls, body, out);
        return;
    }
    int64_t *config =
        NEW_ARRAY(cx->arena, int64_t, class_info(cls)->config[cx->target->kind].n + 1);
    *out = (PickConfig){config, class_info(cls)->config[cx->target->kind].n};
    switch (cls) {
    case KC_GEMM:
        gemm_with(cx, body, NULL, out);
        return;
    case KC_ATTENTION:
        pick_attention(cx, body, config);
        return;
    case KC_ATTENTION_BWD:
        pick_attention_bwd(cx, body, config);
        return;
    case KC_REDUCE:
        pick_reduce(cx, body, config);
        return;
    case KC_ROW_COL:
        pick_row_col(cx, body, config);
        return;
    case KC_SCATTER: {
        int64_t cells = pick_count(cx->ir, pick_first_of(body, OC_SCATTER)->type);
        config[0] = pick_clamp(cells, 1, TASK_ELEMENTS);
        return;
    }
    case KC_SORT: {
        const Node *order = pick_first_of(body, OC_SORT);
        int64_t n = dim_hi(cx->ir, order->type->dims[node_int(order, "axis")]);
        config[0] = pick_clamp(SORT_ELEMENTS / (n > 0 ? n : 1), 1, SORT_ELEMENTS);
        return;
    }
    case KC_UPDATE:
        config[PICK_UPDATE_WHOLE] =
            1; /* unless inplace.c finds that its result lies in the tensor itself */
        config[0] = TASK_ELEMENTS;
        return;
    case KC_XENT:
    case KC_XENT_GRAD:
    case KC_XENT_BOTH:
        pick_xent(cx, body, cls != KC_XENT, config);
        return;
    case KC_PREFIX:
    case KC_MAP:
    case KC_MULTI_MAP:
    case KC_MULTI_SUMSQ:
        config[0] = TASK_ELEMENTS;
        return;
    case KC_COUNT:
        break;
    }
    BUG("no such kernel class: %d", (int)cls);
}

const int64_t *pick_config(PassCx *cx, const Def *def, const char *class_name, uint32_t *n)
{
    KernelClass cls;
    if (!class_find(class_name, &cls))
        BUG("no kernel class '%s'", class_name);
    PickConfig config;
    const char *why;
    if (!pick_record(cx, def, class_name, &config, &why))
        pick_class(cx, cls, def->body, &config);
    *n = config.n;
    return config.ints;
}

static const Graph *pick_body(PassCx *cx, const Graph *body, void *user)
{
    UNUSED(user);
    return pass_pick(cx, body);
}

static const Node *pick_node(Rewrite *rw, const Node *n, const Node *const *in)
{
    if (op_info(n->op)->cls == OC_LOOP)
        return loop_rewrite(&(LoopBody){rw->user, pick_body, NULL}, rw->out, n, in);
    if (op_info(n->op)->cls != OC_GROUP)
        return NULL;
    PassCx *cx = rw->user;
    Attr attr[IR_MAX_ATTR] = {{0}};
    memcpy(attr, n->attr, n->nattr * sizeof *attr);
    Attr *config = &attr[op_attr_index(n->op, "config")];
    config->ints = pick_config(cx, node_def(n), node_sym(n, "class"), &config->n);
    PickConfig ignored;
    const char *why = NULL, *note = n->note;
    pick_record(cx, node_def(n), node_sym(n, "class"), &ignored, &why);
    if (why)
        note = note ? arena_printf(cx->arena, "%s\n%s", note, why) : why;
    return graph_op(
        rw->out,
        &(NodeSpec){
            .op = n->op, .inst = n->inst, .nin = n->nin, .in = in, .attr = attr, .note = note});
}

Graph *pass_pick(PassCx *cx, const Graph *in)
{
    ASSERT(cx->target);
    return graph_rewrite(in, cx->arena, pick_node, cx);
}
