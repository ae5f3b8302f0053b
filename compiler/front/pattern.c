/* pattern.c: path patterns, `llm.layers[0..16].{q,k}_proj.**`: `*` is any text within a component,
 * `**` any number of components, `{a,b}` one of several, which may hold dots and braces, `[0..16]` a
 * component that is a number of that range. The set of places in the path that the pattern read so far
 * can reach is kept, so that no pattern takes exponential time. The path is read as if every
 * component, also the last, ended in a dot. */
#include "blocks.h"
#include <limits.h>

enum { MAX_PATH_BYTES = 2047, MAX_BRACES = 16 };

typedef struct Places {
    uint8_t at[MAX_PATH_BYTES / 8 + 2];
} Places;

typedef struct Matcher {
    const char *path; /* with a dot at its end */
    uint32_t n;
} Matcher;

static bool has(const Places *p, uint32_t i)
{
    return p->at[i / 8] >> (i % 8) & 1;
}

static void put(Places *p, uint32_t i)
{
    p->at[i / 8] |= (uint8_t)(1 << (i % 8));
}

static Places step_char(const Matcher *m, const Places *from, char c)
{
    Places to = {{0}};
    for (uint32_t i = 0; i < m->n; i++) {
        if (has(from, i) && m->path[i] == c) {
            put(&to, i + 1);
        }
    }
    return to;
}

/* Any text; within a component unless `dots`. */
static Places step_any(const Matcher *m, const Places *from, bool dots)
{
    Places to = *from;
    for (uint32_t i = 0; i < m->n; i++) {
        if (has(&to, i) && (dots || m->path[i] != '.')) {
            put(&to, i + 1);
        }
    }
    return to;
}

/* `**.`: whole components, each with its dot. */
static Places step_components(const Matcher *m, const Places *from)
{
    Places to = *from;
    for (uint32_t i = 0; i < m->n; i++) {
        const char *dot = has(&to, i) ? memchr(m->path + i, '.', m->n - i) : NULL;
        if (dot) {
            put(&to, (uint32_t)(dot - m->path) + 1);
        }
    }
    return to;
}

/* `[lo..hi]`, `[i]` or `[*]`: a dot, and a component that is such a number. p is behind the bracket. */
static Places step_index(const Matcher *m, const Places *from, const char *p)
{
    Places to = {{0}};
    char *end = NULL;
    bool all = *p == '*';
    unsigned long lo = all ? 0 : strtoul(p, &end, 10);
    unsigned long hi = all ? ULONG_MAX : end[0] == '.' ? strtoul(end + 2, NULL, 10) : lo + 1;
    for (uint32_t i = 0; i + 1 < m->n; i++) {
        size_t digits =
            has(from, i) && m->path[i] == '.' ? strspn(m->path + i + 1, "0123456789") : 0;
        unsigned long k = digits && digits < 10 ? strtoul(m->path + i + 1, NULL, 10) : ULONG_MAX;
        if (k >= lo && k < hi) {
            put(&to, i + 1 + (uint32_t)digits);
        }
    }
    return to;
}

/* The `}` or `,` that ends an alternative, or the end of the pattern. */
static const char *alternative_end(const char *p, const char *end)
{
    int depth = 0;
    for (; p < end; p++) {
        if (!depth && (*p == '}' || *p == ',')) {
            return p;
        }
        depth += (*p == '{') - (*p == '}');
    }
    return end;
}

static Places match(const Matcher *m, Places from, const char *p, const char *end, int braces);

/* {a,b}: *p is behind the opening brace, then behind the closing one. */
static Places step_choice(const Matcher *m, const Places *from, const char **p, const char *end,
                          int braces)
{
    Places all = {{0}};
    for (bool more = true; more;) {
        const char *stop = alternative_end(*p, end);
        Places one = match(m, *from, *p, stop, braces + 1);
        for (size_t i = 0; i < sizeof all.at; i++) {
            all.at[i] |= one.at[i];
        }
        more = stop < end && *stop == ',';
        *p = stop < end ? stop + 1 : end;
    }
    return all;
}

static Places match(const Matcher *m, Places at, const char *p, const char *end, int braces)
{
    if (braces > MAX_BRACES) {
        return (Places){{0}};
    }
    while (p < end) {
        if (end - p >= 3 && memcmp(p, "**.", 3) == 0) {
            at = step_components(m, &at);
            p += 3;
        } else if (*p == '*') {
            bool two = end - p >= 2 && p[1] == '*';
            at = step_any(m, &at, two);
            p += two ? 2 : 1;
        } else if (*p == '{') {
            p++;
            at = step_choice(m, &at, &p, end, braces);
        } else if (*p == '[') {
            const char *close = memchr(p, ']', (size_t)(end - p));
            at = step_index(m, &at, p + 1);
            p = close ? close + 1 : end;
        } else {
            at = step_char(m, &at, *p++);
        }
    }
    return at;
}

bool match_pattern_n(const char *pattern, size_t length, const char *path)
{
    size_t n = strlen(path);
    char text[MAX_PATH_BYTES + 1], whole[MAX_PATH_BYTES + 1];
    if (!n || n >= MAX_PATH_BYTES || length >= MAX_PATH_BYTES) {
        return n && n == length && memcmp(pattern, path, n) == 0;
    }
    memcpy(text, path, n);
    memcpy(text + n, ".", 2);
    memcpy(whole, pattern, length);
    memcpy(whole + length, ".", 2);
    Matcher m = {text, (uint32_t)n + 1};
    Places start = {{1}};
    Places at = match(&m, start, whole, whole + length + 1, 0);
    return has(&at, m.n);
}

bool match_pattern(const char *pattern, const char *path)
{
    return match_pattern_n(pattern, strlen(pattern), path);
}
