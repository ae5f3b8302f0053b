/* cmd_bisect.c: `mdl bisect`: which kernel is the first to compute something else than it should.
 *
 * A stage's `micro` and `update` run as they are planned, beside the interpreter (lockstep.c). The kernel
 * that differs is taken apart (bisect_inside.c), and a folder has what is needed to look at it. */
#include "bisect_inside.h"
#include "execute.h"

typedef struct Bisect {
    Cli *cli;
    Compile *c;
    Runtime *rt;
    const int64_t *sym_values; /* by DimSym */
    const char *dir;           /* for the repro */
} Bisect;

/* ---- the report ---- */

typedef struct Report {
    const Bisect *b;
    const char *entry;
    const Fault *fault;
    const PlanKernel *kernel;
    const char *inside; /* a line about the kernel's operations */
    Arena *arena;
} Report;

static void push(Arena *arena, Tensors *out, const char *name, const Value *v)
{
    Want w = {.name = name, .dtype = DT_F64, .rank = v->rank};
    memcpy(w.dim, v->dim, v->rank * sizeof *v->dim);
    tensor_push(arena, out, &w, v->at);
}

static bool write_text(const char *path, const char *text, Err *err)
{
    return file_write_atomic(path, text, strlen(text), err);
}

static const char *headline(const Report *r)
{
    const Plan *p = rt_plan(r->b->rt);
    const Difference *d = &r->fault->difference;
    const char *set = r->fault->set ? arena_printf(r->arena, ", tensor set %u", r->fault->set) : "";
    return arena_printf(
        r->arena,
        "%s, launch %u of %s%s: result %u, element %lld is %.9g instead of %.9g (bound %.2g)",
        plan_text(p, r->kernel->name), r->fault->launch, r->entry, set, d->result,
        (long long)d->element, d->got, d->want, d->bound);
}

static bool write_tensors(const Report *r, Err *err)
{
    const Graph *body = node_def(r->fault->group)->body;
    Tensors all = {0};
    for (uint32_t k = 0; k < body->inputs.n; k++)
        push(r->arena, &all, arena_printf(r->arena, "in.%u", k), r->fault->in[k]);
    for (uint32_t k = 0; k < body->results.n; k++) {
        push(r->arena, &all, arena_printf(r->arena, "got.%u", k), r->fault->got[k]);
        if (r->fault->want)
            push(r->arena, &all, arena_printf(r->arena, "want.%u", k), r->fault->want[k]);
    }
    return st_write(path_join(r->arena, r->b->dir, "tensors.safetensors"), all.all.at, all.all.n,
                    NULL, err);
}

/* kernel.c, group.txt, tensors.safetensors: what ran, what it should compute, on what. */
static bool write_repro(const Report *r, Err *err)
{
    const char *dir = r->b->dir;
    StrBuf group_text = sb_new(r->arena), notes = sb_new(r->arena);
    def_print(node_def(r->fault->group), &group_text);
    sb_printf(
        &notes,
        "%s\n%s\n\n"
        "kernel.c             the C text; runtime/prelude/ has what it includes\n"
        "group.txt            what it should compute\n"
        "tensors.safetensors  in.N: what it read; got.N: its results; want.N: what they should\n"
        "                     be, unless it is too large to be interpreted; in f64\n",
        headline(r), r->inside);
    const Plan *p = rt_plan(r->b->rt);
    uint32_t kernel = (uint32_t)(r->kernel - p->kernels);
    return file_mkdirs(dir, err) &&
           write_text(path_join(r->arena, dir, "kernel.c"),
                      plan_text(p, plan_variant(p, kernel, rt_target(r->b->rt))->source), err) &&
           write_text(path_join(r->arena, dir, "group.txt"), sb_text(&group_text), err) &&
           write_text(path_join(r->arena, dir, "README.txt"), sb_text(&notes), err) &&
           write_tensors(r, err);
}

/* ---- inside ---- */

static const char *node_text(Arena *arena, const Ir *ir, const Node *n)
{
    StrBuf sb = sb_new(arena);
    sb_printf(&sb, "`%s`", op_info(n->op)->name);
    if (n->path)
        sb_printf(&sb, " of %s", n->path);
    if (n->span.file) {
        uint32_t line, column;
        diags_place(ir->diags, n->span, &line, &column);
        sb_printf(&sb, " at %s:%u", diags_path(ir->diags, n->span.file), line);
    }
    return sb_text(&sb);
}

