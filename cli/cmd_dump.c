/* cmd_dump.c: `mdl dump`: a program at each stage of its way to a plan. */
#include "codegen.h"
#include "passes.h"
#include "program.h"
#include "runfolder.h"

/* Options that show a part of a plan. */
typedef struct Part {
    OptionId option;
    PlanPart part;
} Part;
static const Part parts[] = {{OPT_groups, PP_GROUPS},
                             {OPT_source, PP_SOURCE},
                             {OPT_memory, PP_MEMORY},
                             {OPT_steps, PP_STEPS}};
/* Options that look into the compiler. */
static const OptionId inner[] = {OPT_graph, OPT_print_after, OPT_kernels, OPT_entry};

static unsigned wanted_parts(const Cli *cli)
{
    unsigned wanted = 0;
    for (size_t i = 0; i < COUNT(parts); i++)
        if (cli_has(cli, parts[i].option))
            wanted |= parts[i].part;
    return wanted;
}

/* ---- entries of a .mdl file ---- */

static bool is_wanted(const Cli *cli, const Graph *entry)
{
    return !cli_has(cli, OPT_entry) || strcmp(cli->value[OPT_entry], entry->name) == 0;
}

static bool find_entry(const Cli *cli, const Program *p, Err *err)
{
    const char *name = cli->value[OPT_entry];
    Sym *names = NEW_ARRAY(cli->arena, Sym, p->entries.n + (size_t)1);
    StrBuf all = sb_new(cli->arena);
    for (uint32_t i = 0; i < p->entries.n; i++) {
        names[i] = p->entries.at[i]->name;
        sb_printf(&all, "%s%s", i ? ", " : "", names[i]);
    }
    if (!name || program_entry(p, name))
        return true;
    Sym near = sym_nearest(name, names, p->entries.n);
    usage_error(err, "no entry `%s`", name);
    return near ? err_help(err, "did you mean `%s`?", near)
                : err_help(err, "there is %s", sb_text(&all));
}

static bool dump_graphs(Cli *cli, Compile *c, StrBuf *sb, Err *err)
{
    const Program *p = compile_program(c);
    const char *after = cli->value[OPT_print_after];
    uint32_t pass = 0;
    if (after && !compile_pass_find(after, &pass)) {
        StrBuf all = sb_new(cli->arena);
        for (uint32_t i = 0; compile_pass_name(i); i++)
            sb_printf(&all, "%s%s", i ? ", " : "", compile_pass_name(i));
        usage_error(err, "--print-after: no pass `%s`", after);
        return err_help(err, "the passes are %s", sb_text(&all));
    }
    for (uint32_t i = 0; i < p->entries.n; i++) {
        if (!is_wanted(cli, p->entries.at[i]))
            continue;
        const Graph *g = compile_graph(c, i, after ? (int)pass : -1, err);
        if (!g)
            return false;
        graph_print(g, p, sb);
    }
    return true;
}

/* Groups of one body, class and configuration are one kernel, printed once. */
static void dump_kernels_of(Compile *c, const MemPlan *m, Map *seen, StrBuf *sb)
{
    for (uint32_t i = 0; i < m->order.n; i++) {
        const Node *group = m->order.at[i];
        if (m->body[group->id]) {
            dump_kernels_of(c, m->body[group->id], seen, sb);
            continue;
        }
        const Kernel *k = compile_kernel(c, group);
        StrBuf text = sb_new(sb->arena);
        kernel_print(k, &text);
        uint64_t key = hash_text(sb_text(&text)) | 1;
        if (map_get(seen, key))
            continue;
        map_put(seen, key, text.text);
        sb_puts(sb, sb_text(&text));
        sb_putc(sb, '\n');
    }
}

typedef void (*EntryPrint)(const MemPlan *m, StrBuf *sb);

static void print_groups(const MemPlan *m, StrBuf *sb)
{
    fuse_print(m->graph, sb);
}

static void dump_entries(Cli *cli, Compile *c, EntryPrint print, StrBuf *sb)
{
    const Program *p = compile_program(c);
    for (uint32_t i = 0; i < p->entries.n; i++) {
        if (!is_wanted(cli, p->entries.at[i]))
            continue;
        sb_printf(sb, "%sentry %s\n", sb->n ? "\n" : "", p->entries.at[i]->name);
        print(compile_memplan(c, i), sb);
    }
}

