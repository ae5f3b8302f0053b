/* cmd_fmt.c: `mdl fmt`. A file is written only when its text changes, and never half. */
#include "cli.h"
#include "fmt.h"
#include <stdio.h>

enum { MAX_SOURCE = 16 << 20 };

static bool read_stdin(Cli *cli, Bytes *out, Err *err)
{
    StrBuf sb = sb_new(cli->arena);
    char chunk[4096];
    size_t n;
    while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0 && sb.n <= MAX_SOURCE)
        sb_putn(&sb, chunk, n);
    if (ferror(stdin))
        return err_set(err, ERR_FILE, "cannot read standard input");
    if (sb.n > MAX_SOURCE)
        return err_set(err, ERR_FILE, "standard input is larger than 16 MiB");
    out->n = sb.n;
    out->data = (char *)sb_text(&sb);
    return true;
}

/* The formatted text; NULL after an error. */
static const char *format(Cli *cli, const char *path, const Bytes *text, Err *err)
{
    Diags *diags = diags_new(cli->arena);
    uint32_t file = diags_source(diags, path, text->data, text->n);
    const char *out = fmt_file(cli->arena, diags, file, err);
    report_diags(cli, diags);
    if (!out)
        err_set(err, ERR_PROGRAM, "%s", "");
    return out;
}

static bool is_same(const char *out, const Bytes *text)
{
    size_t n = strlen(out);
    return n == text->n && (n == 0 || memcmp(out, text->data, n) == 0);
}

static bool one_file(Cli *cli, const char *path, uint32_t *changed, Err *err)
{
    Bytes text = {0};
    if (!path_is_source(path) && file_exists(path))
        return usage_error(err, "`mdl fmt` works on .mdl files, not on %s", path);
    if (!file_read(cli->arena, path, MAX_SOURCE, &text, err))
        return false;
    const char *out = format(cli, path, &text, err);
    if (!out)
        return false;
    if (is_same(out, &text))
        return true;
    ++*changed;
    if (cli_has(cli, OPT_check)) {
        puts(path);
        return true;
    }
    return file_write_atomic(path, out, strlen(out), err);
}

static bool from_stdin(Cli *cli, uint32_t *changed, Err *err)
{
    Bytes text = {0};
    if (cli->words.n)
        return usage_error(err, "with --stdin there are no files");
    if (!read_stdin(cli, &text, err))
        return false;
    const char *out = format(cli, "stdin", &text, err);
    if (!out)
        return false;
    *changed = !is_same(out, &text);
    if (!cli_has(cli, OPT_check))
        fputs(out, stdout);
    return true;
}

bool cmd_fmt(Cli *cli, Err *err)
{
    uint32_t changed = 0;
    bool ok = true;
    if (cli_has(cli, OPT_stdin)) {
        ok = from_stdin(cli, &changed, err);
    } else if (!cli->words.n) {
        const char *path = cli_file(cli, err);
        ok = path && one_file(cli, path, &changed, err);
    }
    for (uint32_t i = 0; ok && i < cli->words.n; i++)
        ok = one_file(cli, cli->words.at[i], &changed, err);
    if (ok && changed && cli_has(cli, OPT_check)) {
        err_set(err, ERR_REQUIRE, "%u file%s not in the one style", changed,
                changed == 1 ? " is" : "s are");
        return err_help(err, "mdl fmt writes them");
    }
    return ok;
}
