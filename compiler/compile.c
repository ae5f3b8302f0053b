/* compile.c: owns the order of things: front -> passes -> memory plan -> codegen, entry by entry.
 *
 * Everything lives in one arena per session: a compiler process makes one plan and ends, and graphs
 * of all entries are needed at once when kernels are deduplicated over them. */
#include "compile.h"
#include "budget.h"
#include "codegen.h"
#include "front.h"
#include "gradcheck.h"
#include "micro.h"
#include "passes.h"
#include "pick.h"

/* Run-time sizes of this name are at most so many. */
typedef struct SizeLimit {
    const char *name;
    int64_t most;
} SizeLimit;

struct Compile {
    Arena *arena;
    CompileOptions opt;
    Ir *ir;
    Front *front;
    Target targets[PLAN_MAX_TARGETS];
    uint32_t ntarget; /* 0: not chosen yet */
    /* of the stage or call elaborated last */
    PlanBuilder *builder;
    bool kernels; /* nothing will be run */
    Program *program;
    PassCx *passes;
    const char *stage;        /* or what the call is of */
    const char *staged;       /* the name that compile_stage got, "" for none; NULL: of no stage */
    uint64_t reserve;         /* of the budget: what kernels were found to need beside tensors */
    MicroChoice micro;        /* of `micro = auto` */
    const MemPlan **memplans; /* by entry; NULL until compile_lower */
    VEC(SizeLimit) sizes;     /* of compile_size */
    bool gradients_done;      /* none was too large */
    StrBuf gradients;         /* of compile_check */
};

Compile *compile_new(const CompileOptions *opt)
{
    Arena *arena = arena_new();
    Compile *c = NEW(arena, Compile);
    c->arena = arena;
    c->opt = *opt;
    c->ir = ir_new(arena, syms_new(arena), diags_new(arena));
    return c;
}

void compile_skip(Compile *c, uint32_t pass)
{
    c->opt.skip |= UINT64_C(1) << pass;
}

void compile_free(Compile *c)
{
    if (c)
        arena_free(c->arena);
}

Diags *compile_diags(Compile *c)
{
    return c->ir->diags;
}

/* ---- helpers ---- */

static void tell(const Compile *c, const char *what, const char *name)
{
    if (c->opt.progress)
        c->opt.progress(c->opt.user,
                        arena_printf(c->arena, "%s%s%s", what, *name ? " " : "", name));
}

/* Ends a step: false with ERR_PROGRAM when there are errors, which a failed step must have given. */
static bool finish(const Compile *c, bool ok, const char *step, Err *err)
{
    uint32_t n = diags_errors(c->ir->diags);
    if (n)
        return err_set(err, ERR_PROGRAM, "%s: %u error%s", c->opt.path, n, n == 1 ? "" : "s");
    if (!ok)
        BUG("%s failed without a diagnostic", step);
    return true;
}

static bool choose_target(const Compile *c, const CompileTarget *want, Target *out, Err *err)
{
    if (want->kind == PLAN_CUDA)
        return target_cuda(out, want->isa, err);
    return target_host(out, want->isa ? want->isa : c->opt.isa, err);
}

static bool choose_targets(Compile *c, Err *err)
{
    static const CompileTarget usual = {.kind = PLAN_CPU};
    const CompileTarget *want = c->opt.ntarget ? c->opt.targets : &usual;
    uint32_t n = c->opt.ntarget ? c->opt.ntarget : 1;
    if (c->ntarget)
        return true;
    if (n > COUNT(c->targets))
        return err_set(err, ERR_USAGE, "%u targets; at most %d are possible", n, PLAN_MAX_TARGETS);
    for (uint32_t t = 0; t < n; t++) {
        if (!choose_target(c, &want[t], &c->targets[t], err))
            return false;
        for (uint32_t k = 0; k < t; k++)
            if (c->targets[k].kind == c->targets[t].kind &&
                strcmp(c->targets[k].isa, c->targets[t].isa) == 0)
                return err_set(err, ERR_USAGE, "the target %s:%s twice", c->targets[t].name,
                               c->targets[t].isa);
    }
    c->ntarget = n;
    return true;
}

/* ---- front ---- */

