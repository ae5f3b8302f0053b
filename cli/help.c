/* help.c: help texts, from the tables. */
#include "cli.h"
#include "compile.h"
#include "man.h"

static void put_options(const char *command)
{
    const OptionInfo *o;
    for (uint32_t i = 0; (o = option_at(i)); i++) {
        if (!option_belongs(o, command))
            continue;
        int n =
            printf("  --%s%s%s", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
        printf("%*s%s\n", n < 32 ? 32 - n : 2, "", o->help);
    }
}

void help_all(void)
{
    puts("mdl: models as text, compiled and trained\n\nusage: mdl COMMAND [FILE] [OPTIONS]\n");
    const Command *c;
    for (uint32_t i = 0; (c = command_at(i)); i++)
        printf("  %-10s %s\n", c->name, c->summary);
    puts("\nmdl help COMMAND explains one. With a single .mdl file in the current folder, FILE may "
         "be\n"
         "left out.\n\nexit codes:");
    for (uint32_t i = 0; exit_codes[i].text; i++)
        printf("  %-4d %s\n", exit_codes[i].code, exit_codes[i].text);
}

void help_command(const Command *command)
{
    printf("usage: mdl %s%s%s [OPTIONS]\n\n%s\n\n", command->name, *command->words ? " " : "",
           command->words, command->summary);
    if (*command->help)
        printf("%s\n\n", command->help);
    puts("options:");
    put_options(command->name);
}

bool cmd_help(Cli *cli, Err *err)
{
    if (cli_has(cli, OPT_man))
        return man_write(cli->arena, cli->value[OPT_man], err);
    if (!cli->words.n) {
        help_all();
        return true;
    }
    const Command *command = command_find(cli->words.at[0]);
    if (command) {
        help_command(command);
        return true;
    }
    usage_error(err, "unknown command `%s`", cli->words.at[0]);
    return err_help(err, "mdl help lists all");
}

bool cmd_version(Cli *cli, Err *err)
{
    UNUSED(cli);
    UNUSED(err);
    puts("mdl " MDL_VERSION);
    return true;
}
