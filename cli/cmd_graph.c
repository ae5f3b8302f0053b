/* cmd_graph.c: `mdl graph`: a program as a picture, of its modules or of its operations. */
#include "picture.h"
#include "program.h"

enum { LEVEL_MODULE, LEVEL_OP };
enum { FORMAT_TEXT, FORMAT_DOT, FORMAT_SVG, FORMAT_JSON };

typedef struct GraphUse {
    int level, format;
    const char *what; /* MODEL or MODEL.FN; NULL: the first model, or the first entry */
} GraphUse;

static bool no_entry(Cli *cli, const Program *p, const char *name, Err *err)
{
    Sym *names = NEW_ARRAY(cli->arena, Sym, p->entries.n + (size_t)1);
    for (uint32_t i = 0; i < p->entries.n; i++)
        names[i] = p->entries.at[i]->name;
    if (!p->entries.n) {
        usage_error(err, "there is nothing to draw");
        return err_help(err, "arguments that cannot be made up come from data: --stage NAME");
    }
    Sym near = sym_nearest(name, names, p->entries.n);
    usage_error(err, "no entry `%s`", name);
    return err_help(err, "there is %s", near ? near : names[0]);
}

/* The entry of that name, else the first. False after an error. */
static bool choose_entry(Cli *cli, const Program *p, const char *name, uint32_t *entry, Err *err)
{
    for (*entry = 0; name && *entry < p->entries.n; ++*entry)
        if (strcmp(p->entries.at[*entry]->name, name) == 0)
            return true;
    *entry = 0;
    return (!name && p->entries.n) || no_entry(cli, p, name ? name : "", err);
}

/* MODEL or MODEL.FN alone. */
static bool elaborate_model(Cli *cli, Compile *c, const char *what, uint32_t *entry, Err *err)
{
    uint32_t n = compile_model_count(c), i = 0;
    size_t head = strcspn(what, ".");
    while (i < n && (strlen(compile_model_name(c, i)) != head ||
                     strncmp(compile_model_name(c, i), what, head) != 0))
        i++;
    if (i == n) {
        usage_error(err, "no model `%s`", what);
        return n ? err_help(err, "there is %s", compile_model_name(c, 0)) : false;
    }
    const char *name = what[head] ? what : arena_printf(cli->arena, "%s.forward", what);
    return compile_model(c, i, err) && choose_entry(cli, compile_program(c), name, entry, err);
}

static bool elaborate_stage(Cli *cli, Compile *c, uint32_t *entry, Err *err)
{
    const char *stage;
    return choose_stage(cli, c, &stage, err) && compile_stage(c, stage, err) &&
           choose_entry(cli, compile_program(c), cli->value[OPT_entry], entry, err);
}

/* A train or eval block when one is asked for, else a model. The first model may take what cannot be made
 * up, as a picture of any size: then it is drawn as the first stage uses it. */
static bool elaborate(Cli *cli, Compile *c, const GraphUse *use, uint32_t *entry, Err *err)
{
    bool block = cli_has(cli, OPT_stage) || cli_has(cli, OPT_entry);
    if (block && use->what)
        return usage_error(err, "a model is drawn alone: without --stage and --entry");
    if (use->what)
        return elaborate_model(cli, c, use->what, entry, err);
    if (block || !compile_model_count(c))
        return elaborate_stage(cli, c, entry, err);
    if (!compile_model(c, 0, err))
        return false;
    const char *name = arena_printf(cli->arena, "%s.forward", compile_model_name(c, 0));
    return compile_program(c)->entries.n ? choose_entry(cli, compile_program(c), name, entry, err)
                                         : elaborate_stage(cli, c, entry, err);
}

static void draw(Arena *arena, const Graph *g, const Program *p, const GraphUse *use)
{
    static void (*const prints[])(const Picture *, StrBuf *) = {picture_text, picture_dot,
                                                                picture_svg, picture_json};
    StrBuf sb = sb_new(arena);
    if (use->level == LEVEL_OP && use->format == FORMAT_TEXT)
        graph_print(g, p, &sb); /* which parses back */
    else
        prints[use->format](
            use->level == LEVEL_OP ? picture_ops(arena, g, p) : picture_modules(arena, g, p), &sb);
    fputs(sb_text(&sb), stdout);
}

static bool show(Cli *cli, Compile *c, void *user, Err *err)
{
    uint32_t entry = 0;
    if (!elaborate(cli, c, user, &entry, err))
        return false;
    const Graph *g = compile_graph(c, entry, -1, err);
    if (!g)
        return false;
    draw(cli->arena, g, compile_program(c), user);
    return true;
}

bool cmd_graph(Cli *cli, Err *err)
{
    GraphUse use = {LEVEL_MODULE, FORMAT_TEXT, NULL};
    if (!cli_choice(cli, OPT_level, "module|op", &use.level, err) ||
        !cli_choice(cli, OPT_picture, "text|dot|svg|json", &use.format, err))
        return false;
    const char *path = cli_file(cli, err);
    use.what = cli->words.n ? cli->words.at[0] : NULL;
    return path && with_source(cli, &(ProgramUse){path, show, &use}, err);
}
