/* diag_json.c: diagnostics for programs: JSON, one object a line, and SARIF 2.1.0 for code scanning.
 *
 * Everything is there, also what diag_render.c leaves out after 20 reports. Lines and columns count
 * from 1. In JSON columns are bytes and `lo`, `hi` byte offsets; in SARIF columns are code points. */
#include "diag_data.h"

/* Bytes of the UTF-8 sequence at p, or 0 when it is none. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
    size_t want = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : *p >= 0xe0 && *p < 0xf0 ? 3 : 4;
    if ((*p >= 0x80 && *p < 0xc2) || *p > 0xf4 || want > n)
        return 0;
    for (size_t i = 1; i < want; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = want > 2 && ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xf0 && p[1] < 0x90));
    bool outside = want > 2 && ((*p == 0xed && p[1] > 0x9f) || (*p == 0xf4 && p[1] > 0x8f));
    return overlong || outside ? 0 : want;
}

void sb_json(StrBuf *sb, const char *text, size_t n)
{
    sb_putc(sb, '"');
    for (size_t i = 0; i < n;) {
        const unsigned char *p = (const unsigned char *)text + i;
        size_t width = utf8_length(p, n - i);
        if (*p == '"' || *p == '\\')
            sb_printf(sb, "\\%c", *p);
        else if (*p == '\n' || *p == '\t')
            sb_puts(sb, *p == '\n' ? "\\n" : "\\t");
        else if (*p < 0x20 || *p == 0x7f)
            sb_printf(sb, "\\u%04x", *p);
        else if (width)
            sb_putn(sb, text + i, width);
        else
            sb_puts(sb, "\\ufffd");
        i += width ? width : 1;
    }
    sb_putc(sb, '"');
}

typedef struct Out {
    const Diags *diags;
    StrBuf sb;
} Out;

typedef struct Place {
    const Source *source;
    uint32_t lo, hi;
    uint32_t line, column, end_line, end_column; /* from 0, in bytes */
} Place;

/* False for the zero span. */
static bool place_of(const Out *o, Span span, Place *p)
{
    const Source *s = diags_find_source(o->diags, span.file);
    if (!s)
        return false;
    *p = (Place){.source = s, .lo = span.lo < s->n ? span.lo : s->n};
    p->hi = span.hi > s->n ? s->n : span.hi < p->lo ? p->lo : span.hi;
    p->line = source_line(s, p->lo);
    p->end_line = source_line(s, p->hi);
    p->column = p->lo - s->starts.at[p->line];
    p->end_column = p->hi - s->starts.at[p->end_line];
    return true;
}

static void put_string(Out *o, const char *text)
{
    sb_json(&o->sb, text, strlen(text));
}

static void put_member(Out *o, const char *name, const char *text)
{
    sb_printf(&o->sb, "\"%s\":", name);
    put_string(o, text);
}

static const char *level_of(const Diag *d)
{
    return d->level == DIAG_ERROR ? "error" : "warning";
}

/* ---- JSON ---- */

static void put_place(Out *o, const Place *p)
{
    put_member(o, "file", p->source->path);
    sb_printf(&o->sb,
              ",\"line\":%u,\"column\":%u,\"end_line\":%u,\"end_column\":%u,\"lo\":%u,\"hi\":%u",
              p->line + 1, p->column + 1, p->end_line + 1, p->end_column + 1, p->lo, p->hi);
}

static void put_span(Out *o, Span span, const char *label, bool primary)
{
    Place p;
    if (!place_of(o, span, &p))
        return;
    bool first = o->sb.text[o->sb.n - 1] == '[';
    sb_puts(&o->sb, first ? "{" : ",{");
    put_place(o, &p);
    sb_printf(&o->sb, ",\"primary\":%s,\"label\":", primary ? "true" : "false");
    if (label)
        put_string(o, label);
    else
        sb_puts(&o->sb, "null");
    sb_putc(&o->sb, '}');
}