static bool look_inside(Report *r, const RtCall *call, Err *err)
{
    InsideSpec spec = {r->b->cli, r->arena, r->fault, call, r->b->sym_values, r->b->rt};
    InsideVerdict verdict;
    const Node *node = NULL;
    report_progress(r->b->cli, "its operations");
    if (!bisect_inside(&spec, &verdict, &node, err))
        return false;
    report_progress(r->b->cli, "");
    const char *what = node ? node_text(r->arena, node_def(r->fault->group)->body->ir, node) : NULL;
    switch (verdict) {
    case INSIDE_ALONE:
        r->inside = arena_printf(r->arena, "inside it: %s is wrong alone", what);
        break;
    case INSIDE_FUSED:
        r->inside = arena_printf(r->arena,
                                 "inside it: every operation alone is right; fused, it is wrong "
                                 "from %s on",
                                 what);
        break;
    case INSIDE_NOWHERE:
        r->inside = "inside it: every operation alone is right, and so is what leads up to each";
        break;
    }
    return true;
}

/* ERR_REQUIRE, whose help says where the repro is. */
static bool report(const Bisect *b, const char *entry, const Fault *fault, const RtCall *call,
                   Err *err)
{
    const Plan *p = rt_plan(b->rt);
    const PlanStep *step = &p->steps[p->entries[plan_find_entry(p, entry)].step0 + fault->launch];
    Report r = {b, entry, fault, &p->kernels[step->kernel], "", arena_new()};
    bool ok = look_inside(&r, call, err);
    if (ok) {
        Err why = {0};
        printf("%s\n%s\n", headline(&r), r.inside);
        bool wrote = write_repro(&r, &why);
        err_set(err, ERR_REQUIRE, "a kernel differs from the interpreter");
        if (wrote)
            err_help(err, "%s has the kernel, what it should compute and what it read", b->dir);
        else
            err_help(err, "%s", why.text);
    }
    arena_free(r.arena);
    return false;
}

/* ---- running ---- */

static const MemPlan *memplan_of(const Bisect *b, const char *entry)
{
    const Program *p = compile_program(b->c);
    for (uint32_t i = 0; i < p->entries.n; i++)
        if (strcmp(p->entries.at[i]->name, entry) == 0)
            return compile_memplan(b->c, i);
    return NULL;
}

static void put_counts(const char *entry, LockstepCounts n)
{
    printf("%s: %u kernels compared", entry, n.compared + n.in_blocks);
    if (n.in_blocks)
        printf(", %u of them in blocks", n.in_blocks);
    if (n.large)
        printf(", %u too large to be interpreted", n.large);
    if (n.foreign)
        printf(", %u of other kinds", n.foreign);
    putchar('\n');
}

static bool run_entry(const Bisect *b, const char *entry, const RtCall *call, Err *err)
{
    const MemPlan *m = memplan_of(b, entry);
    if (!m || plan_find_entry(rt_plan(b->rt), entry) == PLAN_NONE)
        return true;
    LockstepSpec spec = {b->rt, m, call, b->sym_values};
    const Fault *fault;
    report_progress(b->cli, entry);
    Lockstep *l = lockstep_run(&spec, entry, &fault, err);
    report_progress(b->cli, "");
    if (!l)
        return false;
    put_counts(entry, lockstep_counts(l));
    bool ok = !fault || report(b, entry, fault, call, err);
    lockstep_free(l);
    return ok;
}

/* ---- the batch ---- */

/* Numbers where no batch is given: floats in -1 .. 1, 0 and 1 for whole numbers. */
static void *made_up(Cli *cli, const Want *w)
{
    int64_t n = 1;
    uint64_t state = hash_text(w->name);
    for (uint32_t k = 0; k < w->rank; k++)
        n *= w->dim[k];
    char *data = arena_alloc(cli->arena, (size_t)n * dtype_info(w->dtype)->bytes + 1);
    for (int64_t i = 0; i < n; i++) {
        state = hash_mix(state, 1);
        double x = (double)(state >> 11) / (double)(UINT64_C(1) << 52) - 1;
        dtype_store(w->dtype, data, (size_t)i, dtype_is_float(w->dtype) ? x : (double)(state & 1));
    }
    return data;
}

