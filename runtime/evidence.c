/* evidence.c: the bundle of a step whose loss or gradient is not finite.
 *
 * Weights and running statistics are those from before the step, so the step can be run again: first the batch
 * and the states are searched, then every launch of the passes, in order, for the first value that is not
 * finite (NaN goes before infinity: a mask may well be -inf). */
#include "evidence.h"
#include "checkpoint.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <unistd.h>

typedef struct Search {
    Trainer *t;
    bool nan;           /* look for NaN; else for anything that is not finite */
    const char *where;  /* found in: "batch", "parameter", "kernel"; NULL: nothing yet */
    const char *name;   /* of the tensor */
    const char *kernel; /* that made it, or NULL */
    uint64_t element;
    double value;
    int64_t pass;
} Search;

/* ---- searching ---- */

/* Where element `i` of the tensor is what is looked for. */
static bool search_tensor(Search *s, const PlanTensor *tensor, const void *data, size_t n)
{
    DType type = (DType)tensor->dtype;
    for (size_t i = 0; dtype_is_float(type) && i < n; i++) {
        double v = dtype_load(type, data, i);
        if (s->nan ? !isnan(v) : isfinite(v))
            continue;
        const Plan *p = s->t->plan;
        s->name = plan_text(p, tensor->path ? tensor->path : tensor->name);
        s->element = i;
        s->value = v;
        return true;
    }
    return false;
}

static void search_states(Search *s)
{
    const Plan *p = s->t->plan;
    for (uint32_t i = 0; !s->where && i < p->nstates; i++) {
        const PlanTensor *t = &p->tensors[p->states[i].tensor];
        RtLoan at;
        Err ignored = {0};
        PlanStateKind kind = (PlanStateKind)p->states[i].kind;
        bool lasts = kind == PS_PARAM || kind == PS_BUFFER || kind == PS_OPT || kind == PS_MASTER;
        if (!lasts || !rt_lend_state(s->t->rt, i, RT_READ, &at, &ignored))
            continue;
        if (search_tensor(s, t, at.data, at.bytes / dtype_info((DType)t->dtype)->bytes))
            s->where = "state";
        rt_return(s->t->rt, &at, &ignored);
    }
}

static void search_batch(Search *s, const LoaderBatch *batch)
{
    const Plan *p = s->t->plan;
    const PlanData *d = &p->datas[s->t->run->data];
    for (uint32_t f = 0; !s->where && f < d->nfield; f++) {
        const PlanField *field = &p->fields[d->field0 + f];
        PlanTensor like = {.name = field->name, .dtype = field->dtype};
        size_t n = (size_t)batch->n;
        for (uint32_t k = 0; k < field->rank; k++)
            n *= field->dim[k];
        if (search_tensor(s, &like, batch->fields[f], n))
            s->where = "batch";
    }
}

static void search_argument(Search *s, uint32_t entry, uint32_t tensor, uint32_t kernel)
{
    const Plan *p = s->t->plan;
    RtLoan at;
    Err ignored = {0};
    if (s->where || tensor == PLAN_NONE || !rt_lend_tensor(s->t->rt, entry, tensor, &at, &ignored))
        return;
    size_t n = at.bytes / dtype_info((DType)p->tensors[tensor].dtype)->bytes;
    if (search_tensor(s, &p->tensors[tensor], at.data, n)) {
        s->where = "kernel";
        s->kernel = plan_text(p, p->kernels[kernel].name);
    }
    rt_return(s->t->rt, &at, &ignored);
}

/* What a launch reads was searched when it was made. */
static void after_launch(void *user, uint32_t entry, uint32_t i)
{
    Search *s = user;
    const Plan *p = s->t->plan;
    const PlanStep *step = &p->steps[p->entries[entry].step0 + i];
    for (uint32_t k = 0; !s->where && k < step->narg; k++) {
        const PlanArg *a = &p->args[step->arg0 + k];
        if (a->kind == PG_BUF)
            search_argument(s, entry, a->tensor, step->kernel);
        for (uint32_t r = 0; a->kind == PG_TABLE && r < a->nrow * PLAN_ROW_BUFS; r++)
            search_argument(s, entry,
                            p->rows[a->row0 + r / PLAN_ROW_BUFS].tensor[r % PLAN_ROW_BUFS],
                            step->kernel);
    }
}

