/* diag.c: collecting reports about the user's program.
 *
 * Reports may come in any order and more than once (a module is elaborated for several uses): equal
 * ones are merged by a hash of code, place and text. Spans are taken as they come and clamped to
 * the text when they are shown. Rendering is in diag_render.c. */
#include "diag_data.h"
#include <stdarg.h>

typedef struct CodeInfo {
    const char *name, *title;
} CodeInfo;

static const CodeInfo codes[] = {
#define DIAG(code, title) {#code, title},
#include "diags.def"
#undef DIAG
};

const char *diag_code_name(DiagCode code)
{
    ASSERT((unsigned)code < DIAG_COUNT);
    return codes[code].name;
}

const char *diag_code_title(DiagCode code)
{
    ASSERT((unsigned)code < DIAG_COUNT);
    return codes[code].title;
}

bool diag_code_find(const char *name, DiagCode *out)
{
    for (int c = 0; c < DIAG_COUNT; c++)
        if (strcmp(codes[c].name, name) == 0) {
            *out = (DiagCode)c;
            return true;
        }
    return false;
}

Diags *diags_new(Arena *arena)
{
    Diags *diags = NEW(arena, Diags);
    diags->arena = arena;
    diags->seen = map_new(arena);
    return diags;
}

uint32_t diags_source(Diags *diags, const char *path, const char *text, size_t n)
{
    ASSERT(n < UINT32_MAX);
    Source source = {.path = path, .text = text, .n = (uint32_t)n};
    VEC_PUSH(diags->arena, &source.starts, 0);
    for (uint32_t i = 0; i < source.n; i++)
        if (text[i] == '\n')
            VEC_PUSH(diags->arena, &source.starts, i + 1);
    VEC_PUSH(diags->arena, &diags->sources, source);
    return diags->sources.n;
}

uint32_t diags_sources(const Diags *diags)
{
    return diags->sources.n;
}

const Source *diags_find_source(const Diags *diags, uint32_t file)
{
    return file >= 1 && file <= diags->sources.n ? &diags->sources.at[file - 1] : NULL;
}

const char *diags_path(const Diags *diags, uint32_t file)
{
    const Source *source = diags_find_source(diags, file);
    ASSERT(source);
    return source->path;
}

const char *diags_text(const Diags *diags, uint32_t file, size_t *n)
{
    const Source *source = diags_find_source(diags, file);
    ASSERT(source);
    if (n)
        *n = source->n;
    return source->text;
}

static bool in_library(const Diags *diags, Span span)
{
    const Source *source = diags_find_source(diags, span.file);
    return source && source->library;
}

void diags_library(Diags *diags, uint32_t file)
{
    ASSERT(diags_find_source(diags, file));
    diags->sources.at[file - 1].library = true;
}

Span diags_call(Diags *diags, Span call)
{
    Span outer = diags->call;
    if (call.file && !in_library(diags, call))
        diags->call = call;
    return outer;
}

void diags_return(Diags *diags, Span outer)
{
    diags->call = outer;
}

