/* cmd_diff.c: `mdl diff A B`: what differs between two models, stages or files of weights: tensors that
 * are there on one side only, have another type or key, or train in other stages; attributes of stages. */
#include "diff_plan.h"
#include "front.h"
#include "listing.h"
#include "program.h"

typedef struct Line { /* an attribute of a stage, or another of its statements */
    const char *name, *text;
} Line;

typedef struct Side {
    const char *word; /* as given */
    const char *path, *name;
    bool weights, stage;
    Listing l;
    VEC(Line) lines;
} Side;

/* ---- reading ---- */

/* FILE.mdl or FILE.mdl:NAME. */
static void split_word(Cli *cli, const char *word, Side *s)
{
    const char *colon = strrchr(word, ':');
    s->word = s->path = word;
    if (!colon)
        return;
    const char *path = arena_strndup(cli->arena, word, (size_t)(colon - word));
    if (path_is_source(path)) {
        s->path = path;
        s->name = colon + 1;
    }
}

static void add_lines(Cli *cli, Compile *c, uint32_t stage, const char *prefix, Side *s)
{
    const FrontLine *line;
    uint32_t n = compile_stage_lines(c, stage, &line);
    for (uint32_t i = 0; i < n; i++) {
        Line copy = {arena_printf(cli->arena, "%s%s", prefix, line[i].name),
                     arena_strdup(cli->arena, line[i].text)};
        VEC_PUSH(cli->arena, &s->lines, copy);
    }
}

/* A stage: what it trains, and its statements. */
static bool read_stage(Cli *cli, Compile *c, uint32_t i, Side *s, Err *err)
{
    FrontStage about;
    if (!compile_stage_about(c, i, &about, err))
        return false;
    listing_stage(cli, &about, &s->l);
    s->stage = true;
    add_lines(cli, c, i, "", s);
    return true;
}

/* Without a name: the first model, and the statements of every stage. */
static bool read_program(Cli *cli, Compile *c, void *user, Err *err)
{
    Side *s = user;
    ModelNames models = {0};
    if (!listing_models(cli, c, &models, err))
        return false;
    for (uint32_t i = 0; i < models.n; i++)
        if (!s->name || strcmp(models.at[i], s->name) == 0) {
            for (uint32_t k = 0; !s->name && k < compile_stage_count(c); k++)
                add_lines(cli, c, k, arena_printf(cli->arena, "%s.", compile_stage_name(c, k)), s);
            return listing_model(cli, c, models.at[i], &s->l, err);
        }
    for (uint32_t i = 0; s->name && i < compile_stage_count(c); i++) {
        const char *path = compile_stage_name(c, i), *end = strrchr(path, '.');
        if (strcmp(path, s->name) == 0 || (end && strcmp(end + 1, s->name) == 0))
            return read_stage(cli, c, i, s, err);
    }
    return usage_error(err, "%s has no model%s%s%s", s->path, s->name ? " and no stage `" : "",
                       s->name ? s->name : "", s->name ? "`" : "");
}

static bool read_side(Cli *cli, const char *word, Side *s, Err *err)
{
    split_word(cli, word, s);
    if (path_is_source(s->path))
        return with_source(cli, &(ProgramUse){s->path, read_program, s}, err);
    StFile *file = st_open_weights(s->path, err);
    if (!file)
        return false;
    s->weights = true;
    listing_weights(cli, file, &s->l);
    st_close(file);
    return true;
}

/* ---- comparing ---- */

/* One line; differences that are the same but for the numbers of modules in arrays share it. */
typedef struct Difference {
    char mark;
    const char *what, *text; /* of the first */
    const char *stars;       /* `what` with stars for these numbers */
    uint32_t n;
} Difference;

typedef struct Diff {
    Cli *cli;
    const Side *a, *b;
    VEC(Difference) all;
    Map *known; /* 1 + number in `all` */
    uint32_t n;
} Diff;

/* layers.3.weight -> layers.*.weight */
static const char *with_stars(Arena *arena, const char *text)
{
    StrBuf sb = sb_new(arena);
    for (const char *at = text; *at;) {
        size_t n = strspn(at, "0123456789");
        bool whole = n && (at == text || at[-1] == '.' || at[-1] == ' ') && strchr(". ", at[n]);
        sb_putn(&sb, whole ? "*" : at, whole ? 1 : n ? n : 1);
        at += n ? n : 1;
    }
    return sb_text(&sb);
}

static void say(Diff *d, char mark, const char *what, const char *text)
{
    Difference x = {mark, what, text, with_stars(d->cli->arena, what), 1};
    uint64_t key = hash_mix(hash_text(x.stars), hash_text(with_stars(d->cli->arena, text)));
    key = hash_mix(key, (uint64_t)mark) | 1;
    uintptr_t at = (uintptr_t)map_get(d->known, key);
    d->n++;
    if (at) {
        d->all.at[at - 1].n++;
        return;
    }
    VEC_PUSH(d->cli->arena, &d->all, x);
    map_put(d->known, key, (void *)(uintptr_t)d->all.n);
}

static void print_differences(const Diff *d)
{
    for (uint32_t i = 0; i < d->all.n; i++) {
        const Difference *x = &d->all.at[i];
        const char *color = !d->cli->color   ? ""
                            : x->mark == '+' ? "\033[32m"
                            : x->mark == '-' ? "\033[31m"
                                             : "\033[33m";
        printf("%s%c %s%s  %s", color, x->mark, x->n > 1 ? x->stars : x->what,
               *color ? "\033[0m" : "", x->text);
        printf(x->n > 1 ? "  (%u times)\n" : "\n", x->n);
    }
}

