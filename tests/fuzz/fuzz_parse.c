/* LIBS: mdl_front mdl_ir mdl_plan mdl_base */
/* fuzz_parse.c: any bytes as a program, and as an expression of --set. The tree keeps its shape (the
 * parser verifies it) and prints; every report can be shown. */
#include "fuzz.h"

#include "ast.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Arena *arena = arena_new();
    Syms *syms = syms_new(arena);
    Diags *diags = diags_new(arena);
    uint32_t file = diags_source(diags, "f.mdl", (const char *)data, n);
    uint32_t set = diags_source(diags, "--set", (const char *)data, n);
    StrBuf sb = sb_new(arena);
    Ast *a = ast_parse(arena, syms, diags, file);
    ASSERT(a && a->kind == A_FILE);
    ast_print(a, &sb);
    uint32_t before = diags_errors(diags);
    Ast *e = ast_parse_expr(arena, syms, diags, set);
    ASSERT(e ? diags_errors(diags) == before : diags_errors(diags) > before);
    if (e)
        ast_print(e, &sb);
    ASSERT(diags_render(diags, arena, DIAG_HUMAN, true));
    arena_free(arena);
    return 0;
}
