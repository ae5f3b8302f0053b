/* targets.c: what plans are compiled for, and where they run: --target, --device, --arch, --isa.
 *
 * Commands that run a program compile it for the device that they run it on; the others for the CPU,
 * unless they are told. An option that changes nothing is an error, before any work is done. */
#include "targets.h"

static const char usual_simt[] = "sm_80", usual_cuda[] = "sm_90a";

/* ---- the command line ---- */

static bool kind_find(const char *word, size_t n, PlanTargetKind *kind)
{
    for (int k = PLAN_CPU; k <= PLAN_CUDA; k++) {
        const char *name = plan_target_kind((PlanTargetKind)k);
        *kind = (PlanTargetKind)k;
        if (strlen(name) == n && strncmp(name, word, n) == 0)
            return true;
    }
    return false;
}

/* "cpu", or "cuda:sm_80": n bytes of text. */
static bool parse_target(Cli *cli, const char *text, size_t n, Err *err)
{
    const char *colon = memchr(text, ':', n);
    size_t word = colon ? (size_t)(colon - text) : n;
    CompileTarget t = {0};
    if (!kind_find(text, word, &t.kind) || (colon && word + 1 == n)) {
        usage_error(err, "--target takes cpu or cuda, got `%.*s`", (int)n, text);
        return err_help(err, "an instruction set or architecture may follow: --target "
                             "cpu:avx2,cuda:sm_80");
    }
    if (colon)
        t.isa = arena_strndup(cli->arena, colon + 1, n - word - 1);
    if (cli->targets->all.n == PLAN_MAX_TARGETS)
        return usage_error(err, "--target takes at most %d targets", PLAN_MAX_TARGETS);
    VEC_PUSH(cli->arena, &cli->targets->all, t);
    return true;
}

static bool parse_targets(Cli *cli, Err *err)
{
    const char *at = cli->value[OPT_target];
    for (size_t n; at; at = at[n] ? at + n + 1 : NULL) {
        n = strcspn(at, ",");
        if (!parse_target(cli, at, n, err))
            return false;
    }
    return true;
}

static bool runs(const Cli *cli)
{
    return cli->command && option_belongs(option_at(OPT_threads), cli->command->name);
}

/* Plans may be compiled for a kind of device that this program cannot run. */
static bool parse_device(Cli *cli, Err *err)
{
    const char *name = cli->value[OPT_device];
    PlanTargetKind kind;
    cli->targets->device = RT_AUTO;
    if (!name || rt_device_find(name, &cli->targets->device) ||
        (!runs(cli) && kind_find(name, strlen(name), &kind)))
        return true;
    return usage_error(err, "--device is one of %s, got `%s`", option_at(OPT_device)->argument,
                       name);
}

static bool device_is(const Cli *cli, const char *name)
{
    return cli_has(cli, OPT_device) && strcmp(cli->value[OPT_device], name) == 0;
}

static bool lacks_isa(const Cli *cli)
{
    for (uint32_t t = 0; t < cli->targets->all.n; t++)
        if (cli->targets->all.at[t].kind == PLAN_CPU && !cli->targets->all.at[t].isa)
            return true;
    return false;
}

static bool effects(const Cli *cli, Err *err)
{
    bool target = cli_has(cli, OPT_target), gpu = device_is(cli, "cuda") || device_is(cli, "simt");
    if (target && !runs(cli) && cli_has(cli, OPT_device)) {
        usage_error(err, "--device has no effect beside --target");
        return err_help(err, "it is short for --target with one target");
    }
    if (target && cli_has(cli, OPT_arch)) {
        usage_error(err, "--arch has no effect beside --target");
        return err_help(err, "say it there: --target cuda:%s", cli->value[OPT_arch]);
    }
    if (target && cli_has(cli, OPT_isa) && !lacks_isa(cli))
        return usage_error(err, "--isa has no effect: no target is a CPU of any kind");
    if (!target && gpu && cli_has(cli, OPT_isa)) {
        usage_error(err, "--isa has no effect: it is of CPUs");
        return err_help(err, "the architecture of a GPU: --arch %s", usual_simt);
    }
    bool none = !cli_has(cli, OPT_device) && !runs(cli);
    if (!target && cli_has(cli, OPT_arch) &&
        (device_is(cli, "cpu") || none || cli_has(cli, OPT_isa))) {
        usage_error(err, "--arch has no effect: it is of GPUs");
        return err_help(err, "mdl %s .. --device cuda --arch %s", cli->command->name,
                        cli->value[OPT_arch]);
    }
    return true;
}

