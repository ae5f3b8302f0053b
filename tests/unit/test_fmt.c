/* LIBS: mdl_front mdl_ir mdl_plan mdl_base */
/* test_fmt.c: the one style: its rules case by case, the files of this tree as fixed points, and texts
 * with random blanks, which must come to rest as the same program. */
#include "../support/testrand.h"
#include "fmt.h"
#include <dirent.h>
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

static const char *format(Arena *arena, const char *text)
{
    Diags *diags = diags_new(arena);
    uint32_t file = diags_source(diags, "m.mdl", text, strlen(text));
    Err err = {0};
    const char *out = fmt_file(arena, diags, file, &err);
    assert_string_equal(err.text, "");
    return out;
}

static const char *tree(Arena *arena, const char *text)
{
    Diags *diags = diags_new(arena);
    uint32_t file = diags_source(diags, "m.mdl", text, strlen(text));
    StrBuf sb = sb_new(arena);
    ast_print(ast_parse(arena, syms_new(arena), diags, file), &sb);
    assert_int_equal(diags_errors(diags), 0);
    return sb_text(&sb);
}

typedef struct Case {
    const char *text, *want;
} Case;

static void check(Arena *arena, const Case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(format(arena, cases[i].text), cases[i].want);
        assert_string_equal(format(arena, cases[i].want), cases[i].want);
    }
}

static void test_blanks(void **state)
{
    static const Case cases[] = {
        {"", ""},
        {"let a=1+2 *3", "let a = 1 + 2 * 3\n"},
        {"let a = - x", "let a = -x\n"},
        {"let a = b -c", "let a = b - c\n"},
        {"let a = b*-c ** -2", "let a = b * -c ** -2\n"},
        {"let a = f ( x ,y: 2 ) [ 1:3 , : , ..,2 :] . w", "let a = f(x, y: 2)[1:3, :, .., 2:].w\n"},
        {"let a = ( 1,2 )", "let a = (1, 2)\n"},
        {"let a = [ ]", "let a = []\n"},
        {"let a = not(b)", "let a = not (b)\n"},
        {"let a = 3 %b", "let a = 3 % b\n"},
        {"let a = x|>f|>g( 1 )", "let a = x |> f |> g(1)\n"},
        {"fn f(x:[ .. , D]?=none)->[..]=x [..r,0]",
         "fn f(x: [.., D]? = none) -> [..] = x[..r, 0]\n"},
        {"fn f(n){\nfor i in 0 .. n-1{x=i}\nn\n}",
         "fn f(n) {\n  for i in 0..n - 1 { x = i }\n  n\n}\n"},
        {"fn f(x)=x as[B]", "fn f(x) = x as [B]\n"},
        {"let f = x=>x+1\n\n\n\nlet g=2\n\n", "let f = x => x + 1\n\nlet g = 2\n"},
        {"module M(){}", "module M() {}\n"},
        {"let a = 1;\nlet b=2; let c = 3", "let a = 1\nlet b = 2; let c = 3\n"},
        {"let a = 1\r\nlet b = 2\r\n", "let a = 1\nlet b = 2\n"},
        {"let a = \"\"\"x\n   y\"\"\"  \n", "let a = \"\"\"x\n   y\"\"\"\n"},
    };
    check(*state, cases, COUNT(cases));
}

static void test_lines(void **state)
{
    static const Case cases[] = {
        {"fn f(x) =\nx\n|> g\n", "fn f(x) =\n  x\n  |> g\n"},
        {"let a = f(b,\nc: [1,\n2],\n)",
         "let a = f(b,\n          c: [1,\n              2],\n          )\n"},
        {"let a = f(\nb,\nc\n)", "let a = f(\n  b,\n  c\n)\n"},
        {"fn f(x,\ny) -> [\nB] {\n\nx\n\n}", "fn f(x,\n     y) -> [\n       B] {\n  x\n}\n"},
        {"fn f(x) {\nif x {\n1\n}\nelse {\n2\n}\n}",
         "fn f(x) {\n  if x {\n    1\n  }\n  else {\n    2\n  }\n}\n"},
        {"train m {\nloss = b => {\nh = f(b)\nh\n}\n}",
         "train m {\n  loss = b => {\n    h = f(b)\n    h\n  }\n}\n"},
    };
    check(*state, cases, COUNT(cases));
}

