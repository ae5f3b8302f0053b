/* ast_print.c: a tree as an S-expression: `(kind name "text" children..)`, an absent child as `-`.
 * The order of everything is that of the source, so equal sources print equally. */
#include "ast.h"

static void put_quoted(StrBuf *sb, Sym text)
{
    sb_putc(sb, '"');
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\')
            sb_printf(sb, "\\%c", c);
        else if (c == '\n')
            sb_puts(sb, "\\n");
        else if (c < 0x20 || c == 0x7f)
            sb_printf(sb, "\\u{%x}", c);
        else
            sb_putc(sb, (char)c);
    }
    sb_putc(sb, '"');
}

void ast_print(const Ast *a, StrBuf *sb)
{
    if (!a) {
        sb_putc(sb, '-');
        return;
    }
    sb_printf(sb, "(%s", ast_kind_name(a->kind));
    if (a->name)
        sb_printf(sb, " %s", a->name);
    if (a->text) {
        sb_putc(sb, ' ');
        put_quoted(sb, a->text);
    }
    for (uint32_t i = 0; i < a->nkid; i++) {
        sb_putc(sb, ' ');
        ast_print(a->kid[i], sb);
    }
    sb_putc(sb, ')');
}
