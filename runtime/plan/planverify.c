/* planverify.c: a plan that passes cannot make the runtime index out of bounds.
 *
 * Every reference of every array is compared with the array it points into, and every size with
 * what holds it, in arithmetic that notices overflow. The counts that multiply (arguments of steps
 * of entries) are capped, so that no file makes the checks themselves, or rt_open, run for long. */
#include "planverify.h"
#include <stdarg.h>

static const int64_t MAX_VALUE = INT64_C(1) << 62;   /* of a dim */
static const uint64_t MAX_BYTES = UINT64_C(1) << 48; /* of an arena, a tensor, scratch */
static const uint64_t MAX_FLAT = UINT64_C(1) << 24;  /* arguments and table rows over all entries */
enum { MAX_TERMS = 64, MAX_PHASES = 64, MAX_AGAIN = 1 << 20, MAX_NAMED = 4096, MAX_SYMBOL = 200 };
/* Of a block of a GPU: what all architectures have. */
enum { WARP = 32, MAX_THREADS = 1024, MAX_SHARED = 232448, MAX_BLOCKS = 32 };

/* ---- reporting ---- */

bool row_bad(const Row *r, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    err_set(r->err, ERR_DATA, "the plan is wrong at %s[%u]: %s", r->section, r->i, text);
    return err_help(r->err, "compile it again");
}

bool row_text(const Row *r, const char *field, PStr s)
{
    return s < r->plan->ntext || row_bad(r, "%s lies outside the text", field);
}

bool row_name(const Row *r, const char *field, PStr s)
{
    return row_text(r, field, s) && (r->plan->text[s] || row_bad(r, "%s is empty", field));
}

bool row_index(const Row *r, const char *field, uint32_t value, uint32_t n)
{
    return value < n || row_bad(r, "%s is %u of %u", field, value, n);
}

bool row_range(const Row *r, const char *field, uint32_t first, uint32_t count, uint32_t n)
{
    return (count <= n && first <= n - count) ||
           row_bad(r, "%s is %u..%llu of %u", field, first, (unsigned long long)first + count, n);
}

/* ---- symbols and dims ---- */

static bool verify_syms(const Plan *p, Err *err)
{
    for (uint32_t i = 0; i < p->nsyms; i++) {
        const PlanSym *s = &p->syms[i];
        const Row r = {p, err, "syms", i};
        if (!row_name(&r, "name", s->name) || !row_index(&r, "slot", s->slot, p->nslots))
            return false;
        if (p->slots[s->slot].kind != PB_SYM)
            return row_bad(&r, "slot %u does not hold an extent", s->slot);
        if (s->lo < 0 || s->hi < s->lo || s->hi > (int64_t)MAX_BYTES || s->divisor < 1)
            return row_bad(&r, "bad range %lld..%lld", (long long)s->lo, (long long)s->hi);
    }
    for (uint32_t i = 0; i < p->nslots; i++) {
        const Row r = {p, err, "slots", i};
        if (!row_text(&r, "name", p->slots[i].name))
            return false;
        if (p->slots[i].kind > PB_LEN)
            return row_bad(&r, "unknown kind %u", p->slots[i].kind);
    }
    return true;
}

/* The product in the order of plan_dim, so that no step of it can overflow later. */
static bool term_product(const Plan *p, const PlanTerm *t, bool high, int64_t *out)
{
    int64_t product = t->coef;
    for (uint32_t k = 0; k < t->nsym; k++) {
        const PlanSym *s = &p->syms[t->sym[k]];
        if (__builtin_mul_overflow(product, high ? s->hi : s->lo, &product) ||
            product > MAX_VALUE || product < -MAX_VALUE)
            return false;
    }
    *out = product;
    return true;
}

