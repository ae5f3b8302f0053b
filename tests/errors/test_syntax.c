/* LIBS: mdl_front mdl_ir mdl_plan mdl_base */
/* test_syntax.c: every diagnostic of the parser: code, place and text, and how many there are. */
#include "ast.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = arena_new();
    return 0;
}

static int teardown(void **state)
{
    arena_free(*state);
    return 0;
}

static const char *report(Arena *arena, const char *text, DiagFormat format)
{
    Diags *diags = diags_new(arena);
    uint32_t file = diags_source(diags, "m.mdl", text, strlen(text));
    ast_parse(arena, syms_new(arena), diags, file);
    return diags_render(diags, arena, format, false);
}

typedef struct Case {
    const char *text, *want;
} Case;

/* All messages about the text, one a line. */
static void check(Arena *arena, const Case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_string_equal(report(arena, cases[i].text, DIAG_SHORT), cases[i].want);
}

/* E0101 */
static void test_characters(void **state)
{
    static const Case cases[] = {
        {"let a = 3 $ 4", "m.mdl:1:11: error[E0101]: unexpected character `$`\n"},
        {"let a = b && c", "m.mdl:1:11: error[E0101]: unexpected character `&&`\n"},
        {"let a = !b", "m.mdl:1:9: error[E0101]: unexpected character `!`\n"},
        {"let a = b || c", "m.mdl:1:11: error[E0101]: unexpected character `||`\n"},
        {"let a = b ^ 2", "m.mdl:1:11: error[E0101]: unexpected character `^`\n"},
        {"let a = 'x'", "m.mdl:1:9: error[E0101]: unexpected character `'`\n"
                        "m.mdl:1:11: error[E0101]: unexpected character `'`\n"},
        {"let é = 3", "m.mdl:1:5: error[E0101]: unexpected character `é`\n"},
        {"let a = 3 \001", "m.mdl:1:11: error[E0101]: unexpected byte 0x01\n"},
        {"let a = \"x", "m.mdl:1:9: error[E0101]: unterminated string\n"},
        {"let a = \"x\\\"", "m.mdl:1:9: error[E0101]: unterminated string\n"},
        {"fn f() {\n x = \"a\n y = \"b\n}", "m.mdl:2:6: error[E0101]: unterminated string\n"
                                            "m.mdl:3:6: error[E0101]: unterminated string\n"},
        {"let a = \"\"\"x\ny", "m.mdl:1:9: error[E0101]: unterminated string\n"},
        {"let a = \"\\q\"", "m.mdl:1:10: error[E0101]: unknown escape in a string\n"},
        {"let a = \"\\u{d800}\\u{}\\u{110000}\\u41\"",
         "m.mdl:1:10: error[E0101]: `\\u` needs a code point in braces, as in `\\u{e9}`\n"
         "m.mdl:1:18: error[E0101]: `\\u` needs a code point in braces, as in `\\u{e9}`\n"
         "m.mdl:1:22: error[E0101]: `\\u` needs a code point in braces, as in `\\u{e9}`\n"
         "m.mdl:1:32: error[E0101]: `\\u` needs a code point in braces, as in `\\u{e9}`\n"},
        {"let a = 1 # é $ is fine here", ""},
    };
    check(*state, cases, COUNT(cases));
}

