/* cmd_call.c: `mdl call`: one function on tensors of a file. */
#include "execute.h"

typedef struct CallUse {
    const char *function, *in, *out;
    const StFile *args;
} CallUse;

static bool interpreted(const Cli *cli)
{
    return cli_has(cli, OPT_reference) || cli_has(cli, OPT_bits);
}

static bool list_inputs(Cli *cli, const StFile *file, CompileCall *call, Err *err)
{
    CompileInput *in = NEW_ARRAY(cli->arena, CompileInput, file->n + (size_t)1);
    for (uint32_t i = 0; i < file->n; i++) {
        const StTensor *t = &file->tensors[i];
        in[i] = (CompileInput){.name = t->name, .rank = t->rank};
        memcpy(in[i].dim, t->dim, sizeof(in[i].dim));
        if (!tensor_argument_type(t, cli_has(cli, OPT_bits), &in[i].dtype, err))
            return false;
    }
    call->inputs = in;
    call->ninput = file->n;
    return true;
}

static bool write_results(Cli *cli, const Graph *g, const Execution *x, const char *path, Err *err)
{
    Tensors out = {0};
    for (uint32_t i = 0; i < g->results.n; i++) {
        Want w = want_of(g->results.at[i].name, g->results.at[i].node->type);
        if (cli_has(cli, OPT_reference) && dtype_is_float(w.dtype))
            w.dtype = DT_F64; /* where casts between floats are the identity */
        if (x->typed[i])
            tensor_push_typed(cli->arena, &out, &w, x->typed[i]);
        else
            tensor_push(cli->arena, &out, &w, x->results[i]);
    }
    return st_write(path, out.all.at, out.all.n, NULL, err);
}

static bool call(Cli *cli, Compile *c, void *user, Err *err)
{
    const CallUse *u = user;
    CompileCall cc = {.function = u->function,
                      .inputs_name = u->in,
                      .strict = true,
                      .args = cli->args.at,
                      .narg = cli->args.n,
                      .mode = (CompileMode)cli->mode};
    if (!list_inputs(cli, u->args, &cc, err))
        return err_context(err, "%s", u->in);
    if (!compile_call(c, &cc, err))
        return false;
    Execution x = {.entry = 0, .after = -1, .args = u->args, .args_name = u->in};
    const Graph *g = compile_program(c)->entries.at[0];
    return (execute(cli, c, &x, cli->seed < 0 ? 0 : (uint64_t)cli->seed, err) &&
            write_results(cli, g, &x, u->out, err)) ||
           err_context(err, "%s", u->function);
}

static bool check_words(Cli *cli, CallUse *u, Err *err)
{
    if (!cli->words.n) {
        usage_error(err, "`mdl call` needs the name of a function");
        return err_help(err, "usage: mdl call %s", cli->command->words);
    }
    u->function = cli->words.at[0];
    if (cli_has(cli, OPT_reference) && cli_has(cli, OPT_bits))
        return usage_error(err, "--reference computes in f64, --bits in the types of the program");
    static const OptionId compiled[] = {OPT_isa, OPT_arch, OPT_device, OPT_skip};
    for (size_t i = 0; i < COUNT(compiled) && interpreted(cli); i++)
        if (cli_has(cli, compiled[i]))
            return usage_error(err, "--%s has no effect on the interpreter",
                               option_at(compiled[i])->name);
    return true;
}

/* Without --in: a function of no tensors. */
static StFile *open_arguments(const char *path, Err *err)
{
    static const char nothing[] = "\2\0\0\0\0\0\0\0{}";
    return path ? st_open(path, err) : st_from_bytes(nothing, sizeof nothing - 1, err);
}

bool cmd_call(Cli *cli, Err *err)
{
    CallUse u = {.in = cli->value[OPT_in]};
    const char *path = cli_file(cli, err);
    if (!path)
        return false;
    u.out = cli_need(cli, OPT_out, err);
    if (!u.out || !check_words(cli, &u, err))
        return false;
    StFile *args = open_arguments(u.in, err);
    if (!args)
        return false;
    u.args = args;
    bool ok = with_source(cli, &(ProgramUse){path, call, &u}, err);
    st_close(args);
    return ok;
}