bool targets_parse(Cli *cli, Err *err)
{
    cli->targets = NEW(cli->arena, TargetOptions);
    return parse_targets(cli, err) && parse_device(cli, err) && effects(cli, err);
}

/* ---- compiling ---- */

static bool interprets(const Cli *cli)
{
    return cli_has(cli, OPT_reference) || cli_has(cli, OPT_bits);
}

/* What the device on which the program will run takes. */
static bool here(const Cli *cli, CompileTarget *out, Err *err)
{
    RtHere found;
    RtDevice wish = cli->targets->device;
    if (wish == RT_AUTO && cli_has(cli, OPT_isa))
        wish = RT_CPU;
    if (!rt_device_here(wish, &found, err))
        return false;
    *out = (CompileTarget){.kind = found.kind};
    if (found.kind == PLAN_CUDA)
        out->isa = cli_has(cli, OPT_arch) ? cli->value[OPT_arch] : found.isa;
    else if (cli_has(cli, OPT_arch)) {
        usage_error(err, "--arch has no effect: it is of GPUs, and this runs on the %s",
                    rt_device_name(found.device));
        return err_help(err, "say on which: --device simt --arch %s", cli->value[OPT_arch]);
    }
    return true;
}

/* `compile` is told, or makes a plan for the CPU. */
static bool told(const Cli *cli, CompileTarget *out, Err *err)
{
    *out = (CompileTarget){.kind = PLAN_CPU};
    if (device_is(cli, "auto"))
        return here(cli, out, err);
    if (!device_is(cli, "cuda") && !device_is(cli, "simt"))
        return true;
    const char *usual = device_is(cli, "simt") ? usual_simt : usual_cuda;
    *out = (CompileTarget){PLAN_CUDA, cli_has(cli, OPT_arch) ? cli->value[OPT_arch] : usual};
    return true;
}

bool targets_choose(Cli *cli, CompileOptions *opt, Err *err)
{
    opt->isa = cli->value[OPT_isa];
    opt->prelude_hash = rt_prelude_hash;
    if (!cli->targets->all.n && !interprets(cli)) {
        CompileTarget one;
        if (!(runs(cli) ? here(cli, &one, err) : told(cli, &one, err)))
            return false;
        VEC_PUSH(cli->arena, &cli->targets->all, one);
    }
    opt->targets = cli->targets->all.at;
    opt->ntarget = cli->targets->all.n;
    return true;
}

/* ---- plans that are there ---- */

bool options_of_plan(const Cli *cli, const char *path, Err *err)
{
    static const OptionId compile_time[] = {OPT_set,    OPT_seed, OPT_records, OPT_memory_limit,
                                            OPT_target, OPT_arch, OPT_isa};
    for (size_t i = 0; i < COUNT(compile_time); i++)
        if (cli_has(cli, compile_time[i])) {
            usage_error(err, "--%s has no effect on a finished plan",
                        option_at(compile_time[i])->name);
            return err_help(err, "give the .mdl file instead of %s", path);
        }
    return true;
}

static bool plan_has(const Plan *plan, PlanTargetKind kind, const char *isa)
{
    for (uint32_t t = 0; t < plan->ntargets; t++)
        if (plan->targets[t].kind == kind &&
            (!isa || strcmp(isa, plan_text(plan, plan->targets[t].isa)) == 0))
            return true;
    return false;
}

bool targets_are_those(Cli *cli, const Plan *plan, Err *err)
{
    OptionId lost = OPT_COUNT;
    if (cli_has(cli, OPT_isa) && !plan_has(plan, PLAN_CPU, cli->value[OPT_isa]))
        lost = OPT_isa;
    if (cli_has(cli, OPT_arch) && !plan_has(plan, PLAN_CUDA, cli->value[OPT_arch]))
        lost = OPT_arch;
    for (uint32_t t = 0; t < cli->targets->all.n && cli_has(cli, OPT_target); t++)
        if (!plan_has(plan, cli->targets->all.at[t].kind, cli->targets->all.at[t].isa))
            lost = OPT_target;
    if (lost == OPT_COUNT)
        return true;
    StrBuf have = sb_new(cli->arena);
    plan_put_targets(plan, &have);
    usage_error(err, "--%s %s has no effect: the plan of this run is for %s", option_at(lost)->name,
                cli->value[lost], sb_text(&have));
    return err_help(err, "train in another folder (--run)");
}
