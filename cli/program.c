/* program.c: sessions and devices for commands. */
#include "program.h"
#include "ir.h"
#include "records.h"
#include "stageweights.h"
#include "targets.h"

static void on_progress(void *user, const char *what)
{
    report_progress(user, what);
}

static bool read_skips(Cli *cli, uint64_t *skip, Err *err)
{
    for (uint32_t i = 0; i < cli->skips.n; i++) {
        uint32_t pass;
        if (!compile_pass_find(cli->skips.at[i], &pass))
            return usage_error(err, "--skip: no pass `%s`", cli->skips.at[i]);
        if (!compile_pass_optional(pass))
            return usage_error(err, "--skip: nothing runs without the pass `%s`", cli->skips.at[i]);
        *skip |= UINT64_C(1) << pass;
    }
    return true;
}

/* --pass-limit: bits of all passes from number N on. */
static bool read_limit(Cli *cli, uint64_t *skip, Err *err)
{
    int64_t limit = 0, count = 0;
    while (compile_pass_name((uint32_t)count))
        count++;
    limit = count;
    if (!cli_int(cli, OPT_pass_limit, (IntRange){0, count}, &limit, err))
        return false;
    for (int64_t id = limit; id < count; id++)
        *skip |= UINT64_C(1) << id;
    return true;
}

/* --memory-limit: 8GiB, 500MB, 1e9, none. Commands that only look have no bound of their own; what is predicted has
 * to fit its GPU. */
static bool read_memory(Cli *cli, uint64_t *out, Err *err)
{
    static const struct {
        const char *name;
        double bytes;
    } units[] = {{"", 1},      {"B", 1},      {"kB", 1e3},     {"MB", 1e6},     {"GB", 1e9},
                 {"TB", 1e12}, {"KiB", 1024}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}};
    const char *text = cli->value[OPT_memory_limit];
    static const char *const looking[] = {"dump", "why", "data", "plan", "tune"};
    bool looks = false;
    for (size_t i = 0; i < COUNT(looking); i++)
        looks = looks || strcmp(cli->command->name, looking[i]) == 0;
    Target gpu;
    if (!text && cli_has(cli, OPT_predict)) {
        bool known = target_machine(&gpu, cli->value[OPT_predict], err);
        *out = known ? gpu.memory : 0;
        return known;
    }
    if (!text) {
        *out = looks ? UINT64_MAX : 0;
        return true;
    }
    if (strcmp(text, "none") == 0) {
        *out = UINT64_MAX;
        return true;
    }
    char *end;
    double x = strtod(text, &end);
    for (size_t i = 0; end != text && i < COUNT(units); i++)
        if (strcmp(units[i].name, end) == 0 && x > 0 && x * units[i].bytes < 1e18 &&
            x * units[i].bytes >= 1) {
            *out = (uint64_t)(x * units[i].bytes);
            return true;
        }
    usage_error(err, "--memory-limit takes a size, got `%s`", text);
    return err_help(err, "a number with kB, MB, GB, TB, KiB, MiB, GiB or TiB behind it; or `none`");
}

static void print_after(void *user, uint32_t pass, const Graph *g)
{
    Cli *cli = user;
    if (strcmp(compile_pass_name(pass), cli->value[OPT_print_after]) != 0)
        return;
    StrBuf sb = sb_new(cli->arena);
    graph_print(g, NULL, &sb);
    report_progress(cli, "");
    fputs(sb_text(&sb), stderr);
}

/* --print-after; `mdl dump` makes a result of it. */
static bool read_print_after(Cli *cli, CompileOptions *opt, Err *err)
{
    const char *name = cli->value[OPT_print_after];
    uint32_t pass;
    if (!name || strcmp(cli->command->name, "dump") == 0)
        return true;
    opt->after_pass = print_after;
    return compile_pass_find(name, &pass) || usage_error(err, "--print-after: no pass `%s`", name);
}

