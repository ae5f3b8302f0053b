/* keyword.c: which words are keywords where they stand.
 *
 * Nineteen words are reserved. All others, such as `model`, `data` and `train`, are keywords only as
 * the first word of a statement, and only when the next thing on the line starts a name: they stay
 * free as names, since checkpoints are full of keys like `model.layers`. */
#include "lex.h"
#include "mdl.tab.h"

typedef struct Keyword {
    const char *word;
    int kind;
    bool infix; /* joins two expressions, so a word before it is a name */
} Keyword;

static const Keyword reserved[] = {
    {"if", TOK_IF, true},       {"else", TOK_ELSE, true},   {"for", TOK_FOR, false},
    {"in", TOK_IN, true},       {"as", TOK_AS, true},       {"where", TOK_WHERE, false},
    {"and", TOK_AND, true},     {"or", TOK_OR, true},       {"not", TOK_NOT, false},
    {"none", TOK_NONE, false},  {"true", TOK_TRUE, false},  {"false", TOK_FALSE, false},
    {"inf", TOK_INF, false},    {"from", TOK_FROM, true},   {"with", TOK_WITH, true},
    {"over", TOK_OVER, true},   {"after", TOK_AFTER, true}, {"like", TOK_LIKE, true},
    {"grows", TOK_GROWS, true},
};

static const Keyword contextual[] = {
    {"import", TOK_IMPORT, false},   {"let", TOK_LET, false},        {"fn", TOK_FN, false},
    {"op", TOK_OP, false},           {"module", TOK_MODULE, false},  {"param", TOK_PARAM, false},
    {"buffer", TOK_BUFFER, false},   {"state", TOK_STATE, false},    {"vjp", TOK_VJP, false},
    {"every", TOK_EVERY, false},     {"model", TOK_BLOCK, false},    {"data", TOK_BLOCK, false},
    {"tokenizer", TOK_BLOCK, false}, {"template", TOK_BLOCK, false}, {"stage", TOK_BLOCK, false},
    {"eval", TOK_BLOCK, false},      {"chat", TOK_BLOCK, false},     {"mesh", TOK_BLOCK, false},
    {"metric", TOK_BLOCK, false},    {"generate", TOK_BLOCK, false}, {"train", TOK_BLOCK, false},
    {"freeze", TOK_CLAUSE, false},   {"adapt", TOK_CLAUSE, false},   {"remat", TOK_CLAUSE, false},
    {"shard", TOK_CLAUSE, false},    {"load", TOK_CLAUSE, false},
};

static const Keyword *find(const Keyword *table, size_t count, const char *text, size_t n)
{
    for (size_t i = 0; i < count; i++)
        if (strncmp(table[i].word, text, n) == 0 && !table[i].word[n])
            return &table[i];
    return NULL;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool keyword_is_infix(const char *text, size_t n)
{
    const Keyword *k = find(reserved, COUNT(reserved), text, n);
    return k && k->infix;
}

/* The byte at an offset, 0 behind the end. */
static char byte_at(const Lexer *lx, uint32_t at)
{
    return at < lx->n ? lx->src[at] : '\0';
}

static uint32_t skip_blanks(const Lexer *lx, uint32_t at)
{
    while (byte_at(lx, at) == ' ' || byte_at(lx, at) == '\t')
        at++;
    return at;
}

/* Where the word at this offset ends. */
static uint32_t word_end(const Lexer *lx, uint32_t at)
{
    while (is_letter(byte_at(lx, at)) || is_digit(byte_at(lx, at)))
        at++;
    return at;
}

/* Does the text behind a statement keyword make it one? */
static bool starts_name(const Lexer *lx, int kind, uint32_t hi)
{
    uint32_t lo = skip_blanks(lx, hi);
    char c = byte_at(lx, lo);
    if (lo == hi)
        return false;
    if ((unsigned char)c >= 0x80)
        return true; /* a name with letters that names cannot have: reported as such */
    if (!is_letter(c))
        return (kind == TOK_CLAUSE && (c == '*' || c == '{')) || (kind == TOK_EVERY && is_digit(c));
    uint32_t end = word_end(lx, lo);
    return byte_at(lx, end) == ':' || !keyword_is_infix(lx->src + lo, end - lo);
}

static int contextual_kind(const Lexer *lx, Sym word, uint32_t hi)
{
    const Keyword *k = find(contextual, COUNT(contextual), word, strlen(word));
    if (!k)
        return TOK_ID;
    bool clause = strcmp(word, "train") == 0 && lx->nopen > 0;
    int kind = clause ? TOK_CLAUSE : k->kind;
    return starts_name(lx, kind, hi) ? kind : TOK_ID;
}

static bool is_literal_word(int kind)
{
    return kind == TOK_NONE || kind == TOK_TRUE || kind == TOK_FALSE || kind == TOK_INF;
}

int keyword_kind(const Lexer *lx, Sym word, uint32_t hi, bool at_start)
{
    if (lx->last == '.')
        return TOK_ID;
    const Keyword *k = find(reserved, COUNT(reserved), word, strlen(word));
    if (k && (is_literal_word(k->kind) || byte_at(lx, hi) != ':'))
        return k->kind;
    return at_start && !k && byte_at(lx, hi) != ':' ? contextual_kind(lx, word, hi) : TOK_ID;
}

bool keyword_opens_statement(const Lexer *lx, const Token *word)
{
    return byte_at(lx, word->span.hi) != ':' &&
           contextual_kind(lx, word->text, word->span.hi) != TOK_ID;
}

static bool has_kind(const Keyword *table, size_t count, int kind)
{
    for (size_t i = 0; i < count; i++)
        if (table[i].kind == kind)
            return true;
    return false;
}

bool keyword_is_statement(int kind)
{
    return has_kind(contextual, COUNT(contextual), kind);
}

bool keyword_is_reserved(int kind)
{
    return has_kind(reserved, COUNT(reserved), kind);
}

bool keyword_is_contextual(Sym word)
{
    return find(contextual, COUNT(contextual), word, strlen(word)) != NULL;
}

Sym keyword_nearest(const Lexer *lx, Sym word)
{
    Sym words[COUNT(contextual)];
    for (size_t i = 0; i < COUNT(contextual); i++)
        words[i] = sym(lx->syms, contextual[i].word);
    return sym_nearest(word, words, COUNT(words));
}

Span keyword_reserved_after(const Lexer *lx, const Token *t)
{
    uint32_t lo = skip_blanks(lx, t->span.hi), hi = word_end(lx, lo);
    bool is_one = lo < hi && find(reserved, COUNT(reserved), lx->src + lo, hi - lo);
    return is_one ? lex_span(lx, lo, hi) : lex_span(lx, lo, lo);
}