static void test_columns(void **state)
{
    static const Case cases[] = {
        {"module M(D) {\na: F(D) as \"x\"\nlong[D]: Gee(D) as \"y\"\n\nb: F(D)\n}",
         "module M(D) {\n  a:       F(D)   as \"x\"\n  long[D]: Gee(D) as \"y\"\n\n  b: F(D)\n}\n"},
        {"module M(D) {\nparam w: [D, D] ~ ones\nparam bias: [D]? ~ zeros\nfn f(x) = x\n}",
         "module M(D) {\n  param w:    [D, D] ~ ones\n  param bias: [D]?   ~ zeros\n  fn f(x) = "
         "x\n}\n"},
        {"train m {\nlr = 1\nschedule = f(1,\n2)\nb = 2\n}",
         "train m {\n  lr       = 1\n  schedule = f(1,\n               2)\n  b = 2\n}\n"},
        {"model m = M() {\nload a from f(1)\nload bcd from f(2)\n}",
         "model m = M() {\n  load a   from f(1)\n  load bcd from f(2)\n}\n"},
        {"import a: x\nimport bcd: y", "import a:   x\nimport bcd: y\n"},
        /* the author lined up `d`, and nothing in the second pair */
        {"let q = f(ab,  d)\nlet k = f(abc, d)\n", "let q = f(ab,  d)\nlet k = f(abc, d)\n"},
        {"let q = f(ab,    d)\nlet k = f(abc, d)\n", "let q = f(ab, d)\nlet k = f(abc, d)\n"},
    };
    check(*state, cases, COUNT(cases));
}

static void test_comments(void **state)
{
    static const Case cases[] = {
        {"#!mdl 1\n\n\n# a\n   #  b  \nlet x = 1#c", "#!mdl 1\n\n# a\n#  b\nlet x = 1  #c\n"},
        {"let x = 1 # a\nlet long = 2 # b\n\nlet y = 1 # c",
         "let x = 1     # a\nlet long = 2  # b\n\nlet y = 1  # c\n"},
        {"module M() { # a\n# b\n\n\n# c\na: F()\n# d\nbc: F()\n# e\n}",
         "module M() {  # a\n  # b\n\n  # c\n  a:  F()\n  # d\n  bc: F()\n  # e\n}\n"},
        {"let a = f(b, # one\n# two\nc)", "let a = f(b,  # one\n          # two\n          c)\n"},
        {"let a =\n# why\n1", "let a =\n  # why\n  1\n"},
        {"# only", "# only\n"},
    };
    check(*state, cases, COUNT(cases));
}

static void test_refuses_errors(void **state)
{
    Diags *diags = diags_new(*state);
    static const char text[] = "let a = (\n";
    uint32_t file = diags_source(diags, "m.mdl", text, strlen(text));
    Err err = {0};
    assert_null(fmt_file(*state, diags, file, &err));
    assert_int_equal(diags_errors(diags), 1);
    assert_string_equal(err.text, "");
}

/* ---- comments of the tree ---- */

static void test_kept(void **state)
{
    static const char text[] = "# a\n\n\n## b \nlet x = 1 # c\n\n# d";
    Diags *diags = diags_new(*state);
    uint32_t file = diags_source(diags, "m.mdl", text, strlen(text));
    AstText kept = {0};
    ast_parse_text(*state, syms_new(*state), diags, file, &kept);
    static const struct {
        uint32_t lo, hi, blank;
        bool own;
    } want[] = {{0, 3, 0, true}, {6, 10, 2, true}, {22, 25, 0, false}, {27, 30, 1, true}};
    assert_int_equal(kept.comments.n, COUNT(want));
    for (uint32_t i = 0; i < COUNT(want); i++) {
        assert_int_equal(kept.comments.at[i].span.lo, want[i].lo);
        assert_int_equal(kept.comments.at[i].span.hi, want[i].hi);
        assert_int_equal(kept.comments.at[i].blank_lines, want[i].blank);
        assert_int_equal(kept.comments.at[i].own_line, want[i].own);
    }
    assert_int_equal(kept.tokens.n, 4);
}

