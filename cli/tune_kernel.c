/* tune_kernel.c: one plan has an entry for each candidate: the group alone, its operands as inputs. All are run on the
 * same numbers (trial.h); then they take turns, so that what the machine does beside is everybody's. */
#include "tune_kernel.h"
#include "codegen.h"
#include "cublaslt.h"
#include "passes.h"
#include "trial.h"

#include <math.h>

enum { ROUNDS = 5, MOST_TIMES = 1000, LIBRARY_ROOM = 32 << 20, MOST_SAMPLED = 1 << 20 };
/* How long a round is, and by how much faster another configuration must be to be worth a record. */
static const double round_seconds = 0.01, gain = 0.02;

/* ---- the plan ---- */

static Graph *entry_of(Arena *arena, const TuneSpec *spec, const PickConfig *config, uint32_t k)
{
    const Node *group = spec->problem->group;
    Ir *ir = spec->program->ir;
    Graph *g = graph_new(ir, arena, sym_printf(ir->syms, "trial%u", k));
    const Node **in = NEW_ARRAY(arena, const Node *, group->nin + (size_t)1);
    for (uint32_t i = 0; i < group->nin; i++)
        in[i] = graph_input(g, sym_printf(ir->syms, "x%u", i), group->in[i]->type);
    Attr attr[IR_MAX_ATTR] = {{0}};
    memcpy(attr, group->attr, group->nattr * sizeof *attr);
    Attr *own = &attr[op_attr_index(group->op, "config")];
    own->ints = config->ints;
    own->n = config->n;
    const Node *n =
        graph_op(g, &(NodeSpec){.op = group->op, .nin = group->nin, .in = in, .attr = attr});
    if (!n)
        BUG("tune: a group cannot be built alone");
    uint32_t results = n->type->is_tuple ? n->type->nelem : 1;
    for (uint32_t r = 0; r < results; r++)
        graph_result(g, sym_printf(ir->syms, "y%u", r), graph_get(g, n, r));
    return g;
}

static Plan *make_plan(Arena *arena, const TuneSpec *spec, const TuneResult *t, Err *err)
{
    Ir *ir = spec->program->ir;
    Program *p = program_new(ir, sym(ir->syms, "tune"));
    const MemPlan **plans = NEW_ARRAY(arena, const MemPlan *, t->n);
    PassCx *cx = passes_begin(ir, arena, p, spec->target);
    for (uint32_t k = 0; k < t->n; k++) {
        const Graph *g = entry_of(arena, spec, &t->trial[k].config, k);
        VEC_PUSH(arena, &p->entries, (Graph *)g);
        plans[k] = memplan_build(cx, g);
    }
    PlanBuilder *b = planb_new(arena);
    MkPlan mk = {.program = p,
                 .plans = plans,
                 .nentry = t->n,
                 .targets = spec->target,
                 .ntarget = 1,
                 .source_path = "tune"};
    codegen_plan(b, &mk);
    Bytes bytes = planb_finish(b);
    return plan_from_bytes(bytes.data, bytes.n, err);
}

/* ---- numbers ---- */

/* The body's input of an operand: of many tensor sets (ir.h at Def) each has its own. */
static uint32_t formal_of(const Node *group, uint32_t operand)
{
    const uint32_t count = (uint32_t)node_int(group, "count"), n = node_def(group)->body->inputs.n;
    const uint32_t each = count > 1 ? (group->nin - n) / (count - 1) : n;
    return operand < count * each ? operand % each : operand - (count - 1) * each;
}

static const void *make_input(Arena *arena, const Plan *p, const Node *group, uint32_t i)
{
    const PlanTensor *t = &p->tensors[p->bindings[p->entries[0].input0 + i].tensor];
    const size_t bytes = (size_t)t->bytes;
    char *data = arena_alloc(arena, bytes + 1);
    trial_fill(node_def(group)->body, formal_of(group, i), i + 1, data,
               bytes / dtype_info((DType)t->dtype)->bytes);
    return data;
}

/* Results of a trial: every step-th element of each, behind one another. */
typedef struct Sample {
    double *at;
    size_t n;
} Sample;

/* Of the entry that ran last. */
static bool take_sample(Arena *arena, Runtime *rt, uint32_t entry, Sample *out, Err *err)
{
    const Plan *p = rt_plan(rt);
    const PlanEntry *e = &p->entries[entry];
    *out = (Sample){NEW_ARRAY(arena, double, (size_t)MOST_SAMPLED *(e->nresult + (size_t)1)), 0};
    for (uint32_t i = 0; i < e->nresult; i++) {
        DType dt = (DType)p->tensors[p->bindings[e->result0 + i].tensor].dtype;
        RtLoan loan;
        if (!rt_lend_result(rt, entry, i, &loan, err))
            return false;
        size_t n = loan.bytes / dtype_info(dt)->bytes, step = n / MOST_SAMPLED + 1;
        for (size_t k = 0; k < n; k += step)
            out->at[out->n++] = dtype_load(dt, loan.data, k);
        if (!rt_return(rt, &loan, err))
            return false;
    }
    return true;
}

/* Sums in another order: of numbers up to 1, within what 16-bit results round away. */
static bool agree(const Sample *x, const Sample *y)
{
    const double *a = x->at, *b = y->at;
    double most = 0, off = 0;
    for (size_t i = 0; i < x->n; i++) {
        most = fmax(most, fabs(a[i]));
        off = fmax(off, fabs(a[i] - b[i]));
        if (isfinite(b[i]) != isfinite(a[i]))
            return false;
    }
    return off <= 0.01 * most;
}