bool compile_load(Compile *c, Err *err)
{
    FrontOptions opt = {.path = c->opt.path, .set = c->opt.sets, .nset = c->opt.nset};
    Err why = {0};
    tell(c, "reading", path_base(c->opt.path));
    c->front = front_open(c->ir, &opt, &why);
    if (c->front && c->opt.shapes)
        front_shapes_begin(c->front);
    if (why.kind == ERR_NONE || why.kind == ERR_PROGRAM)
        return finish(c, c->front != NULL, "front_open", err);
    err_set(err, why.kind, "%s", why.text);
    return *why.help ? err_help(err, "%s", why.help) : false;
}

uint64_t compile_hash(const Compile *c)
{
    return front_hash(c->front);
}

uint32_t compile_stage_count(const Compile *c)
{
    return front_stage_count(c->front);
}

const char *compile_stage_name(const Compile *c, uint32_t i)
{
    return front_stage_path(c->front, i);
}

uint32_t compile_stage_lines(Compile *c, uint32_t i, const FrontLine **out)
{
    return front_stage_lines(c->front, i, out);
}

bool compile_stage_about(Compile *c, uint32_t i, FrontStage *out, Err *err)
{
    return finish(c, front_stage_about(c->front, i, out), "front_stage_about", err);
}

static bool limit_size(Compile *c, const SizeLimit *limit)
{
    bool found = false;
    for (uint32_t i = 0; i < dim_sym_count(c->ir); i++) {
        const DimSym *s = dim_sym_at(c->ir, i);
        bool is = s->name && strcmp(s->name, limit->name) == 0 && s->lo <= limit->most;
        if (is && limit->most < s->hi)
            dim_sym_narrow(c->ir, i, limit->most);
        found = found || is;
    }
    return found;
}

static bool set_program(Compile *c, Program *program, const char *step, Err *err)
{
    if (!finish(c, program != NULL, step, err) || !choose_targets(c, err))
        return false;
    c->program = program;
    c->memplans = NULL;
    c->passes = passes_begin(c->ir, c->arena, program, &c->targets[0]);
    c->passes->others = c->targets + 1;
    c->passes->nother = c->ntarget - 1;
    c->passes->records = c->opt.records;
    c->passes->std_op = front_std_op;
    c->passes->front = c->front;
    for (uint32_t i = 0; i < c->sizes.n; i++)
        limit_size(c, &c->sizes.at[i]);
    return true;
}

/* The stage once more, with passes of so many rows; 0: all. */
static bool stage_of_rows(Compile *c, int64_t rows, Err *err)
{
    const char *name = *c->staged ? c->staged : NULL;
    tell(c, "elaborating", c->staged);
    c->builder = planb_new(c->arena);
    return set_program(c, front_stage_rows(c->front, name, rows, c->builder), "front_stage", err);
}

bool compile_stage(Compile *c, const char *name, Err *err)
{
    c->staged = name ? arena_strdup(c->arena, name) : "";
    c->stage = name ? c->staged : "the program";
    c->reserve = 0;
    c->micro = (MicroChoice){0};
    return stage_of_rows(c, 0, err);
}

bool compile_size(Compile *c, const char *name, int64_t most)
{
    const SizeLimit limit = {arena_strdup(c->arena, name), most};
    VEC_PUSH(c->arena, &c->sizes, limit);
    return limit_size(c, &limit);
}

uint32_t compile_model_count(const Compile *c)
{
    return front_model_count(c->front);
}

const char *compile_model_name(const Compile *c, uint32_t i)
{
    return front_model_name(c->front, i);
}

bool compile_model(Compile *c, uint32_t i, Err *err)
{
    tell(c, "elaborating", front_model_name(c->front, i));
    return set_program(c, front_model(c->front, i, false), "front_model", err);
}

uint32_t compile_generate_count(const Compile *c)
{
    return front_generate_count(c->front);
}

const char *compile_generate_name(const Compile *c, uint32_t i)
{
    return front_generate_name(c->front, i);
}

bool compile_generate_chats(const Compile *c, uint32_t i)
{
    return front_generate_chats(c->front, i);
}

int64_t compile_context(const Compile *c)
{
    return c->builder->generates.n ? c->builder->generates.at[0].context : 0;
}

bool compile_generate(Compile *c, uint32_t i, Err *err)
{
    tell(c, "elaborating", front_generate_name(c->front, i));
    c->staged = NULL;
    c->builder = planb_new(c->arena);
    return set_program(c, front_generate(c->front, i, c->builder), "front_generate", err);
}

_Static_assert((int)COMPILE_TRAIN == (int)MODE_TRAIN && (int)COMPILE_DECODE == (int)MODE_DECODE,
               "modes have one order");