/* E0102 */
static void test_unexpected(void **state)
{
    static const Case cases[] = {
        {"let a 3", "m.mdl:1:7: error[E0102]: unexpected integer `3`, expected `=`\n"},
        {"let a = 3 4",
         "m.mdl:1:11: error[E0102]: unexpected integer `4`, expected end of line or an operator\n"},
        {"let a = f(x y)",
         "m.mdl:1:13: error[E0102]: unexpected name `y`, expected `)`, `,`, `:` or an operator\n"},
        {"let a = (1, 2]",
         "m.mdl:1:14: error[E0102]: unexpected `]`, expected `)`, `,` or an operator\n"},
        {"let a = [1, 2)",
         "m.mdl:1:14: error[E0102]: unexpected `)`, expected `]`, `,` or an operator\n"},
        {"let b = }", "m.mdl:1:9: error[E0102]: unexpected `}`, expected an expression\n"},
        {"let c = 3 }",
         "m.mdl:1:11: error[E0102]: unexpected `}`, expected end of line or an operator\n"},
        {"let a = f(a; b)",
         "m.mdl:1:12: error[E0102]: unexpected `;`, expected `)`, `,`, `:` or an operator\n"},
        {"let a =", "m.mdl:1:8: error[E0102]: unexpected end of line, expected an expression\n"},
        {"module M(D) {\n x = 3\n}",
         "m.mdl:2:4: error[E0102]: unexpected `=`, expected `as`, `[` or `:`\n"},
        {"module M(D) {\n param w [D]\n}",
         "m.mdl:2:10: error[E0102]: unexpected `[`, expected `:`\n"},
        {"train t {\n lr == 3\n}",
         "m.mdl:2:5: error[E0102]: unexpected `==`, expected `{`, `:` or `=`\n"},
        {"fn f() {\n a b\n}",
         "m.mdl:2:4: error[E0102]: unexpected name `b`, expected end of line, `,`, `:` or `=`\n"},
        {"fn f() -> {\n}", "m.mdl:1:11: error[E0102]: unexpected `{`, expected name, `(` or `[`\n"},
        {"fn f(x: [B) = 3",
         "m.mdl:1:11: error[E0102]: unexpected `)`, expected `]`, `,` or an operator\n"},
        {"fn f() {\n f(x, axis=1)\n}",
         "m.mdl:2:11: error[E0102]: unexpected `=`, expected `)`, `,`, `:` or an operator\n"},
        {"fn f() {\n x as f32 / 2\n}",
         "m.mdl:2:11: error[E0102]: unexpected `/`, expected end of line, `,`, `:` or `=`\n"},
        {"fn f() {\n a < b < c\n}",
         "m.mdl:2:8: error[E0102]: unexpected `<`, expected end of line, `,`, `:` or `=`\n"},
    };
    check(*state, cases, COUNT(cases));
}

static void test_unexpected_words(void **state)
{
    static const Case cases[] = {
        {"fn f() {\n return x\n}",
         "m.mdl:2:9: error[E0102]: unexpected name `x`, expected end of line, `,`, `:` or `=`\n"},
        {"def f(x)", "m.mdl:1:1: error[E0102]: unexpected name `def`, expected end of file or a "
                     "declaration such as `module`, `fn` or `train`\n"},
        {"class M", "m.mdl:1:1: error[E0102]: unexpected name `class`, expected end of file or a "
                    "declaration such as `module`, `fn` or `train`\n"},
        {"var x = 3", "m.mdl:1:1: error[E0102]: unexpected name `var`, expected end of file or a "
                      "declaration such as `module`, `fn` or `train`\n"},
        {"modul M(D) {\n fc: Linear(D, D)\n fn f() {\n  x\n }\n}\nlet y = $",
         "m.mdl:1:1: error[E0102]: unexpected name `modul`, expected end of file or a declaration "
         "such as `module`, `fn` or `train`\n"
         "m.mdl:7:9: error[E0101]: unexpected character `$`\n"},
        {"module M(D) {\n parm w: [D]\n}",
         "m.mdl:2:7: error[E0102]: unexpected name `w`, expected `as`, `[` or `:`\n"},
        {"let a = [x: 1]", "m.mdl:1:10: error[E0102]: the entries of a list have no names\n"},
        {"let a = (b + 1) => 2", "m.mdl:1:9: error[E0102]: the parameters of a lambda are names\n"},
        {"let a = x |> y => 2", "m.mdl:1:9: error[E0102]: the parameters of a lambda are names\n"},
        {"if a { }", "m.mdl:1:1: error[E0102]: unexpected `if`, expected end of file or a "
                     "declaration such as `module`, `fn` or `train`\n"},
        {"fn f() {\n if a: b\n}",
         "m.mdl:2:6: error[E0102]: unexpected `:`, expected `{` or an operator\n"},
        {"every 3 steps: save",
         "m.mdl:1:1: error[E0107]: `every` belongs in a `train` or `stage` block\n"},
        {"train t { if a { b = 1 } }", "m.mdl:1:11: error[E0102]: unexpected `if`, expected `}` or "
                                       "an attribute such as `lr = 1e-3`\n"},
        {"let a = x. y z",
         "m.mdl:1:14: error[E0102]: unexpected name `z`, expected end of line or an operator\n"},
        {"import", "m.mdl:1:1: error[E0102]: unexpected name `import`, expected end of file or a "
                   "declaration such as `module`, `fn` or `train`\n"},
        {"fn f() {\n import\n 3 4\n}", "m.mdl:3:4: error[E0102]: unexpected integer `4`, expected "
                                       "end of line, `,`, `:` or `=`\n"},
        {"let a = b $", "m.mdl:1:11: error[E0101]: unexpected character `$`\n"},
        {"data d { 3 }", "m.mdl:1:10: error[E0102]: unexpected integer `3`, expected `}` or an "
                         "attribute such as `lr = 1e-3`\n"},
        {"let x = (1 + \nlet y = 2", "m.mdl:1:9: error[E0103]: unclosed `(`\n"},
    };
    check(*state, cases, COUNT(cases));
}

