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
        return "in a `train` or `stage` block";
    case TOK_CLAUSE:
        return "in a `model`, `train` or `stage` block";
    case TOK_BLOCK:
        return "at the top of a file or in another block";
    }
    return "at the top of a file";
}

/* E0107: a statement of another place. */
static Diag *report_misplaced(Lexer *lx, const SyntaxError *e)
{
    int kind = lx->current.kind;
    if (!keyword_is_statement(kind))
        return NULL;
    Sym word = lex_text(lx, lx->current.span), owner = NULL;
    for (uint32_t i = lx->nopen; i > 0 && !owner; i--)
        owner = lx->open[i - 1].owner;
    if (owner)
        return diag_at(lx->diags, DIAG_E0107, e->span, "`%s` belongs %s, not in %s `%s`", word,
                       home_of(kind), ast_article(owner), owner);
    return diag_at(lx->diags, DIAG_E0107, e->span, "`%s` belongs %s", word, home_of(kind));
}

/* E0207: a reserved word where only a name can stand. In `let over = 1` it also made `let` a name. */
static Diag *report_reserved(Lexer *lx, const SyntaxError *e)
{
    const Token *t = &lx->current;
    bool after_keyword = lx->before && keyword_is_contextual(lx->before);
    Span span = e->span;
    if (t->kind == TOK_ID && keyword_is_contextual(t->text))
        span = keyword_reserved_after(lx, t);
    else if (!keyword_is_reserved(t->kind) ||
             (!after_keyword && (!has(e, "name") || has(e, "string"))))
        return NULL;
    if (span.lo == span.hi)
        return NULL;
    Diag *d = diag_at(lx->diags, DIAG_E0207, span, "`%s` is a reserved word", lex_text(lx, span));
    diag_help(d, "choose another name");
    return d;
}

/* E0104: `.5`. */
static Diag *report_point_number(Lexer *lx, const SyntaxError *e)
{
    uint32_t hi = e->span.hi;
    bool digit = hi < lx->n && lx->src[hi] >= '0' && lx->src[hi] <= '9';
    if (lx->current.kind != '.' || !digit || !has(e, "number"))
        return NULL;
    Diag *d =
        diag_at(lx->diags, DIAG_E0104, e->span, "a number has a digit on both sides of the point");
    diag_fix_certain(d, lex_span(lx, e->span.lo, e->span.lo), "0", "write the zero");
    return d;
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

/* The word that was taken for a name, where it could have been meant as a keyword. */
static Sym suspect(const Lexer *lx, const SyntaxError *e)
{
    if (has(e, "`module`"))
        return lx->current.kind == TOK_ID ? lx->current.text : NULL;
    return lx->current.kind == TOK_ID || lx->current.kind == TOK_INT ? lx->before : NULL;
}

typedef struct Foreign {
    const char *words[4];
    const char *help;
} Foreign;

static const Foreign foreign[] = {
    {{"return"}, "the last expression of a body is its result; there is no `return`"},
    {{"def", "func", "function"}, "functions are written `fn f(x: [.., D]) -> [.., D] { .. }`"},
    {{"class", "struct"}, "models are written `module M(D) { .. }`"},
    {{"var", "const", "auto"}, "compile-time values are written `let x = ..`, others `x = ..`"},
};

static void add_word_help(const Lexer *lx, const SyntaxError *e, Diag *d)
{
    Sym word = suspect(lx, e);
    if (!word)
        return;
    for (size_t i = 0; i < COUNT(foreign); i++)
        for (size_t k = 0; k < COUNT(foreign[i].words) && foreign[i].words[k]; k++)
            if (strcmp(word, foreign[i].words[k]) == 0) {
                diag_help(d, "%s", foreign[i].help);
                return;
            }
    if (keyword_is_contextual(word)) {
        diag_help(d, "`%s` is a keyword only before a name on the same line", word);
        return;
    }
    Sym near = keyword_nearest(lx, word);
    if (near)
        diag_help(d, "a similar keyword is `%s`", near);
}

/* `f(x, axis = 1)`. On another line than the bracket it may be a statement behind a forgotten `)`. */
static void add_colon_help(const Lexer *lx, const SyntaxError *e, Diag *d)
{
    static const char help[] = "arguments are named with `:`, as in `f(x, axis: 1)`";
    uint32_t open = lx->open[lx->nopen - 1].span.lo;
    bool one_line = !memchr(lx->src + open, '\n', e->span.lo - open);
    if (one_line && lx->before)
        diag_fix_certain(d, lex_span(lx, lx->before_hi, e->span.hi), ":", "%s", help);
    else
        diag_help(d, "%s", help);
}

static void add_help(const Lexer *lx, const SyntaxError *e, Diag *d)
{
    int kind = lx->current.kind;
    bool in_call = lx->nopen && lx->open[lx->nopen - 1].kind == '(';
    if (is_operator(kind) && has(e, "`|>`") && !has(e, "`+`"))
        diag_help(d, "inside arithmetic a cast is a call, as in `f32(x) / tau`, or stands in "
                     "parentheses, as in `(x as [N]) / tau`");
    else if (is_comparison(kind) && has(e, "`+`"))
        diag_help(d, "comparisons do not chain: write `a < b and b < c`");
    else if (kind == '=' && in_call && has(e, "`,`") && has(e, "`:`"))
        add_colon_help(lx, e, d);
    else if (kind == '=' && has(e, "`as`") && has(e, "`[`") && has(e, "`:`") && !has(e, "`,`"))
        diag_help(d, "in a module a value is named with `let x = ..`");
    else if (kind == '{' && has(e, "`(`") && e->n == 1)
        diag_fix_certain(d, lex_span(lx, lx->before_hi, lx->before_hi), "()",
                         "parentheses stand here even without arguments");
    else if (kind == ':' && has(e, "`{`"))
        diag_help(d, "blocks stand in braces");
    else
        add_word_help(lx, e, d);
}

/* Was this token, or bytes between it and the one before, reported already? As in `3 $ 4`. */
static bool is_reported(const Lexer *lx)
{
    bool ends = lx->current.kind == TOK_NL; /* its place is the end of the token before */
    return lx->bad_at > lx->before_hi && (ends || lx->bad_at <= lx->current.span.lo + 1);
}

static Diag *report(Lexer *lx, const SyntaxError *e)
{
    Diag *d = report_misplaced(lx, e);
    if (!d)
        d = report_reserved(lx, e);
    if (!d)
        d = report_point_number(lx, e);
    if (d)
        return d;
    StrBuf sb = sb_new(lx->arena);
    put_found(&sb, lx, e);
    put_expected(&sb, e);
    d = diag_at(lx->diags, DIAG_E0102, e->span, "unexpected %s", sb_text(&sb));
    add_help(lx, e, d);
    return d;
}

void syntax_error(Lexer *lx, SyntaxError *e)
{
    if (lx->fatal || lx->supplied)
        return;
    if (lx->current.kind == TOK_NL)
        e->span = lx->current.span;
    lex_skip_statement(lx, lx->torn || is_reported(lx) ? NULL : report(lx, e));
}
