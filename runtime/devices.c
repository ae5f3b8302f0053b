/* devices.c: which device a plan runs on, and for which of its targets. Every reason against a device is
 * kept until another one is found, so that who asks for too much learns why, and what to do. */
#include "devices.h"
#include "prelude.h"

typedef struct Known {
    RtDevice id;
    const DeviceVtable *v;
    bool automatic;
} Known;

static const Known known[] = {
#define DEVICE(id, name, automatic) {RT_##id, &device_##name, automatic},
#include "devices.def"
#undef DEVICE
};

const char *rt_device_name(RtDevice device)
{
    for (size_t i = 0; i < COUNT(known); i++)
        if (known[i].id == device)
            return known[i].v->name;
    return "auto";
}

bool rt_device_find(const char *name, RtDevice *out)
{
    *out = RT_AUTO;
    for (size_t i = 0; i < COUNT(known); i++)
        if (strcmp(known[i].v->name, name) == 0)
            *out = known[i].id;
    return *out != RT_AUTO || strcmp(name, "auto") == 0;
}

static bool is_ready(const Known *k, Err *err)
{
    return !k->v->ready || k->v->ready(err);
}

static bool pass_on(const Err *from, Err *err)
{
    err_set(err, from->kind, "%s", from->text);
    return *from->help ? err_help(err, "%s", from->help) : false;
}

/* Beside what a device says of itself: where the same can run without it. */
static bool or_elsewhere(const DeviceVtable *v, bool on_cpu, Err *err)
{
    if (!err || err->kind != ERR_DEVICE || !v->ready)
        return false;
    const Err own = *err;
    err->help[0] = '\0';
    return err_help(err, "%s%srun with --device %s", own.help, *own.help ? ", or " : "",
                    on_cpu ? "cpu" : "simt, on a GPU made of software: it is slow");
}

uint64_t rt_prelude_hash(PlanTargetKind kind)
{
    static const struct {
        const char *const *names, *const *texts;
    } all[] = {[PLAN_CPU] = {mdl_prelude_c_names, mdl_prelude_c_texts},
               [PLAN_CUDA] = {mdl_prelude_cuda_names, mdl_prelude_cuda_texts}};
    uint64_t hash = 0;
    for (uint32_t i = 0; all[kind].names[i]; i++)
        hash = hash_mix(hash_mix(hash, hash_text(path_base(all[kind].names[i]))),
                        hash_text(all[kind].texts[i]));
    return hash;
}

/* ---- without a plan ---- */

bool rt_device_here(RtDevice wish, RtHere *out, Err *err)
{
    Err first = {0};
    for (size_t i = 0; i < COUNT(known); i++) {
        const Known *k = &known[i];
        Err why = {0};
        if (wish == RT_AUTO ? !k->automatic : wish != k->id)
            continue;
        const char *isa = k->v->here(&why);
        if (isa && (wish != RT_AUTO || is_ready(k, &why))) {
            *out = (RtHere){k->id, k->v->kind, isa};
            return true;
        }
        or_elsewhere(k->v, true, &why);
        if (first.kind == ERR_NONE)
            first = why;
    }
    return pass_on(&first, err);
}

/* ---- for a plan ---- */

static bool has_kind(const Plan *plan, PlanTargetKind kind)
{
    for (uint32_t t = 0; t < plan->ntargets; t++)
        if (plan->targets[t].kind == kind)
            return true;
    return false;
}

static bool has_other(const Plan *plan, PlanTargetKind kind)
{
    for (uint32_t t = 0; t < plan->ntargets; t++)
        if (plan->targets[t].kind != kind)
            return true;
    return false;
}

/* What the plan is for, and what it would have to be compiled for. */
static bool no_variant(const Plan *plan, const DeviceVtable *v, Err *err)
{
    char have[128] = "";
    size_t n = 0;
    for (uint32_t t = 0; t < plan->ntargets && n < sizeof have; t++)
        n += (size_t)snprintf(have + n, sizeof have - n, "%s%s:%s", t ? "," : "",
                              plan_target_kind((PlanTargetKind)plan->targets[t].kind),
                              plan_text(plan, plan->targets[t].isa));
    err_set(err, ERR_DEVICE, "the plan has no kernels for the device %s: it is for %s", v->name,
            have);
    return err_help(err, "compile it for both: mdl compile FILE.mdl --target %s,%s -o DIR", have,
                    plan_target_kind(v->kind));
}

/* The target that suits the device best. */
static bool choose_target(const Plan *plan, const DeviceChoice *c, uint32_t *target, Err *err)
{
    Err first = {0};
    int best = 0;
    for (uint32_t t = 0; t < plan->ntargets; t++) {
        Err why = {0};
        if (plan->targets[t].kind != c->v->kind)
            continue;
        int rank = c->v->suits(c->device, plan_text(plan, plan->targets[t].isa), &why);
        if (rank > best) {
            best = rank;
            *target = t;
        }
        if (!rank && first.kind == ERR_NONE)
            first = why;
    }
    return best > 0 || pass_on(&first, err);
}

bool device_try(const Plan *plan, const DeviceVtable *v, const DeviceOptions *opt,
                DeviceChoice *out, Err *err)
{
    *out = (DeviceChoice){.v = v};
    if (!has_kind(plan, v->kind))
        return no_variant(plan, v, err);
    out->device = v->open(opt, err);
    if (out->device && choose_target(plan, out, &out->target, err))
        return true;
    if (out->device)
        v->close(out->device);
    else
        or_elsewhere(v, has_kind(plan, PLAN_CPU), err);
    return false;
}

bool device_choose(const Plan *plan, RtDevice wish, const DeviceOptions *opt, DeviceChoice *out,
                   Err *err)
{
    Err first = {0};
    for (size_t i = 0; i < COUNT(known); i++) {
        const Known *k = &known[i];
        Err why = {0};
        bool asked = wish == k->id;
        if (!asked && (wish != RT_AUTO || !k->automatic || !has_kind(plan, k->v->kind)))
            continue;
        bool waits = !asked && has_other(plan, k->v->kind) && !is_ready(k, &why);
        if (!waits && device_try(plan, k->v, opt, out, &why))
            return true;
        if (first.kind == ERR_NONE)
            first = why;
    }
    if (first.kind == ERR_NONE)
        no_variant(plan, &device_cpu, &first);
    return pass_on(&first, err);
}
