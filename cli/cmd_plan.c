/* cmd_plan.c: `mdl plan`: the stages of a program and what they take, as far as it is known without devices and
 * data: what trains, floating-point operations of the losses' contractions, bytes of weights. And the blocks that
 * write text. */
#include "front.h"
#include "plan_blocks.h"
#include "predictions.h"

/* One stage in words and numbers. */
typedef struct Row {
    FrontStage about;
    const char *after, *trains, *steps, *from;
    uint64_t parameters, unused; /* elements of the model; of those that the loss never reads */
    const char *unused_names;
    uint64_t weight_bytes, grad_bytes, state_bytes;
    bool up_to; /* sizes are open that data decide: operations are those of the largest batch */
    double forward, step; /* contractions of one pass, and of all passes of a step with gradients */
} Row;

typedef struct Rows {
    VEC(Row) at;
    VEC(BlockRow) blocks;
    bool json;
} Rows;

static uint64_t elements(const Program *p, const Type *t)
{
    int64_t n = 0;
    dim_is_const(type_count(p->ir, t), &n);
    return (uint64_t)n;
}

/* Adds the first component of a path to a list of names, unless it is the last one there. */
static void add_name(StrBuf *sb, const char *path)
{
    size_t n = strcspn(path, ".");
    const char *last = strrchr(sb_text(sb), ' ');
    last = last ? last + 1 : sb_text(sb);
    if (strlen(last) == n && strncmp(last, path, n) == 0)
        return;
    sb_printf(sb, "%s%.*s", sb->n ? ", " : "", (int)n, path);
}

static const char *names_of_trained(Cli *cli, const FrontStage *s)
{
    StrBuf sb = sb_new(cli->arena);
    for (uint32_t i = 0; i < s->nstate; i++)
        if (s->trained[i])
            add_name(&sb, s->program->states.at[i]->path);
    return sb_text(&sb);
}

static const char *duration(Cli *cli, const FrontStage *s)
{
    if (s->steps)
        return arena_printf(cli->arena, "%lld", (long long)s->steps);
    if (s->tokens)
        return arena_printf(cli->arena, "%lld tokens", (long long)s->tokens);
    return arena_printf(cli->arena, "%g epoch%s", s->epochs, s->epochs == 1 ? "" : "s");
}

static const char *names_of_after(Cli *cli, Compile *c, const FrontStage *s)
{
    StrBuf sb = sb_new(cli->arena);
    for (uint32_t i = 0; i < s->nafter; i++) {
        const char *path = compile_stage_name(c, s->after[i]), *dot = strrchr(path, '.');
        sb_printf(&sb, "%s%s", i ? ", " : "", dot ? dot + 1 : path);
    }
    return sb.n ? sb_text(&sb) : "-";
}

/* ---- what the graphs say ---- */

static void count_states(Cli *cli, const Program *p, const Graph *micro, Row *r)
{
    bool *read = NEW_ARRAY(cli->arena, bool, p->states.n + 1);
    StrBuf sb = sb_new(cli->arena);
    uint32_t state;
    for (uint32_t i = 0; i < micro->nodes.n; i++)
        if (node_is_state(micro->nodes.at[i], &state))
            read[state] = true;
    for (uint32_t i = 0; i < p->states.n; i++) {
        const State *s = p->states.at[i];
        uint64_t n = elements(p, s->type), bytes = n * dtype_info(s->type->dtype)->bytes;
        r->weight_bytes += s->kind == SK_PARAM || s->kind == SK_BUFFER ? bytes : 0;
        r->grad_bytes += s->kind == SK_GRAD ? bytes : 0;
        r->state_bytes += s->kind == SK_OPT || s->kind == SK_MASTER ? bytes : 0;
        if (s->kind == SK_PARAM && i < r->about.nstate) {
            r->parameters += n;
            r->unused += read[i] ? 0 : n;
            if (!read[i])
                add_name(&sb, s->path);
        }
    }
    r->unused_names = sb_text(&sb);
}

static bool has_open_size(const Program *p, const Graph *g)
{
    bool open = false;
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        int64_t n;
        open = open || !dim_is_const(type_count(p->ir, g->inputs.at[i]->type), &n);
    }
    return open;
}

