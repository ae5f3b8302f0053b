/* LIBS: mdl_compile mdl_front mdl_ir mdl_plan mdl_base */
/* test_docs.c: what the documentation shows is true of the program that lies beside it.
 *
 * Of README.md and docs/ (all .md files) it takes the fenced blocks. The word behind the fence says
 * what must hold:
 *   mdl            a whole program, which `mdl check` accepts without a warning
 *   mdl-fragment   parses as items of a file, or as statements of a function, a module or a block
 *   mdl-error CODE `mdl check` refuses it, and its first message has that code
 *   diagnostics    the messages about the mdl-error block above, letter by letter
 * A line `<!-- call: f x=f32[2, 3] y=i32[] -->` above an mdl block also elaborates that function,
 * whose body nothing else might look at. In backticks, names of files must exist, and codes of
 * diagnostics must be rows of diags.def. */
#include "ast.h"
#include "compile.h"
#include "diag.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

/* Where the blocks are written, so that messages name them as a user would see it. */
#define FOLDER  MDL_BINARY_DIR "/docs"
#define EXAMPLE "example.mdl"

enum { MAX_DOC = 1 << 20, MAX_CALLS = 8 };

typedef struct Block {
    const char *kind; /* the words behind the fence */
    const char *text;
    uint32_t line;
    const char *call[MAX_CALLS];
    uint32_t ncall;
} Block;

typedef struct Doc {
    Arena *arena;
    const char *name;
    VEC(Block) blocks;
    StrBuf problems; /* one a line; empty when all is well */
    const char *said;
    uint32_t line;
} Doc;

static void problem(Doc *doc, uint32_t line, const char *what, const char *detail)
{
    sb_printf(&doc->problems, "%s:%u: %s: %s\n", doc->name, line, what, detail);
}

/* ---- names of files, codes ---- */

static const char *const folders[] = {"base/",  "compiler/", "codegen/",  "passes/", "runtime/",
                                      "cli/",   "models/",   "examples/", "tests/",  "tools/",
                                      "cmake/", "docs/",     "bench/"};

static void check_path(Doc *doc, const char *word)
{
    bool ours = false;
    for (size_t i = 0; i < COUNT(folders); i++)
        ours = ours || strncmp(word, folders[i], strlen(folders[i])) == 0;
    if (!ours || strpbrk(word, " *{<("))
        return;
    const char *path = path_join(doc->arena, MDL_SOURCE_DIR, word);
    if (!file_exists(path) && !file_is_dir(path))
        problem(doc, doc->line, "no such file", word);
}

static void check_code(Doc *doc, const char *word)
{
    if (strlen(word) != 5 || !strchr("EW", word[0]) || strspn(word + 1, "0123456789") != 4)
        return;
    for (int c = 0; c < DIAG_COUNT; c++)
        if (strcmp(diag_code_name((DiagCode)c), word) == 0)
            return;
    problem(doc, doc->line, "no such code", word);
}

/* What stands in backticks on a line of prose. */
static void check_line(Doc *doc, const char *line)
{
    for (const char *open = strchr(line, '`'); open; open = strchr(open, '`')) {
        size_t n = strcspn(++open, "`");
        if (!open[n])
            return;
        const char *word = arena_strndup(doc->arena, open, n);
        check_path(doc, word);
        check_code(doc, word);
        open += n + 1;
    }
}

/* ---- reading ---- */

/* The next line without its newline; NULL at the end. */
static const char *next_line(Doc *doc, const char **at)
{
    if (!**at)
        return NULL;
    size_t n = strcspn(*at, "\n");
    const char *line = arena_strndup(doc->arena, *at, n);
    *at += n + ((*at)[n] == '\n');
    doc->line++;
    return line;
}

static bool is_fence(const char *line)
{
    return strncmp(line, "```", 3) == 0;
}

static void read_block(Doc *doc, const char **at, Block *b)
{
    StrBuf text = sb_new(doc->arena);
    const char *line;
    b->line = doc->line;
    while ((line = next_line(doc, at)) && !is_fence(line))
        sb_printf(&text, "%s\n", line);
    if (!line)
        problem(doc, b->line, "the block has no end", b->kind);
    b->text = sb_text(&text);
    VEC_PUSH(doc->arena, &doc->blocks, *b);
}