bool dim_bounds(const Plan *p, uint32_t dim, Bounds *out)
{
    *out = (Bounds){0, 0};
    for (uint32_t i = 0; i < p->dims[dim].nterm; i++) {
        const PlanTerm *t = &p->terms[p->dims[dim].term0 + i];
        int64_t at_lo, at_hi;
        if (!term_product(p, t, false, &at_lo) || !term_product(p, t, true, &at_hi))
            return false;
        if (__builtin_add_overflow(out->lo, at_lo < at_hi ? at_lo : at_hi, &out->lo) ||
            __builtin_add_overflow(out->hi, at_lo < at_hi ? at_hi : at_lo, &out->hi) ||
            out->hi > MAX_VALUE || out->lo < -MAX_VALUE)
            return false;
    }
    return true;
}

static bool verify_dims(const Plan *p, Err *err)
{
    for (uint32_t i = 0; i < p->nterms; i++) {
        const PlanTerm *t = &p->terms[i];
        const Row r = {p, err, "terms", i};
        if (t->nsym > COUNT(t->sym))
            return row_bad(&r, "%u symbols", t->nsym);
        if (t->coef > MAX_VALUE || t->coef < -MAX_VALUE)
            return row_bad(&r, "the coefficient is too large");
        for (uint32_t k = 0; k < t->nsym; k++)
            if (!row_index(&r, "symbol", t->sym[k], p->nsyms))
                return false;
    }
    for (uint32_t i = 0; i < p->ndims; i++) {
        const Row r = {p, err, "dims", i};
        Bounds b;
        if (!row_range(&r, "terms", p->dims[i].term0, p->dims[i].nterm, p->nterms))
            return false;
        if (p->dims[i].nterm > MAX_TERMS)
            return row_bad(&r, "%u terms", p->dims[i].nterm);
        if (!dim_bounds(p, i, &b))
            return row_bad(&r, "the extent overflows");
        if (b.hi < 0)
            return row_bad(&r, "the extent is negative");
    }
    return true;
}

/* ---- tensors and states ---- */

bool tensor_most(const Plan *p, const PlanTensor *t, uint64_t *out)
{
    uint64_t n = 1;
    bool zero = false;
    for (uint32_t k = 0; k < t->rank; k++) {
        Bounds b;
        if (!dim_bounds(p, t->dim[k], &b))
            return false;
        zero = zero || b.hi == 0;
        if (__builtin_mul_overflow(n, b.hi ? (uint64_t)b.hi : 1, &n) || n > MAX_BYTES)
            return false;
    }
    *out = zero ? 0 : n;
    return true;
}

static bool verify_tensor(const Row *r, const PlanTensor *t)
{
    const Plan *p = r->plan;
    uint64_t most;
    if (!row_text(r, "name", t->name) || !row_text(r, "path", t->path) ||
        !row_index(r, "dtype", t->dtype, DT_COUNT) ||
        !row_index(r, "rank", t->rank, PLAN_MAX_RANK + 1) ||
        !row_index(r, "arena", t->arena, PA_MOVING + 1))
        return false;
    for (uint32_t k = 0; k < t->rank; k++)
        if (!row_index(r, "dim", t->dim[k], p->ndims))
            return false;
    if (!tensor_most(p, t, &most) || t->bytes > MAX_BYTES)
        return row_bad(r, "the tensor is too large");
    if (t->bytes < most * dtype_info((DType)t->dtype)->bytes)
        return row_bad(r, "%llu bytes do not hold %llu elements", (unsigned long long)t->bytes,
                       (unsigned long long)most);
    if (t->arena == PA_MOVING)
        return t->offset < p->nmoves || row_bad(r, "it moves by nothing");
    if (t->arena == PA_INPUT)
        return true;
    uint64_t arena = t->arena == PA_STATE ? p->meta->state_bytes : p->meta->temp_bytes;
    if (t->offset % 64 != 0)
        return row_bad(r, "the offset is not a multiple of 64");
    if (t->bytes > arena || t->offset > arena - t->bytes)
        return row_bad(r, "it ends outside its arena");
    return true;
}

static bool verify_tensors(const Plan *p, Err *err)
{
    for (uint32_t i = 0; i < p->ntensors; i++)
        if (!verify_tensor(&(Row){p, err, "tensors", i}, &p->tensors[i]))
            return false;
    return true;
}