/* E0103 */
static void test_brackets(void **state)
{
    static const Case cases[] = {
        {"module M(D) {\n fc: L(D, D\n param w: [D]\n}", "m.mdl:2:7: error[E0103]: unclosed `(`\n"},
        {"let a = f(1\nlet b = 2", "m.mdl:1:10: error[E0103]: unclosed `(`\n"},
        {"let a = [1,\n 2", "m.mdl:1:9: error[E0103]: unclosed `[`\n"},
        {"fn f() {\n x = (1 +\n}", "m.mdl:2:6: error[E0103]: unclosed `(`\n"},
        {"module M(D) {\n fc: L(D\n}", "m.mdl:2:7: error[E0103]: unclosed `(`\n"},
        {"module M(D) {\n fn f() {\n  x\nmodule N(D) { }",
         "m.mdl:2:9: error[E0103]: unclosed `{`\n"},
        {"module M(D) {\n fn f() {\n  x\n }\n", "m.mdl:1:13: error[E0103]: unclosed `{`\n"},
        {"fn f() {\n x = (1 + \n y = 3\n}",
         "m.mdl:3:4: error[E0102]: unexpected `=`, expected `)`, `,` or an operator\n"},
        {"let a = f([(1\nlet b = 2", "m.mdl:1:12: error[E0103]: unclosed `(`\n"},
    };
    check(*state, cases, COUNT(cases));
}

/* E0104 */
static void test_numbers(void **state)
{
    static const Case cases[] = {
        {"let a = 3.", "m.mdl:1:9: error[E0104]: `3.` is not a number: write `3.0`\n"},
        {"let a = 1_0. + 2", "m.mdl:1:9: error[E0104]: `1_0.` is not a number: write `1_0.0`\n"},
        {"let a = .5",
         "m.mdl:1:9: error[E0104]: a number has a digit on both sides of the point\n"},
        {"let a = 3.e5", "m.mdl:1:9: error[E0104]: `3.e5` is not a number\n"},
        {"let a = 12px", "m.mdl:1:9: error[E0104]: `12px` is not a number\n"},
        {"let a = 0x", "m.mdl:1:9: error[E0104]: `0x` is not a number\n"},
        {"let a = 0xFG", "m.mdl:1:9: error[E0104]: `0xFG` is not a number\n"},
        {"let a = 1e", "m.mdl:1:9: error[E0104]: `1e` is not a number\n"},
        {"let a = 10steps", "m.mdl:1:9: error[E0104]: `10steps` is not a number\n"},
    };
    check(*state, cases, COUNT(cases));
}

/* E0105 */
static void test_patterns(void **state)
{
    static const Case cases[] = {
        {"train t {\n freeze a..b\n}",
         "m.mdl:2:9: error[E0105]: path pattern `a..b` has an empty component\n"},
        {"train t {\n freeze a., .b, c\n}",
         "m.mdl:2:9: error[E0105]: path pattern `a.` has an empty component\n"
         "m.mdl:2:13: error[E0105]: path pattern `.b` has an empty component\n"},
        {"train t {\n freeze a.{}.b, c[]\n}",
         "m.mdl:2:9: error[E0105]: path pattern `a.{}.b` has an empty component\n"
         "m.mdl:2:17: error[E0105]: path pattern `c[]` has an empty component\n"},
        {"train t {\n freeze a[0..2].{b,c}.**.d*\n}", ""},
    };
    check(*state, cases, COUNT(cases));
}

