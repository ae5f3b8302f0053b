/* parse.c: a text as a tree: sets up the lexer, runs the generated parser, checks the result. */
#include "lex.h"
#include "mdl.tab.h"

static Ast *empty_file(Arena *arena, uint32_t file)
{
    Ast *a = NEW(arena, Ast);
    a->kind = A_FILE;
    a->span = (Span){file, 0, 0};
    a->depth = 1;
    return a;
}

/* Refuses texts the lexer is not made for. */
static bool is_small_enough(Diags *diags, uint32_t file)
{
    size_t n;
    diags_text(diags, file, &n);
    if (n <= AST_BYTES)
        return true;
    diag_at(diags, DIAG_E0109, (Span){file, 0, 0}, "the file is larger than %d MiB",
            AST_BYTES >> 20);
    return false;
}

static Lexer *run(Lexer *lx, int start)
{
    lx->start = start;
    lex_edition(lx);
    scan_open(lx);
    int rc = mdl_parse(lx);
    if (rc == 2) /* bison's stack, and then mdl_error has said so, or no memory at all */
        lex_too_large(lx, lx->current.span, "this is nested too deeply");
    scan_close(lx);
    return lx;
}

Ast *ast_parse(Arena *arena, Syms *syms, Diags *diags, uint32_t file)
{
    return ast_parse_text(arena, syms, diags, file, NULL);
}

Ast *ast_parse_text(Arena *arena, Syms *syms, Diags *diags, uint32_t file, AstText *text)
{
    if (!is_small_enough(diags, file))
        return empty_file(arena, file);
    Lexer *lx = lex_new(arena, syms, diags, file);
    lx->text = text;
    run(lx, TOK_START_FILE);
    if (!lx->root)
        return empty_file(arena, file);
    lx->root->span = lex_span(lx, 0, lx->n);
    ast_verify(lx->root);
    return lx->root;
}

Ast *ast_parse_expr(Arena *arena, Syms *syms, Diags *diags, uint32_t file)
{
    uint32_t before = diags_reported(diags);
    if (!is_small_enough(diags, file))
        return NULL;
    Lexer *lx = run(lex_new(arena, syms, diags, file), TOK_START_EXPR);
    if (!lx->root || diags_reported(diags) > before)
        return NULL;
    ast_verify(lx->root);
    return lx->root;
}
