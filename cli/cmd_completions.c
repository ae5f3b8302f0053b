/* cmd_completions.c: `mdl completions bash|zsh|fish`: what the shell needs to complete commands, options
 * and their values, from the tables of commands and options. */
#include "cli.h"

/* Values of an option: words parted by `|`, files, or nothing that could be known. */
typedef enum ValueKind { VALUE_NONE, VALUE_WORDS, VALUE_FILE, VALUE_OTHER } ValueKind;

static ValueKind value_kind(const OptionInfo *o)
{
    if (!o->argument)
        return VALUE_NONE;
    if (strchr(o->argument, '|'))
        return VALUE_WORDS;
    bool file = strcmp(o->argument, "FILE") == 0 || strcmp(o->argument, "DIR") == 0;
    return file ? VALUE_FILE : VALUE_OTHER;
}

static bool is_repeatable(const OptionInfo *o)
{
    return strstr(o->help, "repeatable") != NULL;
}

/* The words of a command instead of files: `bash|zsh|fish`, or "" where there is no file. */
static const char *words_of(const Command *c)
{
    if (c->after_file >= 0 || strstr(c->words, "FILE"))
        return NULL;
    return strchr(c->words, '|') ? c->words : "";
}

/* `a|b` as `a b`. */
static void put_words(const char *words)
{
    for (; *words; words++)
        putchar(*words == '|' ? ' ' : *words);
}

/* Text inside single quotes; `special` bytes get a backslash. */
static void put_quoted(const char *text, const char *special)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr(special, *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

/* ---- bash ---- */

/* The command with the option; rows with one name differ in their commands. */
static void bash_pattern(const OptionInfo *o)
{
    const char *at = o->commands;
    fputs("    ", stdout);
    if (strchr(at, '*')) {
        printf("*--%s) ", o->name);
        return;
    }
    for (size_t n; *at; at += n + (at[n] == ' ')) {
        n = strcspn(at, " ");
        printf("%.*s--%s%s", (int)n, at, o->name, at[n] ? "|" : ") ");
    }
}

static void bash_values(void)
{
    const OptionInfo *o;
    puts("  case $cmd$prev in");
    for (uint32_t i = 0; (o = option_at(i)); i++) {
        ValueKind kind = value_kind(o);
        if (kind == VALUE_NONE)
            continue;
        bash_pattern(o);
        if (kind == VALUE_WORDS) {
            fputs("COMPREPLY=($(compgen -W '", stdout);
            put_words(o->argument);
            fputs("' -- \"$cur\")); return", stdout);
        } else {
            fputs(kind == VALUE_FILE ? "COMPREPLY=($(compgen -f -- \"$cur\")); return" : "return",
                  stdout);
        }
        puts(" ;;");
    }
    puts("  esac");
}

static void bash_commands(void)
{
    const Command *c;
    puts("  case $cmd in");
    for (uint32_t i = 0; (c = command_at(i)); i++) {
        const OptionInfo *o;
        printf("    %s) options='", c->name);
        for (uint32_t k = 0; (o = option_at(k)); k++)
            if (option_belongs(o, c->name))
                printf("--%s ", o->name);
        const char *words = words_of(c);
        fputs("'; words='", stdout);
        put_words(words ? words : "");
        puts(words ? "'; files= ;;" : "' ;;");
    }
    puts("    *) files=; words='");
    for (uint32_t i = 0; (c = command_at(i)); i++)
        printf("%s ", c->name);
    puts("' ;;\n  esac");
}

static void bash(void)
{
    puts("# mdl completions bash: source this, or put it into bash-completion's folder as `mdl`.\n"
         "_mdl() {\n"
         "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
         "  local cmd= word options= words= files=yes\n"
         "  if [ \"$cur\" = = ]; then cur=; elif [ \"$prev\" = = ]; then "
         "prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
         "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
         "    case $word in -*) ;; *) cmd=$word; break ;; esac\n"
         "  done\n"
         "  COMPREPLY=()");
    bash_values();
    bash_commands();
    puts("  case $cur in\n"
         "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")); return ;;\n"
         "  esac\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
         "  if [ -n \"$files\" ]; then COMPREPLY+=($(compgen -f -- \"$cur\")); fi\n"
         "}\n"
         "complete -o filenames -F _mdl mdl");
}

