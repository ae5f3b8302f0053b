/* syntax_error.c: "unexpected X, expected Y or Z", in words for people.
 *
 * The parser knows every token that would be allowed (LAC keeps the list exact); here sets that mean
 * one thing are given one name ("an expression"), the most telling four are named, and mistakes that
 * users of other languages make get a help line of their own. */
#include "lex.h"
#include "mdl.tab.h"

enum { SHOWN = 4 };

typedef struct Group {
    const char *trigger; /* the group is there when this name is */
    const char *says;
    const char *names[32];
} Group;

/* In this order: later ones see what earlier ones left. */
static const Group groups[] = {
    {"`module`",
     "a declaration such as `module`, `fn` or `train`",
     {"`import`", "`let`", "`fn`", "`op`", "`module`", "block keyword", "end of line"}},
    {"`param`",
     "a member such as `param` or `fn`",
     {"`let`", "`fn`", "`param`", "`buffer`", "`state`", "`where`", "`if`", "name", "end of line"}},
    {"clause keyword",
     "an attribute such as `lr = 1e-3`",
     {"`let`", "`every`", "block keyword", "clause keyword", "string", "name", "end of line"}},
    {"`vjp`",
     "a statement",
     {"`let`", "`for`", "`vjp`", "end of line", "name", "integer", "number", "percentage",
      "quantity", "string", "`if`", "`not`", "`none`", "`true`", "`false`", "`inf`", "`(`", "`[`",
      "`-`"}},
    {"string",
     "an expression",
     {"name", "integer", "number", "percentage", "quantity", "string", "`if`", "`not`", "`none`",
      "`true`", "`false`", "`inf`", "`(`", "`[`", "`-`"}},
    {"`max=`", "`=`", {"`=`", "`+=`", "`*=`", "`max=`", "`min=`"}},
    {"`*`", "an operator", {"`|>`", "`=>`", "`..`", "`??`",  "`**`", "`//`", "`==`", "`!=`",
                            "`<=`", "`>=`", "`as`", "`and`", "`or`", "`(`",  "`[`",  "`.`",
                            "`<`",  "`>`",  "`+`",  "`-`",   "`*`",  "`/`",  "`%`",  "`@`"}},
    {"`|>`", "an operator", {"`|>`", "`=>`", "`as`", "`?`", "`[`", "`.`"}},
};

static bool has(const SyntaxError *e, const char *name)
{
    for (uint32_t i = 0; i < e->n; i++)
        if (strcmp(e->expected[i], name) == 0)
            return true;
    return false;
}

static bool is_in(const Group *g, const char *name)
{
    for (size_t i = 0; i < COUNT(g->names) && g->names[i]; i++)
        if (strcmp(g->names[i], name) == 0)
            return true;
    return false;
}

/* Replaces the names of a group by what it says, at the end of the list. */
static void collapse(SyntaxError *e, const Group *g)
{
    if (!has(e, g->trigger) || (strcmp(g->trigger, "string") == 0 && !has(e, "`(`")))
        return;
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->n; i++)
        if (!is_in(g, e->expected[i]))
            e->expected[n++] = e->expected[i];
    e->expected[n++] = g->says;
    e->n = n;
}

static void put_expected(StrBuf *sb, const SyntaxError *original)
{
    SyntaxError e = *original;
    for (size_t i = 0; i < COUNT(groups); i++)
        collapse(&e, &groups[i]);
    uint32_t n = e.n < SHOWN ? e.n : SHOWN;
    for (uint32_t i = 0; i < n; i++)
        sb_printf(sb, "%s%s", i == 0 ? ", expected " : i + 1 == n ? " or " : ", ", e.expected[i]);
}

/* "name `x`", "`==`", "end of line". */
static void put_found(StrBuf *sb, Lexer *lx, const SyntaxError *e)
{
    int kind = lx->current.kind;
    bool has_value = kind == TOK_ID || kind == TOK_INT || kind == TOK_FLOAT ||
                     kind == TOK_PERCENT || kind == TOK_QUANTITY || kind == TOK_GLOB;
    Span span = lx->current.span;
    if (kind == TOK_NL && span.hi > span.lo)
        sb_puts(sb, "`;`");
    else if (has_value)
        sb_printf(sb, "%s `%.40s`", e->found, lex_text(lx, span));
    else
        sb_puts(sb, e->found);
}

/* ---- mistakes with a code of their own ---- */

static const char *home_of(int kind)
{
    switch (kind) {
    case TOK_PARAM:
    case TOK_BUFFER:
    case TOK_STATE:
        return "in a `module`";
    case TOK_VJP:
        return "at the end of an `op`";
    case TOK_FN:
        return "in a `module` or at the top of a file";
    case TOK_EVERY:
    case TOK_CLAUSE:
        return "in a block such as `train`";
    case TOK_BLOCK:
        return "at the top of a file or in another block";
    }
    return "at the top of a file";
}