uint32_t source_line(const Source *source, uint32_t offset)
{
    uint32_t lo = 0, hi = source->starts.n; /* starts[lo] <= offset < starts[hi] */
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (source->starts.at[mid] <= offset)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

uint32_t source_line_end(const Source *source, uint32_t line)
{
    uint32_t start = source->starts.at[line];
    bool last = line + 1 == source->starts.n;
    uint32_t end = last ? source->n : source->starts.at[line + 1] - 1;
    return end > start && source->text[end - 1] == '\r' ? end - 1 : end;
}

void diags_place(const Diags *diags, Span span, uint32_t *line, uint32_t *column)
{
    const Source *source = diags_find_source(diags, span.file);
    ASSERT(source);
    uint32_t offset = span.lo < source->n ? span.lo : source->n;
    uint32_t at = source_line(source, offset);
    *line = at + 1;
    *column = offset - source->starts.at[at] + 1;
}

PRINTF_LIKE(2, 0) static const char *format(Arena *arena, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    ASSERT(n >= 0);
    char *text = arena_alloc(arena, (size_t)n + 1);
    vsnprintf(text, (size_t)n + 1, fmt, args);
    return text;
}

static bool spans_equal(Span a, Span b)
{
    return a.file == b.file && a.lo == b.lo && a.hi == b.hi;
}

/* Links the report behind earlier ones with its hash; true when one of them is equal. */
static bool already_seen(Diags *diags, Diag *diag)
{
    uint64_t hash = hash_mix(hash_text(diag->text), diag->code);
    hash = hash_mix(hash_mix(hash, diag->span.file), diag->span.lo);
    hash = hash_mix(hash, diag->span.hi);
    diag->same_hash = map_get(diags->seen, hash);
    for (const Diag *d = diag->same_hash; d; d = d->same_hash)
        if (d->code == diag->code && spans_equal(d->span, diag->span) &&
            strcmp(d->text, diag->text) == 0)
            return true;
    map_put(diags->seen, hash, diag);
    return false;
}

Diag *diag_at(Diags *diags, DiagCode code, Span span, const char *fmt, ...)
{
    Diag *diag = NEW(diags->arena, Diag);
    va_list args;
    va_start(args, fmt);
    diag->text = format(diags->arena, fmt, args);
    va_end(args);
    diag->diags = diags;
    diag->code = code;
    bool moved = diags->call.file && in_library(diags, span);
    diag->span = moved ? diags->call : span;
    if (moved)
        diag_also(diag, span, "seen here, in the standard library");
    bool warning = diag_code_name(code)[0] == 'W' && !diags->denied[code];
    diag->level = warning ? DIAG_WARNING : DIAG_ERROR;
    diags->reported += diag->level == DIAG_ERROR;
    if (already_seen(diags, diag))
        return diag; /* takes the caller's notes and is never shown */
    diag->seq = diags->list.n;
    VEC_PUSH(diags->arena, &diags->list, diag);
    if (diag->level == DIAG_ERROR)
        diags->errors++;
    else
        diags->warnings++;
    return diag;
}

void diag_again(const Diag *first)
{
    first->diags->reported += first->level == DIAG_ERROR;
}

void diag_label(Diag *diag, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    diag->label = format(diag->diags->arena, fmt, args);
    va_end(args);
}

void diag_also(Diag *diag, Span span, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    Also also = {span, format(diag->diags->arena, fmt, args)};
    va_end(args);
    VEC_PUSH(diag->diags->arena, &diag->also, also);
}

static void add_extra(Diag *diag, Extra extra)
{
    VEC_PUSH(diag->diags->arena, &diag->extras, extra);
}

void diag_note(Diag *diag, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add_extra(diag, (Extra){.kind = EXTRA_NOTE, .text = format(diag->diags->arena, fmt, args)});
    va_end(args);
}

void diag_help(Diag *diag, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add_extra(diag, (Extra){.kind = EXTRA_HELP, .text = format(diag->diags->arena, fmt, args)});
    va_end(args);
}

void diag_fix(Diag *diag, Span span, const char *replacement, const char *fmt, ...)
{
    Arena *arena = diag->diags->arena;
    va_list args;
    va_start(args, fmt);
    Extra fix = {EXTRA_FIX, span, arena_strdup(arena, replacement), format(arena, fmt, args),
                 false};
    va_end(args);
    add_extra(diag, fix);
}

void diag_fix_certain(Diag *diag, Span span, const char *replacement, const char *fmt, ...)
{
    Arena *arena = diag->diags->arena;
    va_list args;
    va_start(args, fmt);
    Extra fix = {EXTRA_FIX, span, arena_strdup(arena, replacement), format(arena, fmt, args), true};
    va_end(args);
    add_extra(diag, fix);
}

void diags_deny(Diags *diags, DiagCode code)
{
    ASSERT((unsigned)code < DIAG_COUNT);
    diags->denied[code] = true;
}

uint32_t diags_errors_in(const Diags *diags, uint32_t file)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < diags->list.n; i++)
        n += diags->list.at[i]->level == DIAG_ERROR && diags->list.at[i]->span.file == file;
    return n;
}

uint32_t diags_errors(const Diags *diags)
{
    return diags->errors;
}

uint32_t diags_warnings(const Diags *diags)
{
    return diags->warnings;
}

uint32_t diags_reported(const Diags *diags)
{
    return diags->reported;
}
