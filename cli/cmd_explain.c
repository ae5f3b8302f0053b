/* cmd_explain.c: `mdl explain CODE`: the pages of docs/explain, which travel inside the program. */
#include "cli.h"
#include <ctype.h>

/* The lines of a page as a terminal shows them: examples are indented, the marks of their tests left
 * out. */
static void put_page(const char *text)
{
    bool in_block = false;
    for (const char *line = text; *line;) {
        size_t n = strcspn(line, "\n");
        bool fence = strncmp(line, "```", 3) == 0;
        const char *from = strncmp(line, "# ", 2) == 0 ? line + 2 : line;
        in_block = in_block != fence;
        if (!fence && strncmp(line, "<!--", 4) != 0)
            printf("%s%.*s\n", in_block && n ? "  " : "", (int)(n - (size_t)(from - line)), from);
        line += n + (line[n] == '\n');
    }
}

static const char *page_of(const char *code)
{
    for (uint32_t i = 0; mdl_explain_names[i]; i++) {
        const char *name = path_base(mdl_explain_names[i]);
        size_t n = strcspn(name, ".");
        if (n == strlen(code) && strncmp(name, code, n) == 0)
            return mdl_explain_texts[i];
    }
    return NULL;
}

static void list(void)
{
    for (int c = 0; c < DIAG_COUNT; c++)
        printf("%s  %s\n", diag_code_name((DiagCode)c), diag_code_title((DiagCode)c));
}

static bool unknown(Cli *cli, const char *code, Err *err)
{
    Sym names[DIAG_COUNT];
    for (int c = 0; c < DIAG_COUNT; c++) {
        names[c] = diag_code_name((DiagCode)c);
        if (strcmp(names[c], code) == 0) { /* a row of the table that nothing reports yet */
            printf("%s: %s\n", names[c], diag_code_title((DiagCode)c));
            return true;
        }
    }
    Sym near = sym_nearest(code, names, DIAG_COUNT);
    usage_error(err, "no code `%s`", code);
    return err_help(err, "%s",
                    near ? arena_printf(cli->arena, "did you mean %s?", near)
                         : "mdl explain lists all");
}

bool cmd_explain(Cli *cli, Err *err)
{
    if (!cli->words.n) {
        list();
        return true;
    }
    if (cli->words.n > 1)
        return usage_error(err, "one code at a time");
    char *code = arena_strdup(cli->arena, cli->words.at[0]);
    for (char *p = code; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    const char *page = page_of(code);
    if (!page)
        return unknown(cli, code, err);
    put_page(page);
    return true;
}