static bool look_at_graphs(Cli *cli, Compile *c, const char *path, Row *r, Err *err)
{
    uint32_t pass;
    if (!compile_stage(c, path, err) || !compile_pass_find("raise", &pass))
        return false;
    compile_skip(c, pass); /* what is computed twice to save memory is no work of the model */
    if (!compile_pass_find("autodiff", &pass))
        return false;
    const Program *p = compile_program(c);
    const Graph *micro = program_entry(p, "micro");
    for (uint32_t i = 0; micro && i < p->entries.n; i++) {
        if (p->entries.at[i] != micro)
            continue;
        const Graph *backward = compile_graph(c, i, (int)pass, err);
        if (!backward)
            return false;
        int64_t rows = r->about.micro ? r->about.micro : r->about.batch;
        r->up_to = has_open_size(p, micro);
        r->forward = graph_flops(micro);
        r->step = graph_flops(backward) * (double)r->about.batch / (double)rows;
        count_states(cli, p, micro, r);
    }
    return true;
}

static bool plan_stage(Cli *cli, Compile *c, uint32_t i, Rows *rows, Err *err)
{
    Row r = {0};
    if (!compile_stage_about(c, i, &r.about, err))
        return false;
    r.after = names_of_after(cli, c, &r.about);
    r.trains = names_of_trained(cli, &r.about);
    r.steps = duration(cli, &r.about);
    r.from = r.about.nafter ? r.after : r.about.from;
    if (!look_at_graphs(cli, c, compile_stage_name(c, i), &r, err))
        return false;
    VEC_PUSH(cli->arena, &rows->at, r);
    return true;
}

/* ---- printing ---- */

static void put_json(Cli *cli, const Row *r)
{
    StrBuf sb = sb_new(cli->arena);
    const struct {
        const char *name, *text;
    } words[] = {{"stage", r->about.path},
                 {"after", r->after},
                 {"trains", r->trains},
                 {"weights_from", r->from},
                 {"precision", r->about.precision}};
    for (size_t i = 0; i < COUNT(words); i++) {
        sb_printf(&sb, "%s\"%s\":", i ? "," : "{", words[i].name);
        sb_json(&sb, words[i].text, strlen(words[i].text));
    }
    sb_printf(&sb,
              ",\"trained\":%llu,\"trained_tensors\":%llu,\"parameters\":%llu,\"unused\":%llu,"
              "\"steps\":%lld,\"tokens\":%lld,\"batch\":%lld,\"micro\":%lld,\"epochs\":",
              (unsigned long long)r->about.elements, (unsigned long long)r->about.tensors,
              (unsigned long long)r->parameters, (unsigned long long)r->unused,
              (long long)r->about.steps, (long long)r->about.tokens, (long long)r->about.batch,
              (long long)r->about.micro);
    sb_double(&sb, r->about.epochs);
    sb_puts(&sb, ",\"lr\":");
    sb_double(&sb, r->about.lr);
    sb_printf(&sb, ",\"flops_up_to\":%s,\"forward_flops\":", r->up_to ? "true" : "false");
    sb_double(&sb, r->forward);
    sb_puts(&sb, ",\"step_flops\":");
    sb_double(&sb, r->step);
    printf("%s,\"parameter_bytes\":%llu,\"gradient_bytes\":%llu,\"optimizer_bytes\":%llu}\n",
           sb_text(&sb), (unsigned long long)r->weight_bytes, (unsigned long long)r->grad_bytes,
           (unsigned long long)r->state_bytes);
}

static int wider(int width, const char *text)
{
    int n = (int)strlen(text);
    return n > width ? n : width;
}