static void dump_kernels(Cli *cli, Compile *c, StrBuf *sb)
{
    const Program *p = compile_program(c);
    Map *seen = map_new(cli->arena);
    for (uint32_t i = 0; i < p->entries.n; i++)
        if (is_wanted(cli, p->entries.at[i]))
            dump_kernels_of(c, compile_memplan(c, i), seen, sb);
}

/* ---- a .mdl file ---- */

static bool dump_compiled(Cli *cli, Compile *c, StrBuf *sb, Err *err)
{
    Bytes bytes;
    if (!compile_look(c, &bytes, err))
        return false;
    if (cli_has(cli, OPT_groups))
        dump_entries(cli, c, print_groups, sb);
    if (cli_has(cli, OPT_kernels))
        dump_kernels(cli, c, sb);
    if (cli_has(cli, OPT_memory))
        dump_entries(cli, c, memplan_print, sb);
    Plan *plan = plan_from_bytes(bytes.data, bytes.n, err);
    if (!plan)
        return false;
    unsigned of_plan = wanted_parts(cli) & (PP_SOURCE | PP_STEPS);
    plan_print(plan, wanted_parts(cli) || cli_has(cli, OPT_kernels) ? of_plan : PP_SUMMARY, sb);
    plan_free(plan);
    return true;
}

/* Only what is shown by entry can be shown of one. */
static bool check_entry(const Cli *cli, const Program *p, bool graphs, Err *err)
{
    unsigned by_entry = PP_GROUPS | PP_MEMORY;
    if (!cli_has(cli, OPT_entry) || graphs || cli_has(cli, OPT_kernels) ||
        (wanted_parts(cli) & by_entry))
        return find_entry(cli, p, err);
    usage_error(err, "--entry has no effect here");
    return err_help(err, "it goes with --graph, --print-after, --groups, --kernels and --memory");
}

static bool dump_source(Cli *cli, Compile *c, void *user, Err *err)
{
    UNUSED(user);
    bool graphs = cli_has(cli, OPT_graph) || cli_has(cli, OPT_print_after);
    if (!begin_program(cli, c, err) || !check_entry(cli, compile_program(c), graphs, err))
        return false;
    StrBuf sb = sb_new(cli->arena);
    bool rest = !graphs || wanted_parts(cli) || cli_has(cli, OPT_kernels);
    bool ok =
        (!graphs || dump_graphs(cli, c, &sb, err)) && (!rest || dump_compiled(cli, c, &sb, err));
    report_progress(cli, "");
    fputs(sb_text(&sb), stdout);
    return ok;
}

/* ---- a finished plan ---- */

static bool dump_file(Cli *cli, const char *path, Err *err)
{
    RunFolder folder = {.plan = path};
    static const OptionId compile_time[] = {OPT_set, OPT_skip,   OPT_pass_limit, OPT_memory_limit,
                                            OPT_isa, OPT_target, OPT_records};
    for (size_t i = 0; i < COUNT(inner) + COUNT(compile_time); i++) {
        OptionId id = i < COUNT(inner) ? inner[i] : compile_time[i - COUNT(inner)];
        if (!cli_has(cli, id))
            continue;
        usage_error(err, "--%s looks into the compiler, and %s is a finished plan",
                    option_at(id)->name, path);
        return err_help(err, "give the .mdl file");
    }
    if (file_is_dir(path) && !run_folder_open(cli, path, false, &folder, err))
        return false;
    Plan *plan = file_is_dir(path) ? run_plan_load(&folder, err) : plan_load(path, err);
    if (!plan)
        return false;
    StrBuf sb = sb_new(cli->arena);
    unsigned wanted = wanted_parts(cli);
    plan_print(plan, wanted ? wanted : PP_SUMMARY, &sb);
    fputs(sb_text(&sb), stdout);
    plan_free(plan);
    return true;
}

bool cmd_dump(Cli *cli, Err *err)
{
    const char *path = cli_file(cli, err);
    if (!path)
        return false;
    if (path_is_source(path))
        return with_program(cli, &(ProgramUse){path, dump_source, NULL}, err);
    return dump_file(cli, path, err);
}
