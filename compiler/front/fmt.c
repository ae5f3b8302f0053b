/* fmt.c: a .mdl text in the one style.
 *
 * Lines stay lines: only the blanks between the pieces of a line (fmt_space.c, fmt_align.c) and the
 * empty lines between lines are ours, so nothing is ever reordered, wrapped or lost. The result is
 * parsed again and compared as a tree, and formatted again until nothing changes. */
#include "fmt.h"
#include "fmt_lines.h"
#include "mdl.tab.h"

enum { REPEATS = 8 };

typedef struct Parsed {
    const char *tree; /* as printed by ast_print */
    Ast *root;
    AstText text;
} Parsed;

static bool parse(Arena *arena, Diags *diags, uint32_t file, Parsed *out)
{
    uint32_t before = diags_reported(diags);
    *out = (Parsed){0};
    out->root = ast_parse_text(arena, syms_new(arena), diags, file, &out->text);
    if (diags_reported(diags) > before)
        return false;
    StrBuf sb = sb_new(arena);
    ast_print(out->root, &sb);
    out->tree = sb_text(&sb);
    return true;
}

/* Tokens and comments in the order of the text. */
static void merge(Fmt *f, const AstText *text)
{
    uint32_t t = 0, c = 0;
    while (t < text->tokens.n || c < text->comments.n) {
        const AstToken *token = t < text->tokens.n ? &text->tokens.at[t] : NULL;
        const AstComment *comment = c < text->comments.n ? &text->comments.at[c] : NULL;
        Piece p = {0};
        if (token && (!comment || token->span.lo < comment->span.lo)) {
            p = (Piece){.kind = token->kind,
                        .starts = token->starts,
                        .lo = token->span.lo,
                        .hi = token->span.hi};
            t++;
        } else {
            ASSERT(comment != NULL);
            p = (Piece){.kind = FMT_COMMENT, .lo = comment->span.lo, .hi = comment->span.hi};
            c++;
        }
        VEC_PUSH(f->arena, &f->pieces, p);
    }
}

/* Newlines between two offsets; *column becomes that of hi if there are any. */
static uint32_t newlines(const Fmt *f, uint32_t lo, uint32_t hi, uint32_t *column)
{
    uint32_t n = 0;
    for (uint32_t i = lo; i < hi; i++) {
        bool inside = ((unsigned char)f->src[i] & 0xc0) == 0x80;
        n += f->src[i] == '\n';
        *column = f->src[i] == '\n' ? 0 : *column + !inside;
    }
    return n;
}

/* A `;` at the end of a line says nothing; others part two statements. */
static bool is_idle(const Fmt *f, uint32_t i)
{
    if (f->pieces.at[i].kind != TOK_SEMICOLON)
        return false;
    uint32_t column = 0;
    bool last = i + 1 == f->pieces.n;
    const Piece *next = last ? NULL : &f->pieces.at[i + 1];
    return last || next->kind == FMT_COMMENT || next->kind == '}' ||
           newlines(f, f->pieces.at[i].hi, next->lo, &column) > 0;
}

static void drop_idle(Fmt *f)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->pieces.n; i++)
        if (!is_idle(f, i))
            f->pieces.at[n++] = f->pieces.at[i];
    f->pieces.n = n;
}

static void cut_rows(Fmt *f)
{
    uint32_t at = 0, column = 0;
    f->row_of = NEW_ARRAY(f->arena, uint32_t, f->pieces.n + 1);
    for (uint32_t i = 0; i < f->pieces.n; i++) {
        Piece *p = &f->pieces.at[i];
        uint32_t n = newlines(f, at, p->lo, &column);
        p->column = column;
        newlines(f, p->lo, p->hi, &column);
        at = p->hi;
        if (n || !i) {
            bool opened = i && f->pieces.at[i - 1].kind == '{';
            Row row = {.lo = i, .blank = i && n > 1 && !opened && p->kind != '}'};
            VEC_PUSH(f->arena, &f->rows, row);
        }
        VEC_LAST(&f->rows).hi = i + 1;
        f->row_of[i] = f->rows.n - 1;
    }
}

static const char *print(Fmt *f)
{
    StrBuf sb = sb_new(f->arena);
    for (uint32_t r = 0; r < f->rows.n; r++) {
        const Row *row = &f->rows.at[r];
        if (row->blank)
            sb_putc(&sb, '\n');
        for (uint32_t i = row->lo; i < row->hi; i++) {
            const Piece *p = &f->pieces.at[i];
            for (uint32_t k = 0; k < p->gap; k++)
                sb_putc(&sb, ' ');
            sb_putn(&sb, f->src + p->lo, p->hi - p->lo);
        }
        sb_putc(&sb, '\n');
    }
    return sb_text(&sb);
}

static const char *once(Arena *arena, const Diags *diags, uint32_t file, const Parsed *in)
{
    size_t n;
    Fmt f = {.arena = arena, .src = diags_text(diags, file, &n), .root = in->root};
    f.n = (uint32_t)n;
    merge(&f, &in->text);
    drop_idle(&f);
    cut_rows(&f);
    fmt_space(&f);
    fmt_align(&f);
    return print(&f);
}

const char *fmt_file(Arena *arena, Diags *diags, uint32_t file, Err *err)
{
    Parsed in;
    size_t n;
    const char *text = diags_text(diags, file, &n);
    if (!parse(arena, diags, file, &in))
        return NULL;
    const char *tree = in.tree;
    Diags *scratch = diags_new(arena);
    for (int i = 0; i < REPEATS; i++) {
        uint32_t now = diags_source(scratch, "formatted", text, n);
        bool same = parse(arena, scratch, now, &in) && strcmp(in.tree, tree) == 0;
        if (!same) {
            err_set(err, ERR_PROGRAM,
                    "%s: its formatted text would be another program, so it is "
                    "left as it is",
                    diags_path(diags, file));
            return NULL;
        }
        const char *next = once(arena, scratch, now, &in);
        if (strlen(next) == n && memcmp(next, text, n) == 0)
            return next; /* the same, and terminated */
        text = next;
        n = strlen(text);
    }
    err_set(err, ERR_PROGRAM, "%s: its columns do not come to rest, so it is left as it is",
            diags_path(diags, file));
    return NULL;
}
