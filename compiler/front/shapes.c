/* shapes.c: what names were bound to while a program was checked: `mdl check --shapes`.
 *
 * A binding may be evaluated many times, for layers and stages of different sizes. Kept are its
 * different types; in print a type that stands for another (`f32[B, 64]` for `f32[4, 64]`) hides it. */
#include "elab.h"

enum { MOST_TYPES = 16, SHOWN = 2, WIDEST = 84, NARROWEST = 32 };

typedef struct Note {
    Span at;
    Sym name; /* NULL: the result of a function */
    VEC(const Type *) types;
    const char *number; /* of compile-time values; "" when it varies */
} Note;

typedef struct Shapes {
    Map *by_ast;
    VEC(Note *) notes;
} Shapes;

void front_shapes_begin(Front *f)
{
    f->shapes = NEW(f->arena, Shapes);
    f->shapes->by_ast = map_new(f->arena);
}

static Note *find_note(Elab *e, const Ast *at, Sym name)
{
    Front *f = e->front;
    uint64_t key = MAP_KEY(at) + !name;
    Note *n = map_get(f->shapes->by_ast, key);
    if (!n) {
        n = NEW(f->arena, Note);
        n->at = name && at->name_span.file ? at->name_span : at->span;
        if (!name) { /* behind the arguments */
            n->at.lo = at->kid[0]->span.hi;
        }
        n->name = name;
        map_put(f->shapes->by_ast, key, n);
        VEC_PUSH(f->arena, &f->shapes->notes, n);
    }
    return n;
}

static void note_type(Elab *e, Note *n, const Type *t)
{
    for (uint32_t i = 0; i < n->types.n; i++) {
        if (n->types.at[i] == t) {
            return;
        }
    }
    if (n->types.n < MOST_TYPES) {
        VEC_PUSH(e->front->arena, &n->types, t);
    }
}

static void note_number(Elab *e, Note *n, const Val *v)
{
    const char *text = val_text(e, v);
    if (!n->number) {
        n->number = arena_strdup(e->front->arena, text);
    } else if (strcmp(n->number, text) != 0) {
        n->number = "";
    }
}

void shapes_note(Elab *e, const Ast *at, Sym name, const Val *v)
{
    if (!e->front->shapes || e->lifted || at->span.file != e->front->files.at[0]->source) {
        return;
    }
    if (is_tensor(v)) {
        note_type(e, find_note(e, at, name), tensor_type(v));
    } else if (val_is_number(v)) {
        note_number(e, find_note(e, at, name), v);
    } else if (v->kind == V_TUPLE && !name) {
        for (uint32_t i = 0; i < v->list.n; i++) {
            if (!is_tensor(v->list.at[i])) {
                return;
            }
        }
        const Type **types = NEW_ARRAY(e->arena, const Type *, v->list.n + 1);
        for (uint32_t i = 0; i < v->list.n; i++) {
            types[i] = tensor_type(v->list.at[i]);
        }
        note_type(e, find_note(e, at, name), type_tuple(e->ir, v->list.n, types));
    }
}

/* ---- print ---- */

static bool says_nothing(const Note *n)
{
    return !n->types.n && !*n->number;
}

/* a says the same as b, or leaves a dimension of it open. */
static bool covers(const Type *a, const Type *b)
{
    int64_t size;
    bool same = a->is_tuple == b->is_tuple && a->dtype == b->dtype && a->rank == b->rank &&
                a->nelem == b->nelem;
    for (uint32_t i = 0; same && i < a->nelem; i++) {
        same = covers(a->elems[i], b->elems[i]);
    }
    for (uint32_t i = 0; same && i < a->rank; i++) {
        same = a->dims[i] == b->dims[i] || !dim_is_const(a->dims[i], &size);
    }
    return same;
}

/* Of types that cover each other, such as `f32[B]` and `f32[N]`, the first one stays. */
static bool is_hidden(const Note *n, uint32_t i)
{
    const Type *t = n->types.at[i];
    for (uint32_t k = 0; k < n->types.n; k++) {
        if (k != i && covers(n->types.at[k], t) && (k < i || !covers(t, n->types.at[k]))) {
            return true;
        }
    }
    return false;
}

