/* manual_std.c: the standard library: its files with their `##` comments, and the functions that are
 * part of the language. */
#include "elab.h"
#include "manual.h"
#include "std_files.h"

/* Line by line, because a parameter is one. */
static void put_members(StrBuf *sb, const char *text, const Ast *members)
{
    ASSERT(members);
    sb_puts(sb, " {\n");
    for (uint32_t i = 0; i < members->nkid; i++) {
        const Ast *m = members->kid[i];
        if (m->kind == A_PARAM || m->kind == A_BUFFER || m->kind == A_SUB || m->kind == A_WHERE)
            sb_printf(sb, "  %.*s\n", (int)strcspn(text + m->span.lo, "\n"), text + m->span.lo);
    }
    sb_putc(sb, '}');
}

static void put_item(StrBuf *sb, const char *text, const Ast *a)
{
    bool module = a->kind == A_MODULE;
    if (!module && a->kind != A_FN && a->kind != A_OP)
        return;
    sb_printf(sb, "\n### %s\n\n", a->name);
    if (a->doc)
        sb_printf(sb, "%s\n\n", a->doc);
    sb_puts(sb, module ? "```mdl-fragment\n" : "```\n");
    uint32_t hi = a->kid[1] && !module ? a->kid[1]->span.hi : a->kid[0]->span.hi;
    sb_putn(sb, text + a->span.lo, hi - a->span.lo);
    if (module)
        put_members(sb, text, a->kid[1]);
    sb_puts(sb, "\n```\n");
}

static void put_file(Arena *arena, StrBuf *sb, const StdFile *file)
{
    Diags *diags = diags_new(arena);
    uint32_t source = diags_source(diags, file->name, file->text, file->n);
    const Ast *ast = ast_parse(arena, syms_new(arena), diags, source);
    ASSERT(ast && !diags_errors(diags));
    sb_printf(sb, "\n## %s\n", file->name);
    for (uint32_t i = 0; i < ast->nkid; i++)
        put_item(sb, file->text, ast->kid[i]);
}

static void put_builtin(StrBuf *sb, const Builtin *b)
{
    sb_printf(sb, "| `%s(%s)` | ", b->name, builtin_formals(b));
    manual_cell(sb, b->doc ? b->doc : "");
    sb_puts(sb, " |\n");
}

void manual_std(StrBuf *sb)
{
    Arena *arena = arena_new();
    StdFile file;
    sb_puts(sb,
            "# What needs no import\n\n"
            "<!-- made by tools/manual from models/std and the table of built-in functions -->\n\n"
            "The standard library is part of the program and in scope everywhere. Its files are "
            "ordinary\n"
            "`.mdl`, in `models/std/`; the last section lists what is built in.\n");
    for (uint32_t i = 0; std_file_get(i, &file); i++)
        put_file(arena, sb, &file);
    sb_puts(sb, "\n## Built in\n\n| name | |\n|---|---|\n");
    const Map *all = builtins_new(arena, syms_new(arena));
    for (uint32_t i = 0; i < map_count(all); i++) {
        put_builtin(sb, map_value_at(all, i));
    }
    arena_free(arena);
}
