/* diag_render.c: diagnostics as text, with the source and carets under it.
 *
 * A report is a head line, one snippet per file, notes, and helps with the edited line:
 *
 *     error[E0410]: index `i` appears only on the right
 *      --> std/nn.mdl:9:14
 *       |
 *     9 |     y[.., o] = x[.., i] * weight[o, i]
 *       |              ^
 *       |
 *       = note: `i` ranges over In = 4096
 *     help: `+=` sums over it
 *       |
 *     9 |     y[.., o] += x[.., i] * weight[o, i]
 *       |              ~~
 *
 * A span becomes one mark, or two when it covers several lines (the first and the last of them).
 * All marks of a file are sorted and shown line by line (diag_line.c), `...` between far lines. */
#include "diag_line.h"

enum { REPORTS_SHOWN = 20 };

typedef struct Render {
    const Diags *diags;
    Arena *arena;
    StrBuf *sb;
    const Paint *paint;
    uint32_t width; /* of line numbers in the current report */
} Render;

typedef struct FileMark {
    uint32_t line; /* from 0 */
    Mark mark;
} FileMark;

typedef VEC(FileMark) FileMarks;

static uint32_t digits(uint32_t n)
{
    uint32_t count = 1;
    for (; n >= 10; n /= 10)
        count++;
    return count;
}

static void put_gutter(const Render *r, const char *rest)
{
    sb_printf(r->sb, "%*s %s%s%s", (int)r->width, "", r->paint->rule, rest, r->paint->off);
}

static void put_numbered(const Render *r, uint32_t line)
{
    sb_printf(r->sb, "%s%*u |%s", r->paint->rule, (int)r->width, line + 1, r->paint->off);
}

/* ---- marks ---- */

static Span clamp(const Source *source, Span span)
{
    if (span.lo > source->n)
        span.lo = source->n;
    if (span.hi > source->n)
        span.hi = source->n;
    if (span.hi < span.lo)
        span.hi = span.lo;
    return span;
}

/* Blanks and newlines at the end of a span are not worth a caret. */
static Span trim(const Source *source, Span span)
{
    span = clamp(source, span);
    while (span.hi > span.lo && strchr(" \t\r\n", source->text[span.hi - 1]) &&
           source->text[span.hi - 1])
        span.hi--;
    return span;
}

static void add_marks(const Render *r, FileMarks *marks, const Source *source, Span span,
                      const Mark *style)
{
    span = trim(source, span);
    uint32_t first = source_line(source, span.lo);
    uint32_t last = source_line(source, span.hi > span.lo ? span.hi - 1 : span.lo);
    uint32_t start = source->starts.at[first];
    FileMark fm = {first, *style};
    fm.mark.lo = span.lo - start;
    fm.mark.hi = span.hi - start;
    if (first == last) {
        VEC_PUSH(r->arena, marks, fm);
        return;
    }
    fm.mark.hi = source_line_end(source, first) - start;
    fm.mark.label = NULL;
    VEC_PUSH(r->arena, marks, fm);
    start = source->starts.at[last];
    uint32_t indent = 0;
    while (source->text[start + indent] == ' ' || source->text[start + indent] == '\t')
        indent++;
    fm = (FileMark){last, *style};
    fm.mark.lo = indent;
    fm.mark.hi = span.hi - start;
    VEC_PUSH(r->arena, marks, fm);
}

static int compare_marks(const void *a, const void *b)
{
    const FileMark *x = a, *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->mark.lo != y->mark.lo)
        return x->mark.lo < y->mark.lo ? -1 : 1;
    return x->mark.order < y->mark.order ? -1 : x->mark.order > y->mark.order;
}

/* Every mark of the report that lies in `file`, sorted by place. */
static FileMarks collect_marks(const Render *r, const Diag *diag, uint32_t file)
{
    FileMarks marks = {0};
    const Source *source = diags_find_source(r->diags, file);
    if (diag->span.file == file)
        add_marks(r, &marks, source, diag->span, &(Mark){.sign = '^', .label = diag->label});
    for (uint32_t i = 0; i < diag->also.n; i++) {
        const Also *also = &diag->also.at[i];
        if (also->span.file == file)
            add_marks(r, &marks, source, also->span,
                      &(Mark){.sign = '-', .label = also->label, .order = i + 1});
    }
    if (marks.n)
        qsort(marks.at, marks.n, sizeof *marks.at, compare_marks);
    return marks;
}

/* ---- snippets ---- */

/* The line and, behind a gutter, the rows of its marks. */
static void put_line(const Render *r, uint32_t line, const Line *view)
{
    put_numbered(r, line);
    line_put_text(r->sb, view);
    for (uint32_t row = 0; row < line_mark_rows(view); row++) {
        put_gutter(r, "|");
        line_put_marks(r->sb, view, row, r->paint);
    }
}

