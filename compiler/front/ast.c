/* ast.c: making syntax nodes for mdl.y, within the limits of ast.h.
 *
 * Lists grow by doubling inside the arena: a child array has room up to the next power of two. Nodes
 * know the depth of the tree below them, so a chain such as `- - - x`, which no bracket limit sees,
 * is stopped here, and everything behind the parser may recurse. */
#include "lex.h"

const char *ast_kind_name(AstKind kind)
{
    static const char *const names[] = {
#define AST(kind, name, doc) name,
#include "ast.def"
#undef AST
    };
    ASSERT((unsigned)kind < A_COUNT);
    return names[kind];
}

const char *ast_article(const char *word)
{
    return *word && strchr("aeiou", *word) ? "an" : "a";
}

Ast *ast_make(Lexer *lx, AstKind kind, Span span)
{
    if (++lx->nodes > AST_NODES)
        lex_too_large(lx, span, "the file has more than %d expressions and statements", AST_NODES);
    Ast *a = NEW(lx->arena, Ast);
    a->kind = kind;
    a->span = span;
    a->depth = 1;
    return a;
}

Ast *ast_item(Lexer *lx, AstKind kind, Span span)
{
    Ast *a = ast_make(lx, kind, span);
    a->doc = lex_doc(lx, span.lo);
    return a;
}

Ast *ast_name(Ast *a, Sym name, Span span)
{
    a->name = name;
    a->name_span = span;
    return a;
}

Ast *ast_text(Ast *a, Sym text)
{
    a->text = text;
    return a;
}

Ast *ast_leaf(Lexer *lx, AstKind kind, Span span, Sym text)
{
    return ast_text(ast_make(lx, kind, span), text);
}

Ast *ast_id(Lexer *lx, Sym name, Span span)
{
    return ast_name(ast_make(lx, A_ID, span), name, span);
}

/* A node that would be too deep loses the child; the item it belongs to is dropped with it. */
Ast *ast_kid(Lexer *lx, Ast *a, Ast *x)
{
    if (x && x->depth >= AST_DEPTH) {
        lex_too_large(lx, a->span, "this is nested more than %d levels deep", AST_DEPTH);
        x = NULL;
    }
    if (x && a->depth <= x->depth)
        a->depth = x->depth + 1;
    if ((a->nkid & (a->nkid - 1)) == 0) {
        Ast **kid = NEW_ARRAY(lx->arena, Ast *, a->nkid ? 2 * a->nkid : 1);
        if (a->nkid)
            memcpy(kid, a->kid, sizeof(*kid) * a->nkid);
        a->kid = kid;
    }
    a->kid[a->nkid++] = x;
    return a;
}

Ast *ast_kids2(Lexer *lx, Ast *a, Ast *x, Ast *y)
{
    return ast_kid(lx, ast_kid(lx, a, x), y);
}

Ast *ast_kids3(Lexer *lx, Ast *a, Ast *x, Ast *y, Ast *z)
{
    return ast_kid(lx, ast_kids2(lx, a, x, y), z);
}

Ast *ast_one(Lexer *lx, AstKind kind, Span span, Ast *x)
{
    return ast_kid(lx, ast_make(lx, kind, span), x);
}

Ast *ast_two(Lexer *lx, AstKind kind, Span span, Ast *x, Ast *y)
{
    return ast_kids2(lx, ast_make(lx, kind, span), x, y);
}

Ast *ast_more(Lexer *lx, Ast *list, Ast *x)
{
    if (x && list->nkid == 0)
        list->span.lo = x->span.lo;
    if (x)
        list->span.hi = x->span.hi;
    return ast_kid(lx, list, x);
}

Ast *ast_become(Ast *list, AstKind kind, Span span)
{
    list->kind = kind;
    list->span = span;
    return list;
}

Ast *ast_spread(Lexer *lx, Ast *a, Ast *first, const Ast *list)
{
    ast_kid(lx, a, first);
    for (uint32_t i = 0; i < list->nkid; i++)
        ast_kid(lx, a, list->kid[i]);
    return a;
}

Ast *ast_binary(Lexer *lx, Span op, Ast *left, Ast *right, Span span)
{
    return ast_kids2(lx, ast_leaf(lx, A_BIN, span, lex_text(lx, op)), left, right);
}

Ast *ast_paren(Lexer *lx, Ast *args, Span span)
{
    UNUSED(lx);
    bool one = args->nkid == 1 && !(args->kid[0] && args->kid[0]->kind == A_NAMED);
    return ast_become(args, one ? A_PAREN : A_TUPLE, span);
}

Ast *ast_list(Lexer *lx, Ast *args, Span span)
{
    for (uint32_t i = 0; i < args->nkid; i++) {
        const Ast *x = args->kid[i];
        if (!x || x->kind != A_NAMED)
            continue;
        diag_at(lx->diags, DIAG_E0102, x->name_span, "the entries of a list have no names");
        args->kid[i] = x->kid[0] ? x->kid[0] : ast_make(lx, A_ERROR, x->span);
    }
    return ast_become(args, A_LIST, span);
}

static bool are_names(const Ast *a)
{
    for (uint32_t i = 0; i < a->nkid; i++)
        if (!a->kid[i] || a->kid[i]->kind != A_ID)
            return false;
    return true;
}

Ast *ast_lambda(Lexer *lx, Ast *parameters, Ast *body, Span span)
{
    Ast *p = parameters;
    if (p->kind == A_PAREN && are_names(p))
        p = p->kid[0];
    if (p->kind != A_ID && !(p->kind == A_TUPLE && are_names(p))) {
        Diag *d = diag_at(lx->diags, DIAG_E0102, p->span, "the parameters of a lambda are names");
        diag_help(d, "write `x => ..`, `(x, y) => ..` or `() => ..`");
        return ast_make(lx, A_ERROR, span);
    }
    return ast_kids2(lx, ast_make(lx, A_LAMBDA, span), p, body);
}

/* a, a[i, j]: what a name can be given to. */
static void check_target(Lexer *lx, const Ast *a)
{
    if (!a || a->kind == A_ERROR)
        return;
    const Ast *base = a->kind == A_INDEX ? a->kid[0] : a;
    if (base && base->kind == A_ID)
        return;
    const char *what = ast_kind_name(a->kind);
    Diag *d =
        diag_at(lx->diags, DIAG_E0106, a->span, "cannot assign to %s %s", ast_article(what), what);
    diag_help(d, "the left side is a name, several names, or `name[i, j, ..]`");
}

Ast *ast_left(Lexer *lx, Ast *exprs)
{
    Ast *only = exprs->nkid == 1 ? exprs->kid[0] : NULL;
    if (only && (only->kind == A_TUPLE || only->kind == A_PAREN) && only->nkid && are_names(only))
        return ast_become(only, A_EXPRS, only->span);
    for (uint32_t i = 0; i < exprs->nkid; i++)
        check_target(lx, exprs->kid[i]);
    return exprs;
}

static void put_dotted(StrBuf *sb, const Ast *a)
{
    if (a->kind == A_MEMBER && a->kid[0]) {
        put_dotted(sb, a->kid[0]);
        sb_putc(sb, '.');
    }
    sb_puts(sb, a->name);
}

Sym ast_dotted(Lexer *lx, const Ast *qname)
{
    StrBuf sb = sb_new(lx->arena);
    put_dotted(&sb, qname);
    return sym_n(lx->syms, sb_text(&sb), sb.n);
}