/* ---- time ---- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool take_times(Runtime *rt, const RtCall *call, TuneResult *t, Err *err)
{
    double seconds[TUNE_MOST][ROUNDS];
    uint32_t times[TUNE_MOST];
    for (uint32_t r = 0; r <= ROUNDS; r++)
        for (uint32_t k = 0; k < t->n; k++) {
            double all = 0;
            if (t->trial[k].seconds <= 0)
                continue;
            if (r == 0)
                times[k] = 1;
            if (!rt_run(rt, k, call, err) || !rt_repeat(rt, k, times[k], &all, err))
                return false;
            if (r == 0)
                times[k] = (uint32_t)fmin(MOST_TIMES, ceil(round_seconds / fmax(all, 1e-9)));
            else
                seconds[k][r - 1] = all / times[k];
        }
    for (uint32_t k = 0; k < t->n; k++) {
        if (t->trial[k].seconds <= 0)
            continue;
        qsort(seconds[k], ROUNDS, sizeof(double), by_size);
        t->trial[k].seconds = seconds[k][ROUNDS / 2];
    }
    return true;
}

static void choose(TuneResult *t)
{
    double least = t->trial[0].seconds * (1 - gain);
    t->best = 0;
    for (uint32_t k = 1; k < t->n; k++)
        if (t->trial[k].seconds > 0 && t->trial[k].seconds < least) {
            t->best = k;
            least = t->trial[k].seconds;
        }
}

/* Whether trial k gives what the first gave, and twice the same bits; seconds > 0: to be measured. */
static bool check_trial(Runtime *rt, const RtCall *call, uint32_t k, const Sample *first,
                        TuneTrial *trial, Err *err)
{
    Arena *arena = arena_new();
    Sample once, again;
    bool ok = rt_run(rt, k, call, err) && take_sample(arena, rt, k, &once, err) &&
              rt_run(rt, k, call, err) && take_sample(arena, rt, k, &again, err);
    if (ok)
        trial->seconds =
            agree(first, &once) && memcmp(once.at, again.at, once.n * sizeof *once.at) == 0;
    arena_free(arena);
    return ok;
}

static bool run_all(Arena *arena, Runtime *rt, const Node *group, TuneResult *t, Err *err)
{
    const Plan *p = rt_plan(rt);
    const PlanEntry *e = &p->entries[0];
    const void **inputs = NEW_ARRAY(arena, const void *, e->ninput + (size_t)1);
    int64_t *syms = NEW_ARRAY(arena, int64_t, p->nsyms + (size_t)1);
    for (uint32_t i = 0; i < e->ninput; i++)
        inputs[i] = make_input(arena, p, group, i);
    for (uint32_t i = 0; i < p->nsyms; i++)
        syms[i] = p->syms[i].hi;
    const RtCall call = {.inputs = inputs,
                         .syms = syms,
                         .step = 1,
                         .first = true,
                         .past = trial_past(node_def(group)->body)};
    Sample first;
    if (!rt_run(rt, 0, &call, err) || !take_sample(arena, rt, 0, &first, err))
        return false;
    t->trial[0].seconds = 1;
    for (uint32_t k = 1; k < t->n; k++)
        if (!check_trial(rt, &call, k, &first, &t->trial[k], err))
            return false;
    if (!take_times(rt, &call, t, err))
        return false;
    choose(t);
    return true;
}

/* ---- one problem ---- */

static uint32_t candidates(Arena *arena, const TuneSpec *spec, PickConfig *out)
{
    PassCx *cx = passes_begin(spec->program->ir, arena, spec->program, spec->target);
    const Node *group = spec->problem->group;
    return pick_candidates(cx, node_def(group), node_sym(group, "class"), out);
}

/* What it would ask of cuBLASLt. */
static bool library_product(const TuneSpec *spec, PlanGemm *out)
{
    const LibraryChoice none = {.workspace = LIBRARY_ROOM};
    return spec->target->kind == TK_CUDA &&
           codegen_gemm(spec->program->ir, spec->problem->group, &none, out);
}

uint32_t tune_count(Arena *arena, const TuneSpec *spec)
{
    PickConfig all[PICK_MOST];
    PlanGemm gemm;
    return candidates(arena, spec, all) + library_product(spec, &gemm);
}

/* The algorithms that cuBLASLt would try, with the kernel of the first trial for who lacks it. */
static void add_library(Arena *arena, const TuneSpec *spec, TuneResult *t)
{
    PlanGemm gemm;
    BlasResult found[TUNE_LIBRARY];
    Err ignored = {0}; /* without it there is less to try; `mdl doctor` says why */
    LibraryChoice c = {0};
    const PickConfig *kernel = &t->trial[0].config;
    uint32_t n = library_product(spec, &gemm)
                     ? blas_ask(&gemm, found, TUNE_LIBRARY, &c.version, &ignored)
                     : 0;
    for (uint32_t i = 0; i < n; i++) {
        PickConfig *config = &t->trial[t->n++].config;
        c.workspace = found[i].workspace;
        memcpy(c.algorithm, found[i].algorithm.word, sizeof c.algorithm);
        config->ints = library_join(arena, kernel->ints, kernel->n, &c, &config->n);
    }
}

bool tune_measure(Arena *arena, const TuneSpec *spec, TuneResult *out, Err *err)
{
    PickConfig all[PICK_MOST];
    *out = (TuneResult){.n = candidates(arena, spec, all)};
    for (uint32_t k = 0; k < out->n; k++)
        out->trial[k].config = all[k];
    add_library(arena, spec, out);
    Plan *plan = make_plan(arena, spec, out, err);
    Runtime *rt = plan ? open_runtime(spec->cli, plan, err) : NULL;
    bool ok = rt && run_all(arena, rt, spec->problem->group, out, err);
    rt_close(rt);
    plan_free(plan);
    return ok;
}