static void put_note(const Front *f, const Note *n, StrBuf *sb)
{
    uint32_t shown = 0;
    sb_printf(sb, "%s%s", n->name ? n->name : "->", !n->name ? " " : n->types.n ? ": " : " = ");
    if (!n->types.n) {
        sb_puts(sb, n->number);
    }
    for (uint32_t i = 0; i < n->types.n; i++) {
        if (is_hidden(n, i)) {
            continue;
        }
        if (shown == SHOWN) {
            sb_puts(sb, " ..");
            return;
        }
        sb_printf(sb, "%s%s", shown++ ? " or " : "", type_text(f->ir, n->types.at[i]));
    }
}

typedef struct Line {
    uint32_t lo, hi; /* bytes, without the end */
    StrBuf notes;
} Line;

typedef struct Lines {
    uint32_t n;
    Line *at;
} Lines;

static Lines find_lines(const Front *f, const char *text, size_t size)
{
    Lines l = {1, NULL};
    for (size_t i = 0; i < size; i++) {
        l.n += text[i] == '\n';
    }
    l.at = NEW_ARRAY(f->arena, Line, l.n);
    uint32_t k = 0;
    for (uint32_t i = 0; i <= size; i++) {
        if (i < size && text[i] != '\n') {
            continue;
        }
        l.at[k].hi = i;
        l.at[k].notes = sb_new(f->arena);
        if (++k < l.n) {
            l.at[k].lo = i + 1;
        }
    }
    if (l.at[l.n - 1].lo == size) {
        l.n--; /* the text ends with a line end */
    }
    return l;
}

static uint32_t line_width(const char *text, const Line *line)
{
    uint32_t n = 0;
    for (uint32_t i = line->lo; i < line->hi; i++) {
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    }
    return n;
}

/* One column for the notes of lines up to the next empty one. */
static uint32_t note_column(const char *text, const Lines *l, uint32_t first)
{
    uint32_t column = NARROWEST;
    for (uint32_t i = first; i < l->n && l->at[i].hi > l->at[i].lo; i++) {
        uint32_t width = line_width(text, &l->at[i]) + 2;
        if (l->at[i].notes.n && width <= WIDEST && width > column) {
            column = width;
        }
    }
    return column;
}

static int by_place(const void *a, const void *b)
{
    const Note *x = *(Note *const *)a, *y = *(Note *const *)b;
    return x->at.lo != y->at.lo ? (x->at.lo < y->at.lo ? -1 : 1) : !x->name - !y->name;
}

static void spread_notes(const Front *f, const Lines *l)
{
    uint32_t n = f->shapes->notes.n, line = 0;
    Note **notes = COPY_ARRAY(f->arena, Note *, f->shapes->notes.at, n);
    qsort(notes, n, sizeof *notes, by_place);
    for (uint32_t i = 0; i < n; i++) {
        while (line + 1 < l->n && notes[i]->at.lo > l->at[line].hi) {
            line++;
        }
        StrBuf *sb = &l->at[line].notes;
        if (says_nothing(notes[i])) {
            continue;
        }
        sb_puts(sb, !sb->n ? "# " : notes[i]->name ? ", " : " ");
        put_note(f, notes[i], sb);
    }
}

void front_shapes_print(const Front *f, StrBuf *sb)
{
    size_t size;
    const char *text = diags_text(f->ir->diags, f->files.at[0]->source, &size);
    Lines l = find_lines(f, text, size);
    uint32_t column = 0;
    spread_notes(f, &l);
    for (uint32_t i = 0; i < l.n; i++) {
        const Line *line = &l.at[i];
        bool starts = i == 0 || l.at[i - 1].hi == l.at[i - 1].lo;
        column = starts ? note_column(text, &l, i) : column;
        sb_printf(sb, "%.*s", (int)(line->hi - line->lo), text + line->lo);
        if (line->notes.n) {
            uint32_t width = line_width(text, line);
            sb_printf(sb, "%*s%s", (int)(width + 2 < column ? column - width : 2), "",
                      sb_text(&l.at[i].notes));
        }
        sb_putc(sb, '\n');
    }
}
