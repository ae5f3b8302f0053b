/* LIBS: mdl_test_tool mdl_runtime mdl_base */
/* test_bisect.c: `mdl bisect` finds nothing where nothing is wrong, and the kernel that a C compiler with
 * a bug has spoilt. */
#include "tool.h"
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

static int setup(void **state)
{
    if (tool_setup(state) != 0)
        return -1;
    tool_program(*state, "a.mdl", NULL, NULL);
    return 0;
}

static void right_kernels_agree(void **state)
{
    Tool *tool = *state;
    const char *out = GOOD(tool, "bisect", "a.mdl");
    check_has(out, "micro: ");
    check_has(out, "update: ");
    check_lacks(out, "micro: 0 ");
    check_lacks(out, "instead of");
    check_lacks(out, "of other kinds");
    assert_false(file_exists(tool_path(tool, "bisect")));
    BatchSpec batch = {.n = 8, .image = true, .label = true};
    tool_batch(tool, "b.safetensors", &batch);
    GOOD(tool, "bisect", "a.mdl", "--batch", "b.safetensors", "--set", "train.batch=8", "--skip",
         "simplify", "--skip", "tidy");
}

/* A compiler that takes one function for another, in kernels of the first layer. */
static void break_compiler(Tool *tool, const char *from, const char *to)
{
    tool_write(tool, "cc.sh",
               arena_printf(tool->arena,
                            "#!/bin/sh\nfor a in \"$@\"; do\n"
                            "  case \"$a\" in *.c) sed -i 's/%s/%s/' \"$a\";; esac\n"
                            "done\nexec cc \"$@\"\n",
                            from, to));
    assert_int_equal(chmod(tool_path(tool, "cc.sh"), 0755), 0);
    tool->env[0] = arena_printf(tool->arena, "MDL_CACHE=%s/cache", tool->dir);
    for (size_t i = 1; i < COUNT(tool->env) - 1; i++)
        if (!tool->env[i]) {
            tool->env[i] = arena_printf(tool->arena, "MDL_CC=%s/cc.sh", tool->dir);
            tool->env[i + 1] = NULL;
            break;
        }
}

static void the_spoilt_kernel_is_named(void **state)
{
    Tool *tool = *state;
    break_compiler(tool, "mdl_max_", "mdl_min_");
    Outcome o = RUN(tool, "bisect", "a.mdl", "--out", "repro");
    check_code(&o, 7);
    check_has(o.out, "k_fc1_gemm_add_max_");
    check_has(o.out, " of micro: result ");
    check_has(o.err, "repro has the kernel");
    check_has(tool_read(tool, "repro/kernel.c").data, "#include \"mdl.h\"");
    check_has(tool_read(tool, "repro/group.txt").data, " = dot ");
    check_has(tool_read(tool, "repro/README.txt").data, "k_fc1_gemm_add_max_");
    StFile *file = tool_tensors(tool, "repro/tensors.safetensors");
    assert_non_null(st_find(file, "in.0"));
    assert_non_null(st_find(file, "got.0"));
    assert_non_null(st_find(file, "want.0"));
    st_close(file);
}

static void mistakes_of_the_command_are_told(void **state)
{
    Tool *tool = *state;
    Outcome o = RUN(tool, "bisect", "a.mdl", "other");
    check_code(&o, 1);
    o = RUN(tool, "bisect", "a.mdl", "--batch", "none.safetensors");
    check_code(&o, 3);
    tool_write(tool, "none.mdl", "model m = Linear(2, 3)\n");
    o = RUN(tool, "bisect", "none.mdl");
    check_code(&o, 1);
    check_has(o.err, "no `train` block");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(right_kernels_agree),
        TEST(the_spoilt_kernel_is_named),
        TEST(mistakes_of_the_command_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