static const char *type_of(Diff *d, const ListRow *r)
{
    return arena_printf(d->cli->arena, "%s%s%s%s", r->dtype, r->shape,
                        strcmp(r->key, r->path) != 0 ? "  key " : "",
                        strcmp(r->key, r->path) != 0 ? r->key : "");
}

static void compare_rows(Diff *d, const ListRow *a, const ListRow *b)
{
    Arena *arena = d->cli->arena;
    bool models = !d->a->weights && !d->b->weights;
    if (strcmp(a->shape, b->shape) != 0 || (models && strcmp(a->dtype, b->dtype) != 0))
        say(d, '~', a->path,
            arena_printf(arena, "%s%s -> %s%s", a->dtype, a->shape, b->dtype, b->shape));
    if (models && strcmp(a->path, b->path) != 0)
        say(d, '~', a->path, arena_printf(arena, "is %s", b->path));
    if (models && strcmp(a->key, b->key) != 0)
        say(d, '~', a->path, arena_printf(arena, "key %s -> %s", a->key, b->key));
    if (models && strcmp(a->trained, b->trained) != 0)
        say(d, '~', a->path,
            arena_printf(arena, "trained%s: %s -> %s", d->a->stage && d->b->stage ? "" : " in",
                         *a->trained ? a->trained : "no", *b->trained ? b->trained : "no"));
}

/* Rows that belong together: by path between models; else, or when the path is new, by key. */
static uint32_t *pair_rows(Diff *d)
{
    const Side *a = d->a, *b = d->b;
    uint32_t *pair = NEW_ARRAY(d->cli->arena, uint32_t, b->l.rows.n + (size_t)1);
    bool *taken = NEW_ARRAY(d->cli->arena, bool, a->l.rows.n + (size_t)1);
    for (int by_key = a->weights || b->weights; by_key < 2; by_key++) {
        Map *rows = map_new(d->cli->arena);
        for (uint32_t i = 0; i < a->l.rows.n; i++)
            if (!taken[i])
                map_put(rows, hash_text(by_key ? a->l.rows.at[i].key : a->l.rows.at[i].path) | 1,
                        (void *)((uintptr_t)i + 1));
        for (uint32_t i = 0; i < b->l.rows.n; i++) {
            const ListRow *r = &b->l.rows.at[i];
            uintptr_t at = (uintptr_t)map_get(rows, hash_text(by_key ? r->key : r->path) | 1);
            if (pair[i] || !at || taken[at - 1])
                continue;
            pair[i] = (uint32_t)at;
            taken[at - 1] = true;
        }
    }
    return pair;
}

static void compare_tensors(Diff *d)
{
    uint32_t *pair = pair_rows(d);
    bool *taken = NEW_ARRAY(d->cli->arena, bool, d->a->l.rows.n + (size_t)1);
    for (uint32_t i = 0; i < d->b->l.rows.n; i++)
        if (pair[i])
            taken[pair[i] - 1] = true;
    for (uint32_t i = 0; i < d->a->l.rows.n; i++)
        if (!taken[i])
            say(d, '-', d->a->l.rows.at[i].path, type_of(d, &d->a->l.rows.at[i]));
    for (uint32_t i = 0; i < d->b->l.rows.n; i++) {
        const ListRow *r = &d->b->l.rows.at[i];
        if (pair[i])
            compare_rows(d, &d->a->l.rows.at[pair[i] - 1], r);
        else
            say(d, '+', r->path, type_of(d, r));
    }
}

static const Line *find_line(const Side *s, const Line *like)
{
    const Line *named = NULL;
    for (uint32_t i = 0; i < s->lines.n; i++) {
        const Line *line = &s->lines.at[i];
        if (strcmp(line->name, like->name) != 0)
            continue;
        if (strcmp(line->text, like->text) == 0)
            return line;
        named = line;
    }
    return named;
}

static void compare_lines(Diff *d)
{
    for (uint32_t i = 0; i < d->a->lines.n; i++) {
        const Line *a = &d->a->lines.at[i], *b = find_line(d->b, a);
        if (!b)
            say(d, '-', a->name, a->text);
        else if (strcmp(a->text, b->text) != 0)
            say(d, '~', a->name, arena_printf(d->cli->arena, "%s -> %s", a->text, b->text));
    }
    for (uint32_t i = 0; i < d->b->lines.n; i++)
        if (!find_line(d->a, &d->b->lines.at[i]))
            say(d, '+', d->b->lines.at[i].name, d->b->lines.at[i].text);
}

bool cmd_diff(Cli *cli, Err *err)
{
    Side a = {0}, b = {0};
    if (cli->words.n != 2) {
        usage_error(err, "`mdl diff` compares two things");
        return err_help(err, "usage: mdl diff %s", cli->command->words);
    }
    if (path_is_plan(cli->words.at[0]) && path_is_plan(cli->words.at[1]))
        return diff_plans(cli, cli->words.at[0], cli->words.at[1], err);
    if (!read_side(cli, cli->words.at[0], &a, err) || !read_side(cli, cli->words.at[1], &b, err))
        return false;
    Diff d = {.cli = cli, .a = &a, .b = &b, .known = map_new(cli->arena)};
    compare_tensors(&d);
    if (!a.weights && !b.weights)
        compare_lines(&d);
    print_differences(&d);
    if (a.l.parameters != b.l.parameters)
        printf("parameters: %llu -> %llu\n", (unsigned long long)a.l.parameters,
               (unsigned long long)b.l.parameters);
    if (!d.n)
        return true;
    return err_set(err, ERR_REQUIRE, "%s and %s: %u difference%s", a.word, b.word, d.n,
                   d.n == 1 ? "" : "s");
}