static void read_doc(Doc *doc, const char *text)
{
    static const char call[] = "<!-- call: ", end[] = " -->";
    Block b = {0};
    const char *line;
    while ((line = next_line(doc, &text))) {
        size_t n = strlen(line);
        if (strncmp(line, call, strlen(call)) == 0 && b.ncall < MAX_CALLS &&
            n > strlen(call) + strlen(end)) {
            b.call[b.ncall++] =
                arena_strndup(doc->arena, line + strlen(call), n - strlen(call) - strlen(end));
        } else if (is_fence(line)) {
            b.kind = line + 3;
            read_block(doc, &text, &b);
            b = (Block){0};
        } else {
            check_line(doc, line);
        }
    }
}

/* ---- fragments ---- */

static bool parses(Doc *doc, const char *before, const char *text, const char *after)
{
    const char *whole = arena_printf(doc->arena, "%s%s%s", before, text, after);
    Diags *diags = diags_new(doc->arena);
    uint32_t file = diags_source(diags, EXAMPLE, whole, strlen(whole));
    ast_parse(doc->arena, syms_new(doc->arena), diags, file);
    return diags_errors(diags) == 0;
}

static void check_fragment(Doc *doc, const Block *b)
{
    bool ok = parses(doc, "", b->text, "") || parses(doc, "fn f() {\n", b->text, "}\n") ||
              parses(doc, "module M() {\n", b->text, "}\n") ||
              parses(doc, "train m {\n", b->text, "}\n");
    if (!ok)
        problem(doc, b->line, "does not parse anywhere", b->text);
}

/* ---- programs ---- */

static const char *messages(Doc *doc, Compile *c)
{
    return diags_render(compile_diags(c), doc->arena, DIAG_HUMAN, false);
}

/* `x=f32[2, 3]` to an input; false when it is no such text. */
static bool read_input(Arena *arena, const char **at, CompileInput *in)
{
    size_t name = strcspn(*at, "="), type = strcspn(*at, "[");
    if (!(*at)[name] || !(*at)[type] || type < name)
        return false;
    in->name = arena_strndup(arena, *at, name);
    if (!dtype_find(arena_strndup(arena, *at + name + 1, type - name - 1), &in->dtype))
        return false;
    const char *p = *at + type + 1;
    while (*p && *p != ']' && in->rank < PLAN_MAX_RANK) {
        char *end;
        in->dim[in->rank++] = strtoll(p, &end, 10);
        p = end + strspn(end, ", ");
    }
    if (*p != ']')
        return false;
    *at = p + 1 + strspn(p + 1, " ");
    return true;
}

static void check_call(Doc *doc, Compile *c, const Block *b, const char *call)
{
    CompileInput in[MAX_CALLS] = {{0}};
    size_t n = strcspn(call, " ");
    CompileCall cc = {.function = arena_strndup(doc->arena, call, n), .inputs = in};
    Err err = {0};
    for (const char *at = call + n + strspn(call + n, " "); *at;) {
        if (cc.ninput == MAX_CALLS || !read_input(doc->arena, &at, &in[cc.ninput++])) {
            problem(doc, b->line, "not arguments of a call", at);
            return;
        }
    }
    if (!compile_call(c, &cc, &err) || diags_warnings(compile_diags(c)))
        problem(doc, b->line, call, messages(doc, c));
}

static void check_accepted(Doc *doc, Compile *c, const Block *b, bool ok)
{
    if (!ok || diags_warnings(compile_diags(c)))
        problem(doc, b->line, "refused", messages(doc, c));
    for (uint32_t i = 0; ok && i < b->ncall; i++)
        check_call(doc, c, b, b->call[i]);
}

static void check_refused(Doc *doc, Compile *c, const Block *b)
{
    const char *code = b->kind + strlen("mdl-error ");
    doc->said = messages(doc, c);
    const char *want = arena_printf(doc->arena, "error[%s]", code);
    if (strncmp(doc->said, want, strlen(want)) != 0)
        problem(doc, b->line, code, doc->said);
}

static void check_program(Doc *doc, const Block *b)
{
    Err err = {0};
    CompileOptions opt = {.path = EXAMPLE, .isa = "generic"};
    assert_true(file_write_atomic(EXAMPLE, b->text, strlen(b->text), &err));
    Compile *c = compile_new(&opt);
    bool ok = compile_load(c, &err) && compile_check(c, &err);
    if (strcmp(b->kind, "mdl") == 0)
        check_accepted(doc, c, b, ok);
    else
        check_refused(doc, c, b);
    compile_free(c);
}