/* E0106 */
static void test_targets(void **state)
{
    static const Case cases[] = {
        {"fn f() {\n g(x) = 3\n}", "m.mdl:2:2: error[E0106]: cannot assign to a call\n"},
        {"fn f() {\n a.b += 3\n}", "m.mdl:2:2: error[E0106]: cannot assign to a member\n"},
        {"fn f() {\n a, 3 = b\n}", "m.mdl:2:5: error[E0106]: cannot assign to an int\n"},
        {"fn f() {\n a.b[i] = 3\n}", "m.mdl:2:2: error[E0106]: cannot assign to an index\n"},
        {"fn f() {\n (a, b.c) = d\n}", "m.mdl:2:2: error[E0106]: cannot assign to a tuple\n"},
    };
    check(*state, cases, COUNT(cases));
}

/* E0107 */
static void test_places(void **state)
{
    static const Case cases[] = {
        {"module M() {\n import net\n}",
         "m.mdl:2:2: error[E0107]: `import` belongs at the top of a file, not in a `module`\n"},
        {"fn f() {\n param w: [D]\n}",
         "m.mdl:2:2: error[E0107]: `param` belongs in a `module`, not in a `fn`\n"},
        {"param w: [D]", "m.mdl:1:1: error[E0107]: `param` belongs in a `module`\n"},
        {"fn f() {\n fn g() = 3\n}", "m.mdl:2:2: error[E0107]: `fn` belongs in a `module` or at "
                                     "the top of a file, not in a `fn`\n"},
        {"train t {\n module M() { a: B() }\n}",
         "m.mdl:2:2: error[E0107]: `module` belongs at the top of a file, not in a `train`\n"},
        {"freeze a.b",
         "m.mdl:1:1: error[E0107]: `freeze` belongs in a `model`, `train` or `stage` block\n"},
        {"op f() { train x { } }", "m.mdl:1:10: error[E0107]: `train` belongs in a `model`, "
                                   "`train` or `stage` block, not in an `op`\n"},
        {"module M(D) {\n if D > 1 {\n  op f(x) { x }\n }\n}",
         "m.mdl:3:3: error[E0107]: `op` belongs at the top of a file, not in a `module`\n"},
    };
    check(*state, cases, COUNT(cases));
}

/* E0108 */
static void test_edition(void **state)
{
    static const Case cases[] = {
        {"#!mdl 1\nlet a = 1", ""},
        {"#!mdl 2\nlet a = 1",
         "m.mdl:1:1: error[E0108]: edition 2 is newer than this compiler (1)\n"},
        {"#!mdl\nlet a = 1", "m.mdl:1:1: error[E0108]: this names no edition\n"},
        {"#!mdl x", "m.mdl:1:1: error[E0108]: this names no edition\n"},
        {"#!mdl 1 2", "m.mdl:1:1: error[E0108]: this names no edition\n"},
        {"#!/usr/bin/env mdl", ""},
    };
    check(*state, cases, COUNT(cases));
}

/* E0207 */
static void test_reserved_words(void **state)
{
    static const Case cases[] = {
        {"let over = 3", "m.mdl:1:5: error[E0207]: `over` is a reserved word\n"},
        {"fn like() = 3", "m.mdl:1:4: error[E0207]: `like` is a reserved word\n"},
        {"fn f(in, x) = 3", "m.mdl:1:6: error[E0207]: `in` is a reserved word\n"},
        {"module M(D) {\n param as: [D]\n}", ""},
        {"let not = 3", "m.mdl:1:5: error[E0207]: `not` is a reserved word\n"},
        {"module M(D) {\n param in: [D]\n state as : [D]\n}",
         "m.mdl:3:11: error[E0102]: unexpected `:`, expected string\n"},
        {"import net as with", "m.mdl:1:15: error[E0207]: `with` is a reserved word\n"},
        {"fn f() {\n for if in x { y }\n}", "m.mdl:2:6: error[E0207]: `if` is a reserved word\n"},
    };
    check(*state, cases, COUNT(cases));
}

/* ---- as people see them ---- */

