/* wgmma.c: products of a warpgroup, m64 n k16. They are done when the 128 threads wait for their group, in
 * the order in which they were issued; until then the sums are not in the threads' registers, which hold
 * NaN, and operands in shared memory are being read. */
#include "engine.h"
#include "fragments.h"
#include "sums.h"
#include "warpgroup.h"

enum { DEPTH = 16, CHUNK = 16, LINES = 8 };

static const char name[] = "mdl_wgmma";

static Warpgroup *group_now(Simt *s, int line)
{
    Warpgroup **g = &s->group[s->face.thread / GROUP_THREADS];
    if (s->block_threads % GROUP_THREADS) {
        report(s, FAULT_LAUNCH, AT(line),
               "%s in a block of %d threads: whole warpgroups are needed", name, s->block_threads);
        launch_stop(s);
    }
    if (!*g)
        *g = calloc(1, sizeof(**g));
    if (!*g) {
        report(s, FAULT_LAUNCH, AT(line), "no memory for a warpgroup");
        launch_stop(s);
    }
    return *g;
}

static int lane_now(const Simt *s)
{
    return s->face.thread % GROUP_THREADS;
}

NO_RETURN static void disagree(Simt *s, const Product *p, int line)
{
    report(s, FAULT_DIVERGENT, AT(line),
           "threads of one warpgroup issue different products: here, and in line %d", p->line);
    launch_stop(s);
}

/* ---- operands in shared memory, in units of 16 bytes ---- */

typedef struct Operand {
    MatrixPlace place;
    int lines;
    bool mn_major;
} Operand;

static Operand operand_a(const Product *p)
{
    return (Operand){.place = matrix_place(p->what.a),
                     .lines = p->what.a4 ? 0 : GROUP_ROWS,
                     .mn_major = p->what.a_mn_major != 0};
}

static Operand operand_b(const Product *p)
{
    return (Operand){
        .place = matrix_place(p->what.b), .lines = p->what.n, .mn_major = p->what.b_mn_major != 0};
}

static uint32_t offset_of(const Operand *o, int line, int k)
{
    return o->mn_major ? matrix_offset_mn(&o->place, line, k) : matrix_offset_k(&o->place, line, k);
}

static int chunks_of(const Operand *o)
{
    return o->lines * DEPTH * 2 / CHUNK;
}

static uint32_t chunk_offset(const Operand *o, int i)
{
    int per = CHUNK / 2;
    if (o->mn_major)
        return offset_of(o, i / DEPTH * per, i % DEPTH);
    return offset_of(o, i / (DEPTH / per), i % (DEPTH / per) * per);
}

/* A swizzle repeats every eight lines; a descriptor begins in the first of them. */
static void check_operand(Simt *s, const Operand *o, int line)
{
    uint32_t run = (uint32_t)o->place.swizzle->bytes;
    if (o->lines && run && o->place.start % (LINES * run) >= run) {
        report(
            s, FAULT_ALIGN, AT(line),
            "%s: a matrix swizzled by %u bytes at %u of shared memory: multiples of %u are needed",
            name, run, o->place.start, LINES * run);
        launch_stop(s);
    }
    for (int i = 0; i < chunks_of(o); i++) {
        const Access a = {.at = s->face.shared + chunk_offset(o, i),
                          .bytes = CHUNK,
                          .shared = true,
                          .call = name,
                          .where = AT(line)};
        access_bounds(s, &a);
    }
}

static void begin_reads(Simt *s, const Product *p, const Operand *o)
{
    for (int i = 0; i < chunks_of(o); i++) {
        const Access a = {.at = s->face.shared + chunk_offset(o, i),
                          .bytes = CHUNK,
                          .shared = true,
                          .call = name,
                          .where = AT(p->line)};
        shadow_begin(s, &a, &p->unit);
    }
}

static void end_reads(Simt *s, const Product *p, const Operand *o)
{
    for (int i = 0; i < chunks_of(o); i++) {
        const Access a = {.at = s->face.shared + chunk_offset(o, i), .bytes = CHUNK};
        shadow_end(s, &a, &p->unit);
    }
}

/* ---- sums ---- */

static int row_of(int thread, int i)
{
    return thread / WARP * 16 + fragment_row(FRAGMENT_D_WGMMA, thread % WARP, i);
}

static Sums *sums_for(Simt *s, Warpgroup *g, const MdlWgmma *w, int line)
{
    Sums *free = NULL;
    for (int i = 0; i < MOST_SUMS; i++) {
        Sums *sums = &g->sums[i];
        if (sums->products && sums->d[lane_now(s)] == w->d && sums->cols == w->n)
            return sums;
        if (!sums->products && !free)
            free = sums;
    }
    if (!free) {
        report(s, FAULT_LAUNCH, AT(line), "more than %d sums of a warpgroup on their way",
               MOST_SUMS);
        launch_stop(s);
    }
    memset(free->d, 0, sizeof(free->d));
    free->cols = w->n;
    return free;
}

