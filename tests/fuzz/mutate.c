/* mutate.c: programs that are nearly right. Tokens of good programs are deleted, doubled, swapped and
 * replaced by others, by huge numbers and by names of other programs; lines are taken from others. */
#include "mutate.h"

#include <dirent.h>
#include <stdlib.h>

uint32_t choose(Chooser *r, uint32_t n)
{
    if (!r->bytes)
        return rand_below(&r->seed, n);
    uint32_t v = 0;
    for (int i = 0; i < 2 && r->n > 0; i++, r->n--)
        v = v << 8 | *r->data++;
    return n ? v % n : 0;
}

typedef struct Token {
    const char *at;
    uint32_t n;
    char kind; /* 'a' name, '0' number, '"' string, 'n' line end, ' ' blanks, or the operator */
} Token;

typedef struct Text {
    VEC(Token) token;
} Text;

struct Corpus {
    Arena *arena;
    VEC(Text) text;
    VEC(Token) names, operators;
};

/* ---- tokens ---- */

static bool is_name(char c)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static Token next_token(const char *p)
{
    static const char *const pairs[] = {"|>", "->", "=>", "..", "??", "**", "//",
                                        "==", "!=", "<=", ">=", "+=", "*=", "##"};
    uint32_t n = 1;
    if (is_name(*p)) {
        while (is_name(p[n]) || is_digit(p[n]))
            n++;
        return (Token){p, n, 'a'};
    }
    if (is_digit(*p)) {
        while (is_digit(p[n]) || (p[n] == '.' && is_digit(p[n + 1])))
            n++;
        return (Token){p, n, '0'};
    }
    if (*p == '"') {
        while (p[n] && p[n] != '"' && p[n] != '\n')
            n++;
        return (Token){p, p[n] == '"' ? n + 1 : n, '"'};
    }
    if (*p == '\n' || *p == '#')
        return (Token){p, *p == '#' ? (uint32_t)strcspn(p, "\n") : 1, *p == '#' ? ' ' : 'n'};
    for (; *p == ' ' && p[n] == ' ';)
        n++;
    for (size_t i = 0; i < COUNT(pairs); i++)
        if (strncmp(p, pairs[i], 2) == 0)
            n = 2;
    return (Token){p, n, *p == ' ' ? ' ' : *p};
}

static void add_text(Corpus *c, const char *p)
{
    Text t = {{0}};
    while (*p) {
        Token k = next_token(p);
        VEC_PUSH(c->arena, &t.token, k);
        if (k.kind == 'a')
            VEC_PUSH(c->arena, &c->names, k);
        else if (!strchr("0\"n ", k.kind))
            VEC_PUSH(c->arena, &c->operators, k);
        p += k.n;
    }
    VEC_PUSH(c->arena, &c->text, t);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void read_folder(Corpus *c, const char *path)
{
    VEC(char *) texts = {0};
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        Bytes bytes;
        if (strstr(entry->d_name, ".mdl") &&
            file_read(c->arena, path_join(c->arena, path, entry->d_name), 1 << 20, &bytes, NULL))
            VEC_PUSH(c->arena, &texts, bytes.data);
    }
    if (dir)
        closedir(dir);
    qsort(texts.at, texts.n, sizeof *texts.at, compare_texts);
    for (uint32_t i = 0; i < texts.n; i++)
        add_text(c, texts.at[i]);
}

/* ---- edits ---- */

static Token literal(const char *text, char kind)
{
    return (Token){text, (uint32_t)strlen(text), kind};
}

static Token random_number(Chooser *r)
{
    static const char *const numbers[] = {"0",       "1",          "-1",      "2",
                                          "3",       "64",         "100000",  "1000000",
                                          "1048577", "2147483648", "1e18",    "0.5",
                                          "1e308",   "4294967296", "(0 - 1)", "9223372036854775807",
                                          "7 // 2",  "2 ** 62",    "5%",      "3 steps"};
    return literal(numbers[choose(r, COUNT(numbers))], '0');
}

static Token random_word(Chooser *r)
{
    static const char *const words[] = {
        "none",  "true", "inf",    "x",   "B",     "D",     "float", "f64",     "i32",    "bool",
        "sum",   "mean", "max",    "abs", "all",   "axis",  "len",   "concat",  "select", "argmax",
        "zeros", "mode", "Linear", "fn",  "param", "state", "vjp",   "softmax", "mnist",  "gelu"};
    return literal(words[choose(r, COUNT(words))], 'a');
}

typedef struct Mutant {
    const Corpus *c;
    Arena *arena;
    Chooser *r;
    Text text;
} Mutant;

