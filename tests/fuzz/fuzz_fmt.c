/* LIBS: mdl_front mdl_ir mdl_plan mdl_base */
/* fuzz_fmt.c: any bytes through `mdl fmt`. What parses must be given back as the same tree, with the
 * same comments, and a second time as it is. */
#include "fuzz.h"

#include "fmt.h"

static const char *tree(Arena *arena, const char *text, size_t n, AstText *kept)
{
    Diags *diags = diags_new(arena);
    StrBuf sb = sb_new(arena);
    ast_print(
        ast_parse_text(arena, syms_new(arena), diags, diags_source(diags, "f.mdl", text, n), kept),
        &sb);
    return diags_errors(diags) ? NULL : sb_text(&sb);
}

static void same_comments(const char *a, const AstText *x, const char *b, const AstText *y)
{
    ASSERT(x->comments.n == y->comments.n);
    for (uint32_t i = 0; i < x->comments.n; i++) {
        Span s = x->comments.at[i].span, t = y->comments.at[i].span;
        ASSERT(s.hi - s.lo == t.hi - t.lo && memcmp(a + s.lo, b + t.lo, s.hi - s.lo) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Arena *arena = arena_new();
    Diags *diags = diags_new(arena);
    const char *text = arena_memdup(arena, data, n);
    Err err = {0};
    AstText before = {0}, after = {0};
    const char *out = fmt_file(arena, diags, diags_source(diags, "f.mdl", text, n), &err);
    const char *want = tree(arena, text, n, &before);
    ASSERT(out || diags_errors(diags) > 0 || err.text[0]);
    ASSERT(!out == !want);
    if (out) {
        const char *got = tree(arena, out, strlen(out), &after);
        ASSERT(got && strcmp(got, want) == 0);
        same_comments(text, &before, out, &after);
        const char *again =
            fmt_file(arena, diags, diags_source(diags, "f.mdl", out, strlen(out)), &err);
        ASSERT(again && strcmp(again, out) == 0);
    }
    arena_free(arena);
    return 0;
}
