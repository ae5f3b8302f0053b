/* cmd_graph.c: `mdl graph`: a program as a picture, of its modules or of its operations. */
#include "picture.h"
#include "program.h"

enum { LEVEL_MODULE, LEVEL_OP };
enum { FORMAT_TEXT, FORMAT_DOT, FORMAT_SVG, FORMAT_JSON };

typedef struct GraphUse {
    int level, format;
} GraphUse;

/* The entry of --entry, else the first. False after an error. */
static bool choose_entry(Cli *cli, const Program *p, uint32_t *entry, Err *err)
{
    const char *name = cli->value[OPT_entry];
    Sym *names = NEW_ARRAY(cli->arena, Sym, p->entries.n + (size_t)1);
    *entry = 0;
    for (uint32_t i = 0; i < p->entries.n; i++) {
        names[i] = p->entries.at[i]->name;
        if (name && strcmp(names[i], name) == 0) {
            *entry = i;
            return true;
        }
    }
    if (!p->entries.n)
        return usage_error(err, "the program has no train or eval block to draw");
    if (!name)
        return true;
    Sym near = sym_nearest(name, names, p->entries.n);
    usage_error(err, "no entry `%s`", name);
    return err_help(err, "there is %s", near ? near : names[0]);
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
    const char *stage;
    uint32_t entry;
    if (!choose_stage(cli, c, &stage, err) || !compile_stage(c, stage, err) ||
        !choose_entry(cli, compile_program(c), &entry, err))
        return false;
    const Graph *g = compile_graph(c, entry, -1, err);
    if (!g)
        return false;
    draw(cli->arena, g, compile_program(c), user);
    return true;
}

bool cmd_graph(Cli *cli, Err *err)
{
    GraphUse use = {LEVEL_MODULE, FORMAT_TEXT};
    if (!cli_choice(cli, OPT_level, "module|op", &use.level, err) ||
        !cli_choice(cli, OPT_picture, "text|dot|svg|json", &use.format, err))
        return false;
    const char *path = cli_file(cli, err);
    return path && with_source(cli, &(ProgramUse){path, show, &use}, err);
}
