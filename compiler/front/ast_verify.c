/* ast_verify.c: the shape rules of ast.def, as one pattern per kind.
 *
 * A pattern lists the children by class letter: `?` behind a letter allows NULL, `*` any number of
 * that class, `+` one or more. Everywhere a statement or an expression may be ERROR.
 *   e expression   a argument: expression or NAMED   x index: expression, SLICE or PACK
 *   t type   d dimension: expression or PACK   q ID or MEMBER chain   b body: expression or STMTS
 *   capital letters: one kind each, see class_of */
#include "ast.h"

typedef enum Field { NEVER, MAYBE, ALWAYS } Field;

typedef struct Shape {
    Field name, text;
    const char *kids;
} Shape;

static const Shape shapes[A_COUNT] = {
    [A_FILE] = {NEVER, NEVER, "i*"},
    [A_IMPORT] = {ALWAYS, MAYBE, "n*"},
    [A_IMPORT_NAME] = {ALWAYS, ALWAYS, ""},
    [A_LET] = {ALWAYS, NEVER, "e"},
    [A_FN] = {ALWAYS, NEVER, "Ft?b"},
    [A_OP] = {ALWAYS, NEVER, "Ft?b"},
    [A_FORMALS] = {NEVER, NEVER, "f*"},
    [A_FORMAL] = {ALWAYS, NEVER, "t?e?"},
    [A_MODULE] = {ALWAYS, NEVER, "FM"},
    [A_MEMBERS] = {NEVER, NEVER, "m*"},
    [A_PARAM] = {ALWAYS, MAYBE, "te?"},
    [A_BUFFER] = {ALWAYS, MAYBE, "te?"},
    [A_STATE] = {ALWAYS, MAYBE, "t"},
    [A_SUB] = {ALWAYS, MAYBE, "e"},
    [A_ARRAY] = {ALWAYS, MAYBE, "ee"},
    [A_REKEY] = {ALWAYS, ALWAYS, ""},
    [A_WHERE] = {NEVER, MAYBE, "e"},
    [A_MEMBER_IF] = {NEVER, NEVER, "eMM?"},
    [A_BLOCK] = {ALWAYS, ALWAYS, "HF?e?B?"},
    [A_HEADER] = {NEVER, NEVER, "h*"},
    [A_AFTER] = {NEVER, NEVER, "q+"},
    [A_LIKE] = {NEVER, NEVER, "q"},
    [A_BLOCK_AS] = {ALWAYS, NEVER, ""},
    [A_BODY] = {NEVER, NEVER, "y*"},
    [A_ATTR] = {ALWAYS, NEVER, "e"},
    [A_FIELD] = {ALWAYS, NEVER, "te"},
    [A_SUBGROUP] = {ALWAYS, NEVER, "B"},
    [A_MAPPING] = {NEVER, ALWAYS, "e"},
    [A_EVERY] = {NEVER, ALWAYS, "e+"},
    [A_CLAUSE] = {NEVER, ALWAYS, "Gw?B?"},
    [A_GLOBS] = {NEVER, NEVER, "g+"},
    [A_GLOB] = {NEVER, ALWAYS, ""},
    [A_WITH] = {NEVER, NEVER, "e"},
    [A_FROM] = {NEVER, NEVER, "e"},
    [A_OVER] = {ALWAYS, NEVER, ""},
    [A_STMTS] = {NEVER, NEVER, "s*"},
    [A_RESULT] = {NEVER, NEVER, "e+"},
    [A_BIND] = {NEVER, ALWAYS, "Eet?R?"},
    [A_EXPRS] = {NEVER, NEVER, "e+"},
    [A_RANGES] = {NEVER, NEVER, "r+"},
    [A_IN] = {ALWAYS, NEVER, "e"},
    [A_FOR] = {ALWAYS, NEVER, "eS"},
    [A_VJP] = {ALWAYS, NEVER, "S"},
    [A_T_NAME] = {NEVER, NEVER, "q"},
    [A_T_TENSOR] = {NEVER, NEVER, "q?d*"},
    [A_T_TUPLE] = {NEVER, NEVER, "t+"},
    [A_T_OPTIONAL] = {NEVER, NEVER, "t"},
    [A_PACK] = {MAYBE, NEVER, ""},
    [A_LAMBDA] = {NEVER, NEVER, "eb"},
    [A_PIPE] = {NEVER, NEVER, "ee"},
    [A_AS] = {NEVER, NEVER, "et"},
    [A_COALESCE] = {NEVER, NEVER, "ee"},
    [A_OR] = {NEVER, NEVER, "ee"},
    [A_AND] = {NEVER, NEVER, "ee"},
    [A_NOT] = {NEVER, NEVER, "e"},
    [A_CMP] = {NEVER, ALWAYS, "ee"},
    [A_RANGE] = {NEVER, NEVER, "ee"},
    [A_BIN] = {NEVER, ALWAYS, "ee"},
    [A_NEG] = {NEVER, NEVER, "e"},
    [A_CALL] = {NEVER, NEVER, "ea*"},
    [A_NAMED] = {ALWAYS, NEVER, "e"},
    [A_INDEX] = {NEVER, NEVER, "ex+"},
    [A_SLICE] = {NEVER, NEVER, "e?e?"},
    [A_MEMBER] = {ALWAYS, NEVER, "e"},
    [A_ID] = {ALWAYS, NEVER, ""},
    [A_INT] = {NEVER, ALWAYS, ""},
    [A_FLOAT] = {NEVER, ALWAYS, ""},
    [A_PERCENT] = {NEVER, ALWAYS, ""},
    [A_QUANTITY] = {NEVER, ALWAYS, ""},
    [A_STRING] = {NEVER, ALWAYS, ""},
    [A_TRUE] = {NEVER, NEVER, ""},
    [A_FALSE] = {NEVER, NEVER, ""},
    [A_NONE] = {NEVER, NEVER, ""},
    [A_INF] = {NEVER, NEVER, ""},
    [A_PAREN] = {NEVER, NEVER, "e"},
    [A_TUPLE] = {NEVER, NEVER, "a*"},
    [A_LIST] = {NEVER, NEVER, "e*"},
    [A_IF] = {NEVER, NEVER, "eSI?"},
    [A_ERROR] = {NEVER, NEVER, ""},
};

