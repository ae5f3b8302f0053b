/* planprint.c: a plan as text, for `mdl dump`. The same plan always prints the same text. */
#include "plan.h"

enum { BIGGEST = 16 }; /* tensors listed under memory */

static void put_term(const Plan *p, const PlanTerm *t, StrBuf *sb)
{
    if (t->coef != 1 || !t->nsym)
        sb_printf(sb, "%lld%s", (long long)t->coef, t->nsym ? "*" : "");
    for (uint32_t k = 0; k < t->nsym; k++)
        sb_printf(sb, "%s%s", k ? "*" : "", plan_text(p, p->syms[t->sym[k]].name));
}

static void put_dim(const Plan *p, uint32_t dim, StrBuf *sb)
{
    if (!p->dims[dim].nterm)
        sb_puts(sb, "0");
    for (uint32_t i = 0; i < p->dims[dim].nterm; i++) {
        if (i)
            sb_puts(sb, " + ");
        put_term(p, &p->terms[p->dims[dim].term0 + i], sb);
    }
}

static void put_type(const Plan *p, const PlanTensor *t, StrBuf *sb)
{
    sb_puts(sb, dtype_info((DType)t->dtype)->name);
    for (uint32_t k = 0; k < t->rank; k++) {
        sb_puts(sb, k ? ", " : "[");
        put_dim(p, t->dim[k], sb);
    }
    if (t->rank)
        sb_putc(sb, ']');
}

/* ---- summary ---- */

static void put_states(const Plan *p, StrBuf *sb)
{
    static const char *const names[] = {
        [PS_PARAM] = "parameters", [PS_GRAD] = "gradients", [PS_OPT] = "optimizer",
        [PS_BUFFER] = "buffers",   [PS_LOOP] = "running",   [PS_KV] = "sequences",
        [PS_MASTER] = "masters",   [PS_CODES] = "codes",    [PS_SCALE] = "scales",
    };
    sb_puts(sb, "states     ");
    uint64_t elements = 0;
    for (uint32_t kind = 0; kind < COUNT(names); kind++) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < p->nstates; i++) {
            const PlanTensor *t = &p->tensors[p->states[i].tensor];
            n += p->states[i].kind == kind;
            if (kind == PS_PARAM && p->states[i].kind == kind)
                elements += t->bytes / dtype_info((DType)t->dtype)->bytes;
        }
        if (kind > PS_MASTER && !n)
            continue; /* only where weights are stored in few bits */
        sb_printf(sb, "%s%s %u", kind ? ", " : "", names[kind], n);
    }
    sb_printf(sb, "; %llu numbers in parameters\n", (unsigned long long)elements);
}

static void put_entries(const Plan *p, StrBuf *sb)
{
    for (uint32_t i = 0; i < p->nentries; i++) {
        const PlanEntry *e = &p->entries[i];
        uint32_t launches = 0;
        for (uint32_t k = 0; k < e->nstep; k++)
            launches += p->steps[e->step0 + k].kind == PT_LAUNCH;
        sb_printf(sb, "entry      %s: %u launches", plan_text(p, e->name), launches);
        for (uint32_t k = 0; k < e->ninput; k++) {
            const PlanBinding *b = &p->bindings[e->input0 + k];
            sb_printf(sb, "%s%s ", k ? ", " : "; in ", plan_text(p, b->name));
            put_type(p, &p->tensors[b->tensor], sb);
        }
        for (uint32_t k = 0; k < e->nresult; k++) {
            const PlanBinding *b = &p->bindings[e->result0 + k];
            sb_printf(sb, "%s%s ", k ? ", " : "; out ", plan_text(p, b->name));
            put_type(p, &p->tensors[b->tensor], sb);
        }
        sb_putc(sb, '\n');
    }
}