static void test_shows_one_mistake(void **state)
{
    const char *text = "module M(D) {\n  param weight [D]\n}\n";
    assert_string_equal(report(*state, text, DIAG_HUMAN),
                        "error[E0102]: unexpected `[`, expected `:`\n"
                        " --> m.mdl:2:16\n"
                        "  |\n"
                        "2 |   param weight [D]\n"
                        "  |                ^\n"
                        "  |\n");
}

static void test_shows_unclosed(void **state)
{
    const char *text = "module M(D) {\n  fc: Linear(D, D\n  param w: [D] ~ zeros\n}\n";
    assert_string_equal(report(*state, text, DIAG_HUMAN),
                        "error[E0103]: unclosed `(`\n"
                        " --> m.mdl:2:13\n"
                        "  |\n"
                        "2 |   fc: Linear(D, D\n"
                        "  |             ^\n"
                        "3 |   param w: [D] ~ zeros\n"
                        "  |   ----- this statement begins before it is closed\n"
                        "  |\n");
}

static void test_shows_also_unclosed(void **state)
{
    const char *text = "fn f(x) {\n  y = g(x,\n  z = 3\n}\n";
    assert_string_equal(report(*state, text, DIAG_HUMAN),
                        "error[E0102]: unexpected `=`, expected `)`, `,`, `:` or an operator\n"
                        " --> m.mdl:3:5\n"
                        "  |\n"
                        "2 |   y = g(x,\n"
                        "  |        - this `(` is not closed\n"
                        "3 |   z = 3\n"
                        "  |     ^\n"
                        "  |\n"
                        "  = help: arguments are named with `:`, as in `f(x, axis: 1)`\n");
}

static void test_shows_cast(void **state)
{
    const char *text = "fn f(x) {\n  y = x as f32 / 3\n  y\n}\n";
    assert_string_equal(
        report(*state, text, DIAG_HUMAN),
        "error[E0102]: unexpected `/`, expected `where`, end of line or an operator\n"
        " --> m.mdl:2:16\n"
        "  |\n"
        "2 |   y = x as f32 / 3\n"
        "  |                ^\n"
        "  |\n"
        "  = help: inside arithmetic a cast is a call, as in `f32(x) / tau`, or stands in "
        "parentheses, as in `(x as [N]) / tau`\n");
}

static void test_shows_several(void **state)
{
    const char *text = "let a = 3.\nmodul B(D) {\n  fc: Linear(D, D)\n}\nlet over = 1\n";
    assert_string_equal(report(*state, text, DIAG_HUMAN),
                        "error[E0104]: `3.` is not a number: write `3.0`\n"
                        " --> m.mdl:1:9\n"
                        "  |\n"
                        "1 | let a = 3.\n"
                        "  |         ^^\n"
                        "  |\n"
                        "help: write the zero\n"
                        "  |\n"
                        "1 | let a = 3.0\n"
                        "  |           +\n"
                        "\n"
                        "error[E0102]: unexpected name `modul`, expected end of file or a "
                        "declaration such as `module`, `fn` or `train`\n"
                        " --> m.mdl:2:1\n"
                        "  |\n"
                        "2 | modul B(D) {\n"
                        "  | ^^^^^\n"
                        "  |\n"
                        "  = help: a similar keyword is `module`\n"
                        "\n"
                        "error[E0207]: `over` is a reserved word\n"
                        " --> m.mdl:5:5\n"
                        "  |\n"
                        "5 | let over = 1\n"
                        "  |     ^^^^\n"
                        "  |\n"
                        "  = help: choose another name\n");
}

static void test_shows_parentheses(void **state)
{
    const char *text = "module Net {\n  fn forward(x: [B]) -> [B] = x\n}\n";
    assert_string_equal(report(*state, text, DIAG_HUMAN),
                        "error[E0102]: unexpected `{`, expected `(`\n"
                        " --> m.mdl:1:12\n"
                        "  |\n"
                        "1 | module Net {\n"
                        "  |            ^\n"
                        "  |\n"
                        "help: parentheses stand here even without arguments\n"
                        "  |\n"
                        "1 | module Net() {\n"
                        "  |           ++\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_characters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unexpected, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unexpected_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_brackets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_patterns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_targets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_places, setup, teardown),
        cmocka_unit_test_setup_teardown(test_edition, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reserved_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shows_one_mistake, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shows_unclosed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shows_also_unclosed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shows_cast, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shows_several, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shows_parentheses, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
