/* report.c: diagnostics, errors and progress, on stderr. */
#include "cli.h"

/* Texts may quote files of any origin: nothing in them may reach the terminal as a command. */
static void put_clean(const char *text)
{
    for (; *text; text++) {
        bool control =
            ((unsigned char)*text < ' ' && *text != '\n' && *text != '\t') || *text == 127;
        fputc(control ? '?' : *text, stderr);
    }
}

void report_diags(Cli *cli, const Diags *diags)
{
    bool nothing = !diags_errors(diags) && (cli->quiet || !diags_warnings(diags));
    if (nothing && cli->format != DIAG_SARIF) /* which is a document even when it is empty */
        return;
    report_progress(cli, "");
    fputs(diags_render(diags, cli->arena, cli->format, cli->color), stderr);
}

/* The same members as diagnostics have; there is no code. */
static void put_err_json(Cli *cli, const Err *err)
{
    StrBuf sb = sb_new(cli->arena);
    sb_puts(&sb, "{\"code\":null,\"level\":\"error\",\"message\":");
    sb_json(&sb, err->text, strlen(err->text));
    sb_puts(&sb, ",\"spans\":[],\"notes\":[],\"helps\":[");
    if (err->help[0])
        sb_json(&sb, err->help, strlen(err->help));
    fprintf(stderr, "%s],\"fixes\":[]}\n", sb_text(&sb));
}

void report_err(Cli *cli, const Err *err)
{
    if (!err->text[0])
        return;
    report_progress(cli, "");
    if (cli->format == DIAG_JSON) {
        put_err_json(cli, err);
        return;
    }
    fprintf(stderr, "%serror%s: ", cli->color ? "\033[1;31m" : "", cli->color ? "\033[0m" : "");
    put_clean(err->text);
    fputc('\n', stderr);
    if (!err->help[0])
        return;
    fprintf(stderr, "%shelp%s: ", cli->color ? "\033[1m" : "", cli->color ? "\033[0m" : "");
    put_clean(err->help);
    fputc('\n', stderr);
}

void report_progress(Cli *cli, const char *what)
{
    if (!cli->live || cli->quiet || (!*what && !cli->drawn))
        return;
    cli->drawn = *what != '\0';
    fputs("\r\033[K", stderr);
    put_clean(what);
    fflush(stderr);
}
