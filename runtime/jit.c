/* jit.c: the kernels of a plan as functions of the CPU.
 *
 * The plan names an instruction set, and kernels are compiled for it; what compiles and keeps them is
 * units.c. */
#include "jit.h"
#include "prelude.h"
#include "units.h"

struct Jit {
    Arena *arena;
    MdlKernelFn *phases;
    Units *units;
};

typedef struct Load {
    const Plan *plan;
    uint32_t target;
    Jit *jit;
    Arena *arena; /* of this load */
    UnitTexts texts;
} Load;

/* ---- instruction sets ---- */

typedef struct Isa {
    const char *name, *flag;
    bool (*here)(void);
} Isa;

static bool always(void)
{
    return true;
}

#if defined(__x86_64__)
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi2");
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}
#else
static bool has_avx2(void)
{
    return false;
}

static bool has_avx512(void)
{
    return false;
}
#endif

static const Isa isas[] = {
    {"generic", NULL, always},
    {"avx2", "-march=x86-64-v3", has_avx2},
    {"avx512", "-march=x86-64-v4", has_avx512},
};

int jit_isa_rank(const char *isa, Err *err)
{
    for (size_t i = 0; i < COUNT(isas); i++) {
        if (strcmp(isas[i].name, isa) != 0)
            continue;
        if (isas[i].here())
            return (int)i + 1;
        err_set(err, ERR_DEVICE, "the plan is for %s, which this machine does not have", isa);
        err_help(err, "compile it again on this machine, or with --target cpu:generic");
        return 0;
    }
    err_set(err, ERR_DATA, "the plan is for the unknown instruction set `%s`", isa);
    return 0;
}

const char *jit_isa_best(void)
{
    size_t i = COUNT(isas) - 1;
    while (i > 0 && !isas[i].here())
        i--;
    return isas[i].name;
}

static bool choose_isa(Load *l, Err *err)
{
    int rank = jit_isa_rank(plan_text(l->plan, l->plan->targets[l->target].isa), err);
    l->texts.isa_flag = rank ? isas[rank - 1].flag : NULL;
    return rank > 0;
}

/* ---- kernels ---- */

/* No -ffast-math, no contraction, no tuning to the machine: bits depend on the text and the
 * instruction set alone. */
static const char *const flags[] = {
    "-std=gnu11",
    "-O2",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fwrapv",
    "-fno-stack-protector",
    "-fPIC",
    "-shared",
    "-Wl,-Bsymbolic",
    "-w",
    NULL,
};

static const char *const nothing[] = {NULL};

/* $MDL_DEBUG */
static bool choose_debug(Load *l, Err *err)
{
    const char *what = getenv("MDL_DEBUG");
    l->texts.lines = what && strcmp(what, "lines") == 0;
    if (l->texts.lines || !what || !*what)
        return true;
    err_set(err, ERR_USAGE, "$MDL_DEBUG: `%s` is not known", what);
    return err_help(err, "`lines` compiles kernels for debuggers, with lines of the model");
}

static bool find_functions(Load *l, Err *err)
{
    const Plan *p = l->plan;
    for (uint32_t k = 0; k < p->nkernels; k++) {
        const PlanVariant *v = plan_variant(p, k, l->target);
        for (uint32_t i = 0; i < v->nphase; i++) {
            uint32_t phase = v->phase0 + i;
            const char *symbol = plan_text(p, p->phases[phase].symbol);
            void *found = units_symbol(l->jit->units, k, symbol);
            if (!found)
                return err_set(err, ERR_DATA, "kernel %s of the plan does not define %s",
                               plan_text(p, p->kernels[k].name), symbol);
            memcpy(&l->jit->phases[phase], &found, sizeof(found));
        }
    }
    return true;
}

static void list_texts(Load *l)
{
    const Plan *p = l->plan;
    const char **texts = NEW_ARRAY(l->arena, const char *, p->nkernels);
    for (uint32_t k = 0; k < p->nkernels; k++)
        texts[k] = plan_text(p, plan_variant(p, k, l->target)->source);
    l->texts.at = texts;
    l->texts.n = p->nkernels;
}

Jit *jit_load(const Plan *plan, uint32_t target, const DeviceOptions *opt, Err *err)
{
    Arena *arena = arena_new();
    Jit *jit = NEW(arena, Jit);
    jit->arena = arena;
    jit->phases = NEW_ARRAY(arena, MdlKernelFn, plan->nphases + (size_t)1);
    const UnitFlavour flavour = {.prelude_names = mdl_prelude_c_names,
                                 .prelude_texts = mdl_prelude_c_texts,
                                 .flags = flags,
                                 .link = nothing};
    Load l = {.plan = plan,
              .target = target,
              .jit = jit,
              .arena = arena_new(),
              .texts = {.flavour = &flavour}};
    list_texts(&l);
    bool ok = choose_isa(&l, err) && choose_debug(&l, err);
    if (ok)
        jit->units = units_load(&l.texts, opt, err);
    ok = ok && jit->units && find_functions(&l, err);
    arena_free(l.arena);
    if (ok)
        return jit;
    jit_unload(jit);
    return NULL;
}

void jit_unload(Jit *jit)
{
    if (!jit)
        return;
    units_unload(jit->units);
    arena_free(jit->arena);
}

MdlKernelFn jit_phase(const Jit *jit, uint32_t phase)
{
    return jit->phases[phase];
}
