/* cmd_call.c: `mdl call`: one function on tensors of a file. */
#include "execute.h"

typedef struct CallUse {
    const char *function, *out;
    StFile *in;
} CallUse;

static const CompileInput *list_inputs(Cli *cli, const StFile *file)
{
    CompileInput *in = NEW_ARRAY(cli->arena, CompileInput, file->n + (size_t)1);
    for (uint32_t i = 0; i < file->n; i++) {
        const StTensor *t = &file->tensors[i];
        in[i] = (CompileInput){
            .name = t->name, .dtype = tensor_argument_type(t->dtype), .rank = t->rank};
        memcpy(in[i].dim, t->dim, sizeof(in[i].dim));
    }
    return in;
}

static bool check_arguments(Cli *cli, const Graph *g, const StFile *file, Err *err)
{
    Want *used = NEW_ARRAY(cli->arena, Want, g->inputs.n + (size_t)1);
    for (uint32_t i = 0; i < g->inputs.n; i++)
        used[i] = want_of(node_sym(g->inputs.at[i], "name"), g->inputs.at[i]->type);
    return tensor_all_used(cli, file, used, g->inputs.n, err);
}

static bool write_results(Cli *cli, const Graph *g, const Execution *x, const char *path, Err *err)
{
    Tensors out = {0};
    for (uint32_t i = 0; i < g->results.n; i++) {
        Want w = want_of(g->results.at[i].name, g->results.at[i].node->type);
        if (cli_has(cli, OPT_reference) && dtype_is_float(w.dtype))
            w.dtype = DT_F64;
        tensor_push(cli->arena, &out, &w, x->results[i]);
    }
    return st_write(path, out.all.at, out.all.n, NULL, err);
}

static bool call(Cli *cli, Compile *c, void *user, Err *err)
{
    const CallUse *u = user;
    CompileCall cc = {.function = u->function,
                      .inputs = list_inputs(cli, u->in),
                      .ninput = u->in->n,
                      .train_mode = cli->train_mode};
    if (!compile_call(c, &cc, err))
        return false;
    const Graph *g = compile_program(c)->entries.at[0];
    Execution x = {.entry = 0, .after = -1, .args = u->in};
    return (check_arguments(cli, g, u->in, err) &&
            execute(cli, c, &x, cli->seed < 0 ? 0 : (uint64_t)cli->seed, err) &&
            write_results(cli, g, &x, u->out, err)) ||
           err_context(err, "%s", u->function);
}

bool cmd_call(Cli *cli, Err *err)
{
    CallUse u;
    const char *path = cli_file(cli, err);
    if (!path)
        return false;
    const char *in = cli_need(cli, OPT_in, err);
    u.out = cli_need(cli, OPT_out, err);
    if (!in || !u.out)
        return false;
    if (!cli->words.n) {
        usage_error(err, "`mdl call` needs the name of a function");
        return err_help(err, "usage: mdl call %s", cli->command->words);
    }
    u.function = cli->words.at[0];
    u.in = st_open(in, err);
    if (!u.in)
        return false;
    bool ok = with_source(cli, &(ProgramUse){path, call, &u}, err);
    st_close(u.in);
    return ok;
}
