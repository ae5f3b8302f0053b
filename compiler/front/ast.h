/* ast.h: the syntax tree: one node type, kinds and their children in ast.def. Immutable once parsed;
 * lives in the front arena; every node has the byte span it came from. */
#ifndef MDL_AST_H
#define MDL_AST_H

#include "base.h"
#include "diag.h"

typedef enum AstKind {
#define AST(kind, name, doc) A_##kind,
#include "ast.def"
#undef AST
    A_COUNT
} AstKind;

typedef struct Ast Ast;
struct Ast {
    AstKind kind;
    Span span;
    Sym name, text;
    Span name_span;  /* where the name itself stands, else zero */
    const char *doc; /* `##` lines above an item, or NULL */
    uint32_t nkid;
    uint32_t depth; /* levels of the tree from here down: 1 for a leaf, at most AST_DEPTH */
    Ast **kid;      /* entries may be NULL where ast.def says `?` */
};

/* What the tree leaves out, for tools that give the text back (fmt). */
typedef struct AstComment {
    Span span;            /* from `#` to the last byte that is no blank */
    bool own_line;        /* nothing but blanks before it */
    uint32_t blank_lines; /* directly above it */
} AstComment;
typedef struct AstToken {
    int kind; /* of mdl.y */
    Span span;
    bool starts; /* the first of a statement */
} AstToken;
typedef struct AstText {
    VEC(AstComment) comments;
    VEC(AstToken) tokens;
} AstText;

/* Limits of one file; what exceeds them is E0109, so that walkers may recurse over any tree. */
enum { AST_DEPTH = 500, AST_NESTING = 200, AST_NODES = 1000000, AST_BYTES = 16 << 20 };

/* Parses source `file` of diags. Always returns a FILE node; syntax errors are diagnostics and leave
 * ERROR nodes, also in the place of an expression. After E0109 the items before it are returned. */
Ast *ast_parse(Arena *arena, Syms *syms, Diags *diags, uint32_t file);
/* The same, and fills the zeroed *text with all tokens and comments, in the order of the file. It is
 * complete when no error was reported. */
Ast *ast_parse_text(Arena *arena, Syms *syms, Diags *diags, uint32_t file, AstText *text);
/* Parses one expression (for --set); NULL after a diagnostic. */
Ast *ast_parse_expr(Arena *arena, Syms *syms, Diags *diags, uint32_t file);
/* As an S-expression, for tests: (fn name (formals ..) ..). */
void ast_print(const Ast *a, StrBuf *sb);
/* Checks the shape rules of ast.def; BUGs on a broken tree. */
void ast_verify(const Ast *a);
const char *ast_kind_name(AstKind kind);

#endif