/* ---- the files of the tree ---- */

typedef void (*FileFn)(Arena *arena, const char *path, const Bytes *text);

static uint32_t each_file(Arena *arena, const char *folder, FileFn fn)
{
    const char *path = path_join(arena, MDL_SOURCE_DIR, folder);
    DIR *dir = opendir(path);
    struct dirent *e;
    uint32_t n = 0;
    while (dir && (e = readdir(dir))) {
        const char *name = path_join(arena, path, e->d_name);
        size_t len = strlen(name);
        Bytes text;
        Err err = {0};
        if (len < 4 || strcmp(name + len - 4, ".mdl") != 0)
            continue;
        assert_true(file_read(arena, name, 1 << 20, &text, &err));
        fn(arena, name, &text);
        n++;
    }
    if (dir)
        closedir(dir);
    return n;
}

static uint32_t each_tree_file(Arena *arena, FileFn fn)
{
    static const char *const folders[] = {"examples/digits", "examples/pneumonia", "models",
                                          "models/std", "tests/recorded"};
    uint32_t n = 0;
    for (uint32_t i = 0; i < COUNT(folders); i++)
        n += each_file(arena, folders[i], fn);
    return n;
}

static void is_fixed(Arena *arena, const char *path, const Bytes *text)
{
    const char *out = format(arena, text->data);
    if (!out || strcmp(out, text->data) != 0)
        fail_msg("%s: `mdl fmt` would change it", path);
}

static void test_tree(void **state)
{
    assert_true(each_tree_file(*state, is_fixed) >= 8);
}

/* Random blanks where blanks are, and random empty lines where lines end. */
static const char *shake(Arena *arena, const char *text, TestRand *r)
{
    StrBuf sb = sb_new(arena);
    bool in_string = false, in_comment = false;
    for (const char *p = text; *p; p++) {
        in_string = in_string != (*p == '"' && !in_comment);
        in_comment = *p != '\n' && (in_comment || (*p == '#' && !in_string));
        bool unit = p > text && p[-1] >= '0' && p[-1] <= '9' && p[1] >= 'a'; /* `5 steps` */
        uint32_t n = !in_string && !in_comment && *p == ' ' && !unit ? rand_below(r, 4) : 0;
        sb_putc(&sb, *p);
        while (n--)
            sb_putc(&sb, ' ');
        if (*p == '\n')
            for (n = rand_below(r, 4); n; n--)
                sb_putc(&sb, n == 1 ? ' ' : '\n');
    }
    return sb_text(&sb);
}

static void is_tidied(Arena *arena, const char *path, const Bytes *text)
{
    TestRand r = {7};
    UNUSED(path);
    for (int i = 0; i < 5; i++) {
        const char *shaken = shake(arena, text->data, &r);
        const char *out = format(arena, shaken);
        assert_non_null(out);
        assert_string_equal(tree(arena, out), tree(arena, text->data));
        assert_string_equal(format(arena, out), out);
    }
}

static void test_shaken(void **state)
{
    assert_true(each_tree_file(*state, is_tidied) >= 8);
}

/* Long lines and deep brackets take no more than linear time and space. */
static void test_large(void **state)
{
    StrBuf sb = sb_new(*state);
    sb_puts(&sb, "let a = [");
    for (int i = 0; i < 20000; i++)
        sb_puts(&sb, "[0][0],  ");
    sb_puts(&sb, "[\n0,\n");
    for (int i = 0; i < 20000; i++)
        sb_puts(&sb, "0,\n");
    sb_puts(&sb, "]]\nmodule M() {\n");
    for (int i = 0; i < 5000; i++)
        sb_printf(&sb, "a%0*d: F(0,  1)  # x\n", i % 100 ? 1 : 1000, i);
    sb_puts(&sb, "}\n");
    size_t n = sb.n;
    assert_in_range(strlen(format(*state, sb_text(&sb))), n / 2, 40 * n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_blanks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_columns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_comments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refuses_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tree, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shaken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
