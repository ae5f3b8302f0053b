/* fmt_space.c: blanks between the tokens of a line, by the two tokens alone, and indentation by the
 * brackets that are open. The author's line breaks stay, so all that must be known of the grammar is
 * which `-` is a sign, which `[` an index and which `:` a slice. */
#include "fmt_lines.h"
#include "mdl.tab.h"

/* Can an operand end with this token? */
static bool ends_operand(int kind)
{
    switch (kind) {
    case TOK_ID:
    case TOK_INT:
    case TOK_FLOAT:
    case TOK_PERCENT:
    case TOK_QUANTITY:
    case TOK_STRING:
    case TOK_TRUE:
    case TOK_FALSE:
    case TOK_NONE:
    case TOK_INF:
    case ')':
    case ']':
    case '}':
        return true;
    }
    return false;
}

static bool opens(int kind)
{
    return kind == '(' || kind == '[' || kind == '{';
}

static bool closes(int kind)
{
    return kind == ')' || kind == ']' || kind == '}';
}

/* The blanks between a and b; `before` is the kind of the token before a, 0 at a statement's start. */
static uint32_t blanks(int before, const Piece *a, const Piece *b)
{
    if (a->kind == '{' || b->kind == '{' || b->kind == '}')
        return !(a->kind == '{' && b->kind == '}') && a->kind != '(' && a->kind != '[';
    if (a->kind == '(' || a->kind == '[' || a->kind == '.' || b->kind == '.')
        return 0;
    if (b->kind == ')' || b->kind == ']' || b->kind == ',' || b->kind == TOK_SEMICOLON)
        return 0;
    if (b->kind == '?' || (b->kind == ':' && !b->ranges))
        return 0;
    if (a->ranges || (b->ranges && a->kind != ','))
        return 0;
    if (b->kind == '(' || b->kind == '[')
        return !(a->kind == TOK_ID || a->kind == ')' || a->kind == ']' || a->kind == TOK_DOTDOT ||
                 (a->kind == '-' && !ends_operand(before)));
    if (a->kind == '-' && !ends_operand(before))
        return 0;
    if (a->kind == TOK_DOTDOT)
        return 0 + !(ends_operand(b->kind) || b->kind == '-');
    return !(b->kind == TOK_DOTDOT && ends_operand(a->kind));
}

typedef struct Frame {
    int kind;
    uint32_t indent;    /* of the lines inside */
    uint32_t closer;    /* of a closing bracket that begins a line */
    uint32_t statement; /* indentation of the statement being read inside */
    bool index;         /* a `[` behind an operand */
} Frame;

typedef struct Walk {
    Fmt *f;
    Frame frames[AST_NESTING + 1];
    uint32_t n;
    uint32_t row_indent;
    uint32_t column;       /* behind the last piece */
    int last, before_last; /* kinds of the tokens before, 0 at a statement's start */
} Walk;

static Frame *top(Walk *w)
{
    return &w->frames[w->n - 1];
}

/* The first token from piece i on; NULL at the end of the file. */
static const Piece *next_token(const Fmt *f, uint32_t i)
{
    while (i < f->pieces.n && f->pieces.at[i].kind == FMT_COMMENT)
        i++;
    return i < f->pieces.n ? &f->pieces.at[i] : NULL;
}

static uint32_t indentation(Walk *w, uint32_t first)
{
    const Piece *p = next_token(w->f, first);
    const Frame *t = top(w);
    bool is_comment = w->f->pieces.at[first].kind == FMT_COMMENT;
    if (p && closes(p->kind) && !is_comment)
        return t->closer;
    if (t->kind != '{')
        return t->indent;
    if (!p || p->starts || p->kind == '}')
        return t->indent;
    return t->statement + (p->kind == TOK_ELSE ? 0 : 2);
}

static void open_frame(Walk *w, const Row *row, uint32_t i)
{
    const Piece *p = &w->f->pieces.at[i];
    if (w->n > AST_NESTING)
        return;
    Frame inner = {.kind = p->kind, .index = p->kind == '[' && ends_operand(w->last)};
    bool hangs = i + 1 < row->hi && w->f->pieces.at[i + 1].kind != FMT_COMMENT;
    uint32_t base = p->kind == '{' && top(w)->kind == '{' ? top(w)->statement : w->row_indent;
    inner.closer = base;
    inner.indent = inner.statement = base + 2;
    if (hangs && p->kind != '{' && w->column <= FMT_COLUMNS)
        inner.indent = inner.closer = w->column;
    w->frames[w->n++] = inner;
}

static void space_token(Walk *w, const Row *row, uint32_t i)
{
    Piece *p = &w->f->pieces.at[i];
    p->ranges = p->kind == ':' && top(w)->index;
    if (p->starts) {
        w->last = w->before_last = 0;
        top(w)->statement = i == row->lo ? w->row_indent : top(w)->statement;
    }
    if (i > row->lo)
        p->gap = blanks(w->before_last, &w->f->pieces.at[i - 1], p);
    w->column += p->gap + fmt_width(w->f, p);
    if (opens(p->kind))
        open_frame(w, row, i);
    else if (closes(p->kind) && w->n > 1)
        w->n--;
    w->before_last = w->last;
    w->last = p->kind;
}

static void space_row(Walk *w, const Row *row)
{
    w->row_indent = indentation(w, row->lo);
    w->f->pieces.at[row->lo].gap = w->row_indent;
    w->column = 0;
    for (uint32_t i = row->lo; i < row->hi; i++) {
        Piece *p = &w->f->pieces.at[i];
        if (p->kind != FMT_COMMENT)
            space_token(w, row, i);
        else if (i > row->lo)
            p->gap = 2;
    }
}

void fmt_space(Fmt *f)
{
    Walk *w = NEW(f->arena, Walk);
    w->f = f;
    w->n = 1;
    w->frames[0].kind = '{';
    for (uint32_t i = 0; i < f->rows.n; i++)
        space_row(w, &f->rows.at[i]);
}