/* One value for each element of the axes that the values depend on. */
static bool verify_values(const Row *r, const PlanState *s)
{
    const Plan *p = r->plan;
    const PlanTensor *t = &p->tensors[s->tensor];
    uint64_t n = 1;
    if (s->init != PI_TABLE)
        return true;
    if (s->axes >> t->rank != 0)
        return row_bad(r, "its values depend on axes that it lacks");
    for (uint32_t k = 0; k < t->rank; k++) {
        Bounds b;
        if (!(s->axes >> k & 1) || !dim_bounds(p, t->dim[k], &b))
            continue;
        if (b.hi > 0 && n > p->nvalues / (uint64_t)b.hi)
            return row_bad(r, "it has more elements than there are values");
        n *= (uint64_t)b.hi;
    }
    return row_range(r, "values", s->value0, (uint32_t)n, p->nvalues);
}

static bool same_shape(const Plan *p, uint32_t a, uint32_t b)
{
    const PlanTensor *x = &p->tensors[a], *y = &p->tensors[b < p->ntensors ? b : a];
    bool same = b < p->ntensors && x->rank == y->rank;
    for (uint32_t k = 0; same && k < x->rank; k++)
        same = plan_dim_hi(p, x->dim[k]) == plan_dim_hi(p, y->dim[k]);
    return same;
}

static bool verify_state(const Row *r, const PlanState *s)
{
    const Plan *p = r->plan;
    if (!row_index(r, "tensor", s->tensor, p->ntensors) ||
        !row_index(r, "kind", s->kind, PS_SCALE + 1) || !row_text(r, "key", s->key) ||
        !row_index(r, "init", s->init, PI_COPY + 1) || !row_index(r, "trained", s->trained, 2))
        return false;
    const PlanTensor *t = &p->tensors[s->tensor];
    if (t->arena != PA_STATE)
        return row_bad(r, "its tensor is not persistent");
    for (uint32_t k = 0; k < t->rank; k++) {
        Bounds b;
        if (!dim_bounds(p, t->dim[k], &b) || b.lo != b.hi)
            return row_bad(r, "its shape is not constant");
    }
    if (!verify_values(r, s))
        return false;
    if (!verify_store(r, s))
        return false;
    if (s->init == PI_COPY && s->kind != PS_OPT)
        return row_bad(r, "it begins as a copy, and is no state of an optimizer");
    if (s->kind != PS_GRAD && s->kind != PS_OPT && s->kind != PS_MASTER)
        return true;
    if (!row_index(r, "of", s->of, p->nstates))
        return false;
    bool buffer = s->init == PI_COPY && p->states[s->of].kind == PS_BUFFER;
    if (p->states[s->of].kind != PS_PARAM && !buffer)
        return row_bad(r, "`of` is not a parameter");
    return s->init != PI_COPY || same_shape(p, s->tensor, p->states[s->of].tensor) ||
           row_bad(r, "it begins as a copy of another shape");
}

/* A span of the state arena, or the key of a state: what must not occur twice. */
typedef struct Taken {
    uint64_t from, to;
    const char *key;
    uint32_t state;
} Taken;

static int by_place(const void *a, const void *b)
{
    const Taken *x = a, *y = b;
    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    return x->state < y->state ? -1 : x->state > y->state;
}

static int by_key(const void *a, const void *b)
{
    const Taken *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : (x->state < y->state ? -1 : x->state > y->state);
}

