/* diff_plan.c: `mdl diff A.plan B.plan`.
 *
 * A plan is taken as facts, NAME and TEXT, in the plan's order: of the whole, of its states, kernels
 * and entries. Facts of one name are compared; so plans whose arrays are in another order, but say the
 * same, do not differ. Two plans of the same bytes have no differences, two of other bytes at least one. */
#include "diff_plan.h"
#include "plan.h"
#include <inttypes.h>

typedef struct Fact {
    const char *name, *text;
} Fact;

typedef struct Facts {
    Arena *arena;
    const Plan *plan;
    VEC(Fact) all;
} Facts;

bool path_is_plan(const char *path)
{
    size_t n = strlen(path);
    return n > 5 && strcmp(path + n - 5, ".plan") == 0;
}

static void add(Facts *f, const char *name, const char *text)
{
    Fact fact = {name, text};
    VEC_PUSH(f->arena, &f->all, fact);
}

static void add_number(Facts *f, const char *name, uint64_t n)
{
    add(f, name, arena_printf(f->arena, "%" PRIu64, n));
}

static const char *type_text_of(const Facts *f, const PlanTensor *t)
{
    StrBuf sb = sb_new(f->arena);
    sb_printf(&sb, "%s[", dtype_info((DType)t->dtype)->name);
    for (uint32_t k = 0; k < t->rank; k++)
        sb_printf(&sb, "%s%lld", k ? ", " : "", (long long)plan_dim_hi(f->plan, t->dim[k]));
    sb_putc(&sb, ']');
    return sb_text(&sb);
}

/* "cpu", so that another instruction set is a change; "cuda:sm_80" where a plan has several of a kind. */
static const char *target_name(const Facts *f, uint32_t target)
{
    const PlanTarget *at = f->plan->targets;
    const char *kind = plan_target_kind((PlanTargetKind)at[target].kind);
    uint32_t same = 0;
    for (uint32_t t = 0; t < f->plan->ntargets; t++)
        same += at[t].kind == at[target].kind;
    return same == 1 ? kind
                     : arena_printf(f->arena, "%s:%s", kind, plan_text(f->plan, at[target].isa));
}

static void add_targets(Facts *f)
{
    for (uint32_t t = 0; t < f->plan->ntargets; t++) {
        const PlanTarget *at = &f->plan->targets[t];
        add(f, arena_printf(f->arena, "target %s", target_name(f, t)),
            arena_printf(f->arena, "%s, prelude %016" PRIx64 ", workspace %" PRIu64,
                         plan_text(f->plan, at->isa), at->prelude_hash, at->workspace_bytes));
    }
}

static void add_whole(Facts *f)
{
    const PlanMeta *m = f->plan->meta;
    add(f, "program", plan_text(f->plan, m->name));
    add(f, "source",
        arena_printf(f->arena, "%s, hash %016" PRIx64, plan_text(f->plan, m->source_path),
                     m->source_hash));
    add(f, "compiler", plan_text(f->plan, m->compiler));
    add_number(f, "bytes of states", m->state_bytes);
    add_number(f, "bytes of temporaries", m->temp_bytes);
    add_targets(f);
    for (uint32_t i = 0; i < f->plan->nruns; i++) {
        const PlanRun *r = &f->plan->runs[i];
        StrBuf sb = sb_new(f->arena);
        sb_printf(&sb, "%s: batch %lld, steps %lld, epochs %g, lr %g, seed %" PRIu64,
                  plan_text(f->plan, r->stage), (long long)r->batch, (long long)r->steps, r->epochs,
                  r->lr, r->seed);
        add(f, "train", sb_text(&sb));
    }
}

static void add_states(Facts *f)
{
    for (uint32_t i = 0; i < f->plan->nstates; i++) {
        const PlanState *s = &f->plan->states[i];
        const PlanTensor *t = &f->plan->tensors[s->tensor];
        const char *text = arena_printf(f->arena, "%s, kind %u, key `%s`, init %u (%g)%s",
                                        type_text_of(f, t), s->kind, plan_text(f->plan, s->key),
                                        s->init, s->init_a, s->trained ? ", trained" : "");
        add(f, arena_printf(f->arena, "state %s", plan_text(f->plan, t->path)), text);
    }
}