/* The kinds of each class; an expression is every kind from LAMBDA on, except NAMED and SLICE. */
static bool is_expression(AstKind kind)
{
    return kind >= A_LAMBDA && kind != A_NAMED && kind != A_SLICE;
}

static bool is_type(AstKind kind)
{
    return kind >= A_T_NAME && kind <= A_T_OPTIONAL;
}

static bool is_item(AstKind kind)
{
    return kind == A_IMPORT || kind == A_LET || kind == A_FN || kind == A_OP || kind == A_MODULE ||
           kind == A_BLOCK || kind == A_ERROR;
}

static bool is_member(AstKind kind)
{
    return kind == A_LET || kind == A_FN || kind == A_ERROR ||
           (kind >= A_PARAM && kind <= A_MEMBER_IF);
}

static bool is_body_statement(AstKind kind)
{
    return kind == A_BLOCK || kind == A_LET || kind == A_ERROR ||
           (kind >= A_ATTR && kind <= A_CLAUSE);
}

static bool is_statement(AstKind kind)
{
    return kind == A_RESULT || kind == A_BIND || kind == A_LET || kind == A_FOR || kind == A_VJP ||
           kind == A_ERROR;
}

static bool is_class(char letter, AstKind kind)
{
    static const struct {
        char letter;
        AstKind kind;
    } single[] = {
        {'F', A_FORMALS}, {'M', A_MEMBERS}, {'H', A_HEADER}, {'B', A_BODY},   {'G', A_GLOBS},
        {'E', A_EXPRS},   {'R', A_RANGES},  {'S', A_STMTS},  {'f', A_FORMAL}, {'n', A_IMPORT_NAME},
        {'g', A_GLOB},    {'r', A_IN},      {'I', A_STMTS},  {'I', A_IF},
    };
    for (size_t i = 0; i < COUNT(single); i++)
        if (single[i].letter == letter && single[i].kind == kind)
            return true;
    bool e = is_expression(kind);
    return letter == 'e'   ? e
           : letter == 'a' ? e || kind == A_NAMED
           : letter == 'x' ? e || kind == A_SLICE || kind == A_PACK
           : letter == 'd' ? e || kind == A_PACK
           : letter == 'b' ? e || kind == A_STMTS
           : letter == 'q' ? kind == A_ID || kind == A_MEMBER
           : letter == 't' ? is_type(kind)
           : letter == 'i' ? is_item(kind)
           : letter == 'm' ? is_member(kind)
           : letter == 'y' ? is_body_statement(kind)
           : letter == 's' ? is_statement(kind)
           : letter == 'h' ? kind == A_AFTER || kind == A_LIKE || kind == A_BLOCK_AS
           : letter == 'w' ? kind == A_WITH || kind == A_FROM || kind == A_OVER
                           : false;
}

static void check_field(const Ast *a, Field rule, Sym value, const char *what)
{
    if ((rule == ALWAYS && !value) || (rule == NEVER && value))
        BUG("syntax tree: %s with%s %s", ast_kind_name(a->kind), value ? "" : "out", what);
}

static void check_kids(const Ast *a, const char *pattern)
{
    uint32_t i = 0;
    for (const char *p = pattern; *p; p++) {
        char letter = *p, mark = strchr("?*+", p[1]) ? p[1] : '\0';
        uint32_t least = mark == '*' ? 0 : 1, most = mark == '*' || mark == '+' ? UINT32_MAX : 1;
        uint32_t n = 0;
        for (; n < most && i < a->nkid; n++, i++) {
            const Ast *kid = a->kid[i];
            if (kid ? !is_class(letter, kid->kind) : mark != '?')
                BUG("syntax tree: child %u of %s is %s, not of class %c", i, ast_kind_name(a->kind),
                    kid ? ast_kind_name(kid->kind) : "absent", letter);
        }
        if (n < least)
            BUG("syntax tree: %s with %u children", ast_kind_name(a->kind), a->nkid);
        p += mark ? 1 : 0;
    }
    if (i != a->nkid)
        BUG("syntax tree: %s with %u children", ast_kind_name(a->kind), a->nkid);
}

void ast_verify(const Ast *a)
{
    ASSERT((unsigned)a->kind < A_COUNT);
    const Shape *shape = &shapes[a->kind];
    ASSERT(shape->kids);
    check_field(a, shape->name, a->name, "name");
    check_field(a, shape->text, a->text, "text");
    check_kids(a, shape->kids);
    ASSERT(a->span.lo <= a->span.hi);
    for (uint32_t i = 0; i < a->nkid; i++) {
        if (!a->kid[i])
            continue;
        ASSERT(a->kid[i]->depth < a->depth && a->depth <= AST_DEPTH);
        ast_verify(a->kid[i]);
    }
}
