/* cmd_why.c: `mdl why`: the decisions of the compiler about one kernel, one node or one module.
 *
 * The fusion pass notes on each group which nodes it computes, what it merged, stored and refused
 * (passes/fuse_outline.c). Here they are put beside the nodes themselves, taken from the graph that
 * the pass saw, and the kernel names of the finished plan. Where there are loops, groups have no
 * numbers of those nodes: what they do is then read off their bodies. */
#include "memplan.h"
#include "program.h"

typedef struct Why {
    const char *word;
    uint32_t fuse;       /* number of the pass */
    const Plan *plan;    /* for the names of kernels */
    const Graph *before; /* what the pass saw, of the entry at hand */
    const Node *loop;    /* the one around; NULL: none */
    uint32_t step;       /* of the entry, in the plan */
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

static bool is_computed(const Node *n)
{
    OpClass cls = op_info(n->op)->cls;
    return cls != OC_LEAF && cls != OC_VIEW && cls != OC_TUPLE;
}

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
    const Graph *body = node_def(group)->body;
    for (uint32_t i = 0; !members->n && !by_id && i < body->nodes.n; i++)
        if (is_computed(body->nodes.at[i]) && within(body->nodes.at[i]->path, w->word))
            return true;
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

static void put_member(Cli *cli, const Why *w, const Node *n, bool id)
{
    const Ir *ir = w->before->ir;
    StrBuf sb = sb_new(cli->arena);
    if (id)
        sb_printf(&sb, "%%%u ", n->id);
    sb_printf(&sb, "%s ", op_info(n->op)->name);
    type_print(ir, n->type, &sb);
    fputs(sb_text(&sb), stdout);
    if (n->path)
        printf("  [%s]", n->path);
    put_place(ir, n->span);
    putchar('\n');
}

/* `loop of at most 4 rounds from the end` */
static const char *loop_text(Cli *cli, const Node *loop)
{
    StrBuf sb = sb_new(cli->arena);
    const Dim *length = node_dim(loop, "length");
    int64_t fixed;
    sb_printf(&sb, "loop of %s%lld rounds%s", dim_is_const(length, &fixed) ? "" : "at most ",
              (long long)dim_hi(node_def(loop)->body->ir, length),
              node_int(loop, "reverse") ? " from the end" : "");
    return sb_text(&sb);
}

static void put_loop(Cli *cli, const Why *w, const Node *loop)
{
    const Graph *body = node_def(loop)->body;
    uint32_t kernels = 0;
    for (uint32_t i = 0; i < body->nodes.n; i++)
        kernels += op_info(body->nodes.at[i]->op)->cls == OC_GROUP;
    printf("%s%s, in %s", w->found ? "\n" : "", loop_text(cli, loop), w->before->name);
    if (loop->path)
        printf("  [%s]", loop->path);
    put_place(w->before->ir, loop->span);
    printf("\n  carried %lld from round to round\n", (long long)node_int(loop, "carry"));
    printf("  reads   %lld slice by slice, %lld whole in each round\n",
           (long long)node_int(loop, "xs"),
           (long long)loop->nin - node_int(loop, "carry") - node_int(loop, "xs"));
    printf("  makes   %s\n", type_text(w->before->ir, loop->type));
    printf("  kernels %u in each round\n", kernels);
    puts("  because a round needs the one before, nothing is merged across its border");
}

/* What a group computes that has no numbers. */
static void put_body(Cli *cli, const Why *w, const Node *group)
{
    const Graph *body = node_def(group)->body;
    bool first = true;
    for (uint32_t i = 0; i < body->nodes.n; i++) {
        if (!is_computed(body->nodes.at[i]))
            continue;
        printf("  %-8s", first ? "does" : "");
        put_member(cli, w, body->nodes.at[i], false);
        first = false;
    }
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
    if (w->loop) {
        printf("  where   in a %s", loop_text(cli, w->loop));
        put_place(ir, w->loop->span);
        putchar('\n');
    }
    for (uint32_t i = 0; i < members.n; i++) {
        printf("  %-8s", i == 0 ? "does" : "");
        put_member(cli, w, w->before->nodes.at[members.at[i]], true);
    }
    if (!members.n)
        put_body(cli, w, group);
    put_decisions(group);
}

/* The name of the launch in the plan. */
static const char *kernel_name(const Why *w)
{
    const PlanEntry *e = &w->plan->entries[plan_find_entry(w->plan, w->before->name)];
    ASSERT(w->step < e->nstep);
    return plan_text(w->plan, w->plan->kernels[w->plan->steps[e->step0 + w->step].kernel].name);
}

static void why_steps(Cli *cli, const MemPlan *m, Why *w);

/* Begin and end of a loop are steps. */
static void why_loop(Cli *cli, const MemPlan *m, const Node *loop, Why *w)
{
    const Node *around = w->loop;
    if (strcmp(w->word, "loop") == 0 || (w->word[0] != '%' && within(loop->path, w->word))) {
        put_loop(cli, w, loop);
        w->found++;
    }
    w->loop = loop;
    w->step++;
    why_steps(cli, m->body[loop->id], w);
    w->step++;
    w->loop = around;
}

static void why_steps(Cli *cli, const MemPlan *m, Why *w)
{
    for (uint32_t i = 0; i < m->order.n; i++) {
        const Node *node = m->order.at[i];
        if (op_info(node->op)->cls == OC_LOOP) {
            why_loop(cli, m, node, w);
            continue;
        }
        const char *kernel = kernel_name(w);
        Numbers members = members_of(cli->arena, node);
        if (is_meant(w, node, kernel, &members)) {
            put_kernel(cli, w, node, kernel);
            w->found++;
        }
        w->step++;
    }
}

static bool why_entry(Cli *cli, Compile *c, uint32_t entry, Why *w, Err *err)
{
    w->before = compile_graph(c, entry, (int)w->fuse - 1, err);
    w->step = 0;
    if (w->before)
        why_steps(cli, compile_memplan(c, entry), w);
    return w->before != NULL;
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
    Bytes bytes;
    if (!compile_pass_find("fuse", &w->fuse))
        BUG("no pass `fuse`");
    if (!begin_program(cli, c, err) || !compile_look(c, &bytes, err))
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
