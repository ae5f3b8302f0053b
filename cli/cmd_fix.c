/* cmd_fix.c: `mdl fix`: the certain edits of diagnostics, made until no more are offered: behind a syntax
 * error that is repaired others come to light. */
#include "program.h"

enum { ROUNDS = 20 };

static uint32_t file_number(const Diags *diags, const char *path)
{
    for (uint32_t i = 1; i <= diags_sources(diags); i++)
        if (strcmp(diags_path(diags, i), path) == 0)
            return i;
    return 0;
}

/* One round: checks the file and makes what is certain. *n: edits made. */
static bool round_of(Cli *cli, const char *path, uint32_t *n, Err *err)
{
    CompileOptions opt = {.path = path, .sets = cli->sets.at, .nset = cli->sets.n};
    Compile *c = compile_new(&opt);
    Err said = {0};
    if (compile_load(c, &said))
        compile_check(c, &said);
    Diags *diags = compile_diags(c);
    uint32_t file = file_number(diags, path);
    const char *text = file ? diags_fixed(diags, cli->arena, file, n) : NULL;
    bool ok = !text || file_write_atomic(path, text, strlen(text), err);
    compile_free(c);
    return ok;
}

static bool check(Cli *cli, Compile *c, void *user, Err *err)
{
    UNUSED(cli);
    UNUSED(user);
    return compile_check(c, err);
}

bool cmd_fix(Cli *cli, Err *err)
{
    uint32_t all = 0;
    const char *path = cli_file(cli, err);
    if (!path)
        return false;
    for (int i = 0; i < ROUNDS && path_is_source(path); i++) {
        uint32_t n = 0;
        if (!round_of(cli, path, &n, err))
            return false;
        all += n;
        if (!n)
            break;
    }
    if (!cli->quiet && all)
        printf("%u correction%s made\n", all, all == 1 ? "" : "s");
    return with_source(cli, &(ProgramUse){path, check, NULL}, err);
}