/* ---- zsh ---- */

static void zsh_option(const OptionInfo *o)
{
    ValueKind kind = value_kind(o);
    printf("        '%s--%s%s[", is_repeatable(o) ? "*" : "", o->name, o->argument ? "=" : "");
    put_quoted(o->help, "[]:\\");
    putchar(']');
    if (o->argument) {
        putchar(':');
        put_quoted(kind == VALUE_WORDS ? o->name : o->argument, ":\\");
        putchar(':');
    }
    if (kind == VALUE_WORDS) {
        putchar('(');
        put_words(o->argument);
        putchar(')');
    } else if (kind == VALUE_FILE) {
        fputs("_files", stdout);
    }
    puts("' \\");
}

static void zsh(void)
{
    const Command *c;
    const OptionInfo *o;
    puts("#compdef mdl\n"
         "# mdl completions zsh: put it into a folder of $fpath as `_mdl`.\n"
         "_mdl() {\n"
         "  local -a commands\n"
         "  commands=(");
    for (uint32_t i = 0; (c = command_at(i)); i++) {
        printf("    '%s:", c->name);
        put_quoted(c->summary, ":\\");
        puts("'");
    }
    puts("  )\n"
         "  if (( CURRENT == 2 )); then\n"
         "    _describe command commands\n"
         "    return\n"
         "  fi\n"
         "  shift words\n"
         "  (( CURRENT-- ))\n"
         "  case $words[1] in");
    for (uint32_t i = 0; (c = command_at(i)); i++) {
        printf("    %s)\n      _arguments \\\n", c->name);
        for (uint32_t k = 0; (o = option_at(k)); k++)
            if (option_belongs(o, c->name))
                zsh_option(o);
        const char *words = words_of(c);
        fputs("        '*::word:", stdout);
        if (words) {
            putchar('(');
            put_words(words);
            putchar(')');
        } else {
            fputs("_files", stdout);
        }
        puts("' ;;");
    }
    puts("  esac\n}\n_mdl \"$@\"");
}

/* ---- fish ---- */

static void fish_option(const Command *c, const OptionInfo *o)
{
    ValueKind kind = value_kind(o);
    printf("complete -c mdl -n '__fish_seen_subcommand_from %s' -l %s", c->name, o->name);
    if (kind == VALUE_WORDS) {
        fputs(" -x -a '", stdout);
        put_words(o->argument);
        putchar('\'');
    } else if (kind != VALUE_NONE) {
        fputs(kind == VALUE_FILE ? " -r" : " -x", stdout);
    }
    fputs(" -d '", stdout);
    /* fish escapes the quote inside of quotes */
    for (const char *p = o->help; *p; p++)
        printf("%s%c", *p == '\'' || *p == '\\' ? "\\" : "", *p);
    puts("'");
}

static void fish(void)
{
    const Command *c;
    const OptionInfo *o;
    puts("# mdl completions fish: put it into ~/.config/fish/completions as `mdl.fish`.");
    for (uint32_t i = 0; (c = command_at(i)); i++) {
        printf("complete -c mdl -f -n __fish_use_subcommand -a %s -d '%s'\n", c->name, c->summary);
        const char *words = words_of(c);
        if (words) {
            printf("complete -c mdl -f -n '__fish_seen_subcommand_from %s' -a '", c->name);
            put_words(words);
            puts("'");
        }
        for (uint32_t k = 0; (o = option_at(k)); k++)
            if (option_belongs(o, c->name))
                fish_option(c, o);
    }
}

bool cmd_completions(Cli *cli, Err *err)
{
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
    for (size_t i = 0; i < COUNT(shells) && cli->words.n == 1; i++)
        if (strcmp(cli->words.at[0], shells[i].name) == 0) {
            shells[i].print();
            return true;
        }
    usage_error(err, "`mdl completions` takes the name of one shell");
    return err_help(err, "bash, zsh or fish");
}