static void put_stages(const Rows *rows)
{
    int stage = 5, after = 5, trains = 6, steps = 5;
    for (uint32_t i = 0; i < rows->at.n; i++) {
        const Row *r = &rows->at.at[i];
        stage = wider(stage, r->about.path);
        after = wider(after, r->after);
        trains = wider(trains, r->trains);
        steps = wider(steps, r->steps);
    }
    printf("%-*s  %-*s  %-*s  %14s  %*s  %6s  %s\n", stage, "stage", after, "after", trains,
           "trains", "parameters", steps, "steps", "batch", "weights from");
    for (uint32_t i = 0; i < rows->at.n; i++) {
        const Row *r = &rows->at.at[i];
        printf("%-*s  %-*s  %-*s  %14llu  %*s  %6lld  %s\n", stage, r->about.path, after, r->after,
               trains, r->trains, (unsigned long long)r->about.elements, steps, r->steps,
               (long long)r->about.batch, r->from);
    }
    printf("\n%-*s  %10s  %12s  %12s  %12s  %12s\n", stage, "stage", "precision", "forward GFLOP",
           "step GFLOP", "weights MiB", "training MiB");
    for (uint32_t i = 0; i < rows->at.n; i++) {
        const Row *r = &rows->at.at[i];
        printf("%-*s  %10s  %13.4g  %12.4g  %12.1f  %12.1f\n", stage, r->about.path,
               r->about.precision, r->forward / 1e9, r->step / 1e9,
               (double)r->weight_bytes / 1048576,
               (double)(r->grad_bytes + r->state_bytes) / 1048576);
    }
}

static void put_notes(const Rows *rows)
{
    for (uint32_t i = 0; i < rows->at.n; i++)
        if (rows->at.at[i].up_to) {
            puts("note: data decide how many images and rows a batch has: operations are an upper "
                 "bound");
            break;
        }
    for (uint32_t i = 0; i < rows->at.n; i++) {
        const Row *r = &rows->at.at[i];
        bool said = i && rows->at.at[i - 1].unused == r->unused;
        if (r->unused && !said)
            printf("note: %llu parameters are never used, in %s\n", (unsigned long long)r->unused,
                   r->unused_names);
    }
}

static bool look_at_blocks(Cli *cli, Compile *c, Rows *rows, Err *err)
{
    for (uint32_t i = 0; i < compile_generate_count(c); i++) {
        BlockRow r;
        if (!block_row(cli, c, i, &r, err))
            return false;
        if (r.writes)
            VEC_PUSH(cli->arena, &rows->blocks, r);
    }
    return true;
}

static void put_rows(Cli *cli, const Rows *rows)
{
    if (rows->json) {
        puts("{\"schema\":\"mdl.plan.1\"}");
        for (uint32_t i = 0; i < rows->at.n; i++)
            put_json(cli, &rows->at.at[i]);
        for (uint32_t i = 0; i < rows->blocks.n; i++)
            block_row_json(cli, &rows->blocks.at[i]);
        return;
    }
    if (rows->at.n)
        put_stages(rows);
    if (rows->at.n && rows->blocks.n)
        puts("");
    if (rows->blocks.n)
        block_rows_put(rows->blocks.at, rows->blocks.n);
    put_notes(rows);
    if (!rows->at.n && !rows->blocks.n)
        puts("the file has no train block, and none that writes text");
}

static bool plan(Cli *cli, Compile *c, void *user, Err *err)
{
    Rows *rows = user;
    const char *wanted = cli->value[OPT_stage], *stage = NULL;
    if (wanted && !choose_stage(cli, c, &stage, err))
        return false;
    for (uint32_t i = 0; i < compile_stage_count(c); i++)
        if (!stage || strcmp(stage, compile_stage_name(c, i)) == 0)
            if (!plan_stage(cli, c, i, rows, err))
                return false;
    if (!stage && !look_at_blocks(cli, c, rows, err))
        return false;
    put_rows(cli, rows);
    return true;
}

bool cmd_plan(Cli *cli, Err *err)
{
    const char *path = cli_file(cli, err);
    Rows rows = {.json = cli_has(cli, OPT_json)};
    if (path && cli_has(cli, OPT_predict))
        return predict_target(cli, err) &&
               with_source(cli, &(ProgramUse){path, predict_program, NULL}, err);
    static const OptionId predicts[] = {OPT_sizes, OPT_entry, OPT_memory_limit};
    for (size_t i = 0; i < COUNT(predicts); i++)
        if (cli_has(cli, predicts[i])) {
            usage_error(err, "--%s has no effect here", option_at(predicts[i])->name);
            return err_help(err, "it goes with --predict");
        }
    return path && with_source(cli, &(ProgramUse){path, plan, &rows}, err);
}
