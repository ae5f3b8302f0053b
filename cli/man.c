/* man.c: manual pages, from the tables of commands and options: mdl(1), and mdl-NAME(1) for each. */
#include "man.h"
#include "compile.h"

/* Text for troff: no line of it is a request. */
static void put_text(StrBuf *sb, const char *text)
{
    bool start = true;
    for (const char *p = text; *p; p++) {
        if (start && (*p == '.' || *p == '\''))
            sb_puts(sb, "\\&");
        if (*p == '\\')
            sb_puts(sb, "\\e");
        else if (*p == '-')
            sb_puts(sb, "\\-");
        else
            sb_putc(sb, *p);
        start = *p == '\n';
    }
}

static void put_head(StrBuf *sb, const char *name, const char *summary)
{
    sb_puts(sb, ".TH ");
    for (const char *p = name; *p; p++)
        sb_putc(sb, *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p);
    sb_puts(sb, " 1 \"\" \"mdl " MDL_VERSION "\"\n.SH NAME\n");
    put_text(sb, name);
    sb_puts(sb, " \\- ");
    put_text(sb, summary);
    sb_puts(sb, "\n.SH SYNOPSIS\n");
}

static void put_options(StrBuf *sb, const char *command)
{
    const OptionInfo *o;
    sb_puts(sb, ".SH OPTIONS\n");
    for (uint32_t i = 0; (o = option_at(i)); i++) {
        if (!option_belongs(o, command))
            continue;
        sb_puts(sb, ".TP\n.B ");
        put_text(sb, "--");
        put_text(sb, o->name);
        if (o->argument) {
            sb_puts(sb, " \\fI");
            put_text(sb, o->argument);
            sb_puts(sb, "\\fR");
        }
        sb_putc(sb, '\n');
        put_text(sb, o->help);
        sb_putc(sb, '\n');
    }
}

const char *man_command(Arena *arena, const Command *c)
{
    StrBuf sb = sb_new(arena);
    put_head(&sb, arena_printf(arena, "mdl-%s", c->name), c->summary);
    sb_puts(&sb, ".B mdl ");
    put_text(&sb, c->name);
    sb_putc(&sb, '\n');
    put_text(&sb, c->words);
    sb_puts(&sb, "\n[OPTIONS]\n.SH DESCRIPTION\n");
    put_text(&sb, *c->help ? c->help : c->summary);
    sb_putc(&sb, '\n');
    put_options(&sb, c->name);
    sb_puts(&sb, ".SH SEE ALSO\n.BR mdl (1)\n");
    return sb_text(&sb);
}

const char *man_all(Arena *arena)
{
    StrBuf sb = sb_new(arena);
    const Command *c;
    put_head(&sb, "mdl", "models as text, compiled and trained");
    sb_puts(&sb, ".B mdl\n.I COMMAND\n[FILE] [OPTIONS]\n.SH COMMANDS\n");
    for (uint32_t i = 0; (c = command_at(i)); i++) {
        sb_puts(&sb, ".TP\n.BR mdl\\-");
        put_text(&sb, c->name);
        sb_puts(&sb, " (1)\n");
        put_text(&sb, c->summary);
        sb_putc(&sb, '\n');
    }
    sb_puts(&sb, ".SH EXIT STATUS\n");
    for (uint32_t i = 0; exit_codes[i].text; i++) {
        sb_printf(&sb, ".TP\n.B %d\n", exit_codes[i].code);
        put_text(&sb, exit_codes[i].text);
        sb_putc(&sb, '\n');
    }
    return sb_text(&sb);
}

bool man_write(Arena *arena, const char *folder, Err *err)
{
    const Command *c;
    const char *text = man_all(arena);
    if (!file_mkdirs(folder, err) ||
        !file_write_atomic(path_join(arena, folder, "mdl.1"), text, strlen(text), err))
        return false;
    for (uint32_t i = 0; (c = command_at(i)); i++) {
        const char *path = arena_printf(arena, "%s/mdl-%s.1", folder, c->name);
        text = man_command(arena, c);
        if (!file_write_atomic(path, text, strlen(text), err))
            return false;
    }
    return true;
}

const ExitCode exit_codes[] = {
    {0, "success"},
    {1, "the program is wrong"},
    {2, "wrong command line"},
    {3, "a file is not there or cannot be read"},
    {4, "bad data, weights, plan or checkpoint"},
    {5, "not enough device, memory or disk, or no C compiler"},
    {6, "training diverged"},
    {7, "a threshold or a check was missed"},
    {70, "a bug in mdl"},
    {130, "interrupted"},
    {0, NULL},
};
