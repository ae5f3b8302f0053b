/* LIBS: mdl_ir mdl_base */
/* fuzz_graph.c: the text form of graphs. What the reader accepts must hold every invariant, and its
 * print must read back as the same print. */
#include "fuzz.h"

#include "ir.h"

static const char *print(Arena *arena, const Graph *g)
{
    StrBuf sb = sb_new(arena);
    graph_print(g, NULL, &sb);
    return sb_text(&sb);
}

static Graph *parse(Ir *ir, Arena *arena, const char *text, size_t n)
{
    return graph_parse(ir, arena, diags_source(ir->diags, "fuzz", text, n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Arena *arena = arena_new();
    Ir *ir = ir_new(arena, syms_new(arena), diags_new(arena));
    const char *text = arena_memdup(arena, data, n);
    const Graph *g = parse(ir, arena, text, n);
    if (!g) {
        ASSERT(diags_errors(ir->diags) > 0);
        ASSERT(diags_render(ir->diags, arena, DIAG_HUMAN, false));
    } else {
        graph_verify(g, NULL);
        const char *once = print(arena, g);
        const Graph *back = parse(ir, arena, once, strlen(once));
        if (!back)
            BUG("%s\ndoes not read back:\n%s", once,
                diags_render(ir->diags, arena, DIAG_HUMAN, false));
        const char *twice = print(arena, back);
        if (strcmp(once, twice) != 0)
            BUG("printed:\n%s\nand, read back:\n%s", once, twice);
    }
    arena_free(arena);
    return 0;
}
