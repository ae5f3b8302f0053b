/* lex.h: from the bytes of a file to the tokens of mdl.y; private to the parser.
 *
 * Two stages. mdl.l (flex) cuts the text into raw tokens. The filter in lex.c, with one raw token of
 * look-ahead, decides which newlines end a statement, which words are keywords at the place where
 * they stand, and where path patterns begin; it reports brackets that stay open and supplies the
 * missing ones, so the parser never sees the imbalance. All state is in Lexer. */
#ifndef MDL_LEX_H
#define MDL_LEX_H

#include "ast.h"

typedef struct Token {
    int kind; /* of mdl.y, or RAW_ */
    Sym text; /* of names, literals and patterns */
    Span span;
} Token;

/* Raw tokens the parser never sees. */
enum { RAW_NEWLINE = 1000, RAW_WORD };

typedef struct Bracket {
    int kind;  /* '(' '[' '{' */
    Sym owner; /* keyword of the statement it belongs to, or NULL */
    Span span;
} Bracket;

typedef struct Doc {
    uint32_t at; /* offset of the first token behind the lines */
    const char *text;
} Doc;

typedef enum GlobState { GLOB_NONE, GLOB_NEXT, GLOB_READ } GlobState;

typedef struct Lexer {
    Arena *arena;
    Syms *syms;
    Diags *diags;
    uint32_t file;
    const char *src;
    uint32_t n;

    /* scanner */
    void *scan;
    uint32_t at;        /* offset behind the last raw token */
    uint32_t string_lo; /* where the raw string being read opened */
    int raw_last;       /* kind of the last raw token */
    StrBuf doc;         /* `##` lines that wait for their item */
    uint32_t doc_end;   /* offset behind the last of them */
    VEC(Doc) docs;      /* sorted by offset */

    /* filter */
    int start; /* pseudo token that chooses the start symbol; given out first */
    Token ahead;
    bool has_ahead;
    Bracket open[AST_NESTING];
    uint32_t nopen;
    uint32_t to_close; /* brackets to close before the next raw token */
    bool end_after_close;
    bool at_start; /* the next token begins a statement */
    Sym statement; /* its first word if that is a keyword, else NULL */
    GlobState glob;
    int last; /* kind of the last token given out */
    uint32_t last_hi;
    uint32_t end_hi; /* where the last ended statement ended */

    /* errors */
    Token current;      /* as the parser sees it, with its true place */
    Sym before;         /* text of the name before it, or NULL */
    uint32_t before_hi; /* where that token ended */
    uint32_t bad_at;    /* 1 + offset of the last token or bytes reported by literal.c, or 0 */
    bool torn;          /* a string or pattern of this statement was reported: it does not parse */
    bool supplied;      /* current closes a forgotten bracket */
    bool skipping;      /* a statement is wrong: skip to its end */
    Diag *skip_diag;    /* the report about it, or NULL */
    uint32_t floor;     /* open brackets around that statement */
    uint32_t open_before; /* open brackets before current */
    bool fatal;           /* after E0109: only END follows */

    /* result */
    AstText *text; /* NULL: not wanted */
    Ast *root;
    uint32_t nodes;
} Lexer;

/* mdl.l */
void scan_open(Lexer *lx);
void scan_close(Lexer *lx);
Token scan_next(Lexer *lx);
/* The next token is a path pattern. Nothing may have been read ahead. */
void scan_pattern(Lexer *lx);

