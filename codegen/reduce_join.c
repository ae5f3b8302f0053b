/* reduce_join.c: lines of partial results are added up, in order: each result by one thread, a lane each. Where
 * there are many lines, a thread that adds all of them would wait for memory most of the time: a phase before
 * that adds them up in groups. */
#include "reduce.h"

enum { GROUP = 32, FEW_LINES = 64 };

typedef struct Join {
    const FoldLines *lines;
    const uint32_t *from; /* buffers by node id */
    const KExpr *lo, *hi; /* lines */
    bool unroll;
    const uint32_t *to; /* NULL: to seeds */
    const KExpr *line;  /* .. of which this one */
} Join;

static Acc join_one(Lower *lo, const Join *j, const Node *n)
{
    Kernel *k = lo->k;
    const LowerVar v = lo->var[lo->nvar - 1];
    bool vector = !lo->scalar;
    Acc a = acc_begin(lo, n, vector);
    scope_loop(lo, &(LoopSpec){.stem = "line",
                               .lo = j->lo,
                               .hi = j->hi,
                               .extent = dim_const(lo->ir, j->lines->count),
                               .unroll = j->unroll});
    const KExpr *line = lo->var[lo->nvar - 1].at;
    const KExpr *at = ke_add(lo, ke_mul(lo, line, ke_extent(k, j->lines->columns)), v.at);
    uint32_t buf = j->from[n->id];
    acc_add(lo, &a, vector ? ke_vload(k, buf, at, v.lanes) : ke_load(k, buf, at));
    scope_end(lo);
    return a;
}

void fold_join_lines(Lower *lo, const FoldLines *lines, const KExpr **seed)
{
    bool gpu = lo->k->threads > 0;
    Join j = {.lines = lines,
              .from = lines->partial,
              .lo = ke_int(lo->k, 0),
              .hi = ke_int(lo->k, lines->count),
              .unroll = gpu && lines->count <= FEW_LINES};
    for (uint32_t i = 0; i < lines->nfold; i++) {
        Acc a = join_one(lo, &j, lines->fold[i]);
        seed[lines->fold[i]->id] = acc_result(lo, &a);
    }
}

static void join_group(Lower *lo, const Ix *column, void *user)
{
    UNUSED(column);
    const Join *j = user;
    Kernel *k = lo->k;
    const LowerVar v = lo->var[lo->nvar - 1];
    const KExpr *at = ke_add(lo, ke_mul(lo, j->line, ke_extent(k, j->lines->columns)), v.at);
    for (uint32_t i = 0; i < j->lines->nfold; i++) {
        const Node *n = j->lines->fold[i];
        Acc a = join_one(lo, j, n);
        ks_store(k, lo->scope->block, j->to[n->id], at, a.value)->lanes = v.lanes;
    }
}

void fold_group_lines(Lower *lo, FoldLines *lines)
{
    Kernel *k = lo->k;
    if (!k->threads || lines->count <= FEW_LINES)
        return;
    int64_t groups = ceil_div(lines->count, GROUP), each = lo->scalar ? 1 : (int64_t)k->width;
    int64_t strips = ceil_div(larger(dim_hi(lo->ir, lines->columns), 1), each);
    uint32_t *to = NEW_ARRAY(lo->arena, uint32_t, lo->body->nodes.n + (size_t)1);
    for (uint32_t i = 0; i < lines->nfold; i++)
        to[lines->fold[i]->id] = fold_partials(
            lo, lines->fold[i], dim_mul(lo->ir, lines->columns, dim_const(lo->ir, groups)));
    KPhase *phase = kernel_phase(k, "groups", dim_const(lo->ir, strips * groups),
                                 "adds up partial results in groups");
    scope_begin(lo, phase);
    const KExpr *task = lower_task(lo), *n = ke_int(k, strips), *size = ke_int(k, each);
    Join j = {.lines = lines, .from = lines->partial, .to = to, .unroll = true};
    j.line = ks_let(k, &phase->body, "group", ke_index(k, KI_DIV, task, n));
    const KExpr *lo_line = ke_mul(lo, j.line, ke_int(k, GROUP));
    j.lo = ks_let(k, &phase->body, "first", lo_line);
    j.hi = ks_let(k, &phase->body, "end",
                  ke_min(lo, ke_add(lo, j.lo, ke_int(k, GROUP)), ke_int(k, lines->count)));
    LanesSpec spec = {.stem = "r", .extent = lines->columns};
    spec.lo = ks_let(k, &phase->body, "from", ke_mul(lo, ke_index(k, KI_MOD, task, n), size));
    spec.hi = ke_min(lo, ke_add(lo, spec.lo, size), ke_extent(k, lines->columns));
    spec.hi = ks_let(k, &phase->body, "to", spec.hi);
    lower_lanes(lo, &spec, join_group, &j);
    lines->partial = to;
    lines->count = groups;
}