/* E0107: a statement of another place. */
static bool report_misplaced(Lexer *lx, const SyntaxError *e)
{
    int kind = lx->current.kind;
    if (!keyword_is_statement(kind))
        return false;
    Sym word = lex_text(lx, lx->current.span), owner = NULL;
    for (uint32_t i = lx->nopen; i > 0 && !owner; i--)
        owner = lx->open[i - 1].owner;
    if (owner)
        diag_at(lx->diags, DIAG_E0107, e->span, "`%s` belongs %s, not in a `%s`", word,
                home_of(kind), owner);
    else
        diag_at(lx->diags, DIAG_E0107, e->span, "`%s` belongs %s", word, home_of(kind));
    return true;
}

/* E0207: a reserved word where only a name can stand. */
static bool report_reserved(Lexer *lx, const SyntaxError *e)
{
    if (!keyword_is_reserved(lx->current.kind) || !has(e, "name") || has(e, "string"))
        return false;
    Diag *d = diag_at(lx->diags, DIAG_E0207, e->span, "%s is a reserved word", e->found);
    diag_help(d, "choose another name");
    return true;
}

/* E0104: `.5`. */
static bool report_point_number(Lexer *lx, const SyntaxError *e)
{
    uint32_t hi = e->span.hi;
    bool digit = hi < lx->n && lx->src[hi] >= '0' && lx->src[hi] <= '9';
    if (lx->current.kind != '.' || !digit || !has(e, "number"))
        return false;
    diag_at(lx->diags, DIAG_E0104, e->span, "a number has a digit on both sides of the point");
    return true;
}

/* ---- help ---- */

static bool is_operator(int kind)
{
    switch (kind) {
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
    case '@':
    case '<':
    case '>':
    case TOK_POW:
    case TOK_FLOORDIV:
    case TOK_EQ:
    case TOK_NE:
    case TOK_LE:
    case TOK_GE:
    case TOK_AND:
    case TOK_OR:
    case TOK_QQ:
    case TOK_DOTDOT:
        return true;
    }
    return false;
}

static bool is_comparison(int kind)
{
    return kind == TOK_EQ || kind == TOK_NE || kind == TOK_LE || kind == TOK_GE || kind == '<' ||
           kind == '>';
}

static bool before_is(const Lexer *lx, const char *word)
{
    return lx->before && strcmp(lx->before, word) == 0;
}

static void add_help(const Lexer *lx, const SyntaxError *e, Diag *d)
{
    int kind = lx->current.kind;
    bool in_call = lx->nopen && lx->open[lx->nopen - 1].kind == '(';
    if (is_operator(kind) && has(e, "`|>`") && !has(e, "`+`"))
        diag_help(d, "`as` takes everything before it: inside arithmetic a cast is a call, as in "
                     "`f32(x) / tau`, or stands in parentheses, as in `(x as [N]) / tau`");
    else if (is_comparison(kind) && has(e, "`+`"))
        diag_help(d, "comparisons do not chain: write `a < b and b < c`");
    else if (kind == '=' && in_call && has(e, "`,`"))
        diag_help(d, "arguments are named with `:`, as in `f(x, axis: 1)`");
    else if (kind == ':' && has(e, "`{`"))
        diag_help(d, "blocks stand in braces");
    else if (before_is(lx, "return"))
        diag_help(d, "the last expression of a body is its result; there is no `return`");
    else if (before_is(lx, "def") || before_is(lx, "func") || before_is(lx, "function"))
        diag_help(d, "functions are written `fn f(x: [.., D]) -> [.., D] { .. }`");
    else if (before_is(lx, "class") || before_is(lx, "struct"))
        diag_help(d, "models are written `module M(D) { .. }`");
}

/* Bytes between this token and the one before it were reported already: `3 $ 4`. */
static bool is_reported(const Lexer *lx)
{
    return lx->bad_lo > 0 && lx->bad_lo >= lx->before_hi && lx->bad_lo <= lx->current.span.lo;
}

void syntax_error(Lexer *lx, SyntaxError *e)
{
    if (lx->fatal || lx->supplied)
        return;
    if (lx->current.kind == TOK_NL)
        e->span = lx->current.span;
    lex_skip_statement(lx);
    if (is_reported(lx) || report_misplaced(lx, e) || report_reserved(lx, e) ||
        report_point_number(lx, e))
        return;
    StrBuf sb = sb_new(lx->arena);
    put_found(&sb, lx, e);
    put_expected(&sb, e);
    add_help(lx, e, diag_at(lx->diags, DIAG_E0102, e->span, "unexpected %s", sb_text(&sb)));
}