/* The thread's registers are not its own until the sums are done. */
static void take_registers(Sums *sums, int thread, const MdlWgmma *w)
{
    sums->d[thread] = w->d;
    for (int i = 0; i < sums->cols / 2; i++) {
        if (w->accumulate)
            sums->at[row_of(thread, i)][fragment_col(FRAGMENT_D_WGMMA, thread % WARP, i)] = w->d[i];
        memset(&w->d[i], 0xff, sizeof(float));
    }
}

static void give_registers(const Sums *sums)
{
    for (int t = 0; t < GROUP_THREADS; t++)
        for (int i = 0; i < sums->cols / 2; i++)
            sums->d[t][i] = sums->at[row_of(t, i)][fragment_col(FRAGMENT_D_WGMMA, t % WARP, i)];
}

/* ---- issue ---- */

static bool is_same(const MdlWgmma *a, const MdlWgmma *b)
{
    return a->type == b->type && a->n == b->n && a->a_mn_major == b->a_mn_major &&
           a->b_mn_major == b->b_mn_major && !a->accumulate == !b->accumulate && !a->a4 == !b->a4 &&
           a->a == b->a && a->b == b->b;
}

/* A product of all: what every thread has seen has happened before. */
static void begin_unit(Simt *s, Product *p, const Operand *a, const Operand *b)
{
    int first = s->face.thread / GROUP_THREADS * GROUP_THREADS;
    p->unit = view_begin_unit(s, s->face.thread);
    view_narrow(s, p->unit.view, first, GROUP_THREADS);
    begin_reads(s, p, a);
    begin_reads(s, p, b);
}

static void check_issue(Simt *s, const Warpgroup *g, int line)
{
    if (!g->fenced[lane_now(s)])
        report(s, FAULT_ASYNC, AT(line),
               "%s without mdl_wgmma_fence behind the last use of its registers", name);
    else if (g->issued[lane_now(s)] == MOST_PRODUCTS)
        report(s, FAULT_LAUNCH, AT(line), "more than %d products on their way", MOST_PRODUCTS);
    else
        return;
    launch_stop(s);
}

static void issue(MdlEngine *e, const MdlWgmma *w, int line)
{
    Simt *s = simt_of(e);
    Warpgroup *g = group_now(s, line);
    int t = lane_now(s), i = g->issued[t];
    check_issue(s, g, line);
    Product *p = &g->product[i];
    if ((uint32_t)i == g->n) {
        *p = (Product){
            .what = *w, .line = line, .group = g->groups[t], .sums = sums_for(s, g, w, line)};
        p->sums->products++;
        g->n++;
    }
    ASSERT(p->sums);
    if (p->line != line || !is_same(&p->what, w) || p->group != g->groups[t])
        disagree(s, p, line);
    if (!p->sums->d[t])
        take_registers(p->sums, t, w);
    if (p->sums->d[t] != w->d)
        disagree(s, p, line);
    if (w->a4)
        memcpy(p->a4[t], w->a4, sizeof(p->a4[t]));
    g->issued[t]++;
    if (++p->lanes < GROUP_THREADS)
        return;
    const Operand a = operand_a(p), b = operand_b(p);
    check_operand(s, &a, line);
    check_operand(s, &b, line);
    if (s->launch->check)
        begin_unit(s, p, &a, &b);
}

static void fence(MdlEngine *e)
{
    Simt *s = simt_of(e);
    group_now(s, 0)->fenced[lane_now(s)] = true;
}

static void commit(MdlEngine *e)
{
    Simt *s = simt_of(e);
    group_now(s, 0)->groups[lane_now(s)]++;
}

/* ---- done ---- */

static float shared_value(const Simt *s, MdlMmaType type, uint32_t offset)
{
    uint16_t x;
    memcpy(&x, s->face.shared + offset, sizeof(x));
    return narrow_value(type, x);
}

static void read_a(const Simt *s, const Product *p, float a[GROUP_ROWS][DEPTH])
{
    const Operand o = operand_a(p);
    for (int r = 0; r < o.lines; r++)
        for (int k = 0; k < DEPTH; k++)
            a[r][k] = shared_value(s, p->what.type, offset_of(&o, r, k));
    for (int t = 0; p->what.a4 && t < GROUP_THREADS; t++)
        for (int i = 0; i < 8; i++)
            a[t / WARP * 16 + fragment_row(FRAGMENT_A_WGMMA, t % WARP, i)]
             [fragment_col(FRAGMENT_A_WGMMA, t % WARP, i)] =
                 narrow_value(p->what.type, (uint16_t)(p->a4[t][i / 2] >> (i % 2 * 16)));
}

