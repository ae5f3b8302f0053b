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
    VEC(Text) text; /* the first `own` are mutated; the others give lines */
    uint32_t own;
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
        "none",    "true",    "inf",    "x",       "B",         "D",      "float",   "f64",
        "i32",     "bool",    "sum",    "mean",    "max",       "abs",    "all",     "axis",
        "len",     "concat",  "select", "argmax",  "zeros",     "mode",   "Linear",  "fn",
        "param",   "state",   "vjp",    "softmax", "mnist",     "gelu",   "bf16",    "f8e4m3",
        "u8",      "count",   "iota",   "one_hot", "split",     "unbind", "stack",   "pad",
        "flip",    "roll",    "repeat", "topk",    "sort",      "cumsum", "scan",    "fold",
        "rand",    "dropout", "step",   "causal",  "attention", "rope",   "place",   "train",
        "decode",  "stop",    "muon",   "adapt",   "freeze",    "buffer", "grows",   "stage",
        "like",    "after",   "load",   "where",   "in",        "metric", "greedy",  "mix",
        "learn",   "content", "ema",    "start",   "as",        "for",    "if",      "let",
        "argsort", "prod",    "conv1d", "not",     "and",       "pi",     "op",      "loss",
        "text",    "image",   "row",    "str",     "int",       "num",    "mask",    "permutation",
        "randint", "mesh",    "shard",  "remat",   "import",    "module", "forward", "interpolate"};
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

/* Every token that reads like this one: dimensions stay equal, names stay bound. */
static void edit_all(Mutant *m, uint32_t at)
{
    Text *t = &m->text;
    Token old = t->token.at[at], by = replacement(m, old);
    for (uint32_t i = 0; i < t->token.n; i++) {
        Token *k = &t->token.at[i];
        if (k->n == old.n && memcmp(k->at, old.at, old.n) == 0)
            *k = by;
    }
}

/* The tokens in the brackets that open next at or behind `at`: [first, first + n), n 0 when none do. */
static uint32_t group_of(const Text *t, uint32_t at, uint32_t *first)
{
    while (at < t->token.n && !strchr("([{", t->token.at[at].kind))
        at++;
    *first = at + 1;
    uint32_t depth = 0;
    for (uint32_t end = at; end < t->token.n; end++) {
        depth += strchr("([{", t->token.at[end].kind) != NULL;
        depth -= strchr(")]}", t->token.at[end].kind) != NULL;
        if (depth == 0)
            return end - *first;
    }
    return 0;
}

/* What is in brackets becomes what is in others, of the same program or of another. */
static void edit_group(Mutant *m, uint32_t at)
{
    uint32_t first, from;
    const Text *other = choose(m->r, 2) ? &m->text : &m->c->text.at[choose(m->r, m->c->text.n)];
    uint32_t n = group_of(&m->text, at, &first);
    uint32_t with = group_of(other, choose(m->r, other->token.n), &from);
    if (n == 0 || with == 0 || with > 200)
        return;
    const Token *copy = COPY_ARRAY(m->arena, Token, other->token.at + from, with);
    erase(m, first, n);
    insert(m, first, copy, with);
}

/* A name, or a name and the brackets behind it, within more. */
static void wrap(Mutant *m, uint32_t at)
{
    static const char *const around[][2] = {{"softmax(", ")"},
                                            {"sum(", ", axis: 0)"},
                                            {"stop(", ")"},
                                            {"-", ""},
                                            {"(", " as i32)"},
                                            {"(", " as f64)"},
                                            {"(", " as bf16)"},
                                            {"(", " as [2, 3])"},
                                            {"flip(", ", axis: -1)"},
                                            {"concat(", ", x, axis: 0)"},
                                            {"(x => x + ", ")"},
                                            {"(if mode == train { ", " } else { 0 })"},
                                            {"(", ", 1)"},
                                            {"", ".0"},
                                            {"", "[0]"},
                                            {"", "[1:]"},
                                            {"", "[.., 0]"},
                                            {"", "?"},
                                            {"", " ?? 0"},
                                            {"", " |> relu"},
                                            {"sort(", ", axis: 0)"},
                                            {"topk(", ", 2).0"},
                                            {"dropout(", ", 0.5)"},
                                            {"fold((s, i) => s + i, ", ", 3)"},
                                            {"len(", ")"},
                                            {"mean(", ")"},
                                            {"", " @ x"},
                                            {"[", "]"},
                                            {"1 / ", ""},
                                            {"2 * ", ""},
                                            {"", " // 2"},
                                            {"", "[x]"},
                                            {"sqrt(", ")"}};
    const Text *t = &m->text;
    if (t->token.at[at].kind != 'a')
        return;
    const char *const *with = around[choose(m->r, COUNT(around))];
    uint32_t end = at + 1, first;
    if (end < t->token.n && t->token.at[end].kind == '(' && choose(m->r, 2))
        end += group_of(t, end, &first) + 2;
    Token before = literal(with[0], '('), behind = literal(with[1], ')');
    insert(m, end < t->token.n ? end : t->token.n, &behind, 1);
    insert(m, at, &before, 1);
}

static void swap(Mutant *m, uint32_t at)
{
    Token *k = m->text.token.at, old = k[at];
    uint32_t with = choose(m->r, m->text.token.n);
    k[at] = k[with];
    k[with] = old;
}

static void edit(Mutant *m)
{
    Text *t = &m->text;
    Chooser *r = m->r;
    uint32_t at = choose(r, t->token.n), how = choose(r, 20);
    for (int i = 0; i < 20 && strchr(" n", t->token.at[at].kind); i++)
        at = choose(r, t->token.n);
    if (how == 0) {
        erase(m, at, 1);
    } else if (how == 1) {
        insert(m, at, t->token.at + at, 1);
    } else if (how == 2) {
        swap(m, at);
    } else if (how == 3) {
        Token k = m->c->operators.at[choose(r, m->c->operators.n)];
        insert(m, at, &k, 1);
    } else if (how < 6) {
        edit_line(m, at);
    } else if (how < 9) {
        edit_all(m, at);
    } else if (how < 11) {
        edit_group(m, at);
    } else if (how < 14) {
        wrap(m, at);
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
    const Text *from = &c->text.at[choose(r, c->own)];
    insert(&m, 0, from->token.at, from->token.n);
    for (uint32_t edits = 1 + choose(r, 3) * choose(r, 3); edits && m.text.token.n; edits--)
        edit(&m);
    return text_of(arena, &m.text);
}

uint32_t corpus_count(const Corpus *c)
{
    return c->own;
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
    c->own = c->text.n;
    read_folder(c, MDL_SOURCE_DIR "/models");
    return c;
}
