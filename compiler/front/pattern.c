/* pattern.c: path patterns, `llm.layers.*.{q,k}_proj.**`: `*` is any text within a component, `{a,b}`
 * one of several, `**` any number of components. Both levels keep the set of places that can be
 * reached, so that no pattern takes exponential time. */
#include "blocks.h"

enum { MAX_COMPONENTS = 256, MAX_COMPONENT = 1024 };

/* Places in a text of n bytes or parts that the pattern read so far can end at. */
typedef struct Reached {
    uint32_t n;
    bool at[MAX_COMPONENT + 1];
} Reached;

static void step_any(Reached *r)
{
    for (uint32_t i = 1; i <= r->n; i++) {
        r->at[i] = r->at[i] || r->at[i - 1];
    }
}

/* One plain character: every place moves behind it, or is lost. */
static void step_char(Reached *r, const char *text, char c)
{
    for (uint32_t i = r->n; i > 0; i--) {
        r->at[i] = r->at[i - 1] && text[i - 1] == c;
    }
    r->at[0] = false;
}

static void step_chars(Reached *r, const char *text, const char *p, const char *end)
{
    for (; p < end; p++) {
        if (*p == '*') {
            step_any(r);
        } else {
            step_char(r, text, *p);
        }
    }
}

/* {a,b}: p is behind the opening bracket; returns the place behind the closing one. */
static const char *step_choice(Reached *r, const char *text, const char *p, const char *end)
{
    Reached all = {.n = r->n};
    const char *close = memchr(p, '}', (size_t)(end - p));
    close = close ? close : end;
    while (p <= close) {
        const char *comma = memchr(p, ',', (size_t)(close - p));
        const char *stop = comma ? comma : close;
        Reached one = *r;
        step_chars(&one, text, p, stop);
        for (uint32_t i = 0; i <= all.n; i++) {
            all.at[i] = all.at[i] || one.at[i];
        }
        p = stop + 1;
    }
    *r = all;
    return close < end ? close + 1 : end;
}

static bool match_component(const char *p, const char *pe, const char *text, size_t n)
{
    if (n > MAX_COMPONENT) {
        return (size_t)(pe - p) == n && memcmp(p, text, n) == 0;
    }
    Reached r = {.n = (uint32_t)n};
    r.at[0] = true;
    while (p < pe) {
        const char *open = memchr(p, '{', (size_t)(pe - p));
        step_chars(&r, text, p, open ? open : pe);
        p = open ? step_choice(&r, text, open + 1, pe) : pe;
    }
    return r.at[n];
}

static const char *component_end(const char *s)
{
    int depth = 0;
    for (; *s && (*s != '.' || depth); s++) {
        depth += (*s == '{') - (*s == '}');
    }
    return s;
}

/* The starts of the components of a path, and its end; 0 when there are too many. */
static uint32_t split_path(const char *path, const char *start[MAX_COMPONENTS + 1])
{
    uint32_t n = 0;
    while (*path && n < MAX_COMPONENTS) {
        start[n++] = path;
        path += strcspn(path, ".");
        path += *path == '.';
    }
    start[n] = path;
    return *path ? 0 : n;
}

bool match_pattern(const char *pattern, const char *path)
{
    const char *start[MAX_COMPONENTS + 1];
    uint32_t n = split_path(path, start);
    bool at[MAX_COMPONENTS + 1] = {true};
    while (*pattern) {
        const char *end = component_end(pattern);
        if (end - pattern == 2 && memcmp(pattern, "**", 2) == 0) {
            for (uint32_t i = 1; i <= n; i++) {
                at[i] = at[i] || at[i - 1];
            }
        } else {
            for (uint32_t i = n; i-- > 0;) {
                size_t length = strcspn(start[i], ".");
                at[i + 1] = at[i] && match_component(pattern, end, start[i], length);
            }
            at[0] = false;
        }
        pattern = *end ? end + 1 : end;
    }
    return n > 0 && at[n];
}