static void put_training(const Plan *p, StrBuf *sb)
{
    for (uint32_t i = 0; i < p->ndatas; i++) {
        const PlanData *d = &p->datas[i];
        sb_printf(sb, "data       %s:", plan_text(p, d->name));
        for (uint32_t k = 0; k < d->ncolumn; k++) {
            const PlanColumn *c = &p->columns[d->column0 + k];
            sb_printf(sb, "%s %s from %s", k ? "," : "", plan_text(p, c->name),
                      plan_text(p, c->file));
        }
        for (uint32_t k = 0; k < d->npart; k++)
            sb_printf(sb, "%s %g %s", k ? "," : " a mix of", p->parts[d->part0 + k].weight,
                      plan_text(p, p->datas[p->parts[d->part0 + k].data].name));
        if (d->source == PD_TEXT || d->source == PD_BIN)
            sb_printf(sb, " rows of %lld tokens from %s", (long long)p->streams[d->stream].length,
                      plan_text(p, p->streams[d->stream].files));
        for (uint32_t k = 0; k < d->ntext; k++)
            sb_printf(sb, "; text %s in rows of %lld tokens%s",
                      plan_text(p, p->texts[d->text0 + k].name),
                      (long long)p->texts[d->text0 + k].length, d->packs ? ", packed" : "");
        sb_puts(sb, d->shuffle ? "; shuffled\n" : "\n");
    }
    for (uint32_t i = 0; i < p->nevals; i++)
        sb_printf(sb, "eval       %s: %lld rows a call of %s\n", plan_text(p, p->evals[i].name),
                  (long long)p->evals[i].batch, plan_text(p, p->datas[p->evals[i].data].name));
    for (uint32_t i = 0; i < p->ngenerates; i++)
        sb_printf(sb, "generate   %s: context %lld, %lld tokens\n",
                  plan_text(p, p->generates[i].name), (long long)p->generates[i].context,
                  (long long)p->generates[i].max_tokens);
    for (uint32_t i = 0; i < p->nruns; i++) {
        const PlanRun *r = &p->runs[i];
        sb_printf(sb, "train      %s on %s: batch %lld, ", plan_text(p, r->model),
                  plan_text(p, p->datas[r->data].name), (long long)r->batch);
        if (r->steps)
            sb_printf(sb, "%lld steps", (long long)r->steps);
        else if (r->tokens)
            sb_printf(sb, "%lld tokens", (long long)r->tokens);
        else
            sb_printf(sb, "%g epochs", r->epochs);
        sb_printf(sb, ", lr %g, seed %llu\n", r->lr, (unsigned long long)r->seed);
    }
}

/* Of every target, by name where there are several. */
static void put_workspaces(const Plan *p, const char *before, StrBuf *sb)
{
    for (uint32_t t = 0; t < p->ntargets; t++) {
        sb_puts(sb, t ? ", " : before);
        sb_bytes(sb, p->targets[t].workspace_bytes);
        if (p->ntargets > 1)
            sb_printf(sb, " (%s)", plan_text(p, p->targets[t].isa));
    }
}

static void print_summary(const Plan *p, StrBuf *sb)
{
    const PlanMeta *m = p->meta;
    sb_printf(sb, "plan       %s, from %s\n", plan_text(p, m->name), plan_text(p, m->source_path));
    sb_printf(sb, "made by    mdl %s for ", plan_text(p, m->compiler));
    plan_put_targets(p, sb);
    sb_printf(sb, "; hash %016llx\n", (unsigned long long)p->hash);
    for (uint32_t i = 0; i < p->nsyms; i++) {
        const PlanSym *s = &p->syms[i];
        sb_printf(sb, "symbol     %s in %lld..%lld", plan_text(p, s->name), (long long)s->lo,
                  (long long)s->hi);
        if (s->divisor > 1)
            sb_printf(sb, ", a multiple of %lld", (long long)s->divisor);
        sb_putc(sb, '\n');
    }
    put_states(p, sb);
    sb_puts(sb, "memory     state ");
    sb_bytes(sb, m->state_bytes);
    sb_puts(sb, ", temporary ");
    sb_bytes(sb, m->temp_bytes);
    put_workspaces(p, ", workspace ", sb);
    sb_printf(sb, "\nkernels    %u\n", p->nkernels);
    put_entries(p, sb);
    put_training(p, sb);
}

/* ---- kernels ---- */

static void put_phase(const Plan *p, const PlanPhase *f, StrBuf *sb)
{
    put_dim(p, f->tasks, sb);
    if (f->threads)
        sb_printf(sb, " of %u threads", f->team);
    if (f->threads > f->team)
        sb_printf(sb, " in blocks of %u", f->threads);
    if (f->shared) {
        sb_puts(sb, " with ");
        sb_bytes(sb, f->shared);
    }
    if (f->stays)
        sb_puts(sb, " that stay");
    if (f->stays > 1)
        sb_printf(sb, ", %u side by side", f->stays);
    if (f->waits)
        sb_puts(sb, ", waits by itself");
}

