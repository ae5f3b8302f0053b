/* cmd_check.c: `mdl check` and `mdl ls`. */
#include "ir.h"
#include "program.h"

static bool check(Cli *cli, Compile *c, void *user, Err *err)
{
    UNUSED(user);
    bool ok = compile_check(c, err);
    if (cli_has(cli, OPT_shapes))
        fputs(compile_shapes(c), stdout);
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

static bool list(Cli *cli, Compile *c, void *user, Err *err)
{
    const char *stage;
    UNUSED(user);
    if (!choose_stage(cli, c, &stage, err) || !compile_stage(c, stage, err))
        return false;
    const Program *p = compile_program(c);
    long long all = 0;
    for (uint32_t i = 0; i < p->states.n; i++) {
        const State *s = p->states.at[i];
        int64_t n;
        if (!s->key || !dim_is_const(type_count(p->ir, s->type), &n))
            continue;
        printf("%-32s %-32s %-20s %12lld%s\n", s->path, s->key, type_text(p->ir, s->type),
               (long long)n, s->kind == SK_PARAM && !s->trained && stage ? "  frozen" : "");
        all += n;
    }
    printf("%-32s %-32s %-20s %12lld\n", "all", "", "", all);
    return true;
}

bool cmd_ls(Cli *cli, Err *err)
{
    const char *path = cli_file(cli, err);
    return path && with_source(cli, &(ProgramUse){path, list, NULL}, err);
}
