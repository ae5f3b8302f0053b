/* cmd_why.c: `mdl why`: the decisions of the compiler about one kernel, one node or one module.
 *
 * The fusion pass notes on each group which nodes it computes, what it merged, stored and refused
 * (passes/fuse_outline.c). Here they are put beside the nodes themselves, taken from the graph that
 * the pass saw, and the kernel names of the finished plan. */
#include "memplan.h"
#include "program.h"

typedef struct Why {
    const char *word;
    uint32_t fuse;       /* number of the pass */
    const Plan *plan;    /* for the names of kernels */
    const Graph *before; /* what the pass saw, of the entry at hand */
    uint32_t found;
} Why;

/* ---- the notes of a group ---- */

static bool is_nodes_line(const char *line)
{
    return strncmp(line, "nodes %", 7) == 0;
}

typedef VEC(uint32_t) Numbers;

static Numbers members_of(Arena *arena, const Node *group)
{
    Numbers all = {0};
    for (const char *line = group->note; line && *line;) {
        size_t n = strcspn(line, "\n");
        for (const char *at = line; is_nodes_line(line) && at < line + n; at++)
            if (*at == '%') {
                uint32_t id = (uint32_t)strtoul(at + 1, NULL, 10);
                VEC_PUSH(arena, &all, id);
            }
        line += n + (line[n] == '\n');
    }
    return all;
}

static void put_decisions(const Node *group)
{
    bool any = false;
    for (const char *line = group->note; line && *line;) {
        size_t n = strcspn(line, "\n");
        if (!is_nodes_line(line)) {
            printf("  %-8s%.*s\n", any ? "" : "because", (int)n, line);
            any = true;
        }
        line += n + (line[n] == '\n');
    }
    if (!any)
        puts("  because nothing could be merged with it");
}

/* ---- what is meant ---- */

/* a.b is meant by a.b and by a, not by a.bc. */
static bool within(const char *path, const char *word)
{
    size_t n = strlen(word);
    return path && strncmp(path, word, n) == 0 && (path[n] == '\0' || path[n] == '.');
}

static bool is_meant(const Why *w, const Node *group, const char *kernel, const Numbers *members)
{
    if (strcmp(w->word, kernel) == 0 || strcmp(w->word, node_def(group)->name) == 0)
        return true;
    bool by_id = w->word[0] == '%';
    uint32_t id = by_id ? (uint32_t)strtoul(w->word + 1, NULL, 10) : 0;
    for (uint32_t i = 0; i < members->n; i++) {
        const Node *n = w->before->nodes.at[members->at[i]];
        if (by_id ? n->id == id : within(n->path, w->word))
            return true;
    }
    return !by_id && within(group->path, w->word);
}

/* ---- printing ---- */

static void put_place(const Ir *ir, Span span)
{
    uint32_t line, column;
    if (!span.file)
        return;
    diags_place(ir->diags, span, &line, &column);
    printf("  %s:%u", diags_path(ir->diags, span.file), line);
}

static void put_member(Cli *cli, const Node *n, const Ir *ir, bool first)
{
    StrBuf sb = sb_new(cli->arena);
    sb_printf(&sb, "%%%u %s ", n->id, op_info(n->op)->name);
    type_print(ir, n->type, &sb);
    printf("  %-8s%s", first ? "does" : "", sb_text(&sb));
    if (n->path)
        printf("  [%s]", n->path);
    put_place(ir, n->span);
    putchar('\n');
}

static void put_kernel(Cli *cli, const Why *w, const Node *group, const char *kernel)
{
    const Ir *ir = w->before->ir;
    const Attr *config = node_ints(group, "config");
    printf("%skernel %s, in %s\n", w->found ? "\n" : "", kernel, w->before->name);
    printf("  class   %s", node_sym(group, "class"));
    for (uint32_t i = 0; i < config->n; i++)
        printf("%s%lld", i ? "," : " ", (long long)config->ints[i]);
    if (node_int(group, "count") > 1)
        printf(", %lld tensor sets", (long long)node_int(group, "count"));
    printf("\n  makes   %s of %u inputs\n", type_text(ir, group->type), group->nin);
    Numbers members = members_of(cli->arena, group);
    for (uint32_t i = 0; i < members.n; i++)
        put_member(cli, w->before->nodes.at[members.at[i]], ir, i == 0);
    put_decisions(group);
}

/* The name of launch `step` in the plan; where its launches are not those of the memory plan, the Def's. */
static const char *kernel_name(const Why *w, const MemPlan *m, uint32_t step)
{
    uint32_t entry = plan_find_entry(w->plan, m->graph->name);
    const PlanEntry *e = entry == PLAN_NONE ? NULL : &w->plan->entries[entry];
    if (!e || e->nstep != m->order.n)
        return node_def(m->order.at[step])->name;
    return plan_text(w->plan, w->plan->kernels[w->plan->steps[e->step0 + step].kernel].name);
}

static bool why_entry(Cli *cli, Compile *c, uint32_t entry, Why *w, Err *err)
{
    const MemPlan *m = compile_memplan(c, entry);
    w->before = compile_graph(c, entry, (int)w->fuse - 1, err);
    if (!w->before)
        return false;
    for (uint32_t i = 0; i < m->order.n; i++) {
        const Node *group = m->order.at[i];
        if (op_info(group->op)->cls != OC_GROUP)
            continue;
        const char *kernel = kernel_name(w, m, i);
        Numbers members = members_of(cli->arena, group);
        if (!is_meant(w, group, kernel, &members))
            continue;
        put_kernel(cli, w, group, kernel);
        w->found++;
    }
    return true;
}

static bool why_all(Cli *cli, Compile *c, Why *w, Err *err)
{
    const Program *p = compile_program(c);
    const char *only = cli->value[OPT_entry];
    if (only && !program_entry(p, only))
        return usage_error(err, "no entry `%s`", only);
    for (uint32_t i = 0; i < p->entries.n; i++)
        if (!only || strcmp(only, p->entries.at[i]->name) == 0)
            if (!why_entry(cli, c, i, w, err))
                return false;
    if (w->found)
        return true;
    usage_error(err, "no kernel, module or computed node `%s`", w->word);
    return err_help(err,
                    "kernels are listed by `mdl dump --groups`, nodes by `--print-after tidy`");
}

static bool why(Cli *cli, Compile *c, void *user, Err *err)
{
    Why *w = user;
    const char *stage;
    Bytes bytes;
    if (!compile_pass_find("fuse", &w->fuse))
        BUG("no pass `fuse`");
    if (!choose_stage(cli, c, &stage, err) || !compile_stage(c, stage, err) ||
        !compile_plan(c, &bytes, err))
        return false;
    Plan *plan = plan_from_bytes(bytes.data, bytes.n, err);
    w->plan = plan;
    report_progress(cli, "");
    bool ok = plan && why_all(cli, c, w, err);
    plan_free(plan);
    return ok;
}

bool cmd_why(Cli *cli, Err *err)
{
    const char *path = cli_file(cli, err);
    if (!path)
        return false;
    if (!cli->words.n) {
        usage_error(err, "`mdl why` needs the name of a kernel, a node or a module");
        return err_help(err, "usage: mdl why %s", cli->command->words);
    }
    Why w = {.word = cli->words.at[0]};
    return with_source(cli, &(ProgramUse){path, why, &w}, err);
}