static bool verify_distinct(const Plan *p, Taken *taken, Err *err)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->nstates; i++) {
        const PlanTensor *t = &p->tensors[p->states[i].tensor];
        if (t->bytes)
            taken[n++] = (Taken){t->offset, t->offset + t->bytes, NULL, i};
    }
    qsort(taken, n, sizeof(*taken), by_place);
    for (uint32_t i = 1; i < n; i++)
        if (taken[i].from < taken[i - 1].to)
            return row_bad(&(Row){p, err, "states", taken[i].state}, "it overlaps state %u",
                           taken[i - 1].state);
    n = 0;
    for (uint32_t i = 0; i < p->nstates; i++)
        if (p->states[i].key)
            taken[n++] = (Taken){0, 0, p->text + p->states[i].key, i};
    qsort(taken, n, sizeof(*taken), by_key);
    for (uint32_t i = 1; i < n; i++)
        if (strcmp(taken[i].key, taken[i - 1].key) == 0)
            return row_bad(&(Row){p, err, "states", taken[i].state}, "it has the key of state %u",
                           taken[i - 1].state);
    return true;
}

static bool verify_states(const Plan *p, Err *err)
{
    for (uint32_t i = 0; i < p->nstates; i++)
        if (!verify_state(&(Row){p, err, "states", i}, &p->states[i]))
            return false;
    Taken *taken = calloc(p->nstates + (size_t)1, sizeof(*taken));
    if (!taken)
        return err_set(err, ERR_DEVICE, "no memory to check the plan");
    bool ok = verify_distinct(p, taken, err);
    free(taken);
    return ok;
}

/* ---- targets ---- */

static bool same_target(const Plan *p, const PlanTarget *a, const PlanTarget *b)
{
    return a->kind == b->kind && strcmp(p->text + a->isa, p->text + b->isa) == 0;
}

static bool verify_targets(const Plan *p, Err *err)
{
    if (!p->ntargets || p->ntargets > PLAN_MAX_TARGETS) {
        err_set(err, ERR_DATA, "the plan is wrong: %u targets", p->ntargets);
        return err_help(err, "compile it again");
    }
    for (uint32_t i = 0; i < p->ntargets; i++) {
        const PlanTarget *t = &p->targets[i];
        const Row r = {p, err, "targets", i};
        if (!row_index(&r, "kind", t->kind, PLAN_CUDA + 1) ||
            !row_name(&r, "instruction set", t->isa))
            return false;
        if (t->workspace_bytes > MAX_BYTES)
            return row_bad(&r, "its workspace is too large");
        for (uint32_t k = 0; k < i; k++)
            if (same_target(p, t, &p->targets[k]))
                return row_bad(&r, "target %u once more", k);
    }
    return true;
}

/* ---- kernels ---- */

/* A C identifier, since it is looked up in compiled text. */
static bool is_symbol(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return n && !s[n] && n <= MAX_SYMBOL && !(s[0] >= '0' && s[0] <= '9');
}

static bool verify_phases(const Plan *p, Err *err)
{
    for (uint32_t i = 0; i < p->nphases; i++) {
        const Row r = {p, err, "phases", i};
        if (!row_name(&r, "symbol", p->phases[i].symbol) ||
            !row_index(&r, "tasks", p->phases[i].tasks, p->ndims))
            return false;
        if (!is_symbol(p->text + p->phases[i].symbol))
            return row_bad(&r, "the symbol is not a C name");
        const PlanPhase *f = &p->phases[i];
        if (f->threads > MAX_THREADS || f->threads % WARP)
            return row_bad(&r, "blocks of %u threads", f->threads);
        if (f->threads ? !f->team || f->threads % f->team : f->team != 0)
            return row_bad(&r, "teams of %u threads", f->team);
        if (f->shared > MAX_SHARED || f->blocks > MAX_BLOCKS ||
            (!f->threads && (f->shared || f->blocks)))
            return row_bad(&r, "%u bytes of shared memory, %u blocks", f->shared, f->blocks);
        if (f->stays > PLAN_MAX_CLUSTER || (f->stays && f->team != f->threads))
            return row_bad(&r, "blocks of %u threads stay for tasks of %u", f->threads, f->team);
        if (f->waits > (f->threads > 0))
            return row_bad(&r, "waits %u, with blocks of %u threads", f->waits, f->threads);
    }
    return true;
}

