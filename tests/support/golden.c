/* golden.c: reading, running and rewriting golden files. */
#include "golden.h"

#include <stdlib.h>
#include <string.h>

typedef struct GoldenCase {
    const char *title; /* without its line end */
    char *before, *after;
} GoldenCase;

typedef VEC(GoldenCase) GoldenCases;

/* Splits the text in place; returns where the first case begins. */
static size_t split(Arena *arena, char *text, GoldenCases *cases)
{
    char *at = strncmp(text, "## ", 3) == 0 ? text : strstr(text, "\n## ");
    size_t head = !at ? strlen(text) : (size_t)(at - text) + (*at == '\n');
    while (at) {
        char *title = at + (*at == '\n') + 3;
        *at = 0;
        char *body = strchr(title, '\n');
        at = body ? strstr(body, "\n## ") : NULL;
        char *arrow = body ? strstr(body, "\n=>\n") : NULL;
        if (!arrow)
            break;
        *body = 0;
        *arrow = 0;
        VEC_PUSH(arena, cases, ((GoldenCase){title, body + 1, arrow + 4}));
    }
    return head;
}

/* The text of the graph that the pass makes of `before`, or the diagnostics. */
static const char *run_case(Arena *arena, const char *before, PassFn pass)
{
    Diags *diags = diags_new(arena);
    Ir *ir = ir_new(arena, syms_new(arena), diags);
    const char *text = arena_printf(arena, "%s\n", before);
    uint32_t file = diags_source(diags, "golden", text, strlen(text));
    Graph *g = graph_parse(ir, arena, file);
    Graph *out = g ? pass(passes_begin(ir, arena, NULL, NULL), g) : NULL;
    if (!out)
        return diags_render(diags, arena, DIAG_SHORT, false);
    graph_verify(out, NULL);
    StrBuf sb = sb_new(arena);
    graph_print(out, NULL, &sb);
    return sb_text(&sb);
}

static bool same_text(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    while (n > 0 && a[n - 1] == '\n')
        n--;
    while (m > 0 && b[m - 1] == '\n')
        m--;
    return n == m && memcmp(a, b, n) == 0;
}

const char *golden_check(Arena *arena, const char *file, PassFn pass)
{
    const char *path = arena_printf(arena, "%s/tests/golden/%s", MDL_SOURCE_DIR, file);
    Bytes bytes;
    Err err = {0};
    if (!file_read(arena, path, 1 << 20, &bytes, &err))
        return arena_strdup(arena, err.text);
    GoldenCases cases = {0};
    char *text = arena_strndup(arena, bytes.data, bytes.n);
    size_t head = split(arena, text, &cases);
    StrBuf report = sb_new(arena), updated = sb_new(arena);
    sb_putn(&updated, bytes.data, head);
    for (uint32_t i = 0; i < cases.n; i++) {
        const GoldenCase *c = &cases.at[i];
        const char *got = run_case(arena, c->before, pass);
        sb_printf(&updated, "%s## %s\n%s\n=>\n%s", i ? "\n" : "", c->title, c->before, got);
        if (!same_text(got, c->after))
            sb_printf(&report, "%s: %s: got\n%s\n", file, c->title, got);
    }
    if (cases.n == 0)
        return "no cases";
    if (getenv("MDL_UPDATE_GOLDEN"))
        file_write_atomic(path, sb_text(&updated), updated.n, &err);
    return report.n ? sb_text(&report) : NULL;
}
