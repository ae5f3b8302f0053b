/* args.c: the command line by the tables commands.def and options.def. An option may stand anywhere,
 * as --name=value or --name value; unknown ones are errors with the nearest that would do. */
#include "targets.h"
#include <errno.h>
#include <stdarg.h>

static const char device_words[] = "auto"
#define DEVICE(id, name, automatic) "|" #name
#include "devices.def"
#undef DEVICE
    ;

static const OptionInfo options[] = {
#define OPTION(id, name, argument, commands, help) {name, argument, commands, help},
#include "options.def"
#undef OPTION
};

static const Command commands[] = {
#define COMMAND(name, function, words, after, summary, help) \
    {#name, function, words, after, summary, help},
#include "commands.def"
#undef COMMAND
};

const Command *command_at(uint32_t i)
{
    return i < COUNT(commands) ? &commands[i] : NULL;
}

const Command *command_find(const char *name)
{
    for (size_t i = 0; i < COUNT(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

const OptionInfo *option_at(uint32_t i)
{
    return i < COUNT(options) ? &options[i] : NULL;
}

bool option_belongs(const OptionInfo *option, const char *command)
{
    size_t n = strlen(command);
    for (const char *at = option->commands; *at; at += strspn(at, " ")) {
        size_t word = strcspn(at, " ");
        if (*at == '-' && word == n + 1 && strncmp(at + 1, command, n) == 0)
            return false;
        if (*at == '*' || (word == n && strncmp(at, command, n) == 0))
            return true;
        at += word;
    }
    return false;
}

bool usage_error(Err *err, const char *fmt, ...)
{
    char text[512];
    va_list list;
    va_start(list, fmt);
    vsnprintf(text, sizeof(text), fmt, list);
    va_end(list);
    return err_set(err, ERR_USAGE, "%s", text);
}

/* ---- values ---- */

bool cli_has(const Cli *cli, OptionId id)
{
    return cli->value[id] != NULL;
}

bool cli_int(const Cli *cli, OptionId id, IntRange range, int64_t *out, Err *err)
{
    const char *text = cli->value[id];
    if (!text)
        return true;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno || value < range.lo || value > range.hi)
        return usage_error(err, "--%s takes a whole number from %lld to %lld, got `%s`",
                           options[id].name, (long long)range.lo, (long long)range.hi, text);
    *out = value;
    return true;
}

bool cli_choice(const Cli *cli, OptionId id, const char *words, int *out, Err *err)
{
    const char *text = cli->value[id];
    if (!text)
        return true;
    int i = 0;
    for (const char *at = words; *at; i++) {
        size_t n = strcspn(at, "|");
        if (n == strlen(text) && strncmp(at, text, n) == 0) {
            *out = i;
            return true;
        }
        at += n + (at[n] == '|');
    }
    return usage_error(err, "--%s is one of %s, got `%s`", options[id].name, words, text);
}

const char *cli_need(const Cli *cli, OptionId id, Err *err)
{
    if (!cli->value[id]) {
        usage_error(err, "`mdl %s` needs --%s %s", cli->command->name, options[id].name,
                    options[id].argument);
        err_help(err, "mdl help %s", cli->command->name);
    }
    return cli->value[id];
}

/* ---- parsing ---- */

static bool unknown_command(const char *word, Err *err)
{
    Sym names[COUNT(commands)];
    for (size_t i = 0; i < COUNT(commands); i++)
        names[i] = commands[i].name;
    Sym near = sym_nearest(word, names, COUNT(commands));
    if (path_is_source(word)) {
        usage_error(err, "`%s` is not a command", word);
        return err_help(err, "say what to do with it: mdl train %s", word);
    }
    usage_error(err, "unknown command `%s`", word);
    return near ? err_help(err, "did you mean `%s`?", near) : err_help(err, "mdl help lists all");
}

/* The option `--name`, n bytes of text; -1 after an error. */
static int find_option(const Cli *cli, const char *name, size_t n, Err *err)
{
    Sym mine[OPT_COUNT];
    size_t nmine = 0;
    const OptionInfo *foreign = NULL;
    for (int i = 0; i < OPT_COUNT; i++) {
        bool belongs = !cli->command || option_belongs(&options[i], cli->command->name);
        bool same = strlen(options[i].name) == n && strncmp(options[i].name, name, n) == 0;
        if (same && belongs)
            return i;
        if (same)
            foreign = &options[i];
        if (belongs)
            mine[nmine++] = options[i].name;
    }
    if (foreign) {
        usage_error(err, "--%s has no effect on `mdl %s`", foreign->name, cli->command->name);
        err_help(err, "mdl help %s", cli->command->name);
        return -1;
    }
    usage_error(err, "unknown option --%.*s", (int)n, name);
    Sym near = sym_nearest(arena_strndup(cli->arena, name, n), mine, nmine);
    if (near)
        err_help(err, "did you mean --%s?", near);
    else
        err_help(err, "mdl help %s", cli->command ? cli->command->name : "");
    return -1;
}

static bool put_value(Cli *cli, OptionId id, const char *value, Err *err)
{
    Words *all = id == OPT_set    ? &cli->sets
                 : id == OPT_skip ? &cli->skips
                 : id == OPT_deny ? &cli->denied
                 : id == OPT_arg  ? &cli->args
                                  : NULL;
    if (all)
        VEC_PUSH(cli->arena, all, value);
    else if (cli->value[id])
        return usage_error(err, "--%s is given twice", options[id].name);
    cli->value[id] = value;
    return true;
}

/* argv[*i] begins with "--"; moves *i over a value that is a word of its own. */
static bool parse_long(Cli *cli, const char *const *argv, int *i, Err *err)
{
    const char *name = argv[*i] + 2;
    size_t n = strcspn(name, "=");
    int id = find_option(cli, name, n, err);
    if (id < 0)
        return false;
    const OptionInfo *o = &options[id];
    if (!o->argument)
        return name[n] ? usage_error(err, "--%s takes no value", o->name)
                       : put_value(cli, (OptionId)id, "", err);
    const char *value = name[n] ? name + n + 1 : argv[*i + 1];
    if (!value)
        return usage_error(err, "--%s needs a value: --%s %s", o->name, o->name, o->argument);
    *i += !name[n];
    return put_value(cli, (OptionId)id, value, err);
}

static bool parse_word(Cli *cli, const char *word, Err *err)
{
    if (cli->command) {
        VEC_PUSH(cli->arena, &cli->words, word);
        return true;
    }
    cli->command = command_find(word);
    return cli->command != NULL || unknown_command(word, err);
}

static bool parse_one(Cli *cli, const char *const *argv, int *i, Err *err)
{
    const char *arg = argv[*i];
    if (strcmp(arg, "-h") == 0)
        arg = "--help";
    else if (strcmp(arg, "-q") == 0)
        arg = "--quiet";
    else if (strcmp(arg, "-o") == 0)
        arg = "--out";
    if (strcmp(arg, "--version") == 0 && !cli->command)
        arg = "version";
    if (strncmp(arg, "--", 2) == 0) {
        const char *const one[] = {arg, argv[*i + 1]};
        int k = 0;
        bool ok = parse_long(cli, one, &k, err);
        *i += k;
        return ok;
    }
    if (arg[0] == '-' && arg[1]) {
        usage_error(err, "unknown option %s", arg);
        return err_help(err, "options have long names: mdl help %s",
                        cli->command ? cli->command->name : "");
    }
    return parse_word(cli, arg, err);
}

/* All values are looked at before any work is done. */
static bool read_values(Cli *cli, Err *err)
{
    int format = DIAG_HUMAN, arch = 0;
    cli->seed = -1;
    bool ok = cli_choice(cli, OPT_format, "human|short|json|sarif", &format, err) &&
              cli_choice(cli, OPT_arch, "sm_80|sm_90a", &arch, err) && targets_parse(cli, err) &&
              cli_choice(cli, OPT_mode, "eval|train|prefill|decode", &cli->mode, err) &&
              cli_int(cli, OPT_threads, (IntRange){1, 4096}, &cli->threads, err) &&
              cli_int(cli, OPT_seed, (IntRange){0, INT64_MAX}, &cli->seed, err) &&
              cli_int(cli, OPT_max_steps, (IntRange){1, INT64_MAX}, &cli->max_steps, err) &&
              cli_int(cli, OPT_max_tokens, (IntRange){1, INT64_MAX}, &cli->max_tokens, err);
    cli->format = (DiagFormat)format;
    cli->quiet = cli_has(cli, OPT_quiet);
    return ok;
}

bool cli_parse(Cli *cli, int argc, const char *const *argv, Err *err)
{
    int i = 1;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!parse_one(cli, argv, &i, err))
            return false;
    for (i++; i < argc; i++) /* behind "--" all are words */
        if (!parse_word(cli, argv[i], err))
            return false;
    return read_values(cli, err);
}