static bool verify_variants(const Plan *p, Err *err)
{
    for (uint32_t i = 0; i < p->nvariants; i++) {
        const PlanVariant *v = &p->variants[i];
        const Row r = {p, err, "variants", i};
        if (!row_name(&r, "source", v->source) ||
            !row_range(&r, "phases", v->phase0, v->nphase, p->nphases) ||
            !row_range(&r, "maps", v->map0, v->nmap, p->nmaps) ||
            !row_range(&r, "gemms", v->gemm0, v->ngemm, p->ngemms))
            return false;
        if (v->ngemm > 1)
            return row_bad(&r, "%u products of cuBLASLt", v->ngemm);
        if (v->ngemm && p->gemms[v->gemm0].workspace > v->workspace)
            return row_bad(&r, "its workspace is too small for cuBLASLt");
        if (v->nphase < 1 || v->nphase > MAX_PHASES)
            return row_bad(&r, "%u phases", v->nphase);
        if (v->nmap > PLAN_MAX_MAPS)
            return row_bad(&r, "%u maps", v->nmap);
        if (v->again > MAX_AGAIN)
            return row_bad(&r, "its phases run %u times more", v->again);
        if (v->scratch > MAX_BYTES)
            return row_bad(&r, "too much scratch");
        if (v->grain < 0 || v->grain > (int64_t)MAX_BYTES)
            return row_bad(&r, "tasks of %lld elements", (long long)v->grain);
    }
    return true;
}

/* Whether variant number `at` is one for target t. */
static bool verify_fit(const Row *r, uint32_t at, const PlanTarget *t)
{
    const Plan *p = r->plan;
    const PlanVariant *v = &p->variants[at];
    if (v->workspace > t->workspace_bytes)
        return row_bad(r, "the workspace of variant %u exceeds that of its target", at);
    for (uint32_t i = 0; i < v->nphase; i++)
        if ((p->phases[v->phase0 + i].threads > 0) != (t->kind == PLAN_CUDA))
            return row_bad(r, "variant %u is not for its target", at);
    if (v->nmap && t->kind != PLAN_CUDA)
        return row_bad(r, "variant %u has maps", at);
    if (v->ngemm && t->kind != PLAN_CUDA)
        return row_bad(r, "variant %u has a product of cuBLASLt", at);
    return true;
}

static bool verify_kernels(const Plan *p, Err *err)
{
    for (uint32_t i = 0; i < p->nkernels; i++) {
        const PlanKernel *k = &p->kernels[i];
        const Row r = {p, err, "kernels", i};
        if (!row_name(&r, "name", k->name) || !row_text(&r, "class", k->cls) ||
            !row_text(&r, "group", k->group) ||
            !row_range(&r, "variants", k->variant0, p->ntargets, p->nvariants))
            return false;
        if (k->products > k->flops || k->matrix > k->products)
            return row_bad(&r, "it has more operations in products than operations");
        for (uint32_t t = 0; t < p->ntargets; t++)
            if (!verify_fit(&r, k->variant0 + t, &p->targets[t]))
                return false;
    }
    return true;
}

static bool verify_args(const Plan *p, Err *err)
{
    for (uint32_t i = 0; i < p->nargs; i++) {
        const PlanArg *a = &p->args[i];
        const Row r = {p, err, "args", i};
        if (!row_index(&r, "kind", a->kind, PG_TABLE + 1))
            return false;
        if (a->kind == PG_TABLE) {
            if (!row_range(&r, "rows", a->row0, a->nrow, p->nrows))
                return false;
            continue;
        }
        if (!row_index(&r, "tensor", a->tensor, p->ntensors))
            return false;
        if (a->offset > p->tensors[a->tensor].bytes)
            return row_bad(&r, "the offset lies outside the tensor");
    }
    for (uint32_t i = 0; i < p->nrows; i++) {
        const Row r = {p, err, "rows", i};
        for (uint32_t k = 0; k < PLAN_ROW_BUFS; k++)
            if (p->rows[i].tensor[k] != PLAN_NONE &&
                !row_index(&r, "tensor", p->rows[i].tensor[k], p->ntensors))
                return false;
        if (p->rows[i].n < 0 || p->rows[i].n > (int64_t)MAX_BYTES)
            return row_bad(&r, "%lld elements", (long long)p->rows[i].n);
    }
    return true;
}

