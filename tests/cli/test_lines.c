/* LIBS: mdl_test_tool mdl_runtime mdl_plan mdl_base */
/* test_lines.c: kernel text names lines of the model: for people, for compilers and for debuggers; and
 * moving a line compiles nothing again. */
#include "kernellines.h"
#include "tool.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static const char program[] = "fn scaled(curious: f32[A], y: f32[A]) -> f32[A] {\n"
                              "  let root = sqrt(curious)\n"
                              "  let all = root * y\n"
                              "  all + 1\n"
                              "}\n";

static int setup(void **state)
{
    if (tool_setup(state) != 0)
        return -1;
    Tool *tool = *state;
    static const float four[] = {1, 2, 3, 4};
    StTensor in[] = {
        {.name = "curious", .dtype = DT_F32, .rank = 1, .dim = {4}, .data = four, .bytes = 16},
        {.name = "y", .dtype = DT_F32, .rank = 1, .dim = {4}, .data = four, .bytes = 16}};
    Err why = {0};
    if (!st_write(tool_path(tool, "in.safetensors"), in, COUNT(in), NULL, &why))
        fail_msg("%s", why.text);
    tool_write(tool, "a.mdl", program);
    tool->env[0] = arena_printf(tool->arena, "MDL_CACHE=%s/cache", tool->dir);
    tool->env[1] = "MDL_DEBUG";
    return 0;
}

static Outcome call(Tool *tool)
{
    return RUN(tool, "call", "a.mdl", "scaled", "--in", "in.safetensors", "--out",
               "out.safetensors");
}

/* Compiled units; the last one's name. */
static int count_units(Tool *tool, const char **name)
{
    int n = 0;
    DIR *dir = opendir(tool_path(tool, "cache"));
    assert_non_null(dir);
    for (struct dirent *d; (d = readdir(dir));) {
        if (!strstr(d->d_name, ".so"))
            continue;
        n++;
        if (name)
            *name = arena_strdup(tool->arena, d->d_name);
    }
    closedir(dir);
    return n;
}

static void moving_a_line_compiles_nothing(void **state)
{
    Tool *tool = *state;
    Outcome o = call(tool);
    check_code(&o, 0);
    int n = count_units(tool, NULL);
    tool_write(tool, "a.mdl", arena_printf(tool->arena, "# a remark\n\n%s", program));
    o = call(tool);
    check_code(&o, 0);
    assert_int_equal(count_units(tool, NULL), n);
    tool->env[1] = "MDL_DEBUG=lines";
    o = call(tool);
    check_code(&o, 0);
    assert_int_equal(count_units(tool, NULL), n + 1);
    tool->env[1] = "MDL_DEBUG=all";
    o = call(tool);
    check_code(&o, 2);
    check_has(o.err, "$MDL_DEBUG: `all` is not known");
}

/* A compiler to which one name of the kernel is no C. */
static void messages_name_the_model(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "cc", "#!/bin/sh\nexec cc \"$@\" '-Dcurious=@'\n");
    assert_int_equal(chmod(tool_path(tool, "cc"), 0700), 0);
    tool->env[4] = arena_printf(tool->arena, "MDL_CC=%s/cc", tool->dir);
    Outcome o = call(tool);
    check_code(&o, 5);
    check_has(o.err, ".c:");
    check_lacks(o.err, "a.mdl:");
    tool->env[1] = "MDL_DEBUG=lines";
    o = call(tool);
    check_code(&o, 5);
    check_has(o.err, "a.mdl:4:"); /* the kernel is there for its last line */
}

/* What the tables of lines in an object say, as objdump shows them; NULL without it. */
static const char *table_of_lines(Tool *tool, const char *object)
{
    const char *command = arena_printf(tool->arena, "objdump --dwarf=decodedline '%s' 2>/dev/null",
                                       tool_path(tool, object));
    FILE *f = popen(command, "r"); /* NOLINT(cert-env33-c): names are ours */
    assert_non_null(f);
    StrBuf sb = sb_new(tool->arena);
    char line[512];
    while (fgets(line, sizeof line, f))
        sb_puts(&sb, line);
    pclose(f);
    return sb.n ? sb_text(&sb) : NULL;
}

static bool has_line(const char *table, int number)
{
    for (const char *at = table; at && *at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, "a.mdl ", 6) == 0 && strtol(at + 6, NULL, 10) == number)
            return true;
    }
    return false;
}

static void debuggers_see_the_model(void **state)
{
    Tool *tool = *state;
    const char *name = NULL;
    tool->env[1] = "MDL_DEBUG=lines";
    Outcome o = call(tool);
    check_code(&o, 0);
    assert_int_equal(count_units(tool, &name), 1);
    const char *table = table_of_lines(tool, arena_printf(tool->arena, "cache/%s", name));
    if (!table)
        skip();
    assert_true(has_line(table, 2)); /* the root */
    assert_true(has_line(table, 3)); /* the product */
    assert_true(has_line(table, 4));
    assert_false(has_line(table, 5));
    assert_false(has_line(table, 1));
}

static void text_is_kept(void **state)
{
    UNUSED(state);
    static const char text[] = "/* two\n * lines */\n#define A 1\n#line 7 \"m.mdl\" /* p */\n"
                               "x\n#pragma q\ny /* a\n b */\n\n#line 9 \"m.mdl\"\nz";
    Arena *arena = arena_new();
    StrBuf without = sb_new(arena), with = sb_new(arena);
    kernel_without_lines(&without, text);
    assert_string_equal(sb_text(&without),
                        "/* two\n * lines */\n#define A 1\nx\n#pragma q\ny /* a\n b */\n\nz");
    kernel_with_lines(&with, text);
    assert_string_equal(sb_text(&with),
                        "/* two\n * lines */\n#define A 1\n#line 7 \"m.mdl\" /* p */\nx\n"
                        "#pragma q\n#line 7 \"m.mdl\" /* p */\ny /* a\n b */\n\n"
                        "#line 9 \"m.mdl\"\nz");
    arena_free(arena);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(moving_a_line_compiles_nothing),
        TEST(messages_name_the_model),
        TEST(debuggers_see_the_model),
        cmocka_unit_test(text_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