bool compile_call(Compile *c, const CompileCall *call, Err *err)
{
    tell(c, "elaborating", call->function);
    c->staged = NULL;
    CallInput *in = NEW_ARRAY(c->arena, CallInput, call->ninput);
    for (uint32_t i = 0; i < call->ninput; i++) {
        const CompileInput *x = &call->inputs[i];
        in[i] = (CallInput){.name = x->name, .dtype = x->dtype, .rank = x->rank, .dim = x->dim};
    }
    c->builder = planb_new(c->arena);
    c->stage = arena_strdup(c->arena, call->function);
    const FrontCall fc = {.function = call->function,
                          .inputs = in,
                          .ninput = call->ninput,
                          .inputs_name = call->inputs_name,
                          .strict = call->strict,
                          .args = call->args,
                          .narg = call->narg,
                          .mode = (Mode)call->mode};
    bool blame;
    Program *p = front_call(c->front, &fc, &blame);
    if (p || !blame)
        return set_program(c, p, "front_call", err);
    return err_set(err, ERR_DATA, "%s: not what `%s` takes",
                   call->inputs_name ? call->inputs_name : "the tensors given", call->function);
}

/* ---- passes ---- */

bool compile_pass_find(const char *name, uint32_t *pass)
{
    PassId id;
    bool found = pass_find(name, &id);
    *pass = found ? (uint32_t)id : 0;
    return found;
}

const char *compile_pass_name(uint32_t pass)
{
    return pass < PASS_COUNT ? pass_info((PassId)pass)->name : NULL;
}

bool compile_pass_optional(uint32_t pass)
{
    return pass_info((PassId)pass)->need != REQUIRED;
}

const Program *compile_program(const Compile *c)
{
    return c->program;
}

/* How many passes run up to and with number `last`. */
static int passes_up_to(const Compile *c, int last)
{
    int n = 0;
    for (int id = 0; id <= last && id < PASS_COUNT; id++)
        n += !((c->opt.skip >> id) & 1) || pass_info((PassId)id)->need != OPTIONAL;
    return n;
}

static void on_pass(void *user, PassId id, const Graph *g)
{
    const Compile *c = user;
    c->opt.after_pass(c->opt.user, id, g);
}

const Graph *compile_graph(Compile *c, uint32_t entry, int after, Err *err)
{
    const Graph *g = c->program->entries.at[entry];
    if (after < 0)
        return g;
    PassOptions opt = {.skip = c->opt.skip,
                       .limit = passes_up_to(c, after),
                       .after = c->opt.after_pass ? on_pass : NULL,
                       .user = c};
    bug_push(g->name);
    Graph *out = passes_run(c->passes, g, &opt);
    bug_pop();
    return finish(c, out != NULL, "passes_run", err) ? out : NULL;
}

static void report_gradient(Compile *c, const GradFinding *f)
{
    static const char *const words[] = {[GRAD_AGREES] = "agrees",
                                        [GRAD_DIFFERS] = "differs",
                                        [GRAD_NOT_FINITE] = "not finite at any point tried",
                                        [GRAD_TOO_LARGE] = "too large to be interpreted"};
    StrBuf *sb = &c->gradients;
    sb_printf(sb, "%-20s %s", f->name, words[f->verdict]);
    if (f->verdict == GRAD_DIFFERS)
        sb_printf(sb, " in %s: %.2g relative", f->operand, f->relative);
    sb_putc(sb, '\n');
    if (f->verdict != GRAD_DIFFERS)
        return;
    Diag *d = diag_at(c->ir->diags, DIAG_E0606, f->node->span,
                      "`vjp` of `%s` differs from finite differences: %.2g relative", f->name,
                      f->relative);
    diag_note(d, "it is the derivative with respect to `%s`", f->operand);
}

/* In one direction through all parameters and inputs. */
static void report_whole(Compile *c, const Graph *entry, const GradFinding *f)
{
    StrBuf *sb = &c->gradients;
    if (f->verdict == GRAD_NOT_FINITE || f->verdict == GRAD_TOO_LARGE) {
        report_gradient(c, f);
        return;
    }
    sb_printf(sb, "%-20s %s: %.1g relative, at most %.1g\n", f->name,
              f->verdict == GRAD_AGREES ? "agrees" : "differs", f->relative, f->bound);
    if (f->verdict == GRAD_DIFFERS)
        diag_at(c->ir->diags, DIAG_E0606, f->node->span,
                "the derivative of all of `%s` differs from finite differences: %.2g relative",
                entry->name, f->relative);
}

