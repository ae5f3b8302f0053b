/* key.c: names of tensors in files as patterns. A component has at most one `*`, and a pattern one `**`, so
 * that a match is unique and takes linear time. */
#include "load.h"

static bool is_deep(const char *p, size_t n)
{
    return n == 2 && p[0] == '*' && p[1] == '*';
}

static bool bad_key(Elab *e, Span span, const char *what, Sym text)
{
    diag_at(e->diags, DIAG_E0105, span, "key `%s` %s", text, what);
    return false;
}

/* [a..b], [i], [*] behind the last component. */
static bool parse_rows(Elab *e, const char *p, Span span, KeyPattern *out)
{
    char *end;
    out->one = true;
    if (strcmp(p, "[*]") == 0) {
        out->stacked = true;
        return true;
    }
    bool ok = p[1] >= '0' && p[1] <= '9' && strlen(p) < 32; /* too large: INT64_MAX */
    out->rows = true;
    out->lo = ok ? (int64_t)strtoll(p + 1, &end, 10) : 0;
    out->hi = out->lo < INT64_MAX ? out->lo + 1 : 0;
    if (ok && strncmp(end, "..", 2) == 0) {
        out->one = false;
        ok = end[2] >= '0' && end[2] <= '9';
        out->hi = ok ? (int64_t)strtoll(end + 2, &end, 10) : 0;
    }
    return (ok && strcmp(end, "]") == 0 && out->lo < out->hi) ||
           bad_key(e, span, "names its rows as [a..b], [i] or [*]", out->text);
}

bool key_parse(Elab *e, Sym text, Span span, KeyPattern *out)
{
    uint32_t deep = 0;
    size_t n = strcspn(text, "[");
    *out = (KeyPattern){.text = text};
    if (text[n] && !parse_rows(e, text + n, span, out)) {
        return false;
    }
    out->text = sym_n(e->ir->syms, text, n);
    for (const char *p = out->text; *p || p == out->text;) {
        size_t length = strcspn(p, ".");
        uint32_t stars = 0;
        for (size_t i = 0; i < length; i++) {
            stars += p[i] == '*';
        }
        if (!length) {
            return bad_key(e, span, "has an empty component", text);
        }
        bool all = is_deep(p, length);
        deep += all;
        if ((stars > 1 && !all) || deep > 1) {
            return bad_key(e, span, "has more than one `*` in a component, or two `**`", text);
        }
        out->nstar += stars > 0;
        p += length + (p[length] == '.');
        if (p[-1] == '.' && !*p) {
            return bad_key(e, span, "has an empty component", text);
        }
    }
    return out->nstar < KEY_MAX_CAPTURES || bad_key(e, span, "has too many `*`", text);
}

static void capture(Captures *c, const char *at, size_t n)
{
    c->at[c->n] = at;
    c->length[c->n++] = (uint32_t)n;
}

/* One component of the pattern against one of the key. */
static bool match_component(const char *p, size_t n, const char *key, size_t k, Captures *out)
{
    const char *star = memchr(p, '*', n);
    size_t head = star ? (size_t)(star - p) : n, tail = star ? n - head - 1 : 0;
    if (star ? k < head + tail : k != n) {
        return false;
    }
    if (memcmp(p, key, head) != 0 || memcmp(p + n - tail, key + k - tail, tail) != 0) {
        return false;
    }
    if (star) {
        capture(out, key + head, k - head - tail);
    }
    return true;
}

static uint32_t components(const char *p)
{
    uint32_t n = 1;
    for (; *p; p++) {
        n += *p == '.';
    }
    return n;
}

bool key_match(const KeyPattern *pattern, const char *key, Captures *out)
{
    const char *p = pattern->text;
    uint32_t want = components(p), have = components(key);
    *out = (Captures){0};
    while (*p) {
        size_t n = strcspn(p, "."), k = strcspn(key, ".");
        if (is_deep(p, n)) { /* takes what the others leave */
            uint32_t take = have + 1 > want ? have + 1 - want : 0;
            const char *from = key;
            k = 0;
            for (uint32_t i = 0; i < take; i++) {
                k += (i > 0) + strcspn(key + k + (i > 0), ".");
            }
            capture(out, from, k);
        } else if (!match_component(p, n, key, k, out)) {
            return false;
        }
        p += n + (p[n] == '.');
        key += k;
        key += *key == '.';
    }
    return !*key;
}