/* argument 0 as bf16[64, K, B] */
static void put_map(const Plan *p, const PlanMap *m, StrBuf *sb)
{
    if (m->arg == PLAN_NONE)
        sb_printf(sb, "\n  workspace + %llu", (unsigned long long)m->offset);
    else
        sb_printf(sb, "\n  argument %u", m->arg);
    if (p->dims[m->first].nterm) {
        sb_puts(sb, " from ");
        put_dim(p, m->first, sb);
    }
    sb_printf(sb, " in boxes of %u", m->box[0]);
    for (uint32_t k = 1; k < m->rank; k++)
        sb_printf(sb, " x %u", m->box[k]);
    sb_printf(sb, ": %s[", dtype_info((DType)m->dtype)->name);
    for (uint32_t k = 0; k < m->rank; k++) {
        sb_puts(sb, k ? ", " : "");
        put_dim(p, m->dim[k], sb);
        if (!k)
            continue;
        sb_puts(sb, " by ");
        put_dim(p, m->stride[k - 1], sb);
    }
    sb_printf(sb, "], swizzled by %u", m->swizzle);
}

static void put_variant(const Plan *p, const PlanVariant *v, StrBuf *sb)
{
    const char *what = "; tasks ";
    for (uint32_t f = 0; f < v->nphase; f++) {
        sb_puts(sb, f ? ", then " : what);
        put_phase(p, &p->phases[v->phase0 + f], sb);
    }
    if (v->again)
        sb_printf(sb, ", all of it %u times", v->again + 1);
    if (v->scratch) {
        sb_puts(sb, "; scratch ");
        sb_bytes(sb, v->scratch);
    }
    if (v->workspace) {
        sb_puts(sb, "; workspace ");
        sb_bytes(sb, v->workspace);
    }
    for (uint32_t m = 0; m < v->nmap; m++)
        put_map(p, &p->maps[v->map0 + m], sb);
    for (uint32_t g = v->gemm0; g < v->gemm0 + v->ngemm; g++)
        sb_printf(sb, "; cuBLASLt %llu: %lld x %lld x %lld",
                  (unsigned long long)p->gemms[g].library, (long long)p->gemms[g].m,
                  (long long)p->gemms[g].n, (long long)p->gemms[g].k);
    if (v->ngemm && p->gemms[v->gemm0].batch > 1)
        sb_printf(sb, ", %lld times", (long long)p->gemms[v->gemm0].batch);
}

static void put_kernel_line(const Plan *p, uint32_t i, StrBuf *sb)
{
    const PlanKernel *k = &p->kernels[i];
    uint32_t uses = 0;
    for (uint32_t s = 0; s < p->nsteps; s++)
        uses += p->steps[s].kind == PT_LAUNCH && p->steps[s].kernel == i;
    sb_printf(sb, "kernel %u %s (%s): %u launch%s, %.3g MFLOP, ", i, plan_text(p, k->name),
              plan_text(p, k->cls), uses, uses == 1 ? "" : "es", (double)k->flops * 1e-6);
    sb_bytes(sb, k->bytes);
    if (p->ntargets == 1)
        put_variant(p, plan_variant(p, i, 0), sb);
    for (uint32_t t = 0; t < p->ntargets && p->ntargets > 1; t++) {
        sb_printf(sb, "\n  %s", plan_text(p, p->targets[t].isa));
        put_variant(p, plan_variant(p, i, t), sb);
    }
    sb_putc(sb, '\n');
}

static void put_block(StrBuf *sb, const char *text)
{
    size_t n = strlen(text);
    sb_putn(sb, text, n);
    if (n && text[n - 1] != '\n')
        sb_putc(sb, '\n');
}

static void print_groups(const Plan *p, StrBuf *sb)
{
    for (uint32_t i = 0; i < p->nkernels; i++) {
        put_kernel_line(p, i, sb);
        put_block(sb, plan_text(p, p->kernels[i].group));
        sb_putc(sb, '\n');
    }
}

static void print_source(const Plan *p, StrBuf *sb)
{
    for (uint32_t at = 0; at < p->nkernels * p->ntargets; at++) {
        uint32_t i = at / p->ntargets, t = at % p->ntargets;
        sb_printf(sb, "/* ---- kernel %u %s (%s)", i, plan_text(p, p->kernels[i].name),
                  plan_text(p, p->kernels[i].cls));
        if (p->ntargets > 1)
            sb_printf(sb, " for %s", plan_text(p, p->targets[t].isa));
        sb_puts(sb, " ---- */\n");
        put_block(sb, plan_text(p, plan_variant(p, i, t)->source));
        sb_putc(sb, '\n');
    }
}

/* ---- memory ---- */

/* The next tensor after `last` in the order (bytes descending, index ascending). */
static uint32_t next_biggest(const Plan *p, uint32_t arena, uint32_t last)
{
    uint32_t best = PLAN_NONE;
    for (uint32_t i = 0; i < p->ntensors; i++) {
        const PlanTensor *t = &p->tensors[i];
        if (t->arena != arena || i == last)
            continue;
        if (last != PLAN_NONE &&
            (t->bytes > p->tensors[last].bytes || (t->bytes == p->tensors[last].bytes && i < last)))
            continue;
        if (best == PLAN_NONE || t->bytes > p->tensors[best].bytes)
            best = i;
    }
    return best;
}

