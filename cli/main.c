/* main.c: the `mdl` program: parse, run the command, report, exit code. */
#include "cli.h"
#include <errno.h>
#include <signal.h>
#include <unistd.h>

enum { EXIT_BUG = 70 };

/* BUG() has printed what happened. */
static void on_abort(int signal)
{
    static const char text[] = "this is a bug in mdl, not in your program: please report it\n";
    UNUSED(signal);
    ssize_t n = write(STDERR_FILENO, text, sizeof(text) - 1);
    UNUSED(n);
    _exit(EXIT_BUG);
}

static const char *setting(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

/* NO_COLOR and CLICOLOR_FORCE as everywhere; the option beats both. */
static bool choose_color(Cli *cli, Err *err)
{
    int choice = 0;
    cli->live = isatty(STDERR_FILENO);
    const char *force = setting("CLICOLOR_FORCE");
    cli->color = (*force && strcmp(force, "0") != 0) || (cli->live && !*setting("NO_COLOR"));
    if (!cli_choice(cli, OPT_color, "auto|always|never", &choice, err))
        return false;
    if (choice)
        cli->color = choice == 1;
    return true;
}

static bool run(Cli *cli, int argc, const char *const *argv, Err *err)
{
    bool parsed = cli_parse(cli, argc, argv, err);
    if (!choose_color(cli, err) || !parsed)
        return false;
    if (cli->command && !cli_has(cli, OPT_help))
        return cli->command->run(cli, err);
    if (cli->command)
        help_command(cli->command);
    else
        help_all();
    return true;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_abort};
    sigaction(SIGABRT, &action, NULL);
    Cli cli = {.arena = arena_new()};
    Err err = {0};
    bool ok = run(&cli, argc, (const char *const *)argv, &err);
    report_progress(&cli, "");
    if (fflush(stdout) != 0 && ok)
        ok = err_set(&err, ERR_FILE, "cannot write the results: %s", strerror(errno));
    report_err(&cli, &err);
    arena_free(cli.arena);
    ASSERT(ok || err.kind != ERR_NONE);
    return ok ? 0 : (int)err.kind;
}