static bool verify_step(const Row *r, const PlanStep *s)
{
    const Plan *p = r->plan;
    if (!row_index(r, "kind", s->kind, PT_END + 1))
        return false;
    if (s->kind != PT_LAUNCH)
        return row_index(r, "loop", s->kernel, p->nloops) &&
               (s->narg == 0 || row_bad(r, "a loop with arguments"));
    if (!row_index(r, "kernel", s->kernel, p->nkernels) ||
        !row_range(r, "arguments", s->arg0, s->narg, p->nargs))
        return false;
    if (s->narg > MAX_NAMED)
        return row_bad(r, "%u arguments", s->narg);
    uint32_t tables = 0;
    for (uint32_t i = 0; i < s->narg; i++)
        tables += p->args[s->arg0 + i].kind == PG_TABLE;
    return (tables <= 1 || row_bad(r, "%u tables", tables)) && verify_mapped(r, s) &&
           verify_multiplied(r, s);
}

static bool verify_steps(const Plan *p, Err *err)
{
    for (uint32_t i = 0; i < p->nsteps; i++)
        if (!verify_step(&(Row){p, err, "steps", i}, &p->steps[i]))
            return false;
    return true;
}

/* ---- entries ---- */

/* An input tensor that a step reads but the entry does not bind would be a null pointer. */
bool plan_binds(const Plan *p, const PlanEntry *e, uint32_t tensor)
{
    if (p->tensors[tensor].arena != PA_INPUT)
        return true;
    for (uint32_t i = 0; i < e->ninput; i++)
        if (p->bindings[e->input0 + i].tensor == tensor)
            return true;
    return false;
}

/* All variants say how a table is cut into tasks, whose number does not overflow. */
static bool verify_table(const Row *r, const PlanStep *s, const PlanArg *a)
{
    const Plan *p = r->plan;
    uint64_t elements = 0;
    for (uint32_t t = 0; t < p->ntargets; t++)
        if (!plan_variant(p, s->kernel, t)->grain)
            return row_bad(r, "a table for kernel %u, which has none", s->kernel);
    for (uint32_t i = 0; i < a->nrow && elements <= MAX_BYTES; i++)
        elements += (uint64_t)p->rows[a->row0 + i].n;
    return elements <= MAX_BYTES || row_bad(r, "a table of too many elements");
}

static bool verify_use(const Row *r, const PlanEntry *e, const PlanStep *s, uint64_t *flat)
{
    const Plan *p = r->plan;
    for (uint32_t i = 0; i < s->narg; i++) {
        const PlanArg *a = &p->args[s->arg0 + i];
        uint64_t uses = a->kind == PG_TABLE ? (uint64_t)a->nrow * PLAN_ROW_BUFS : 1;
        *flat += uses * (1 + e->ninput);
        if (*flat > MAX_FLAT)
            return row_bad(r, "too many arguments in all");
        if (a->kind == PG_BUF && !plan_binds(p, e, a->tensor))
            return row_bad(r, "a step reads an input that is not bound");
        if (a->kind == PG_TABLE && !verify_table(r, s, a))
            return false;
        for (uint32_t k = 0; a->kind == PG_TABLE && k < a->nrow * PLAN_ROW_BUFS; k++) {
            uint32_t t = p->rows[a->row0 + k / PLAN_ROW_BUFS].tensor[k % PLAN_ROW_BUFS];
            if (t != PLAN_NONE && !plan_binds(p, e, t))
                return row_bad(r, "a table reads an input that is not bound");
        }
    }
    return true;
}

