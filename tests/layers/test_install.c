/* LIBS: mdl_base mdl_runtime mdl_compile */
/* test_install.c: what `cmake --install` lays out is enough to build and run a program.
 *
 * The tree is installed into the build folder; then a program is compiled with nothing but the
 * installed headers, library and flags, and run; so is examples/embed, on a plan that the installed mdl
 * has compiled. */
#include "base.h"
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>

#include <cmocka.h>

#define ROOT MDL_BINARY_DIR "/test-install"
#define FLAGS                                        \
    " -I" ROOT "/include/mdl -L" ROOT "/" MDL_LIBDIR \
    " -lmdl $(sed -n 's/^Libs.private: //p' " ROOT "/" MDL_LIBDIR "/pkgconfig/mdl.pc)"

static int run(const char *command)
{
    Arena *arena = arena_new();
    int status = system(arena_printf(arena, "(%s) >%s.log 2>&1", command, ROOT));
    if (status != 0) {
        Bytes log = {0};
        file_read(arena, ROOT ".log", 1 << 20, &log, NULL);
        print_message("%s\n%s\n", command, log.data ? log.data : "");
    }
    arena_free(arena);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int install(void **state)
{
    UNUSED(state);
    file_remove_tree(ROOT, NULL);
    return run("'" MDL_CMAKE "' --install '" MDL_BINARY_DIR "' --prefix '" ROOT "'");
}

static const char user_program[] = "#include <runtime.h>\n"
                                   "#include <string.h>\n"
                                   "int main(void)\n"
                                   "{\n"
                                   "    Err err;\n"
                                   "    char not_banned[4];\n"
                                   "    memset(&err, 0, sizeof err);\n"
                                   "    strcpy(not_banned, \"yes\");\n"
                                   "    Plan *plan = plan_load(\"" ROOT "/none.plan\", &err);\n"
                                   "    puts(err.text);\n"
                                   "    return plan == NULL && err.kind == ERR_FILE ? 0 : 1;\n"
                                   "}\n";

static void headers_and_library_suffice(void **state)
{
    UNUSED(state);
    assert_true(file_write_atomic(ROOT "/user.c", user_program, strlen(user_program), NULL));
    assert_int_equal(run(MDL_CC " -o " ROOT "/user " ROOT "/user.c" FLAGS), 0);
    assert_int_equal(run(ROOT "/user"), 0);
}

static const char points[] = "{\"x\": [1, 2], \"y\": 0}\n{\"x\": [2, 1], \"y\": 1}\n"
                             "{\"x\": [0, 3], \"y\": 0}\n{\"x\": [3, 0], \"y\": 1}\n";
static const char points_program[] =
    "model line = Linear(2, 2)\n"
    "data points { source = jsonl(\"points.jsonl\") ; x: f32[2] = row => row.x ; y: i32 = row => "
    "row.y "
    "}\n"
    "train line { data = points ; loss = b => cross_entropy(line(b.x), b.y) ; lr = 0.1 ; batch = 4 "
    "; "
    "steps = 20 }\n"
    "eval all { data = points ; metric right = b => mean(argmax(line(b.x)) == b.y) }\n";

/* examples/embed trains and evaluates a plan, without the compiler and the program. */
static void example_embeds(void **state)
{
    UNUSED(state);
    const char *mdl = ROOT "/points.mdl", *data = ROOT "/points.jsonl";
    assert_true(file_write_atomic(mdl, points_program, strlen(points_program), NULL));
    assert_true(file_write_atomic(data, points, strlen(points), NULL));
    assert_int_equal(
        run(MDL_CC " -o " ROOT "/embed " MDL_SOURCE_DIR "/examples/embed/embed.c" FLAGS), 0);
    assert_int_equal(run("cd " ROOT " && bin/mdl compile points.mdl -o compiled && rm points.mdl"),
                     0);
    assert_int_equal(run("cd " ROOT " && ./embed compiled/plans/line.plan trained | tee out && "
                         "grep -qx 'all right 1.0000 (4 rows)' out"),
                     0);
    assert_int_not_equal(run(ROOT "/embed " ROOT "/none.plan " ROOT "/trained"), 0);
}

static void headers_are_cplusplus_too(void **state)
{
    UNUSED(state);
    if (system("command -v c++ >/dev/null") != 0)
        skip();
    assert_true(file_write_atomic(ROOT "/user.cc", user_program, strlen(user_program), NULL));
    assert_int_equal(run("c++ -Wall -Wextra -fsyntax-only -I" ROOT "/include/mdl " ROOT "/user.cc"),
                     0);
}

static void program_and_models_are_there(void **state)
{
    UNUSED(state);
    assert_int_equal(run(ROOT "/bin/mdl --version"), 0);
    assert_true(file_exists(ROOT "/share/mdl/std/ops.mdl"));
    assert_true(file_exists(ROOT "/include/mdl/compile.h"));
    assert_true(file_exists(ROOT "/share/man/man1/mdl-train.1"));
    assert_true(file_exists(ROOT "/share/bash-completion/completions/mdl"));
    assert_true(file_exists(ROOT "/share/zsh/site-functions/_mdl"));
    assert_true(file_exists(ROOT "/share/fish/vendor_completions.d/mdl.fish"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_and_library_suffice),
        cmocka_unit_test(example_embeds),
        cmocka_unit_test(headers_are_cplusplus_too),
        cmocka_unit_test(program_and_models_are_there),
    };
    return cmocka_run_group_tests(tests, install, NULL);
}
