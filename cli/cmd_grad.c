/* cmd_grad.c: `mdl grad`: loss and gradients of one batch, for tests against other frameworks. */
#include "execute.h"

typedef struct GradUse {
    const char *stage, *out;
    StFile *batch;
} GradUse;

/* The entry of a program by name; UINT32_MAX when it has none. */
static uint32_t entry_number(const Program *p, const char *name)
{
    uint32_t i = 0;
    while (i < p->entries.n && strcmp(p->entries.at[i]->name, name) != 0)
        i++;
    return i < p->entries.n ? i : UINT32_MAX;
}

static uint32_t state_number(const Program *p, const char *path)
{
    for (uint32_t i = 0; i < p->states.n; i++)
        if (p->states.at[i]->kind == SK_LOOP && strcmp(p->states.at[i]->path, path) == 0)
            return i;
    BUG("a stage without the state %s", path);
}

/* The loss is sum / weight, and `micro` has the gradient of the sum. */
static bool write_gradients(Cli *cli, const Program *p, const Execution *x, const char *path,
                            Err *err)
{
    double weight = x->states[state_number(p, "loss.weight")][0];
    double sum = x->states[state_number(p, "loss.sum")][0];
    Tensors out = {0};
    for (uint32_t i = 0; i < p->states.n; i++) {
        const State *s = p->states.at[i];
        if (s->kind != SK_GRAD)
            continue;
        Want w = want_of(p->states.at[s->of]->key, s->type);
        int64_t n = 1;
        for (uint32_t k = 0; k < w.rank; k++)
            n *= w.dim[k];
        for (int64_t k = 0; k < n; k++)
            x->states[i][k] /= weight;
        if (cli_has(cli, OPT_reference))
            w.dtype = DT_F64;
        tensor_push(cli->arena, &out, &w, x->states[i]);
    }
    if (!st_write(path, out.all.at, out.all.n, NULL, err))
        return false;
    printf("loss %.17g\n", sum / weight);
    return true;
}

static bool gradients(Cli *cli, Compile *c, void *user, Err *err)
{
    const GradUse *u = user;
    uint32_t autodiff;
    if (!compile_stage_count(c))
        return err_set(err, ERR_PROGRAM, "the program has no `train` block");
    if (!u->stage && compile_stage_count(c) > 1)
        return usage_error(err, "the file has several train blocks: name one after it");
    bool reference = cli_has(cli, OPT_reference) || cli_has(cli, OPT_bits);
    if (!compile_stage(c, u->stage, err) || !compile_pass_find("autodiff", &autodiff) ||
        (!reference &&
         !compile_lower(c, err))) /* where `micro = auto`, memory says how many passes */
        return false;
    const Program *p = compile_program(c);
    Execution x = {.entry = entry_number(p, "micro"),
                   .weigh = entry_number(p, "weigh"),
                   .passes = p->accumulates ? compile_passes(c) : 1,
                   .after = (int)autodiff,
                   .args = u->batch};
    if (x.entry == UINT32_MAX)
        BUG("a stage without `micro`");
    x.weighs = x.weigh != UINT32_MAX;
    if (!execute(cli, c, &x, 0, err)) {
        err_context(err, "batch");
        return err->kind == ERR_DATA
                   ? err_help(err, "the batch has as many rows as the stage: --set train.batch=N")
                   : false;
    }
    return write_gradients(cli, p, &x, u->out, err);
}

bool cmd_grad(Cli *cli, Err *err)
{
    const char *path = cli_file(cli, err);
    if (!path)
        return false;
    const char *batch = cli_need(cli, OPT_batch, err);
    GradUse u = {.stage = cli->words.n ? cli->words.at[0] : NULL,
                 .out = cli_need(cli, OPT_out, err)};
    if (!batch || !u.out)
        return false;
    u.batch = st_open(batch, err);
    if (!u.batch)
        return false;
    bool ok = with_source(cli, &(ProgramUse){path, gradients, &u}, err);
    st_close(u.batch);
    return ok;
}