static bool verify_bindings(const Row *r, const PlanEntry *e)
{
    const Plan *p = r->plan;
    if (!row_range(r, "inputs", e->input0, e->ninput, p->nbindings) ||
        !row_range(r, "results", e->result0, e->nresult, p->nbindings))
        return false;
    if (e->ninput > MAX_NAMED || e->nresult > MAX_NAMED)
        return row_bad(r, "too many inputs or results");
    for (uint32_t i = 0; i < e->ninput; i++)
        if (p->tensors[p->bindings[e->input0 + i].tensor].arena != PA_INPUT)
            return row_bad(r, "input %u is not in the input arena", i);
    for (uint32_t i = 0; i < e->nresult; i++) {
        uint32_t tensor = p->bindings[e->result0 + i].tensor;
        if (!plan_binds(p, e, tensor))
            return row_bad(r, "result %u is an input that is not bound", i);
        if (p->tensors[tensor].arena == PA_MOVING)
            return row_bad(r, "result %u lies in a loop", i);
    }
    return true;
}

static bool verify_entry(const Row *r, const PlanEntry *e, uint64_t *flat, uint32_t *next_loop)
{
    const Plan *p = r->plan;
    if (!row_name(r, "name", e->name) || !verify_bindings(r, e) ||
        !row_range(r, "steps", e->step0, e->nstep, p->nsteps))
        return false;
    for (uint32_t i = 0; i < r->i; i++)
        if (strcmp(p->text + p->entries[i].name, p->text + e->name) == 0)
            return row_bad(r, "a second entry `%s`", p->text + e->name);
    *flat += e->nstep;
    for (uint32_t i = 0; i < e->nstep; i++)
        if (p->steps[e->step0 + i].kind == PT_LAUNCH &&
            !verify_use(r, e, &p->steps[e->step0 + i], flat))
            return false;
    if (!verify_nesting(r, e, next_loop))
        return false;
    return *flat <= MAX_FLAT || row_bad(r, "too many steps in all");
}

static bool verify_entries(const Plan *p, Err *err)
{
    for (uint32_t i = 0; i < p->nbindings; i++) {
        const Row r = {p, err, "bindings", i};
        if (!row_text(&r, "name", p->bindings[i].name) ||
            !row_index(&r, "tensor", p->bindings[i].tensor, p->ntensors))
            return false;
    }
    if (p->nentries > MAX_NAMED)
        return err_set(err, ERR_DATA, "the plan has too many entries: %u", p->nentries);
    uint64_t flat = 0;
    uint32_t loop = 0;
    for (uint32_t i = 0; i < p->nentries; i++)
        if (!verify_entry(&(Row){p, err, "entries", i}, &p->entries[i], &flat, &loop))
            return false;
    return true;
}

/* ---- the whole ---- */

static bool verify_meta(const Plan *p, Err *err)
{
    if (p->nmeta != 1)
        return err_set(err, ERR_DATA, "the plan has %u descriptions of itself", p->nmeta);
    if (!p->ntext || p->text[0] || p->text[p->ntext - 1])
        return err_set(err, ERR_DATA, "the plan's text is not terminated");
    const PlanMeta *m = p->meta;
    const Row r = {p, err, "meta", 0};
    if (!row_text(&r, "name", m->name) || !row_text(&r, "source path", m->source_path) ||
        !row_text(&r, "compiler", m->compiler))
        return false;
    if (m->state_bytes > MAX_BYTES || m->temp_bytes > MAX_BYTES)
        return row_bad(&r, "an arena is too large");
    return true;
}

bool plan_verify(const Plan *plan, Err *err)
{
    return verify_meta(plan, err) && verify_syms(plan, err) && verify_dims(plan, err) &&
           verify_tensors(plan, err) && verify_states(plan, err) && verify_targets(plan, err) &&
           verify_phases(plan, err) && verify_maps(plan, err) && verify_gemms(plan, err) &&
           verify_variants(plan, err) && verify_kernels(plan, err) && verify_args(plan, err) &&
           verify_loops(plan, err) && verify_steps(plan, err) && verify_entries(plan, err) &&
           verify_data(plan, err) && verify_training(plan, err);
}
