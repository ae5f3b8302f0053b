/* predictions.c: predicted times (compiler/predict.h) as tables. Nothing runs. */
#include "predictions.h"
#include "predict.h"
#include "results.h"
#include "targets.h"

typedef struct Predict {
    Cli *cli;
    Target gpu;
    const char *of; /* the stage or block that is predicted */
    bool found;     /* the entry of --entry */
    StrBuf names;   /* of the run-time sizes of the last plan */
    uint32_t sizes; /* of --sizes .. */
    uint32_t sized; /* .. and a bit for each that is there */
} Predict;

bool predict_target(Cli *cli, Err *err)
{
    Target gpu;
    if (!target_machine(&gpu, cli->value[OPT_predict], err))
        return false;
    VEC_PUSH(cli->arena, &cli->targets->all, ((CompileTarget){PLAN_CUDA, gpu.isa}));
    return true;
}

/* ---- printing ---- */

static const char *bound_of(const PredictRow *r)
{
    return r->one.memory > r->one.arithmetic ? "memory" : "arithmetic";
}

static void put_text(const Predict *x, const Plan *p, const PredictEntry *e)
{
    printf("%s, entry %s: predicted for %s (%s): %.3f ms, %.4g GFLOP in products, %.4g GB\n", x->of,
           e->name, x->gpu.machine, x->gpu.isa, e->seconds * 1e3, e->products * 1e-9,
           e->bytes * 1e-9);
    puts(" share  launches  predicted us     GFLOP        MB  bound       class          kernel");
    for (uint32_t i = 0; i < e->n; i++) {
        const PredictRow *r = &e->rows[i];
        printf("%5.1f%%  %8.0f  %12.1f  %8.3f  %8.2f  %-10s  %-13s  %s\n",
               100 * r->launches * r->one.seconds / e->seconds, r->launches, r->one.seconds * 1e6,
               r->work.flops * 1e-9, r->work.bytes * 1e-6, bound_of(r),
               plan_text(p, r->kernel->cls), plan_text(p, r->kernel->name));
    }
    putchar('\n');
}

static bool put_json(const Predict *x, const Plan *p, const PredictEntry *e, Err *err)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < e->n; i++) {
        const PredictRow *r = &e->rows[i];
        json_array_append_new(all, json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:s}", "name",
                                             plan_text(p, r->kernel->name), "class",
                                             plan_text(p, r->kernel->cls), "launches", r->launches,
                                             "predicted", r->one.seconds, "flops", r->work.flops,
                                             "matrix_flops", r->work.matrix, "bytes", r->work.bytes,
                                             "bound", bound_of(r)));
    }
    json_t *root = json_pack("{s:s, s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:o}", "schema",
                             "mdl.predict.1", "of", x->of, "entry", e->name, "machine",
                             x->gpu.machine, "isa", x->gpu.isa, "predicted", e->seconds,
                             "product_flops", e->products, "bytes", e->bytes, "kernels", all);
    return print_json(root, 6) || err_set(err, ERR_DATA, "the result cannot be written as JSON");
}

/* A step of training: as many passes as the batch takes, and the update. */
static void put_step(Predict *x, double micro, double update, int64_t passes)
{
    if (x->cli->value[OPT_entry] || cli_has(x->cli, OPT_json) || micro <= 0)
        return;
    printf("%s, a step of %lld pass%s: predicted for %s: %.3f ms\n\n", x->of, (long long)passes,
           passes == 1 ? "" : "es", x->gpu.machine, ((double)passes * micro + update) * 1e3);
}

/* --sizes; one that no entry has is an error in the end. */
static bool set_sizes(Predict *x, Compile *c, Err *err)
{
    const char *at = x->cli->value[OPT_sizes];
    for (uint32_t i = 0; at; i++) {
        size_t n = strcspn(at, ","), name = strcspn(at, "=");
        char *end = NULL;
        long long most = name < n ? strtoll(at + name + 1, &end, 10) : 0;
        if (!end || end != at + n || most < 1 || !name || i == 32)
            return usage_error(err, "--sizes takes NAME=N,.., got `%s`", x->cli->value[OPT_sizes]);
        if (compile_size(c, arena_strndup(x->cli->arena, at, name), most))
            x->sized |= UINT32_C(1) << i;
        x->sizes = i + 1;
        at = at[n] ? at + n + 1 : NULL;
    }
    return true;
}

static bool predict_plan(Predict *x, Compile *c, bool staged, Err *err)
{
    Bytes bytes;
    if (!set_sizes(x, c, err) || !compile_kernels(c, &bytes, err))
        return false;
    Plan *p = plan_from_bytes(bytes.data, bytes.n, err);
    double micro = 0, update = 0;
    bool ok = p != NULL;
    report_progress(x->cli, "");
    x->names = sb_new(x->cli->arena);
    for (uint32_t i = 0; ok && i < p->nsyms; i++)
        sb_printf(&x->names, "%s%s", i ? ", " : "", plan_text(p, p->syms[i].name));
    for (uint32_t i = 0; ok && i < p->nentries; i++) {
        const char *name = plan_text(p, p->entries[i].name), *wanted = x->cli->value[OPT_entry];
        if (wanted && strcmp(wanted, name) != 0)
            continue;
        PredictEntry e = predict_entry(x->cli->arena, p, i, &x->gpu);
        x->found = true;
        micro = strcmp(name, "micro") == 0 ? e.seconds : micro;
        update = strcmp(name, "update") == 0 ? e.seconds : update;
        if (cli_has(x->cli, OPT_json))
            ok = put_json(x, p, &e, err);
        else
            put_text(x, p, &e);
    }
    if (ok && staged)
        put_step(x, micro, update, compile_passes(c));
    plan_free(p);
    return ok;
}

bool predict_program(Cli *cli, Compile *c, void *user, Err *err)
{
    Predict x = {.cli = cli};
    const char *stage = NULL;
    UNUSED(user);
    if (!target_machine(&x.gpu, cli->value[OPT_predict], err) ||
        (cli_has(cli, OPT_stage) && !choose_stage(cli, c, &stage, err)))
        return false;
    for (uint32_t i = 0; i < compile_stage_count(c); i++) {
        x.of = arena_strdup(cli->arena, compile_stage_name(c, i));
        if (stage && strcmp(stage, x.of) != 0)
            continue;
        if (!compile_stage(c, x.of, err) || !predict_plan(&x, c, true, err))
            return false;
    }
    for (uint32_t i = 0; i < compile_generate_count(c) && !stage; i++) {
        x.of = arena_strdup(cli->arena, compile_generate_name(c, i));
        if (!compile_generate(c, i, err) || !predict_plan(&x, c, false, err))
            return false;
    }
    if (x.sized != (uint32_t)((UINT64_C(1) << x.sizes) - 1)) {
        usage_error(err, "--sizes: no such run-time size, in `%s`", cli->value[OPT_sizes]);
        return err_help(err, *sb_text(&x.names) ? "there is %s" : "there is none",
                        sb_text(&x.names));
    }
    if (!x.found && cli_has(cli, OPT_entry))
        return usage_error(err, "no entry `%s` in what is predicted", cli->value[OPT_entry]);
    if (!x.found)
        puts("the file has nothing to predict: no train block and no generate block");
    return true;
}