/* --records, else $MDL_RECORDS, else the file of the cache if there is one. */
static bool read_records(Cli *cli, CompileOptions *opt, Err *err)
{
    if (!option_belongs(option_at(OPT_records), cli->command->name))
        return true;
    const char *wish = cli->value[OPT_records], *set = getenv("MDL_RECORDS");
    const char *path = wish ? wish : set && *set ? set : NULL;
    if (path && strcmp(path, "none") == 0)
        return true;
    if (!path) {
        path = path_join(cli->arena, path_cache(cli->arena), "tuning.jsonl");
        if (!file_exists(path))
            return true;
    }
    Records *r = records_read(cli->arena, path, err);
    opt->records = r;
    if (r && r->other && !cli->quiet) {
        report_progress(cli, "");
        fprintf(stderr, "note: %u records of %s are of another version, and left out\n", r->other,
                path);
    }
    return r != NULL;
}

static bool deny(Cli *cli, Diags *diags, Err *err)
{
    for (uint32_t i = 0; i < cli->denied.n; i++) {
        const char *name = cli->denied.at[i];
        DiagCode code = DIAG_W0101;
        bool all = strcmp(name, "all") == 0;
        if (!all && (name[0] != 'W' || !diag_code_find(name, &code))) {
            usage_error(err, "--deny: `%s` is no code of a warning", name);
            return err_help(err, "mdl explain lists all codes");
        }
        for (int c = all ? 0 : (int)code; c < (all ? (int)DIAG_COUNT : (int)code + 1); c++)
            diags_deny(diags, (DiagCode)c);
    }
    return true;
}

/* `--seed` of a run is the seed attribute of its train block. */
static void push_seed(Cli *cli)
{
    if (cli->seed < 0 || !option_belongs(option_at(OPT_max_steps), cli->command->name))
        return;
    const char *set = arena_printf(cli->arena, "train.seed=%lld", (long long)cli->seed);
    VEC_PUSH(cli->arena, &cli->sets, set);
}

bool with_program(Cli *cli, const ProgramUse *use, Err *err)
{
    CompileOptions opt = {.path = use->path, .progress = on_progress, .user = cli};
    if (!targets_choose(cli, &opt, err) || !read_skips(cli, &opt.skip, err) ||
        !read_limit(cli, &opt.skip, err) || !read_print_after(cli, &opt, err) ||
        !read_memory(cli, &opt.memory, err) || !read_records(cli, &opt, err))
        return false;
    push_seed(cli);
    opt.shapes = cli_has(cli, OPT_shapes);
    opt.gradients = cli_has(cli, OPT_grad);
    opt.sets = cli->sets.at;
    opt.nset = cli->sets.n;
    Compile *c = compile_new(&opt);
    bool ok = deny(cli, compile_diags(c), err) && compile_load(c, err) &&
              stage_weights_of_program(cli, c, use->path, err) && use->fn(cli, c, use->user, err);
    report_progress(cli, "");
    report_diags(cli, compile_diags(c));
    if (!ok && (err->kind == ERR_PROGRAM || err->kind == ERR_DATA) &&
        diags_errors(compile_diags(c)))
        err->text[0] = '\0'; /* the diagnostics have said it */
    compile_free(c);
    return ok;
}

bool with_source(Cli *cli, const ProgramUse *use, Err *err)
{
    if (path_is_source(use->path))
        return with_program(cli, use, err);
    if (!file_exists(use->path))
        return err_set(err, ERR_FILE, "no file %s", use->path);
    return usage_error(err, "`mdl %s` works on a .mdl file, not on %s", cli->command->name,
                       use->path);
}

bool stage_is(const char *path, const char *word)
{
    size_t n = strlen(path), k = strlen(word);
    return k <= n && strcmp(path + n - k, word) == 0 && (k == n || path[n - k - 1] == '.');
}