/* Notes or helps without an edit. */
static void put_texts(Out *o, const Diag *d, const char *name, ExtraKind kind)
{
    bool any = false;
    sb_printf(&o->sb, ",\"%s\":[", name);
    for (uint32_t i = 0; i < d->extras.n; i++) {
        if (d->extras.at[i].kind != kind)
            continue;
        sb_puts(&o->sb, any ? "," : "");
        put_string(o, d->extras.at[i].text);
        any = true;
    }
    sb_putc(&o->sb, ']');
}

static void put_fixes(Out *o, const Diag *d)
{
    bool any = false;
    sb_puts(&o->sb, ",\"fixes\":[");
    for (uint32_t i = 0; i < d->extras.n; i++) {
        const Extra *x = &d->extras.at[i];
        Place p;
        if (x->kind != EXTRA_FIX || !place_of(o, x->span, &p))
            continue;
        sb_puts(&o->sb, any ? ",{" : "{");
        put_member(o, "message", x->text);
        sb_printf(&o->sb, ",\"certain\":%s,", x->certain ? "true" : "false");
        put_place(o, &p);
        sb_putc(&o->sb, ',');
        put_member(o, "replacement", x->replacement);
        sb_putc(&o->sb, '}');
        any = true;
    }
    sb_putc(&o->sb, ']');
}

static void put_json(Out *o, const Diag *d)
{
    sb_putc(&o->sb, '{');
    put_member(o, "code", diag_code_name(d->code));
    sb_putc(&o->sb, ',');
    put_member(o, "level", level_of(d));
    sb_putc(&o->sb, ',');
    put_member(o, "message", d->text);
    sb_puts(&o->sb, ",\"spans\":[");
    put_span(o, d->span, d->label, true);
    for (uint32_t i = 0; i < d->also.n; i++)
        put_span(o, d->also.at[i].span, d->also.at[i].label, false);
    sb_putc(&o->sb, ']');
    put_texts(o, d, "notes", EXTRA_NOTE);
    put_texts(o, d, "helps", EXTRA_HELP);
    put_fixes(o, d);
    sb_puts(&o->sb, "}\n");
}

const char *diags_json(const Diags *diags, Arena *arena)
{
    Out o = {diags, sb_new(arena)};
    Diag **sorted = diags_sorted(diags, arena);
    for (uint32_t i = 0; i < diags->list.n; i++)
        put_json(&o, sorted[i]);
    return sb_text(&o.sb);
}

/* ---- SARIF ---- */