static bool search_passes(Search *s, const LoaderBatch *batch, Err *err)
{
    Trainer *t = s->t;
    StepPass x = {.entry = t->run->micro, .batch = batch, .call = t->call};
    bool ok = true;
    rt_watch(t->rt, after_launch, s);
    for (; ok && !s->where && x.pass < step_passes(t, batch); x.pass++) {
        s->pass = x.pass;
        ok = step_pass(t, &x, err);
    }
    rt_watch(t->rt, NULL, NULL);
    return ok;
}

static bool search(Search *s, const LoaderBatch *batch, Err *err)
{
    for (int round = 0; round < 2 && !s->where; round++) {
        s->nan = round == 0;
        search_batch(s, batch);
        search_states(s);
        if (!s->where && !search_passes(s, batch, err))
            return false;
    }
    return true;
}

/* ---- writing ---- */

static bool write_batch(Trainer *t, const LoaderBatch *batch, const char *path, Err *err)
{
    const PlanData *d = &t->plan->datas[t->run->data];
    StTensor *at = NEW_ARRAY(t->arena, StTensor, d->nfield + (size_t)1);
    for (uint32_t f = 0; f < d->nfield; f++) {
        const PlanField *field = &t->plan->fields[d->field0 + f];
        at[f] = (StTensor){.name = plan_text(t->plan, field->name),
                           .dtype = (DType)field->dtype,
                           .rank = field->rank + 1,
                           .dim = {batch->n},
                           .data = batch->fields[f],
                           .bytes = (size_t)batch->n * dtype_info((DType)field->dtype)->bytes};
        for (uint32_t k = 0; k < field->rank; k++) {
            at[f].dim[k + 1] = field->dim[k];
            at[f].bytes *= field->dim[k];
        }
    }
    return st_write(path, at, d->nfield, NULL, err);
}

static void put_text(StrBuf *sb, const char *key, const char *text)
{
    sb_printf(sb, ",\"%s\":", key);
    sb_json(sb, text, strlen(text));
}

static const char *as_json(const Search *s, const StepFault *fault)
{
    const Trainer *t = s->t;
    StrBuf sb = sb_new(t->arena);
    sb_printf(&sb, "{\"step\":%lld,\"lr\":", (long long)t->pos.step + 1);
    sb_double(&sb, t->call.lr);
    put_text(&sb, "what", fault->what);
    put_text(&sb, "value", arena_printf(t->arena, "%g", fault->value));
    if (s->where) {
        put_text(&sb, "first", s->where);
        put_text(&sb, "tensor", s->name);
        sb_printf(&sb, ",\"element\":%" PRIu64, s->element);
        put_text(&sb, "element_value", arena_printf(t->arena, "%g", s->value));
    }
    if (s->kernel) {
        put_text(&sb, "kernel", s->kernel);
        sb_printf(&sb, ",\"pass\":%lld", (long long)s->pass);
    }
    sb_puts(&sb, "}\n");
    return sb_text(&sb);
}

static bool write_bundle(const Search *s, const LoaderBatch *batch, const StepFault *fault,
                         const char *dir, Err *err)
{
    Trainer *t = s->t;
    const char *temp = arena_printf(t->arena, "%s.tmp-%ld", dir, (long)getpid());
    const char *text = as_json(s, fault);
    CkptTensors weights = ckpt_weights(t->arena, t->rt);
    bool ok =
        file_mkdirs(temp, err) &&
        write_batch(t, batch, path_join(t->arena, temp, "batch.safetensors"), err) &&
        st_write(path_join(t->arena, temp, "weights.safetensors"), weights.at, weights.n, NULL,
                 err) &&
        file_write_atomic(path_join(t->arena, temp, "evidence.json"), text, strlen(text), err) &&
        file_remove_tree(dir, err);
    if (ok && rename(temp, dir) != 0)
        ok = err_set(err, ERR_FILE, "cannot rename %s: %s", temp, strerror(errno));
    if (!ok)
        file_remove_tree(temp, NULL);
    return ok;
}

const char *evidence_write(Trainer *t, const LoaderBatch *batch, const StepFault *fault, Err *err)
{
    Search s = {.t = t};
    const char *dir =
        arena_printf(t->arena, "%s/nan-step-%lld", t->opt->run_dir, (long long)t->pos.step + 1);
    if (!search(&s, batch, err) || !write_bundle(&s, batch, fault, dir, err))
        return NULL;
    const char *made = s.kernel ? arena_printf(t->arena, ", made by kernel %s", s.kernel) : "";
    const char *first = s.where ? arena_printf(t->arena,
                                               "; the first value that is not finite is element "
                                               "%" PRIu64 " of `%s`%s",
                                               s.element, s.name, made)
                                : "";
    return arena_printf(t->arena, "%s; batch and weights are in %s", first, dir);
}