bool choose_stage(Cli *cli, const Compile *c, const char **stage, Err *err)
{
    uint32_t n = compile_stage_count(c);
    const char *wanted = cli->value[OPT_stage];
    Sym *names = NEW_ARRAY(cli->arena, Sym, n + 1);
    StrBuf all = sb_new(cli->arena);
    *stage = NULL;
    uint32_t matches = 0;
    for (uint32_t i = 0; i < n; i++) {
        names[i] = compile_stage_name(c, i);
        sb_printf(&all, "%s%s", i ? ", " : "", names[i]);
        bool exact = wanted && strcmp(names[i], wanted) == 0;
        if (!exact && wanted && !stage_is(names[i], wanted))
            continue;
        if (exact || !matches)
            *stage = arena_strdup(cli->arena, names[i]);
        matches = exact ? 1 : matches + 1;
        if (exact)
            break;
    }
    if (wanted && matches > 1) {
        usage_error(err, "several train blocks end in `%s`", wanted);
        return err_help(err, "there is %s", sb_text(&all));
    }
    if (wanted && !*stage) {
        usage_error(err, "no train block `%s`", wanted);
        return n ? err_help(err, "there is %s", sb_text(&all)) : false;
    }
    if (!wanted && n > 1) {
        usage_error(err, "the file has %u train blocks: %s", n, sb_text(&all));
        return err_help(err, "choose one with --stage");
    }
    return true;
}

bool choose_block(Cli *cli, const Compile *c, BlockChoice choice, uint32_t *block, Err *err)
{
    uint32_t n = 0, count = compile_generate_count(c);
    const char *wanted = choice.wanted, *kind = choice.chats ? "generate or chat" : "generate";
    Sym *names = NEW_ARRAY(cli->arena, Sym, count + (size_t)1);
    StrBuf all = sb_new(cli->arena);
    *block = count;
    for (uint32_t i = 0; i < count; i++) {
        if (compile_generate_chats(c, i) && !choice.chats)
            continue;
        names[n] = compile_generate_name(c, i);
        sb_printf(&all, "%s%s", n ? ", " : "", names[n]);
        if (!wanted || strcmp(names[n], wanted) == 0)
            *block = i;
        n++;
    }
    if (!n)
        return err_set(err, ERR_PROGRAM, "the program has no `%s` block", kind);
    if (!wanted && n > 1) {
        usage_error(err, "the file has %u %s blocks: %s", n, kind, sb_text(&all));
        return err_help(err, "name one of them");
    }
    if (*block < count)
        return true;
    Sym near = sym_nearest(wanted, names, n);
    usage_error(err, "no %s block `%s`", kind, wanted);
    return err_help(err, near ? "did you mean `%s`?" : "there is %s", near ? near : sb_text(&all));
}

bool begin_program(Cli *cli, Compile *c, Err *err)
{
    const char *stage;
    uint32_t block;
    if (!cli_has(cli, OPT_block))
        return choose_stage(cli, c, &stage, err) && compile_stage(c, stage, err);
    if (cli_has(cli, OPT_stage))
        return usage_error(err, "--block and --stage exclude each other");
    const BlockChoice choice = {cli->value[OPT_block], true};
    return choose_block(cli, c, choice, &block, err) && compile_generate(c, block, err);
}

static const char *size_text(Arena *arena, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double x = (double)bytes / 1024;
    size_t u = 0;
    for (; x >= 1024 && u + 1 < COUNT(units); u++)
        x /= 1024;
    return arena_printf(arena, "%.2f %s", x, units[u]);
}

void report_micro(Cli *cli, const Compile *c)
{
    const MicroChoice *m = compile_micro(c);
    if (cli->quiet || !m)
        return;
    report_progress(cli, "");
    fprintf(stderr,
            "micro = %lld: one pass of all %lld rows needs %s of memory, and %lld passes need %s\n",
            (long long)m->rows, (long long)m->batch, size_text(cli->arena, m->whole),
            (long long)((m->batch + m->rows - 1) / m->rows), size_text(cli->arena, m->need));
}

Runtime *open_runtime(Cli *cli, const Plan *plan, Err *err)
{
    report_progress(cli, "");
    RtOptions opt = {
        .device = cli->targets->device, .threads = (int)cli->threads, .quiet = cli->quiet};
    return rt_open(plan, &opt, err);
}
