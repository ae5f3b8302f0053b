/* cmd_check.c: `mdl check`. */
#include "program.h"

static bool check(Cli *cli, Compile *c, void *user, Err *err)
{
    UNUSED(user);
    bool ok = compile_check(c, err);
    if (cli_has(cli, OPT_shapes))
        fputs(compile_shapes(c), stdout);
    if (cli_has(cli, OPT_grad))
        fputs(compile_gradients(c), stdout);
    return ok;
}

bool cmd_check(Cli *cli, Err *err)
{
    const char *path = cli_file(cli, err);
    if (!path || !with_source(cli, &(ProgramUse){path, check, NULL}, err))
        return false;
    if (!cli->quiet && !cli_has(cli, OPT_shapes))
        puts("no mistakes found");
    return true;
}