/* Code points of the first `column` bytes of a line. */
static uint32_t code_points(const Place *p, uint32_t line, uint32_t column)
{
    const char *text = p->source->text + p->source->starts.at[line];
    uint32_t n = 0;
    for (uint32_t i = 0; i < column; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

static void put_region(Out *o, const char *name, const Place *p)
{
    sb_printf(&o->sb, "\"%s\":{\"startLine\":%u,\"startColumn\":%u,\"endLine\":%u,\"endColumn\":%u",
              name, p->line + 1, code_points(p, p->line, p->column) + 1, p->end_line + 1,
              code_points(p, p->end_line, p->end_column) + 1);
    sb_printf(&o->sb, ",\"byteOffset\":%u,\"byteLength\":%u}", p->lo, p->hi - p->lo);
}

/* A path as the text of a URI reference. */
static void put_uri(Out *o, const char *path)
{
    sb_puts(&o->sb, "\"artifactLocation\":{\"uri\":\"");
    for (const char *p = path; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= '0' && *p <= '9') || strchr("/._-~", *p);
        if (plain)
            sb_putc(&o->sb, *p);
        else
            sb_printf(&o->sb, "%%%02X", (unsigned char)*p);
    }
    sb_puts(&o->sb, "\"}");
}

static void put_location(Out *o, const Place *p, const char *label)
{
    sb_puts(&o->sb, "{\"physicalLocation\":{");
    put_uri(o, p->source->path);
    sb_putc(&o->sb, ',');
    put_region(o, "region", p);
    sb_putc(&o->sb, '}');
    if (label) {
        sb_puts(&o->sb, ",\"message\":{");
        put_member(o, "text", label);
        sb_putc(&o->sb, '}');
    }
    sb_putc(&o->sb, '}');
}

static void put_related(Out *o, const Diag *d)
{
    bool any = false;
    sb_puts(&o->sb, ",\"relatedLocations\":[");
    for (uint32_t i = 0; i < d->also.n; i++) {
        Place p;
        if (!place_of(o, d->also.at[i].span, &p))
            continue;
        sb_puts(&o->sb, any ? "," : "");
        put_location(o, &p, d->also.at[i].label);
        any = true;
    }
    sb_putc(&o->sb, ']');
}

static void put_sarif_fixes(Out *o, const Diag *d)
{
    bool any = false;
    sb_puts(&o->sb, ",\"fixes\":[");
    for (uint32_t i = 0; i < d->extras.n; i++) {
        const Extra *x = &d->extras.at[i];
        Place p;
        if (x->kind != EXTRA_FIX || !place_of(o, x->span, &p))
            continue;
        sb_puts(&o->sb, any ? ",{\"description\":{" : "{\"description\":{");
        put_member(o, "text", x->text);
        sb_puts(&o->sb, "},\"artifactChanges\":[{");
        put_uri(o, p.source->path);
        sb_puts(&o->sb, ",\"replacements\":[{");
        put_region(o, "deletedRegion", &p);
        sb_puts(&o->sb, ",\"insertedContent\":{");
        put_member(o, "text", x->replacement);
        sb_puts(&o->sb, "}}]}]}");
        any = true;
    }
    sb_putc(&o->sb, ']');
}

/* The message with notes and helps behind it: SARIF has no place of their own for them. */
static const char *whole_message(const Diag *d, Arena *arena)
{
    StrBuf sb = sb_new(arena);
    sb_puts(&sb, d->text);
    if (d->label)
        sb_printf(&sb, "\n%s", d->label);
    for (uint32_t i = 0; i < d->extras.n; i++)
        sb_printf(&sb, "\n%s: %s", d->extras.at[i].kind == EXTRA_NOTE ? "note" : "help",
                  d->extras.at[i].text);
    return sb_text(&sb);
}

static void put_result(Out *o, const Diag *d, Arena *arena)
{
    Place p;
    sb_putc(&o->sb, '{');
    put_member(o, "ruleId", diag_code_name(d->code));
    sb_putc(&o->sb, ',');
    put_member(o, "level", level_of(d));
    sb_puts(&o->sb, ",\"message\":{");
    put_member(o, "text", whole_message(d, arena));
    sb_puts(&o->sb, "},\"locations\":[");
    if (place_of(o, d->span, &p))
        put_location(o, &p, NULL);
    sb_putc(&o->sb, ']');
    put_related(o, d);
    put_sarif_fixes(o, d);
    sb_putc(&o->sb, '}');
}

/* The codes that occur, each once. */
static void put_rules(Out *o)
{
    bool any = false;
    for (int c = 0; c < DIAG_COUNT; c++) {
        bool found = false;
        for (uint32_t i = 0; i < o->diags->list.n && !found; i++)
            found = (int)o->diags->list.at[i]->code == c;
        if (!found)
            continue;
        sb_puts(&o->sb, any ? ",{" : "{");
        put_member(o, "id", diag_code_name((DiagCode)c));
        sb_puts(&o->sb, ",\"shortDescription\":{");
        put_member(o, "text", diag_code_title((DiagCode)c));
        sb_puts(&o->sb, "}}");
        any = true;
    }
}

const char *diags_sarif(const Diags *diags, Arena *arena)
{
    Out o = {diags, sb_new(arena)};
    Diag **sorted = diags_sorted(diags, arena);
    sb_puts(&o.sb,
            "{\"$schema\":\"https://json.schemastore.org/sarif-2.1.0.json\","
            "\"version\":\"2.1.0\",\"runs\":[{\"tool\":{\"driver\":{\"name\":\"mdl\",\"rules\":[");
    put_rules(&o);
    sb_puts(&o.sb, "]}},\"columnKind\":\"unicodeCodePoints\",\"results\":[");
    for (uint32_t i = 0; i < diags->list.n; i++) {
        sb_puts(&o.sb, i ? "," : "");
        put_result(&o, sorted[i], arena);
    }
    sb_puts(&o.sb, "]}]}\n");
    return sb_text(&o.sb);
}