static void put_snippet(const Render *r, uint32_t file, const FileMarks *marks)
{
    const Source *source = diags_find_source(r->diags, file);
    put_gutter(r, "|\n");
    for (uint32_t i = 0, to; i < marks->n; i = to) {
        uint32_t line = marks->at[i].line;
        for (to = i; to < marks->n && marks->at[to].line == line;)
            to++;
        if (i && line > marks->at[i - 1].line + 1)
            sb_printf(r->sb, "%s...%s\n", r->paint->rule, r->paint->off);
        Mark *here = NEW_ARRAY(r->arena, Mark, to - i);
        for (uint32_t j = i; j < to; j++)
            here[j - i] = marks->at[j].mark;
        uint32_t start = source->starts.at[line];
        const char *text = source->text + start;
        Line *view = line_new(r->arena, text, source_line_end(source, line) - start, here, to - i);
        put_line(r, line, view);
    }
    put_gutter(r, "|\n");
}

static void put_arrow(const Render *r, const char *arrow, uint32_t file, uint32_t offset)
{
    uint32_t line, column;
    diags_place(r->diags, (Span){file, offset, offset}, &line, &column);
    sb_printf(r->sb, "%*s%s%s%s ", (int)r->width, "", r->paint->rule, arrow, r->paint->off);
    line_put_clean(r->sb, diags_path(r->diags, file));
    sb_printf(r->sb, ":%u:%u\n", line, column);
}

/* The file of the primary span first, then the others in the order they are mentioned. */
static void put_snippets(const Render *r, const Diag *diag)
{
    if (diags_find_source(r->diags, diag->span.file)) {
        FileMarks marks = collect_marks(r, diag, diag->span.file);
        put_arrow(r, "-->", diag->span.file, diag->span.lo);
        put_snippet(r, diag->span.file, &marks);
    }
    for (uint32_t i = 0; i < diag->also.n; i++) {
        Span span = diag->also.at[i].span;
        bool done = span.file == diag->span.file || !diags_find_source(r->diags, span.file);
        for (uint32_t j = 0; j < i; j++)
            done = done || diag->also.at[j].span.file == span.file;
        if (done)
            continue;
        FileMarks marks = collect_marks(r, diag, span.file);
        put_arrow(r, ":::", span.file, span.lo);
        put_snippet(r, span.file, &marks);
    }
}

/* ---- notes and helps ---- */

/* The source with the edit applied: whole lines, from the first to the last one it touches. */
static Bytes edited_lines(const Render *r, const Source *source, Span span, const char *replacement)
{
    uint32_t start = source->starts.at[source_line(source, span.lo)];
    uint32_t end = source_line_end(source, source_line(source, span.hi));
    StrBuf sb = sb_new(r->arena);
    sb_putn(&sb, source->text + start, span.lo - start);
    sb_puts(&sb, replacement);
    if (end > span.hi)
        sb_putn(&sb, source->text + span.hi, end - span.hi);
    sb_text(&sb);
    return (Bytes){sb.text, sb.n};
}

/* Shows the edited lines, each with the part of [lo, hi) (offsets in `text`) that lies in it. */
static void put_edit(const Render *r, uint32_t line, Bytes text, Mark mark)
{
    size_t start = 0;
    for (uint32_t shown = 0; start <= text.n && shown < 8; shown++, line++) {
        const char *newline = memchr(text.data + start, '\n', text.n - start);
        size_t end = newline ? (size_t)(newline - text.data) : text.n;
        Mark here = mark;
        bool marked = mark.lo <= end && (mark.hi > start || shown == 0);
        here.lo = mark.lo > start ? (uint32_t)(mark.lo - start) : 0;
        here.hi = (uint32_t)((mark.hi < end ? mark.hi : end) - start);
        Line *view = line_new(r->arena, text.data + start, end - start, &here, marked);
        put_line(r, line, view);
        start = end + 1;
    }
}

static void put_fix(const Render *r, const Extra *fix)
{
    const Source *source = diags_find_source(r->diags, fix->span.file);
    Span span = clamp(source, fix->span);
    uint32_t line = source_line(source, span.lo);
    uint32_t at = span.lo - source->starts.at[line];
    size_t n = strlen(fix->replacement), blank = strspn(fix->replacement, " \t\n");
    if (blank == n)
        blank = 0;
    while (n > blank + 1 && strchr(" \t\n", fix->replacement[n - 1]))
        n--;
    Mark mark = {.sign = span.lo == span.hi ? '+' : '~'};
    mark.lo = at + (uint32_t)blank;
    mark.hi = at + (uint32_t)n;
    put_gutter(r, "|\n");
    put_edit(r, line, edited_lines(r, source, span, fix->replacement), mark);
}