/* done: of gradcheck_entry. False: something was too large. */
static bool check_gradients(Compile *c, PassCx *cx, const Graph *entry, Map *done)
{
    bool all_done = true, all_right = true;
    GradFindings all = {0};
    tell(c, "comparing derivatives", "");
    sb_printf(&c->gradients, "%s, %s:\n", cx->program->name ? cx->program->name : "program",
              entry->name);
    gradcheck_entry(cx, entry, done, &all);
    for (uint32_t i = 0; i < all.n; i++) {
        report_gradient(c, &all.at[i]);
        all_done = all_done && all.at[i].verdict != GRAD_TOO_LARGE;
        all_right = all_right && all.at[i].verdict != GRAD_DIFFERS;
    }
    if (!all_right) /* then the whole differs as well */
        return all_done;
    GradFinding whole;
    gradcheck_whole(cx, entry, &whole);
    report_whole(c, entry, &whole);
    return all_done && whole.verdict != GRAD_TOO_LARGE;
}

/* The functions of the models, as they are in evaluation, for small numbers of rows: of a file without
 * stages, or whose stages are too large. */
static void check_model_gradients(Compile *c)
{
    Map *done = map_new(c->arena);
    for (uint32_t i = 0; i < front_model_count(c->front); i++) {
        Arena *arena = arena_new();
        const Program *p = front_model(c->front, i, false);
        for (uint32_t k = 0; p && k < p->entries.n; k++)
            check_gradients(c, passes_begin(c->ir, arena, p, NULL), p->entries.at[k], done);
        arena_free(arena);
    }
}

/* Derivatives are part of the check: a trained parameter without one is the program's mistake. The
 * pass that differentiates says which one; mostly there is a proof that it need not be asked. */
static void check_derivatives(void *user, Program *p, Arena *arena)
{
    Compile *c = user;
    const Graph *micro = program_entry(p, "micro");
    if (micro && c->opt.gradients)
        c->gradients_done = check_gradients(c, passes_begin(c->ir, arena, p, NULL), micro, NULL) &&
                            c->gradients_done;
    if (!micro || autodiff_proves(p, micro))
        return;
    PassOptions opt = {.skip = c->opt.skip, .limit = passes_up_to(c, PASS_autodiff)};
    passes_run(passes_begin(c->ir, arena, p, NULL), micro, &opt);
}

bool compile_check(Compile *c, Err *err)
{
    tell(c, "checking", path_base(c->opt.path));
    c->gradients = sb_new(c->arena);
    c->gradients_done = true;
    bool ok = front_check_each(c->front, check_derivatives, c);
    if (ok && c->opt.gradients && (!front_stage_count(c->front) || !c->gradients_done)) {
        check_model_gradients(c);
        ok = diags_errors(c->ir->diags) == 0;
    }
    return finish(c, ok, "front_check", err);
}

const char *compile_gradients(Compile *c)
{
    return sb_text(&c->gradients);
}

const char *compile_shapes(Compile *c)
{
    StrBuf sb = sb_new(c->arena);
    front_shapes_print(c->front, &sb);
    return sb_text(&sb);
}

static const MemPlan *lower_entry(Compile *c, uint32_t i, Err *err)
{
    tell(c, "compiling", c->program->entries.at[i]->name);
    const Graph *fused = compile_graph(c, i, PASS_COUNT - 1, err);
    if (!fused)
        return NULL;
    const MemPlan *m = memplan_build(c->passes, fused);
    return finish(c, m != NULL, "memplan_build", err) ? m : NULL;
}

/* ---- memory ---- */

/* A plan of several targets fits into each. */
static uint64_t budget_of(const Compile *c)
{
    uint64_t least = c->targets[0].memory;
    for (uint32_t t = 1; t < c->ntarget; t++)
        least = c->targets[t].memory < least ? c->targets[t].memory : least;
    return c->opt.memory ? c->opt.memory : least;
}

static bool fits(const Compile *c, const MemPlan *const *plans)
{
    Need need = need_of(c->program, plans, c->program->entries.n);
    return need_total(&need) + c->reserve <= budget_of(c);
}

enum { ROUNDS = 8 };

/* `micro` with more and more values computed again until the whole fits; the smallest when none does.
 * The steps are the same for every budget and the first that fits is taken, so a smaller budget never
 * gives a larger peak. */