static void add_kernels(Facts *f)
{
    for (uint32_t i = 0; i < f->plan->nkernels; i++) {
        const PlanKernel *k = &f->plan->kernels[i];
        for (uint32_t t = 0; t < f->plan->ntargets; t++) {
            const PlanVariant *v = plan_variant(f->plan, i, t);
            add(f,
                arena_printf(f->arena, "kernel %s for %s", plan_text(f->plan, k->name),
                             target_name(f, t)),
                arena_printf(f->arena, "%s, source %016" PRIx64 ", workspace %" PRIu64,
                             plan_text(f->plan, k->cls), v->hash, v->workspace));
        }
    }
}

/* Where an argument lies, for one launch. */
static void put_arg(const Facts *f, const PlanArg *a, StrBuf *sb)
{
    if (a->kind == PG_TABLE) {
        sb_printf(sb, " table of %u", a->nrow);
        return;
    }
    const PlanTensor *t = &f->plan->tensors[a->tensor];
    sb_printf(sb, " %s%s+%" PRIu64, t->arena == PA_STATE ? "state " : "",
              t->arena == PA_STATE ? plan_text(f->plan, t->path) : type_text_of(f, t),
              t->arena == PA_STATE ? a->offset : t->offset + a->offset);
}

static void add_entries(Facts *f)
{
    for (uint32_t i = 0; i < f->plan->nentries; i++) {
        const PlanEntry *e = &f->plan->entries[i];
        const char *name = plan_text(f->plan, e->name);
        add_number(f, arena_printf(f->arena, "launches of %s", name), e->nstep);
        for (uint32_t k = 0; k < e->nstep; k++) {
            const PlanStep *s = &f->plan->steps[e->step0 + k];
            StrBuf sb = sb_new(f->arena);
            sb_puts(&sb, s->kind == PT_LAUNCH ? plan_text(f->plan, f->plan->kernels[s->kernel].name)
                         : s->kind == PT_LOOP ? "loop"
                                              : "end");
            for (uint32_t j = 0; j < s->narg; j++)
                put_arg(f, &f->plan->args[s->arg0 + j], &sb);
            add(f, arena_printf(f->arena, "%s step %u", name, k), sb_text(&sb));
        }
    }
}

static bool read_facts(Cli *cli, const char *path, Facts *f, uint64_t *hash, Err *err)
{
    Plan *plan = plan_load(path, err);
    if (!plan)
        return false;
    *f = (Facts){.arena = cli->arena, .plan = plan};
    add_whole(f);
    add_states(f);
    add_kernels(f);
    add_entries(f);
    *hash = plan_hash(plan);
    for (uint32_t i = 0; i < f->all.n; i++) { /* the plan's text goes with it */
        f->all.at[i].name = arena_strdup(cli->arena, f->all.at[i].name);
        f->all.at[i].text = arena_strdup(cli->arena, f->all.at[i].text);
    }
    plan_free(plan);
    return true;
}

static uint32_t compare(Cli *cli, const Facts *a, const Facts *b)
{
    Map *known = map_new(cli->arena);
    bool *met = NEW_ARRAY(cli->arena, bool, b->all.n + (size_t)1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->all.n; i++)
        map_put(known, hash_text(b->all.at[i].name) | 1, (void *)((uintptr_t)i + 1));
    for (uint32_t i = 0; i < a->all.n; i++) {
        const Fact *x = &a->all.at[i];
        uintptr_t at = (uintptr_t)map_get(known, hash_text(x->name) | 1);
        if (!at) {
            printf("- %s  %s\n", x->name, x->text);
            n++;
            continue;
        }
        met[at - 1] = true;
        const Fact *y = &b->all.at[at - 1];
        if (strcmp(x->text, y->text) == 0)
            continue;
        printf("~ %s  %s -> %s\n", x->name, x->text, y->text);
        n++;
    }
    for (uint32_t i = 0; i < b->all.n; i++)
        if (!met[i]) {
            printf("+ %s  %s\n", b->all.at[i].name, b->all.at[i].text);
            n++;
        }
    return n;
}

bool diff_plans(Cli *cli, const char *a, const char *b, Err *err)
{
    Facts x, y;
    uint64_t hash[2];
    if (!read_facts(cli, a, &x, &hash[0], err) || !read_facts(cli, b, &y, &hash[1], err))
        return false;
    uint32_t n = compare(cli, &x, &y);
    if (!n && hash[0] != hash[1]) {
        puts("~ plan  other bytes: positions of data rows, offsets of states or names differ");
        n = 1;
    }
    if (!n)
        return true;
    return err_set(err, ERR_REQUIRE, "%s and %s: %u difference%s", a, b, n, n == 1 ? "" : "s");
}
