/* fmt_align.c: what stands below each other.
 *
 * Three things make a group of pieces that share a column: a run of statements of one kind on lines
 * that follow each other (types of declarations, `=` of blocks, `~`, `as "key"`, `from`); trailing
 * comments of such lines; and pieces the author lined up with two blanks or more. Groups push pieces
 * to the right until nothing moves; where two groups cross that could go on for ever, so the number
 * of rounds is bounded. */
#include "fmt_lines.h"
#include "mdl.tab.h"

enum { ROUNDS = 40, CELLS = 3, LONG_ROW = 200 };
#define NONE UINT32_MAX

typedef VEC(Group) Groups;

typedef struct Align {
    Fmt *f;
    Groups groups;
} Align;

uint32_t fmt_width(const Fmt *f, const Piece *p)
{
    uint32_t width = 0;
    for (uint32_t i = p->lo; i < p->hi; i++)
        width = f->src[i] == '\n' ? 0 : width + (((unsigned char)f->src[i] & 0xc0) != 0x80);
    return width;
}

/* The piece that begins at the offset or is the first behind it. */
static uint32_t piece_at(const Fmt *f, uint32_t offset)
{
    uint32_t lo = 0, hi = f->pieces.n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (f->pieces.at[mid].lo < offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The next piece of this kind outside of brackets, before offset hi and on the row of `from`. */
static uint32_t find(const Fmt *f, uint32_t from, int kind, uint32_t hi)
{
    int depth = 0;
    if (from >= f->pieces.n)
        return NONE;
    uint32_t end = f->rows.at[f->row_of[from]].hi;
    for (uint32_t i = from; i < end && f->pieces.at[i].lo < hi; i++) {
        int k = f->pieces.at[i].kind;
        if (!depth && k == kind)
            return i;
        depth += k == '(' || k == '[' || k == '{';
        depth -= k == ')' || k == ']' || k == '}';
    }
    return NONE;
}

static uint32_t find_behind(const Fmt *f, uint32_t from, int kind, uint32_t hi)
{
    uint32_t i = find(f, from, kind, hi);
    return i != NONE && i + 1 < f->rows.at[f->row_of[i]].hi ? i + 1 : NONE;
}

/* Statements of one class line up with each other; 0: with none. */
static int class_of(const Ast *a)
{
    AstKind k = a->kind;
    if (k == A_SUB || k == A_ARRAY)
        return A_SUB;
    if (k == A_BUFFER)
        return A_PARAM;
    bool has_name = k == A_IMPORT ? a->nkid > 0 : k == A_BLOCK && a->kid[2] && !a->kid[3];
    bool any = k == A_PARAM || k == A_STATE || k == A_ATTR || k == A_FIELD || has_name;
    return any || (k == A_CLAUSE && a->kid[1]) ? (int)k : 0;
}

/* The pieces of a statement's first line that are put into columns, from left to right. */
static void cells_of(const Fmt *f, const Ast *a, uint32_t cell[CELLS])
{
    uint32_t first = piece_at(f, a->span.lo), hi = a->span.hi;
    for (int k = 0; k < CELLS; k++)
        cell[k] = NONE;
    if (a->kind == A_ATTR || a->kind == A_BLOCK) {
        cell[0] = find(f, first, '=', hi);
    } else if (a->kind == A_CLAUSE) {
        uint32_t i = piece_at(f, a->kid[1]->span.lo);
        cell[0] = i < f->pieces.n && f->row_of[i] == f->row_of[first] ? i : NONE;
    } else {
        cell[0] = find_behind(f, first, ':', hi);
        cell[1] = find(f, first, a->kind == A_FIELD ? '=' : '~', hi);
        cell[2] = a->kind == A_STATE || a->kind == A_IMPORT || !a->text
                      ? NONE
                      : find(f, first, TOK_AS, hi);
    }
}

/* Does b stand on the line below a, each beginning one? Comments may stand between them. */
static bool is_below(const Fmt *f, const Ast *a, const Ast *b)
{
    uint32_t from = f->row_of[piece_at(f, a->span.lo)], to = f->row_of[piece_at(f, b->span.lo)];
    if (to == from || f->row_of[piece_at(f, a->span.hi) - 1] != from)
        return false; /* what takes several lines ends a run */
    for (uint32_t r = from + 1; r <= to; r++)
        if (f->rows.at[r].blank)
            return false;
    return f->pieces.at[f->rows.at[to].lo].lo == b->span.lo;
}

static void put_cells(Align *al, const Ast *const *run, uint32_t n)
{
    Fmt *f = al->f;
    Group groups[CELLS] = {0};
    for (uint32_t i = 0; i < n; i++) {
        uint32_t cell[CELLS];
        cells_of(f, run[i], cell);
        for (int k = 0; k < CELLS; k++)
            if (cell[k] != NONE) {
                f->pieces.at[cell[k]].aligned = true;
                VEC_PUSH(f->arena, &groups[k].pieces, cell[k]);
            }
    }
    for (int k = 0; k < CELLS; k++)
        if (groups[k].pieces.n > 1)
            VEC_PUSH(f->arena, &al->groups, groups[k]);
}

/* Runs among the children of one list of statements, and of those inside. */
static void statements(Align *al, const Ast *a)
{
    uint32_t from = 0;
    for (uint32_t i = 0; i < a->nkid; i++) {
        const Ast *x = a->kid[i];
        if (!x)
            continue;
        statements(al, x);
        bool goes_on = i + 1 < a->nkid && a->kid[i + 1] && class_of(x) &&
                       class_of(a->kid[i + 1]) == class_of(x) && is_below(al->f, x, a->kid[i + 1]);
        if (goes_on)
            continue;
        if (class_of(x))
            put_cells(al, (const Ast *const *)a->kid + from, i + 1 - from);
        from = i + 1;
    }
}

static bool is_trailing(const Fmt *f, uint32_t row)
{
    const Row *r = &f->rows.at[row];
    return r->hi - r->lo > 1 && f->pieces.at[r->hi - 1].kind == FMT_COMMENT;
}

static void comments(Align *al)
{
    Fmt *f = al->f;
    for (uint32_t r = 0; r < f->rows.n; r++) {
        Group g = {0};
        for (; r < f->rows.n && is_trailing(f, r); r++) {
            if (g.pieces.n && f->rows.at[r].blank)
                break;
            f->pieces.at[f->rows.at[r].hi - 1].aligned = true;
            VEC_PUSH(f->arena, &g.pieces, f->rows.at[r].hi - 1);
        }
        if (g.pieces.n > 1)
            VEC_PUSH(f->arena, &al->groups, g);
        if (r < f->rows.n && is_trailing(f, r)) /* stopped at an empty line */
            r--;
    }
}

/* Blanks before the piece in the source; 0 for the first of a line. */
static uint32_t source_gap(const Fmt *f, uint32_t i)
{
    if (i == f->rows.at[f->row_of[i]].lo)
        return 0;
    return f->pieces.at[i].lo - f->pieces.at[i - 1].hi;
}

/* The piece of the row that could stand below one of this column in the author's text. */
static uint32_t same_column(const Fmt *f, uint32_t row, uint32_t column)
{
    const Row *r = &f->rows.at[row];
    uint32_t lo = r->lo, hi = r->hi - r->lo > LONG_ROW ? r->lo + LONG_ROW : r->hi;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (f->pieces.at[mid].column < column)
            lo = mid + 1;
        else
            hi = mid;
    }
    bool found = lo < r->hi && lo - r->lo < LONG_ROW && f->pieces.at[lo].column == column &&
                 source_gap(f, lo) > 0;
    return found && !f->pieces.at[lo].aligned ? lo : NONE;
}

/* What the author lined up, downwards from piece i. */
static void authors_group(Align *al, uint32_t i)
{
    Fmt *f = al->f;
    Group g = {0};
    bool wide = false;
    uint32_t row = f->row_of[i], column = f->pieces.at[i].column;
    if (row && !f->rows.at[row].blank && same_column(f, row - 1, column) != NONE)
        return; /* it belongs to the group of the line above */
    for (; row < f->rows.n && i != NONE; i = same_column(f, row, column)) {
        VEC_PUSH(f->arena, &g.pieces, i);
        wide = wide || source_gap(f, i) > 1;
        if (++row == f->rows.n || f->rows.at[row].blank)
            break;
    }
    if (wide && g.pieces.n > 1)
        VEC_PUSH(f->arena, &al->groups, g);
}

static uint32_t column_of(const Fmt *f, uint32_t i)
{
    uint32_t column = f->pieces.at[i].gap;
    for (uint32_t k = f->rows.at[f->row_of[i]].lo; k < i && column <= FMT_COLUMNS; k++)
        column += f->pieces.at[k].gap + fmt_width(f, &f->pieces.at[k]);
    return column;
}

/* Brings the group into one column; did anything move? */
static bool settle(Fmt *f, const Group *g)
{
    uint32_t column = 0;
    bool moved = false;
    for (uint32_t i = 0; i < g->pieces.n; i++) {
        uint32_t c = column_of(f, g->pieces.at[i]);
        column = c > column && c <= FMT_COLUMNS ? c : column;
    }
    for (uint32_t i = 0; i < g->pieces.n; i++) {
        uint32_t c = column_of(f, g->pieces.at[i]);
        if (c >= column)
            continue;
        f->pieces.at[g->pieces.at[i]].gap += column - c;
        moved = true;
    }
    return moved;
}

void fmt_align(Fmt *f)
{
    Align al = {.f = f};
    statements(&al, f->root);
    uint32_t inner = al.groups.n;
    comments(&al);
    uint32_t comment_end = al.groups.n;
    for (uint32_t i = 0; i < f->pieces.n; i++)
        if (!f->pieces.at[i].aligned && source_gap(f, i) > 0 &&
            i - f->rows.at[f->row_of[i]].lo < LONG_ROW)
            authors_group(&al, i);
    bool moved = true;
    for (int round = 0; moved && round < ROUNDS; round++) {
        moved = false;
        for (uint32_t i = 0; i < al.groups.n; i++)
            if (i < inner || i >= comment_end)
                moved = settle(f, &al.groups.at[i]) || moved;
    }
    for (uint32_t i = inner; i < comment_end; i++)
        settle(f, &al.groups.at[i]);
}