static bool bind_batch(Cli *cli, const Plan *plan, const StFile *batch, const void **inputs,
                       Err *err)
{
    const PlanEntry *e = &plan->entries[plan_find_entry(plan, "micro")];
    for (uint32_t i = 0; i < e->ninput; i++) {
        const PlanBinding *bind = &plan->bindings[e->input0 + i];
        const PlanTensor *t = &plan->tensors[bind->tensor];
        Want w = {.name = plan_text(plan, bind->name), .dtype = (DType)t->dtype, .rank = t->rank};
        for (uint32_t k = 0; k < t->rank; k++)
            w.dim[k] = plan_dim_hi(plan, t->dim[k]);
        const StTensor *have = batch ? tensor_find(cli, batch, &w, err) : NULL;
        if (batch && !have)
            return false;
        inputs[i] = have ? tensor_convert(cli->arena, have, w.dtype, err) : made_up(cli, &w);
        if (!inputs[i])
            return false;
    }
    return true;
}

static bool run_both(Cli *cli, Bisect *b, const StFile *batch, Err *err)
{
    const Plan *plan = rt_plan(b->rt);
    const Ir *ir = compile_program(b->c)->ir;
    int64_t *sym_values = NEW_ARRAY(cli->arena, int64_t, dim_sym_count(ir) + 1);
    int64_t *syms = NEW_ARRAY(cli->arena, int64_t, plan->nsyms + (size_t)1);
    for (uint32_t i = 0; i < dim_sym_count(ir); i++)
        sym_values[i] = dim_sym_at(ir, i)->hi;
    for (uint32_t i = 0; i < plan->nsyms; i++)
        syms[i] = plan->syms[i].hi;
    b->sym_values = sym_values;
    const void **inputs =
        NEW_ARRAY(cli->arena, const void *, plan->bindings ? plan->nbindings + (size_t)1 : 1);
    RtCall call = {.inputs = inputs, .syms = syms, .step = 1, .lr = 1e-3, .first = true};
    const char *weights = cli->value[OPT_weights];
    if (!(weights ? rt_init_from(b->rt, 0, weights, err) : rt_init(b->rt, 0, err)) ||
        !bind_batch(cli, plan, batch, inputs, err) || !run_entry(b, "micro", &call, err))
        return false;
    call.inputs = NULL;
    return run_entry(b, "update", &call, err);
}

typedef struct BisectUse {
    const char *stage;
    const StFile *batch;
} BisectUse;

static bool bisect(Cli *cli, Compile *c, void *user, Err *err)
{
    const BisectUse *u = user;
    Bytes bytes;
    if (!compile_stage_count(c))
        return err_set(err, ERR_PROGRAM, "the program has no `train` block");
    if (!u->stage && compile_stage_count(c) > 1)
        return usage_error(err, "the file has several train blocks: name one after it");
    if (!compile_stage(c, u->stage, err) || !compile_plan(c, &bytes, err))
        return false;
    Plan *plan = plan_from_bytes(bytes.data, bytes.n, err);
    Bisect b = {.cli = cli, .c = c};
    b.dir = cli->value[OPT_out] ? cli->value[OPT_out] : "bisect";
    b.rt = plan ? open_runtime(cli, plan, err) : NULL;
    bool ok = b.rt && run_both(cli, &b, u->batch, err);
    rt_close(b.rt);
    plan_free(plan);
    return ok;
}

bool cmd_bisect(Cli *cli, Err *err)
{
    const char *path = cli_file(cli, err), *batch = cli->value[OPT_batch];
    if (!path)
        return false;
    StFile *file = batch ? st_open(batch, err) : NULL;
    if (batch && !file)
        return false;
    BisectUse u = {cli->words.n ? cli->words.at[0] : NULL, file};
    bool ok = with_source(cli, &(ProgramUse){path, bisect, &u}, err);
    st_close(file);
    return ok;
}
