/* LIBS: mdl_compile mdl_front mdl_ir mdl_plan mdl_base */
/* test_explain.c: the pages of `mdl explain` are true: every code that can be reported has one, the wrong
 * example gets that code and nothing else, the right one is accepted without a word.
 *
 * A line `<!-- call: f x=f32[2, 3] -->` above an example elaborates that function, whose body nothing
 * else looks at; `<!-- grad -->` compares derivatives too. */
#include "compile.h"
#include "diag.h"
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#define FOLDER  MDL_BINARY_DIR "/explain"
#define EXAMPLE "example.mdl"

enum { MAX_PAGE = 1 << 16, MAX_INPUTS = 4 };

/* Pages without examples, and why. */
static const struct {
    const char *code, *why;
} textual[] = {
    {"E0199", "what is not supported yet becomes less"},
    {"E0505", "reported when a plan is made"},
    {"E0701", "reported when a run begins"},
    {"E0810", "two programs in one run folder"},
    {"E0812", "depends on the machine"},
    {"E0813", "depends on the machine"},
    {"E0815", "of a block that makes text, when its entries are made"},
    {"E0811", "given on the command line"},
    {"E1001", "of a file of weights"},
    {"E1002", "of a file of weights"},
};

typedef struct Example {
    const char *text, *call; /* call may be NULL */
    bool grad;
} Example;

typedef struct Page {
    const char *code, *title;
    Example wrong, right;
} Page;

static int setup(void **state)
{
    Err err = {0};
    *state = arena_new();
    return file_mkdirs(FOLDER, &err) && chdir(FOLDER) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    arena_free(*state);
    return 0;
}

/* The text between the fence `mark` and the next; its call stands on the line above. */
static Example find_example(Arena *arena, const char *page, const char *mark)
{
    static const char call[] = "<!-- call: ";
    const char *at = strstr(page, mark);
    if (!at)
        return (Example){0};
    const char *from = at + strlen(mark), *to = strstr(from, "```"), *above = at - 1;
    assert_non_null(to);
    Example x = {.text = arena_strndup(arena, from, (size_t)(to - from))};
    while (above > page && above[-1] != '\n')
        above--;
    x.grad = strncmp(above, "<!-- grad -->", strlen("<!-- grad -->")) == 0;
    if (strncmp(above, call, strlen(call)) == 0)
        x.call =
            arena_strndup(arena, above + strlen(call), strcspn(above, "\n") - strlen(call) - 4);
    return x;
}

static void read_input(Arena *arena, const char **at, CompileInput *in)
{
    size_t name = strcspn(*at, "="), type = strcspn(*at, "[");
    in->name = arena_strndup(arena, *at, name);
    assert_true(dtype_find(arena_strndup(arena, *at + name + 1, type - name - 1), &in->dtype));
    const char *p = *at + type + 1;
    while (*p && *p != ']' && in->rank < PLAN_MAX_RANK) {
        char *end;
        in->dim[in->rank++] = strtoll(p, &end, 10);
        p = end + strspn(end, ", ");
    }
    assert_int_equal(*p, ']');
    *at = p + 1 + strspn(p + 1, " ");
}

static bool elaborate(Arena *arena, Compile *c, const char *call)
{
    CompileInput in[MAX_INPUTS] = {{0}};
    size_t n = strcspn(call, " ");
    CompileCall cc = {.function = arena_strndup(arena, call, n), .inputs = in};
    Err err = {0};
    for (const char *at = call + n + strspn(call + n, " "); *at;) {
        assert_in_range(cc.ninput, 0, MAX_INPUTS - 1);
        read_input(arena, &at, &in[cc.ninput++]);
    }
    return compile_call(c, &cc, &err);
}

/* What is reported about the example, one a line. */
static const char *reports(Arena *arena, const Example *x)
{
    Err err = {0};
    CompileOptions opt = {.path = EXAMPLE, .isa = "generic", .gradients = x->grad};
    assert_true(file_write_atomic(EXAMPLE, x->text, strlen(x->text), &err));
    Compile *c = compile_new(&opt);
    if (compile_load(c, &err) && compile_check(c, &err) && x->call)
        elaborate(arena, c, x->call);
    const char *text = diags_render(compile_diags(c), arena, DIAG_SHORT, false);
    compile_free(c);
    return text;
}

static bool is_wrong(Arena *arena, const Page *p)
{
    const char *got = reports(arena, &p->wrong);
    const char *want = arena_printf(arena, "[%s]", p->code), *first = strstr(got, want);
    const char *newline = strchr(got, '\n');
    bool ok = first && newline && first < newline && strlen(newline) == 1;
    if (!ok)
        print_message("%s: the wrong example gives: %s\n", p->code, got);
    return ok;
}

static bool is_right(Arena *arena, const Page *p)
{
    const char *got = reports(arena, &p->right);
    if (*got)
        print_message("%s: the right example gives: %s\n", p->code, got);
    return !*got;
}

static bool is_textual(const char *code)
{
    for (size_t i = 0; i < COUNT(textual); i++)
        if (strcmp(textual[i].code, code) == 0)
            return true;
    return false;
}

static bool check_page(Arena *arena, Page *p, const char *text)
{
    const char *title = arena_printf(arena, "# %s: %s\n\n", p->code, p->title);
    const char *mark = arena_printf(arena, "```mdl-error %s\n", p->code);
    p->wrong = find_example(arena, text, mark);
    p->right = find_example(arena, text, "```mdl\n");
    if (strncmp(text, title, strlen(title)) != 0) {
        print_message("%s: the page does not begin with its title\n", p->code);
        return false;
    }
    if (is_textual(p->code))
        return !p->wrong.text;
    if (!p->wrong.text || !p->right.text) {
        print_message("%s: an example is missing\n", p->code);
        return false;
    }
    bool wrong = is_wrong(arena, p), right = is_right(arena, p);
    return wrong && right;
}

static void test_pages(void **state)
{
    uint32_t bad = 0;
    for (int c = 0; c < DIAG_COUNT; c++) {
        Page p = {.code = diag_code_name((DiagCode)c), .title = diag_code_title((DiagCode)c)};
        const char *path = arena_printf(*state, MDL_SOURCE_DIR "/docs/explain/%s.md", p.code);
        Bytes text;
        Err err = {0};
        if (!file_read(*state, path, MAX_PAGE, &text, &err)) {
            print_message("%s: no page\n", p.code);
            bad++;
            continue;
        }
        bad += !check_page(*state, &p, text.data);
    }
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pages, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