/* lex.c */
Lexer *lex_new(Arena *arena, Syms *syms, Diags *diags, uint32_t file);
/* Reads the optional first line `#!mdl N` (E0108). */
void lex_edition(Lexer *lx);
Span lex_span(const Lexer *lx, uint32_t lo, uint32_t hi);
/* The source text of a span. */
Sym lex_text(Lexer *lx, Span span);
/* E0109, once; afterwards the parser sees the end of the file. */
void lex_too_large(Lexer *lx, Span span, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* `##` lines directly above the token at this offset, or NULL. */
const char *lex_doc(const Lexer *lx, uint32_t offset);
/* From the report of an error at the current token: the rest of the statement is not parsed. */
void lex_skip_statement(Lexer *lx, Diag *report);

/* keyword.c */
/* What a word is where it stands: a keyword of mdl.y or ID. `hi` is the offset behind it. */
int keyword_kind(const Lexer *lx, Sym word, uint32_t hi, bool at_start);
/* Would the word begin a statement of its own if it stood at the start of a line? */
bool keyword_opens_statement(const Lexer *lx, const Token *word);
/* A reserved word that joins two expressions: `as`, `else`, `and` ... */
bool keyword_is_infix(const char *text, size_t n);
/* Do only statements begin with this token? */
bool keyword_is_statement(int kind);
/* Is this one of the words that are keywords where a statement starts? */
bool keyword_is_contextual(Sym word);
/* The statement keyword that was probably meant, or NULL. */
Sym keyword_nearest(const Lexer *lx, Sym word);
/* The reserved word behind a token on its line; an empty span when there is none. */
Span keyword_reserved_after(const Lexer *lx, const Token *t);
/* Is it one of the reserved words? */
bool keyword_is_reserved(int kind);

/* literal.c */
/* The value of a string token that covers span, quotes included (E0101). */
Sym literal_string(Lexer *lx, Span span);
/* The digits of a number token without `_`. */
Sym literal_number(Lexer *lx, Span span);
/* Reports a number that is none (E0104) and gives a substitute. */
Sym literal_bad_number(Lexer *lx, Span span);
/* Reports bytes no token begins with (E0101). */
void literal_bad_bytes(Lexer *lx, Span span);
/* Checks a path pattern (E0105). */
void literal_pattern(Lexer *lx, Sym text, Span span);

/* syntax_error.c: the message for a token the grammar does not allow here. */
enum { SYNTAX_NAMES = 128 };
typedef struct SyntaxError {
    Span span;
    const char *found; /* name of the token in mdl.y */
    uint32_t n;
    const char *expected[SYNTAX_NAMES];
} SyntaxError;
void syntax_error(Lexer *lx, SyntaxError *error);

/* ast.c: making nodes; private to mdl.y */
Ast *ast_make(Lexer *lx, AstKind kind, Span span);
/* ast_make with the `##` lines above. */
Ast *ast_item(Lexer *lx, AstKind kind, Span span);
Ast *ast_name(Ast *a, Sym name, Span span);
Ast *ast_text(Ast *a, Sym text);
/* Append children (NULL where optional ones are absent); return a. */
Ast *ast_kid(Lexer *lx, Ast *a, Ast *x);
Ast *ast_kids2(Lexer *lx, Ast *a, Ast *x, Ast *y);
Ast *ast_kids3(Lexer *lx, Ast *a, Ast *x, Ast *y, Ast *z);
/* A new node with its children. */
Ast *ast_one(Lexer *lx, AstKind kind, Span span, Ast *x);
Ast *ast_two(Lexer *lx, AstKind kind, Span span, Ast *x, Ast *y);
/* Appends to a list and lets it reach to the end of the child. */
Ast *ast_more(Lexer *lx, Ast *list, Ast *x);
/* The list as a node of another kind. */
Ast *ast_become(Ast *list, AstKind kind, Span span);
/* CALL, INDEX or T_TENSOR: a first child, then those of the list. */
Ast *ast_spread(Lexer *lx, Ast *a, Ast *first, const Ast *list);
Ast *ast_leaf(Lexer *lx, AstKind kind, Span span, Sym text);
Ast *ast_id(Lexer *lx, Sym name, Span span);
/* BIN with the operator that stands at `op`. */
Ast *ast_binary(Lexer *lx, Span op, Ast *left, Ast *right, Span span);
/* `( args )`: PAREN or TUPLE. `[ args ]`: LIST. */
Ast *ast_paren(Lexer *lx, Ast *args, Span span);
Ast *ast_list(Lexer *lx, Ast *args, Span span);
Ast *ast_lambda(Lexer *lx, Ast *parameters, Ast *body, Span span);
/* The left side of a binding: checks it (E0106) and takes a tuple of names apart. */
Ast *ast_left(Lexer *lx, Ast *exprs);
/* "a" or "an", for messages. */
const char *ast_article(const char *word);
/* a.b.c of a qname as one name. */
Sym ast_dotted(Lexer *lx, const Ast *qname);

#endif