static bool compute_again(Compile *c, const MemPlan **plans, Err *err)
{
    double worth[ROUNDS - 1], least_worth = 0;
    uint32_t micro = 0, n = c->program->entries.n;
    while (micro < n && strcmp(c->program->entries.at[micro]->name, "micro") != 0)
        micro++;
    bool skipped = (c->opt.skip >> PASS_remat) & 1;
    const MemPlan *least = micro < n ? plans[micro] : NULL;
    if (!least || skipped || fits(c, plans))
        return true;
    const Graph *before = compile_graph(c, micro, PASS_remat - 1, err);
    uint32_t nworth = before ? remat_lambdas(c->passes, before, worth, COUNT(worth)) : 0;
    for (uint32_t i = 0; i < nworth && !fits(c, plans); i++) {
        c->passes->remat = worth[i];
        plans[micro] = lower_entry(c, micro, err);
        if (!plans[micro])
            return false;
        if (plans[micro]->arena_bytes >= least->arena_bytes)
            continue;
        least = plans[micro];
        least_worth = worth[i];
    }
    if (!fits(c, plans)) {
        plans[micro] = least;
        c->passes->remat = least_worth;
    }
    return before != NULL;
}

static int64_t rows_of_pass(const Compile *c)
{
    return c->builder && c->builder->runs.n ? c->builder->runs.at[0].rows : 0;
}

/* False after E0812. */
static bool check_budget(Compile *c, const MemPlan *const *plans, uint64_t workspace)
{
    Excess x = {.need = need_of(c->program, plans, c->program->entries.n),
                .budget = budget_of(c),
                .given = c->opt.memory != 0,
                .stage = c->stage,
                .rows = rows_of_pass(c),
                .again = program_entry(c->program, "micro") != NULL};
    x.need.workspace = workspace;
    if (need_total(&x.need) <= x.budget)
        return true;
    if (c->program->meet)
        budget_report_meet(c->ir, c->program, &x);
    else
        budget_report(c->ir, c->program, &x);
    return false;
}

static const MemPlan **lower_all(Compile *c, Err *err)
{
    uint32_t n = c->program->entries.n;
    const MemPlan **plans = NEW_ARRAY(c->arena, const MemPlan *, n + (size_t)1);
    for (uint32_t i = 0; i < n; i++) {
        plans[i] = lower_entry(c, i, err);
        if (!plans[i])
            return NULL;
    }
    return plans;
}

/* ---- micro = auto ---- */

typedef struct Trial {
    Compile *c;
    const MemPlan **plans; /* of the program as it is now */
    bool again;            /* values may be computed again */
} Trial;

static bool try_rows(void *user, int64_t rows, uint64_t *need, Err *err)
{
    Trial *t = user;
    Compile *c = t->c;
    t->plans = stage_of_rows(c, rows, err) ? lower_all(c, err) : NULL;
    if (!t->plans || (t->again && !compute_again(c, t->plans, err)))
        return false;
    Need all = need_of(c->program, t->plans, c->program->entries.n);
    *need = need_total(&all) + c->reserve;
    return true;
}

/* All rows of the batch in one pass do not fit, and a step may have several: with the most rows for which
 * nothing is computed again; where not even one row fits so, with the most rows for which it does. */
static bool divide(Compile *c, const MemPlan ***plans, Err *err)
{
    Trial t = {.c = c};
    MicroSearch x = {c->program->divides, c->program->packed, budget_of(c), try_rows, &t};
    Need all = need_of(c->program, *plans, c->program->entries.n);
    c->micro = (MicroChoice){.batch = x.batch, .whole = need_total(&all) + c->reserve};
    if (!micro_search(&x, &c->micro, err))
        return false;
    t.again = c->micro.need > x.budget;
    if (t.again && !micro_search(&x, &c->micro, err))
        return false;
    *plans = t.plans;
    return true;
}

/* Fewer rows in a pass or values that are computed again, where that may help. */
static bool make_room(Compile *c, const MemPlan ***plans, Err *err)
{
    Need need = need_of(c->program, *plans, c->program->entries.n);
    if (need.states + c->reserve > budget_of(c))
        return true;
    bool divides = c->program->divides > 1 && !c->program->meet && !fits(c, *plans);
    return divides ? divide(c, plans, err) : compute_again(c, *plans, err);
}

