/* lex.c: the filter between scanner and parser: statement ends, keywords, path patterns, brackets.
 *
 * A newline ends a statement iff it is not inside ( ) or [ ], the token before it can end a statement
 * and the token behind it can begin one. So a line may start with `|>`, `as`, `else`, `+` to continue
 * the one above, and no line ever needs a semicolon. A statement keyword at the start of a line
 * inside an open bracket means that the bracket was forgotten: E0103 at the bracket, and the missing
 * closers are supplied. */
#include "lex.h"
#include "mdl.tab.h"
#include <stdarg.h>

Span lex_span(const Lexer *lx, uint32_t lo, uint32_t hi)
{
    return (Span){lx->file, lo, hi};
}

Sym lex_text(Lexer *lx, Span span)
{
    ASSERT(span.lo <= span.hi && span.hi <= lx->n);
    return sym_n(lx->syms, lx->src + span.lo, span.hi - span.lo);
}

Lexer *lex_new(Arena *arena, Syms *syms, Diags *diags, uint32_t file)
{
    size_t n;
    Lexer *lx = NEW(arena, Lexer);
    lx->src = diags_text(diags, file, &n);
    ASSERT(n <= AST_BYTES);
    lx->n = (uint32_t)n;
    lx->arena = arena;
    lx->syms = syms;
    lx->diags = diags;
    lx->file = file;
    lx->doc = sb_new(arena);
    lx->last = TOK_NL;
    lx->at_start = true;
    return lx;
}

void lex_too_large(Lexer *lx, Span span, const char *fmt, ...)
{
    if (lx->fatal)
        return;
    lx->fatal = true;
    va_list args;
    char text[200];
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (span.hi > span.lo + 1) /* its whole text would be pages long */
        span.hi = span.lo + 1;
    diag_at(lx->diags, DIAG_E0109, span, "%s", text);
}