/* Another token for one of this kind: mostly of the same kind, so that the program still parses. */
static Token replacement(const Mutant *m, Token old)
{
    const Corpus *c = m->c;
    Chooser *r = m->r;
    if (old.kind == '0' && choose(r, 8))
        return random_number(r);
    if (old.kind == 'a' && choose(r, 4) == 0)
        return random_word(r);
    if (old.kind == 'a' && choose(r, 8) == 0)
        return random_number(r);
    if (old.kind == 'a' && choose(r, 2))
        return c->names.at[choose(r, c->names.n)];
    if (!strchr("0a\"n ", old.kind) && choose(r, 4))
        return c->operators.at[choose(r, c->operators.n)];
    for (int i = 0; i < 20; i++) {
        Token k = m->text.token.at[choose(r, m->text.token.n)];
        if (k.kind == old.kind)
            return k;
    }
    return m->text.token.at[choose(r, m->text.token.n)];
}

static void erase(Mutant *m, uint32_t at, uint32_t n)
{
    Text *t = &m->text;
    memmove(t->token.at + at, t->token.at + at + n, (t->token.n - at - n) * sizeof(Token));
    t->token.n -= n;
}

static void insert(Mutant *m, uint32_t at, const Token *k, uint32_t n)
{
    Text *t = &m->text;
    Token *copy = COPY_ARRAY(m->arena, Token, k, n);
    VEC_RESERVE(m->arena, &t->token, t->token.n + n);
    memmove(t->token.at + at + n, t->token.at + at, (t->token.n - at) * sizeof(Token));
    memcpy(t->token.at + at, copy, n * sizeof(Token));
    t->token.n += n;
}

/* The line that token `at` is in: [first, first + n), with its end. */
static uint32_t line_of(const Text *t, uint32_t at, uint32_t *first)
{
    uint32_t end = at;
    while (at > 0 && t->token.at[at - 1].kind != 'n')
        at--;
    while (end < t->token.n && t->token.at[end].kind != 'n')
        end++;
    *first = at;
    return end - at + (end < t->token.n);
}

static void edit_line(Mutant *m, uint32_t at)
{
    uint32_t first, from;
    const Text *other = &m->c->text.at[choose(m->r, m->c->text.n)];
    uint32_t n = line_of(&m->text, at, &first);
    switch (choose(m->r, 3)) {
    case 0:
        erase(m, first, n);
        return;
    case 1:
        insert(m, first, m->text.token.at + first, n);
        return;
    }
    n = line_of(other, choose(m->r, other->token.n), &from);
    insert(m, first, other->token.at + from, n);
}

static void edit(Mutant *m)
{
    Text *t = &m->text;
    Chooser *r = m->r;
    uint32_t at = choose(r, t->token.n), how = choose(r, 16);
    for (int i = 0; i < 20 && strchr(" n", t->token.at[at].kind); i++)
        at = choose(r, t->token.n);
    if (how == 0) {
        erase(m, at, 1);
    } else if (how == 1) {
        insert(m, at, t->token.at + at, 1);
    } else if (how == 2) {
        Token *k = t->token.at, swap = k[at];
        uint32_t with = choose(r, t->token.n);
        k[at] = k[with];
        k[with] = swap;
    } else if (how == 3) {
        Token k = m->c->operators.at[choose(r, m->c->operators.n)];
        insert(m, at, &k, 1);
    } else if (how < 6) {
        edit_line(m, at);
    } else {
        t->token.at[at] = replacement(m, t->token.at[at]);
    }
}

static const char *text_of(Arena *arena, const Text *t)
{
    StrBuf sb = sb_new(arena);
    for (uint32_t i = 0; i < t->token.n; i++)
        sb_putn(&sb, t->token.at[i].at, t->token.at[i].n);
    return sb_text(&sb);
}

const char *corpus_mutant(const Corpus *c, Arena *arena, Chooser *r)
{
    Mutant m = {c, arena, r, {{0}}};
    const Text *from = &c->text.at[choose(r, c->text.n)];
    insert(&m, 0, from->token.at, from->token.n);
    for (uint32_t edits = 1 + choose(r, 3) * choose(r, 3); edits && m.text.token.n; edits--)
        edit(&m);
    return text_of(arena, &m.text);
}

uint32_t corpus_count(const Corpus *c)
{
    return c->text.n;
}

const char *corpus_text(const Corpus *c, Arena *arena, uint32_t i)
{
    return text_of(arena, &c->text.at[i]);
}

Corpus *corpus_new(Arena *arena)
{
    Corpus *c = NEW(arena, Corpus);
    c->arena = arena;
    read_folder(c, MDL_SOURCE_DIR "/tests/fuzz/corpus/front");
    read_folder(c, MDL_SOURCE_DIR "/examples/digits");
    ASSERT(c->text.n > 5);
    return c;
}
