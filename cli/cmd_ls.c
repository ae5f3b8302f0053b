/* cmd_ls.c: `mdl ls`: the parameters of a program's models, as a table or as JSON, one object a line. */
#include "listing.h"
#include "program.h"

typedef struct Widths {
    int path, key, type, trained;
} Widths;

static int wider(int width, const char *text)
{
    int n = (int)strlen(text);
    return n > width ? n : width;
}

static Widths measure(Cli *cli, const Listing *l)
{
    Widths w = {3, 0, 0, 0};
    for (uint32_t i = 0; i < l->rows.n; i++) {
        const ListRow *r = &l->rows.at[i];
        w.path = wider(w.path, r->path);
        w.key = wider(w.key, r->key);
        w.type = wider(w.type, arena_printf(cli->arena, "%s%s", r->dtype, r->shape));
    }
    return w;
}

static void put_table(Cli *cli, const Listing *l)
{
    Widths w = measure(cli, l);
    for (uint32_t i = 0; i < l->rows.n; i++) {
        const ListRow *r = &l->rows.at[i];
        const char *note = r->buffer ? "  buffer" : !*r->trained && l->stages.n ? "  frozen" : "";
        printf("%-*s  %-*s  %-*s  %14llu%s%s%s\n", w.path, r->path, w.key, r->key, w.type,
               arena_printf(cli->arena, "%s%s", r->dtype, r->shape), (unsigned long long)r->n, note,
               *r->trained ? "  " : "", r->trained);
    }
    printf("%-*s  %14llu\n", w.path + w.key + w.type + 4, "all", (unsigned long long)l->parameters);
    for (uint32_t i = 0; i < l->stages.n; i++)
        printf("%-*s  %14llu\n", w.path + w.key + w.type + 4,
               arena_printf(cli->arena, "trained in %s", l->stages.at[i].name),
               (unsigned long long)l->stages.at[i].parameters);
}

static void put_member(StrBuf *sb, const char *name, const char *text)
{
    sb_printf(sb, ",\"%s\":", name);
    sb_json(sb, text, strlen(text));
}

/* What stands between ", ", as strings. */
static void put_words(StrBuf *sb, const char *list)
{
    while (*list) {
        const char *end = strstr(list, ", ");
        size_t n = end ? (size_t)(end - list) : strlen(list);
        sb_json(sb, list, n);
        sb_puts(sb, end ? "," : "");
        list += n + (end ? 2 : 0);
    }
}

static void put_head(Cli *cli, const char *path, const Listing *l)
{
    StrBuf sb = sb_new(cli->arena);
    sb_puts(&sb, "{\"schema\":\"mdl.ls.1\"");
    put_member(&sb, "file", path);
    put_member(&sb, "model", l->name);
    sb_printf(&sb, ",\"parameters\":%llu,\"tensors\":%u,\"buffers\":%u,\"trained\":{",
              (unsigned long long)l->parameters, l->tensors, l->buffers);
    for (uint32_t i = 0; i < l->stages.n; i++) {
        sb_puts(&sb, i ? "," : "");
        sb_json(&sb, l->stages.at[i].name, strlen(l->stages.at[i].name));
        sb_printf(&sb, ":%llu", (unsigned long long)l->stages.at[i].parameters);
    }
    puts(arena_printf(cli->arena, "%s}}", sb_text(&sb)));
}

static void put_json(Cli *cli, const char *path, const Listing *l)
{
    put_head(cli, path, l);
    for (uint32_t i = 0; i < l->rows.n; i++) {
        const ListRow *r = &l->rows.at[i];
        StrBuf sb = sb_new(cli->arena);
        sb_puts(&sb, "{\"path\":");
        sb_json(&sb, r->path, strlen(r->path));
        put_member(&sb, "key", r->key);
        put_member(&sb, "dtype", r->dtype);
        sb_printf(&sb, ",\"shape\":%s,\"parameters\":%llu", r->shape, (unsigned long long)r->n);
        put_member(&sb, "kind", r->buffer ? "buffer" : "param");
        sb_puts(&sb, ",\"trained\":[");
        put_words(&sb, r->trained);
        puts(arena_printf(cli->arena, "%s]}", sb_text(&sb)));
    }
}

typedef struct LsUse {
    const char *path, *model; /* model NULL: all */
} LsUse;

static bool list(Cli *cli, Compile *c, void *user, Err *err)
{
    const LsUse *u = user;
    ModelNames models = {0};
    bool found = false;
    if (!listing_models(cli, c, &models, err))
        return false;
    for (uint32_t i = 0; i < models.n; i++) {
        Listing l;
        if (u->model && strcmp(models.at[i], u->model) != 0)
            continue;
        found = true;
        if (!listing_model(cli, c, models.at[i], &l, err))
            return false;
        if (cli_has(cli, OPT_json)) {
            put_json(cli, u->path, &l);
            continue;
        }
        if (models.n > 1 && !u->model)
            printf("%smodel %s\n", i ? "\n" : "", l.name);
        put_table(cli, &l);
    }
    if (found || !u->model)
        return true;
    usage_error(err, "no model `%s`", u->model);
    return models.n ? err_help(err, "there is %s", models.at[0]) : false;
}

bool cmd_ls(Cli *cli, Err *err)
{
    LsUse u = {cli_file(cli, err), NULL};
    u.model = cli->words.n ? cli->words.at[0] : NULL;
    return u.path && with_source(cli, &(ProgramUse){u.path, list, &u}, err);
}