bool compile_lower(Compile *c, Err *err)
{
    if (c->memplans)
        return true;
    if (!c->kernels && !front_runnable(c->front, c->program))
        return finish(c, false, "front_runnable", err);
    const MemPlan **plans = lower_all(c, err);
    if (!plans)
        return false;
    if (!make_room(c, &plans, err) ||
        !finish(c, check_budget(c, plans, c->reserve), "check_budget", err))
        return false;
    c->memplans = plans;
    return true;
}

int64_t compile_passes(const Compile *c)
{
    const PlanRun *run = &c->builder->runs.at[0];
    return (run->batch + run->rows - 1) / run->rows;
}

const MicroChoice *compile_micro(const Compile *c)
{
    return c->micro.rows ? &c->micro : NULL;
}

const MemPlan *compile_memplan(const Compile *c, uint32_t entry)
{
    ASSERT(c->memplans && entry < c->program->entries.n);
    return c->memplans[entry];
}

const Kernel *compile_kernel(Compile *c, const Node *group)
{
    return codegen_lower(c->ir, c->arena, group, codegen_config(group), &c->targets[0]);
}

/* ---- the plan ---- */

/* codegen knows sizes; what the plan is called and where it comes from is said here. */
static void fill_meta(Compile *c, PlanBuilder *b)
{
    if (!b->meta.n) {
        PlanMeta none = {0};
        VEC_PUSH(b->arena, &b->meta, none);
    }
    PlanMeta *m = &b->meta.at[0];
    m->name = planb_text(b, path_stem(c->arena, c->opt.path));
    m->source_path = planb_text(b, c->opt.path);
    m->compiler = planb_text(b, MDL_VERSION);
    m->source_hash = compile_hash(c);
    for (uint32_t t = 0; t < b->targets.n && c->opt.prelude_hash; t++)
        b->targets.at[t].prelude_hash = c->opt.prelude_hash((PlanTargetKind)b->targets.at[t].kind);
}

/* Whether kernels need so much beside tensors that the budget, without that, asks for another plan. */
static bool plan_again(Compile *c, uint64_t workspace)
{
    Need need = need_of(c->program, c->memplans, c->program->entries.n);
    bool more =
        c->staged && !c->reserve && workspace && need_total(&need) + workspace > budget_of(c);
    c->reserve = more ? workspace : c->reserve;
    return more;
}

static KernelConfig config_of(void *user, const Node *group, const Target *target)
{
    const Compile *c = user;
    return pick_for(c->passes, group, target);
}

static uint64_t workspace_of(const PlanBuilder *b)
{
    uint64_t most = 0;
    for (uint32_t t = 0; t < b->targets.n; t++) {
        uint64_t mine = b->targets.at[t].workspace_bytes;
        most = mine > most ? mine : most;
    }
    return most;
}

static bool build(Compile *c, PlanBuilder *b, uint32_t nentry, Bytes *out, Err *err)
{
    MkPlan mk = {.program = c->program,
                 .plans = c->memplans,
                 .nentry = nentry,
                 .targets = c->targets,
                 .ntarget = c->ntarget,
                 .config_of = config_of,
                 .user = c,
                 .source_path = c->opt.path,
                 .source_hash = compile_hash(c)};
    if (!front_first_values(c->front, c->program))
        return finish(c, false, "front_first_values", err);
    tell(c, "writing", "kernels");
    codegen_plan(b, &mk);
    if (!finish(c, true, "codegen_plan", err))
        return false;
    if (nentry && plan_again(c, workspace_of(b)))
        return stage_of_rows(c, 0, err) && compile_plan(c, out, err);
    if (nentry && !check_budget(c, c->memplans, workspace_of(b)))
        return finish(c, false, "check_budget", err);
    fill_meta(c, b);
    *out = planb_finish(b);
    return true;
}

bool compile_plan(Compile *c, Bytes *out, Err *err)
{
    return compile_lower(c, err) && build(c, c->builder, c->program->entries.n, out, err);
}

bool compile_kernels(Compile *c, Bytes *out, Err *err)
{
    c->kernels = true;
    return compile_lower(c, err) && build(c, planb_new(c->arena), c->program->entries.n, out, err);
}

bool compile_look(Compile *c, Bytes *out, Err *err)
{
    return front_runs(c->front, c->program) ? compile_plan(c, out, err)
                                            : compile_kernels(c, out, err);
}

bool compile_states(Compile *c, Bytes *out, Err *err)
{
    return build(c, planb_new(c->arena), 0, out, err);
}