static bool is_edit(const Render *r, const Extra *extra)
{
    return extra->kind == EXTRA_FIX && diags_find_source(r->diags, extra->span.file);
}

static void put_extra(const Render *r, const Extra *extra)
{
    bool edit = is_edit(r, extra);
    const char *kind = extra->kind == EXTRA_NOTE ? "note" : "help";
    if (!edit)
        put_gutter(r, "= ");
    sb_printf(r->sb, "%s%s%s: ", r->paint->bold, kind, r->paint->off);
    line_put_clean(r->sb, extra->text);
    sb_putc(r->sb, '\n');
    if (edit)
        put_fix(r, extra);
}

/* ---- reports ---- */

static uint32_t widest_number(const Render *r, const Diag *diag)
{
    uint32_t last = 0;
    for (uint32_t i = 0; i < diag->also.n + diag->extras.n + 1; i++) {
        Span span = diag->span;
        if (i && i <= diag->also.n)
            span = diag->also.at[i - 1].span;
        else if (i)
            span = diag->extras.at[i - diag->also.n - 1].span;
        const Source *source = diags_find_source(r->diags, span.file);
        if (!source)
            continue;
        span = trim(source, span);
        uint32_t line = source_line(source, span.hi > span.lo ? span.hi - 1 : span.lo) + 1;
        if (line > last)
            last = line;
    }
    return digits(last);
}

static void put_human(Render *r, const Diag *diag)
{
    bool error = diag->level == DIAG_ERROR;
    r->width = widest_number(r, diag);
    sb_printf(r->sb, "%s%s[%s]%s", error ? r->paint->error : r->paint->warning,
              error ? "error" : "warning", diag_code_name(diag->code), r->paint->off);
    sb_printf(r->sb, "%s: ", r->paint->bold);
    line_put_clean(r->sb, diag->text);
    sb_printf(r->sb, "%s\n", r->paint->off);
    put_snippets(r, diag);
    for (uint32_t i = 0; i < diag->extras.n; i++)
        if (!is_edit(r, &diag->extras.at[i]))
            put_extra(r, &diag->extras.at[i]);
    for (uint32_t i = 0; i < diag->extras.n; i++)
        if (is_edit(r, &diag->extras.at[i]))
            put_extra(r, &diag->extras.at[i]);
}

static void put_short(const Render *r, const Diag *diag)
{
    if (diags_find_source(r->diags, diag->span.file)) {
        uint32_t line, column;
        diags_place(r->diags, diag->span, &line, &column);
        line_put_clean(r->sb, diags_path(r->diags, diag->span.file));
        sb_printf(r->sb, ":%u:%u: ", line, column);
    }
    sb_printf(r->sb, "%s[%s]: ", diag->level == DIAG_ERROR ? "error" : "warning",
              diag_code_name(diag->code));
    line_put_clean(r->sb, diag->text);
    sb_putc(r->sb, '\n');
}

static int compare_diags(const void *a, const void *b)
{
    const Diag *x = *(Diag *const *)a, *y = *(Diag *const *)b;
    if (x->span.file != y->span.file)
        return x->span.file < y->span.file ? -1 : 1;
    if (x->span.lo != y->span.lo)
        return x->span.lo < y->span.lo ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void put_left_out(StrBuf *sb, const char *what, uint32_t all)
{
    if (all <= REPORTS_SHOWN)
        return;
    uint32_t n = all - REPORTS_SHOWN;
    sb_printf(sb, "... and %u more %s%s\n", n, what, n == 1 ? "" : "s");
}

Diag **diags_sorted(const Diags *diags, Arena *arena)
{
    Diag **sorted = COPY_ARRAY(arena, Diag *, diags->list.at, diags->list.n);
    if (diags->list.n)
        qsort(sorted, diags->list.n, sizeof *sorted, compare_diags);
    return sorted;
}

const char *diags_render(const Diags *diags, Arena *arena, DiagFormat format, bool color)
{
    if (format == DIAG_JSON || format == DIAG_SARIF)
        return format == DIAG_JSON ? diags_json(diags, arena) : diags_sarif(diags, arena);
    StrBuf sb = sb_new(arena);
    Render r = {diags, arena, &sb, line_paint(color), 1};
    Diag **sorted = diags_sorted(diags, arena);
    uint32_t shown[] = {[DIAG_ERROR] = 0, [DIAG_WARNING] = 0};
    for (uint32_t i = 0; i < diags->list.n; i++) {
        if (++shown[sorted[i]->level] > REPORTS_SHOWN)
            continue;
        if (format == DIAG_SHORT) {
            put_short(&r, sorted[i]);
            continue;
        }
        if (sb.n)
            sb_putc(&sb, '\n');
        put_human(&r, sorted[i]);
    }
    put_left_out(&sb, "error", diags->errors);
    put_left_out(&sb, "warning", diags->warnings);
    return sb_text(&sb);
}