static void check_block(Doc *doc, const Block *b)
{
    if (strcmp(b->kind, "mdl-fragment") == 0)
        check_fragment(doc, b);
    else if (strcmp(b->kind, "mdl") == 0 || strncmp(b->kind, "mdl-error ", 10) == 0)
        check_program(doc, b);
    else if (strncmp(b->kind, "mdl", 3) == 0)
        problem(doc, b->line, "unknown kind of block", b->kind);
    if (strcmp(b->kind, "diagnostics") == 0 && (!doc->said || strcmp(doc->said, b->text) != 0))
        problem(doc, b->line, "these are not the messages", doc->said ? doc->said : "(none)");
}

/* The problems of a text; *n: its blocks of mdl. */
static const char *check_doc(Arena *arena, const char *name, const char *text, uint32_t *n)
{
    Doc doc = {.arena = arena, .name = name, .problems = sb_new(arena)};
    read_doc(&doc, text);
    *n = 0;
    for (uint32_t i = 0; i < doc.blocks.n; i++) {
        check_block(&doc, &doc.blocks.at[i]);
        *n += strncmp(doc.blocks.at[i].kind, "mdl", 3) == 0;
    }
    return sb_text(&doc.problems);
}

/* ---- the tests ---- */

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

static uint32_t check_file(Arena *arena, const char *name)
{
    Bytes text;
    Err err = {0};
    uint32_t n;
    assert_true(file_read(arena, path_join(arena, MDL_SOURCE_DIR, name), MAX_DOC, &text, &err));
    assert_string_equal(check_doc(arena, name, text.data, &n), "");
    return n;
}

static void test_readme(void **state)
{
    assert_true(check_file(*state, "README.md") > 0);
}

/* The names of docs/ that end in .md. */
static uint32_t list_docs(Arena *arena, const char **names, uint32_t max)
{
    DIR *dir = opendir(MDL_SOURCE_DIR "/docs");
    assert_non_null(dir);
    uint32_t n = 0;
    for (struct dirent *e = readdir(dir); e && n < max; e = readdir(dir)) {
        size_t len = strlen(e->d_name);
        if (len > 3 && strcmp(e->d_name + len - 3, ".md") == 0)
            names[n++] = arena_printf(arena, "docs/%s", e->d_name);
    }
    closedir(dir);
    return n;
}

static void test_docs(void **state)
{
    const char *names[64];
    uint32_t n = list_docs(*state, names, COUNT(names)), blocks = 0;
    for (uint32_t i = 0; i < n; i++)
        blocks += check_file(*state, names[i]);
    assert_true(blocks >= 10);
}

typedef struct Wrong {
    const char *text, *problem; /* part of the report; "" for a right text */
} Wrong;

static void test_mistakes_are_found(void **state)
{
    static const Wrong cases[] = {
        {"```mdl\nlet a = 3\n```\n", ""},
        {"```mdl\nlet a = b\n```\n", "x:1: refused: error[E0201]: unknown name `b`"},
        {"```mdl\nlet relu = 3\n```\n", "warning[W0102]"},
        {"```mdl\nlet a = 3\n", "no end"},
        {"```mdl-error E0201\nlet a = b\n```\n", ""},
        {"```mdl-error E0202\nlet a = b\n```\n", "E0201"},
        {"```mdl-error E0201\nlet a = 3\n```\n", "E0201"},
        {"```mdl-fragment\nx = y[1:]\n```\n", ""},
        {"```mdl-fragment\nx = = y\n```\n", "does not parse"},
        {"```mdl-other\n```\n", "unknown kind"},
        {"```diagnostics\n```\n", "not the messages"},
        {"<!-- call: f x=f32[2] -->\n```mdl\nfn f(x: [D]) -> [D] = x\n```\n", ""},
        {"<!-- call: f x=f32[2, 3] -->\n```mdl\nfn f(x: [D]) -> [D] = x\n```\n", "E0406"},
        {"<!-- call: f x -->\n```mdl\nfn f(x) = x\n```\n", "not arguments"},
        {"in `base/base.h`, `base/nothing.h`\n", "x:1: no such file: base/nothing.h"},
        {"`E0101` and `E9999`\n", "x:1: no such code: E9999"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint32_t n;
        const char *found = check_doc(*state, "x", cases[i].text, &n);
        if (!*cases[i].problem)
            assert_string_equal(found, "");
        else if (!strstr(found, cases[i].problem))
            fail_msg("case %zu: found \"%s\", not \"%s\"", i, found, cases[i].problem);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_readme, setup, teardown),
        cmocka_unit_test_setup_teardown(test_docs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mistakes_are_found, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