static void put_tensor(const Plan *p, uint32_t i, StrBuf *sb)
{
    const PlanTensor *t = &p->tensors[i];
    size_t line = sb->n;
    sb_puts(sb, "  ");
    sb_bytes(sb, t->bytes);
    sb_pad(sb, 14, line);
    if (t->arena != PA_INPUT)
        sb_printf(sb, " at %llu", (unsigned long long)t->offset);
    sb_pad(sb, 30, line);
    sb_printf(sb, " %s ", plan_text(p, t->name));
    put_type(p, t, sb);
    if (t->path)
        sb_printf(sb, "  %s", plan_text(p, t->path));
    sb_putc(sb, '\n');
}

static void print_memory(const Plan *p, StrBuf *sb)
{
    static const char *const names[] = {
        [PA_STATE] = "state", [PA_TEMP] = "temporary", [PA_INPUT] = "input"};
    for (uint32_t arena = 0; arena < COUNT(names); arena++) {
        uint32_t n = 0;
        uint64_t sum = 0;
        for (uint32_t i = 0; i < p->ntensors; i++)
            if (p->tensors[i].arena == arena) {
                sum += p->tensors[i].bytes;
                n++;
            }
        sb_printf(sb, "%s: ", names[arena]);
        if (arena != PA_INPUT) {
            sb_bytes(sb, arena == PA_STATE ? p->meta->state_bytes : p->meta->temp_bytes);
            sb_puts(sb, " for ");
        }
        sb_printf(sb, "%u tensors of ", n);
        sb_bytes(sb, sum);
        sb_puts(sb, " in all; the biggest:\n");
        uint32_t i = PLAN_NONE;
        for (uint32_t k = 0; k < BIGGEST && (i = next_biggest(p, arena, i)) != PLAN_NONE; k++)
            put_tensor(p, i, sb);
    }
    put_workspaces(p, "workspace: ", sb);
    sb_putc(sb, '\n');
}

/* ---- steps ---- */

static void put_step(const Plan *p, const PlanStep *s, int depth, StrBuf *sb)
{
    sb_printf(sb, "%*s%s(", 2 * depth, "", plan_text(p, p->kernels[s->kernel].name));
    for (uint32_t i = 0; i < s->narg; i++) {
        const PlanArg *a = &p->args[s->arg0 + i];
        if (i)
            sb_puts(sb, ", ");
        if (a->kind == PG_TABLE)
            sb_printf(sb, "table of %u rows", a->nrow);
        else
            sb_puts(sb, plan_text(p, p->tensors[a->tensor].name));
        if (a->kind == PG_BUF && a->offset)
            sb_printf(sb, "+%llu", (unsigned long long)a->offset);
    }
    sb_puts(sb, ")\n");
}

static void put_loop(const Plan *p, const PlanLoop *l, int depth, StrBuf *sb)
{
    sb_printf(sb, "%*sloop of at most %lld rounds%s", 2 * depth, "",
              (long long)plan_dim_hi(p, l->length), l->reverse ? " from the end" : "");
    for (uint32_t i = 0; i < l->ncarry; i++)
        sb_printf(sb, "%s %s", i ? "," : ", which carries",
                  plan_text(p, p->tensors[p->carries[l->carry0 + i].init].name));
    sb_puts(sb, ":\n");
}

static void print_steps(const Plan *p, StrBuf *sb)
{
    for (uint32_t i = 0; i < p->nentries; i++) {
        const PlanEntry *e = &p->entries[i];
        sb_printf(sb, "%s:\n", plan_text(p, e->name));
        int depth = 1;
        for (uint32_t k = 0; k < e->nstep; k++) {
            const PlanStep *step = &p->steps[e->step0 + k];
            depth -= step->kind == PT_END;
            if (step->kind == PT_LAUNCH)
                put_step(p, step, depth, sb);
            else if (step->kind == PT_LOOP)
                put_loop(p, &p->loops[step->kernel], depth, sb);
            depth += step->kind == PT_LOOP;
        }
    }
}

void plan_print(const Plan *plan, unsigned parts, StrBuf *sb)
{
    if (parts & PP_SUMMARY)
        print_summary(plan, sb);
    if (parts & PP_GROUPS)
        print_groups(plan, sb);
    if (parts & PP_SOURCE)
        print_source(plan, sb);
    if (parts & PP_MEMORY)
        print_memory(plan, sb);
    if (parts & PP_STEPS)
        print_steps(plan, sb);
}
