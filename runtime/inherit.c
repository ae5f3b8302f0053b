/* inherit.c: a stage begins with the weights of others. Tensors are known by their keys. What the other stage
 * does not have keeps its initial value: adapters are new. Where the other stage trained a rounded
 * parameter, its master has all the bits, and is what is taken. */
#include "inherit.h"
#include "checkpoint.h"

typedef struct Inherit {
    Runtime *rt;
    const Plan *plan;
    const RtSource *source;
    Arena *arena;
    StFile *weights, *state;
} Inherit;

static bool same_shape(const Inherit *x, const PlanTensor *want, const StTensor *have)
{
    bool same = want->rank == have->rank;
    for (uint32_t k = 0; same && k < want->rank; k++)
        same = plan_dim_hi(x->plan, want->dim[k]) == have->dim[k];
    return same;
}

static bool take(const Inherit *x, uint32_t state, const StTensor *have, Err *err)
{
    const PlanTensor *want = &x->plan->tensors[x->plan->states[state].tensor];
    DType to = (DType)want->dtype;
    if (!same_shape(x, want, have) || have->dtype == DT_COUNT)
        return err_set(err, ERR_DATA, "%s: %s has another shape or type than `%s`",
                       x->source->run_dir, have->name, plan_text(x->plan, want->path));
    RtLoan at;
    if (!rt_lend_state(x->rt, state, RT_WRITE, &at, err))
        return false;
    if (to == have->dtype && at.bytes)
        memcpy(at.data, have->data, at.bytes);
    for (size_t i = 0, n = to == have->dtype ? 0 : st_count(have); i < n; i++)
        dtype_store(to, at.data, i, st_load(have, i));
    return rt_return(x->rt, &at, err);
}

/* Of a parameter, a buffer or a master: its value in the other stage, or NULL. */
static const StTensor *weight_of(const Inherit *x, const PlanState *s)
{
    const PlanState *w = s->kind == PS_MASTER ? &x->plan->states[s->of] : s;
    const char *key = plan_text(x->plan, w->key);
    if (!*key || (x->source->keys && !map_get(x->source->keys, hash_text(key))))
        return NULL;
    const char *path = plan_text(x->plan, x->plan->tensors[w->tensor].path);
    const StTensor *exact = st_find(x->state, arena_printf(x->arena, "%s.master", path));
    return exact ? exact : st_find(x->weights, key);
}

static const StTensor *find(const Inherit *x, const PlanState *s)
{
    bool optimizer = x->plan->runs[0].carry & PLAN_CARRY_OPTIMIZER;
    switch ((PlanStateKind)s->kind) {
    case PS_PARAM:
    case PS_BUFFER:
    case PS_MASTER:
        return weight_of(x, s);
    case PS_OPT:
        return optimizer && s->init != PI_COPY
                   ? st_find(x->state, plan_text(x->plan, x->plan->tensors[s->tensor].path))
                   : NULL;
    case PS_GRAD:
    case PS_LOOP:
    case PS_KV:
    case PS_CODES:
    case PS_SCALE:
        break;
    }
    return NULL;
}

static bool take_all(const Inherit *x, Err *err)
{
    for (uint32_t i = 0; i < x->plan->nstates; i++) {
        const StTensor *have = find(x, &x->plan->states[i]);
        if (have && !take(x, i, have, err))
            return false;
    }
    return init_copies(x->rt, err);
}

static bool open_and_take(Inherit *x, CkptPosition *pos, Err *err)
{
    CkptPosition there;
    const char *dir = ckpt_find(x->arena, x->source->run_dir, &there, err);
    if (!dir)
        return false;
    x->weights = st_open(path_join(x->arena, dir, "weights.safetensors"), err);
    x->state = st_open(path_join(x->arena, dir, "state.safetensors"), err);
    if (!x->weights || !x->state || !take_all(x, err))
        return false;
    if (x->plan->runs[0].carry & PLAN_CARRY_DATA) {
        pos->sample = there.sample;
        pos->seed = there.seed;
    }
    return true;
}

bool inherit(Runtime *rt, const RtSource *source, CkptPosition *pos, Err *err)
{
    Inherit x = {.rt = rt, .plan = rt_plan(rt), .source = source, .arena = arena_new()};
    bool ok = open_and_take(&x, pos, err);
    if (x.weights)
        st_close(x.weights);
    if (x.state)
        st_close(x.state);
    arena_free(x.arena);
    return ok;
}
