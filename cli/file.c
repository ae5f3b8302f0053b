/* file.c: which file a command works on. */
#include "cli.h"
#include <dirent.h>

bool path_is_source(const char *path)
{
    size_t n = strlen(path);
    return n > 4 && strcmp(path + n - 4, ".mdl") == 0;
}

/* The only .mdl file of the current folder; NULL when there are none or several (*n says). */
static const char *only_source(Arena *arena, uint32_t *n)
{
    const char *found = NULL;
    DIR *dir = opendir(".");
    struct dirent *e;
    *n = 0;
    while (dir && (e = readdir(dir))) {
        if (!path_is_source(e->d_name) || e->d_name[0] == '.')
            continue;
        found = arena_strdup(arena, e->d_name);
        ++*n;
    }
    if (dir)
        closedir(dir);
    return *n == 1 ? found : NULL;
}

/* Whether the first word is the FILE, given that so many others may follow it. */
static bool first_is_file(const Cli *cli)
{
    if (!cli->words.n)
        return false;
    const char *word = cli->words.at[0];
    return cli->words.n > (uint32_t)cli->command->after_file || path_is_source(word) ||
           strchr(word, '/') || file_exists(word);
}

const char *cli_file(Cli *cli, Err *err)
{
    uint32_t n;
    if (first_is_file(cli)) {
        const char *file = cli->words.at[0];
        cli->words.at++;
        cli->words.n--;
        cli->words.cap--;
        if (cli->words.n > (uint32_t)cli->command->after_file) {
            usage_error(err, "one word too many: `%s`", cli->words.at[cli->command->after_file]);
            err_help(err, "usage: mdl %s %s", cli->command->name, cli->command->words);
            return NULL;
        }
        return file;
    }
    const char *file = only_source(cli->arena, &n);
    if (!file) {
        usage_error(err, "no file given, and the current folder has %s .mdl file",
                    n ? "more than one" : "no");
        err_help(err, "usage: mdl %s %s", cli->command->name, cli->command->words);
    }
    return file;
}