static void multiply(const Simt *s, const Product *p)
{
    float a[GROUP_ROWS][DEPTH], b[DEPTH][MOST_COLS];
    const Operand o = operand_b(p);
    Sums *sums = p->sums;
    read_a(s, p, a);
    for (int k = 0; k < DEPTH; k++)
        for (int j = 0; j < p->what.n; j++)
            b[k][j] = shared_value(s, p->what.type, offset_of(&o, j, k));
    if (!p->what.accumulate)
        memset(sums->at, 0, sizeof(sums->at));
    sums_f32(&(Products){.m = GROUP_ROWS,
                         .n = p->what.n,
                         .k = DEPTH,
                         .a = a[0],
                         .lda = DEPTH,
                         .b = b[0],
                         .ldb = MOST_COLS,
                         .c = sums->at[0],
                         .ldc = MOST_COLS});
}

static void retire(Simt *s, Product *p)
{
    if (p->lanes < GROUP_THREADS) {
        report(s, FAULT_DIVERGENT, AT(p->line), "%s by %d of the 128 threads of a warpgroup", name,
               p->lanes);
        launch_stop(s);
    }
    multiply(s, p);
    if (--p->sums->products == 0)
        give_registers(p->sums);
    if (!s->launch->check)
        return;
    const Operand a = operand_a(p), b = operand_b(p);
    end_reads(s, p, &a);
    end_reads(s, p, &b);
    view_end_unit(s, &p->unit);
    int first = s->face.thread / GROUP_THREADS * GROUP_THREADS;
    for (int i = first; i < first + GROUP_THREADS; i++)
        view_acquire(s, i, p->unit.view);
    view_drop(s, p->unit.view);
    p->unit.view = NULL;
}

static void retire_until(Simt *s, Warpgroup *g, uint32_t done)
{
    uint32_t n = 0;
    while (n < g->n && g->product[n].group < done)
        retire(s, &g->product[n++]);
    g->n -= n;
    memmove(g->product, g->product + n, g->n * sizeof(g->product[0]));
    for (int t = 0; t < GROUP_THREADS; t++) {
        g->issued[t] -= (int)n;
        g->fenced[t] = g->fenced[t] && !n;
    }
}

static void wait(MdlEngine *e, int groups, int line)
{
    Simt *s = simt_of(e);
    Warpgroup *g = group_now(s, line);
    int t = lane_now(s), first = s->face.thread - t;
    if (g->waiting && (g->wait_line != line || g->wait_groups != groups)) {
        report(s, FAULT_DIVERGENT, AT(line),
               "threads of one warpgroup are at mdl_wgmma_wait here and in line %d", g->wait_line);
        launch_stop(s);
    }
    g->wait_line = line;
    g->wait_groups = groups;
    if (++g->waiting < GROUP_THREADS) {
        thread_wait(s, THREAD_AT_WGMMA, "mdl_wgmma_wait", line);
        return;
    }
    g->waiting = 0;
    retire_until(s, g, g->groups[t] > (uint32_t)groups ? g->groups[t] - (uint32_t)groups : 0);
    for (int i = first; i < first + GROUP_THREADS; i++)
        if (i != s->face.thread)
            thread_wake(s, i);
    thread_yield(s);
}

/* ---- threads and blocks ---- */

void wgmma_leave(Simt *s, int thread)
{
    const Warpgroup *g = s->group[thread / GROUP_THREADS];
    if (!g || (!g->n && !g->waiting))
        return;
    if (g->waiting)
        report(s, FAULT_EXIT, AT(g->wait_line),
               "a thread ends while %d others of its warpgroup wait at mdl_wgmma_wait", g->waiting);
    else
        report(s, FAULT_IN_FLIGHT, AT(g->product[0].line),
               "a thread ends without having waited for %u products", g->n);
    launch_stop(s);
}

void wgmma_begin_block(Simt *s)
{
    for (int i = 0; i < MAX_THREADS / GROUP_THREADS; i++) {
        Warpgroup *g = s->group[i];
        for (uint32_t p = 0; g && p < g->n; p++)
            view_drop(s, g->product[p].unit.view);
        if (!g)
            continue;
        g->n = 0;
        g->waiting = 0;
        memset(g->issued, 0, sizeof(g->issued));
        memset(g->groups, 0, sizeof(g->groups));
        memset(g->fenced, 0, sizeof(g->fenced));
        for (int k = 0; k < MOST_SUMS; k++)
            g->sums[k].products = 0;
    }
}

void wgmma_free(Simt *s)
{
    for (int i = 0; i < MAX_THREADS / GROUP_THREADS; i++)
        free(s->group[i]);
}

void wgmma_install(MdlEngine *e)
{
    e->wgmma = issue;
    e->wgmma_fence = fence;
    e->wgmma_commit = commit;
    e->wgmma_wait = wait;
}