const char *lex_doc(const Lexer *lx, uint32_t offset)
{
    uint32_t lo = 0, hi = lx->docs.n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (lx->docs.at[mid].at < offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < lx->docs.n && lx->docs.at[lo].at == offset ? lx->docs.at[lo].text : NULL;
}

/* ---- which tokens begin and end statements ---- */

static bool can_end(int kind)
{
    switch (kind) {
    case TOK_ID:
    case TOK_INT:
    case TOK_FLOAT:
    case TOK_PERCENT:
    case TOK_QUANTITY:
    case TOK_STRING:
    case TOK_GLOB:
    case TOK_TRUE:
    case TOK_FALSE:
    case TOK_NONE:
    case TOK_INF:
    case ')':
    case ']':
    case '}':
    case '?':
        return true;
    }
    return false;
}

static bool can_begin(const Lexer *lx, const Token *t)
{
    switch (t->kind) {
    case RAW_WORD:
        return !keyword_is_infix(t->text, strlen(t->text)) || strcmp(t->text, "if") == 0 ||
               (t->span.hi < lx->n && lx->src[t->span.hi] == ':');
    case TOK_INT:
    case TOK_FLOAT:
    case TOK_PERCENT:
    case TOK_QUANTITY:
    case TOK_STRING:
    case TOK_NL:
    case TOK_END:
    case '(':
    case '[':
    case '-':
    case '}':
        return true;
    }
    return false;
}

/* ---- raw tokens with one of look-ahead ---- */

static Token take(Lexer *lx)
{
    if (lx->has_ahead) {
        lx->has_ahead = false;
        return lx->ahead;
    }
    return scan_next(lx);
}

static void put_back(Lexer *lx, Token t)
{
    ASSERT(!lx->has_ahead);
    lx->ahead = t;
    lx->has_ahead = true;
}

/* The next token that is no newline; it stays the next one. */
static const Token *look_past_newlines(Lexer *lx)
{
    Token t = take(lx);
    while (t.kind == RAW_NEWLINE)
        t = take(lx);
    put_back(lx, t);
    return &lx->ahead;
}

/* ---- brackets ---- */

static int innermost(const Lexer *lx)
{
    return lx->nopen ? lx->open[lx->nopen - 1].kind : 0;
}

static bool in_parens(const Lexer *lx)
{
    int kind = innermost(lx);
    return kind == '(' || kind == '[';
}

static int closer_of(int open)
{
    return open == '(' ? ')' : open == '[' ? ']' : '}';
}

static void open_bracket(Lexer *lx, const Token *t)
{
    if (lx->nopen == AST_NESTING) {
        lex_too_large(lx, t->span, "brackets are nested more than %d levels deep", AST_NESTING);
        return;
    }
    Bracket *b = &lx->open[lx->nopen++];
    *b = (Bracket){.kind = t->kind, .owner = lx->statement, .span = t->span};
}

/* A closer of the wrong kind closes too, unless it would end a `{`: the parser reports it. */
static void close_bracket(Lexer *lx, const Token *t)
{
    if (!lx->nopen)
        return;
    if (t->kind == '}' || in_parens(lx))
        lx->nopen--;
}

/* Reports the innermost open bracket, and plans to close `count` of them. In a statement that is
 * wrong already the bracket is no second mistake but perhaps the reason of the first. */
static void report_unclosed(Lexer *lx, uint32_t count, const Token *before)
{
    const Bracket *b = &lx->open[lx->nopen - 1];
    lx->to_close = count;
    if (lx->torn && !lx->skipping) {
        return;
    }
    if (lx->skipping) {
        if (lx->skip_diag)
            diag_also(lx->skip_diag, b->span, "this `%c` is not closed", b->kind);
        return;
    }
    Diag *d = diag_at(lx->diags, DIAG_E0103, b->span, "unclosed `%c`", b->kind);
    if (before->kind == TOK_END)
        diag_note(d, "the file ends before it is closed");
    else if (before->kind == RAW_WORD)
        diag_also(d, before->span, "this statement begins before it is closed");
    else
        diag_also(d, before->span, "this closes something else before it is closed");
}

/* How many ( and [ are open above the innermost {. */
static uint32_t parens_open(const Lexer *lx)
{
    uint32_t n = 0;
    while (n < lx->nopen && lx->open[lx->nopen - 1 - n].kind != '{')
        n++;
    return n;
}

/* Was a bracket forgotten before this token, the first of a line? Then plans to close. */
static bool forgotten_before(Lexer *lx, const Token *t)
{
    if (t->kind != RAW_WORD || !lx->nopen || !keyword_opens_statement(lx, t))
        return false;
    bool item = strcmp(t->text, "module") == 0 || strcmp(t->text, "import") == 0 ||
                strcmp(t->text, "op") == 0;
    bool column_1 = t->span.lo == 0 || lx->src[t->span.lo - 1] == '\n';
    uint32_t count = item && column_1 ? lx->nopen : parens_open(lx);
    if (!count)
        return false;
    report_unclosed(lx, count, t);
    lx->end_after_close = true;
    return true;
}

/* ---- tokens for the parser ---- */

static Token give(Lexer *lx, Token t)
{
    lx->supplied = false;
    lx->last = t.kind;
    lx->last_hi = t.span.hi;
    return t;
}

/* give for tokens that stand in the file. */
static Token give_written(Lexer *lx, Token t, bool starts)
{
    if (lx->text) {
        AstToken token = {t.kind, t.span, starts};
        VEC_PUSH(lx->arena, &lx->text->tokens, token);
    }
    return give(lx, t);
}

/* A token without text, behind the last one. */
static Token give_empty(Lexer *lx, int kind)
{
    return give(lx, (Token){.kind = kind, .span = lex_span(lx, lx->last_hi, lx->last_hi)});
}

static Token line_end(Lexer *lx)
{
    lx->glob = GLOB_NONE;
    lx->at_start = true;
    lx->end_hi = lx->last_hi;
    return give_empty(lx, TOK_NL);
}

/* One of the tokens that close forgotten brackets. The parser may not like them: that is not the
 * user's second mistake. */
static Token supply(Lexer *lx)
{
    Token t;
    int open = innermost(lx);
    if (!lx->to_close) {
        lx->end_after_close = false;
        t = line_end(lx);
    } else if (open == '{' && lx->last != TOK_NL && lx->last != '{') {
        t = line_end(lx);
    } else {
        lx->nopen--;
        lx->to_close--;
        lx->at_start = false;
        t = give_empty(lx, closer_of(open));
    }
    lx->supplied = true;
    return t;
}

/* A raw newline: does the statement end here? */
static bool newline_ends(Lexer *lx)
{
    const Token *next = look_past_newlines(lx);
    if (forgotten_before(lx, next))
        return false; /* the closers come first */
    if (in_parens(lx))
        return false;
    if (lx->last == TOK_NL || lx->last == '{') {
        lx->at_start = true;
        return false;
    }
    if (next->kind == RAW_WORD && keyword_opens_statement(lx, next))
        return true;
    return can_end(lx->last) && can_begin(lx, next);
}

/* The end of a block or of the file: are brackets open that it cannot close? Then plans to. */
static bool end_needs_closers(Lexer *lx, const Token *t)
{
    uint32_t parens = parens_open(lx);
    bool blocks = parens < lx->nopen; /* else a `}` closes nothing, and the parser reports it */
    uint32_t count = t->kind == TOK_END ? lx->nopen : blocks ? parens : 0;
    if (count)
        report_unclosed(lx, count, t);
    return count > 0;
}

static Token word_token(Lexer *lx, Token t)
{
    t.kind = keyword_kind(lx, t.text, t.span.hi, lx->at_start);
    if (t.kind == TOK_CLAUSE)
        lx->glob = GLOB_NEXT;
    return t;
}

static Token give_ordinary(Lexer *lx, Token t)
{
    if (lx->glob == GLOB_READ && t.kind != TOK_GLOB)
        lx->glob = t.kind == ',' ? GLOB_NEXT : GLOB_NONE;
    if (t.kind == RAW_WORD)
        t = word_token(lx, t);
    if (t.kind == TOK_GLOB)
        literal_pattern(lx, t.text, t.span);
    if (lx->at_start)
        lx->statement = keyword_is_statement(t.kind) ? t.text : NULL;
    if (t.kind == '(' || t.kind == '[' || t.kind == '{')
        open_bracket(lx, &t);
    if (t.kind == ')' || t.kind == ']')
        close_bracket(lx, &t);
    bool starts = lx->at_start;
    lx->at_start = t.kind == '{';
    return give_written(lx, t, starts);
}

/* `;` ends a statement, but not inside ( ). */
static Token give_semicolon(Lexer *lx, Token t)
{
    if (in_parens(lx))
        return give(lx, t);
    lx->end_hi = lx->last_hi;
    give_written(lx, t, false);
    t.kind = TOK_NL;
    lx->glob = GLOB_NONE;
    lx->at_start = true;
    return give(lx, t);
}

/* `}` or the end of the file; both also end the statement before them. */
static Token give_end(Lexer *lx, Token t)
{
    bool stray = t.kind == '}' && (!lx->nopen || in_parens(lx));
    if (lx->last != TOK_NL && lx->last != '{' && !stray) {
        put_back(lx, t);
        return line_end(lx);
    }
    if (t.kind == '}')
        close_bracket(lx, &t);
    lx->glob = GLOB_NONE;
    lx->at_start = false;
    return t.kind == TOK_END ? give(lx, t) : give_written(lx, t, false);
}

static Token give_start(Lexer *lx)
{
    Token t = give_empty(lx, lx->start);
    lx->at_start = lx->start == TOK_START_FILE;
    if (lx->at_start)
        lx->last = TOK_NL;
    lx->start = 0;
    return t;
}

static Token next_token(Lexer *lx)
{
    if (lx->start)
        return give_start(lx);
    while (!lx->fatal) {
        if (lx->to_close || lx->end_after_close)
            return supply(lx);
        if (lx->glob == GLOB_NEXT) {
            scan_pattern(lx);
            lx->glob = GLOB_READ;
        }
        Token t = take(lx);
        if (t.kind == RAW_NEWLINE) {
            if (newline_ends(lx))
                return line_end(lx);
            continue;
        }
        if (t.kind == TOK_SEMICOLON)
            return give_semicolon(lx, t);
        if (t.kind != '}' && t.kind != TOK_END)
            return give_ordinary(lx, t);
        if (!end_needs_closers(lx, &t))
            return give_end(lx, t);
        put_back(lx, t);
    }
    return give_empty(lx, TOK_END);
}

void lex_skip_statement(Lexer *lx, Diag *report)
{
    if (lx->current.kind == TOK_NL || lx->current.kind == TOK_END)
        return;
    lx->skipping = true;
    lx->skip_diag = report;
    uint32_t n = lx->open_before < lx->nopen ? lx->open_before : lx->nopen;
    while (n && lx->open[n - 1].kind != '{')
        n--;
    lx->floor = n;
}

/* What is left of a wrong statement: up to a line end outside of every bracket it opened. */
static bool to_skip(Lexer *lx, const Token *t)
{
    if (!lx->skipping)
        return false;
    bool ends = t->kind == TOK_END || (t->kind == TOK_NL && lx->nopen <= lx->floor);
    lx->skipping = !ends;
    return !ends;
}

int mdl_lex(MDL_STYPE *value, Span *span, Lexer *lx)
{
    lx->before = lx->current.kind == TOK_ID ? lx->current.text : NULL;
    lx->before_hi = lx->current.span.hi;
    do {
        lx->open_before = lx->nopen;
        lx->current = next_token(lx);
    } while (to_skip(lx, &lx->current));
    value->text = lx->current.text;
    *span = lx->current.span;
    lx->torn = lx->torn && lx->current.kind != TOK_NL;
    if (lx->current.kind == TOK_NL) /* a statement reaches to its own last byte */
        *span = lex_span(lx, lx->end_hi, lx->end_hi);
    return lx->current.kind;
}

void lex_edition(Lexer *lx)
{
    static const char word[] = "#!mdl";
    uint32_t hi = 0;
    while (hi < lx->n && lx->src[hi] != '\n' && lx->src[hi] != '\r')
        hi++;
    if (hi < strlen(word) || memcmp(lx->src, word, strlen(word)) != 0)
        return; /* other `#!` lines are comments */
    Span span = lex_span(lx, 0, hi);
    const char *digits = lex_text(lx, lex_span(lx, (uint32_t)strlen(word), hi));
    char *end;
    unsigned long edition = strtoul(digits, &end, 10);
    end += strspn(end, " \t");
    if (end == digits || *end || edition == 0)
        diag_help(diag_at(lx->diags, DIAG_E0108, span, "this names no edition"), "write `#!mdl 1`");
    else if (edition > 1)
        diag_at(lx->diags, DIAG_E0108, span, "edition %lu is newer than this compiler (1)",
                edition);
}
