/* stage_lines.c: what a stage says, its own and inherited, as text: so that two stages can be compared. */
#include "stages.h"

/* The source text a..b on one line: blanks and line ends become single blanks. */
static const char *line_text(Front *f, Span span)
{
    StrBuf sb = sb_new(f->arena);
    size_t n;
    const char *text = diags_text(f->ir->diags, span.file, &n);
    bool blank = false;
    for (size_t i = span.lo; i < span.hi && i < n; i++) {
        bool space = text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r';
        if (!space && blank && sb.n) {
            sb_putc(&sb, ' ');
        }
        if (!space) {
            sb_putc(&sb, text[i]);
        }
        blank = space;
    }
    return sb_text(&sb);
}

uint32_t front_stage_lines(Front *f, uint32_t i, const FrontLine **out)
{
    ASSERT(i < f->stages.n);
    const StageDef *def = f->stages.at[i];
    FrontLine *lines = NEW_ARRAY(f->arena, FrontLine, def->lines.n + 1);
    for (uint32_t k = 0; k < def->lines.n; k++) {
        const Ast *a = def->lines.at[k].ast;
        bool attr = a->kind == A_ATTR, group = a->kind == A_SUBGROUP;
        lines[k].name = attr || group ? a->name : a->kind == A_CLAUSE ? a->text : "every";
        lines[k].text = line_text(f, attr || group ? a->kid[0]->span : a->span);
        size_t word = strlen(lines[k].name);
        if (!attr && !group && strncmp(lines[k].text, lines[k].name, word) == 0) {
            lines[k].text += word + (lines[k].text[word] == ' ');
        }
    }
    *out = lines;
    return def->lines.n;
}
