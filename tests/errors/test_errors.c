/* LIBS: mdl_front mdl_ir mdl_plan mdl_base */
/* test_errors.c: what users see. Every file of cases/ is a program with mistakes and says itself what
 * must be reported: `# ERROR E0413: cannot broadcast` on the line of the mistake (part of the text is
 * enough, several are possible, WARNING likewise), `# ELSEWHERE E0109: text` for a report in another
 * file or without a place. `# SET path=expr` gives an override; what is wrong with it is expected on that line.
 * All reports of a file must be expected, and every code of diags.def must occur in some file or be
 * listed below.
 * Files of rendered/ are compared with the whole text that users see, NAME.txt; MDL_UPDATE_GOLDEN=1
 * writes these, MDL_SHOW=1 prints the reports of all cases. */
#include "front.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define FOLDER MDL_SOURCE_DIR "/tests/errors"

/* Codes without a case, and why. A new diagnostic needs one or the other. */
static const struct {
    const char *code, *why;
} elsewhere[] = {
    {"E0101", "test_syntax"},
    {"E0103", "test_syntax"},
    {"E0106", "test_syntax"},
    {"E0108", "test_syntax"},
    {"E0207", "test_syntax"},
    {"E0505", "needs a target that lacks an element type"},
    {"E0606", "needs check --grad"},
    {"E0812", "depends on the machine: test_memory"},
    {"E0813", "depends on the machine: test_micro"},
    {"E0701", "the start of a run"},
    {"E0815", "entries of a block that makes text: tests/cli/test_generate_stored.c"},
    {"E0810", "the start of a run"},
    {"E1001", "checkpoints"},
    {"E1002", "checkpoints"},
};

typedef struct Report {
    uint32_t line; /* 0: elsewhere */
    char code[8];
    const char *text;
    bool seen;
} Report;

typedef VEC(Report) Reports;

typedef struct Case {
    const char *path;
    bool *codes; /* DIAG_COUNT: seen in any case */
} Case;

/* ---- expectations ---- */

static bool is_code(const char *p)
{
    return (p[0] == 'E' || p[0] == 'W') && strspn(p + 1, "0123456789") == 4;
}

/* `# ERROR E0201: text` up to the next `#` or the end of the line. */
static void expect_line(Arena *arena, Reports *out, const char *line, uint32_t number)
{
    static const char *const words[] = {"# ERROR ", "# WARNING ", "# ELSEWHERE "};
    for (size_t w = 0; w < COUNT(words); w++) {
        for (const char *p = strstr(line, words[w]); p; p = strstr(p + 1, words[w])) {
            Report r = {.line = w == 2 ? 0 : number};
            const char *code = p + strlen(words[w]), *text = code + 6;
            assert_true(is_code(code) && code[5] == ':');
            memcpy(r.code, code, 5);
            text += strspn(text, " ");
            const char *next = strstr(text, " # ");
            size_t n = next ? (size_t)(next - text) : strlen(text);
            r.text = arena_strndup(arena, text, n);
            VEC_PUSH(arena, out, r);
        }
    }
}

/* The expectations of a file, and its overrides. */
static uint32_t read_case(Arena *arena, const char *path, Reports *out, const char *set[8])
{
    Bytes text;
    uint32_t nset = 0, number = 1;
    assert_true(file_read(arena, path, 1 << 20, &text, NULL));
    for (const char *p = text.data; *p; number++) {
        size_t n = strcspn(p, "\n");
        const char *line = arena_strndup(arena, p, n);
        expect_line(arena, out, line, number);
        if (strncmp(line, "# SET ", 6) == 0) {
            const char *end = strstr(line + 6, " # ");
            assert_true(nset < 8);
            set[nset++] =
                arena_strndup(arena, line + 6, end ? (size_t)(end - line - 6) : strlen(line + 6));
        }
        p += n + (p[n] == '\n');
    }
    return nset;
}

/* ---- what is reported ---- */

/* The line of the case where `# SET path=expr` stands, for reports about --set. */
static uint32_t set_line(const char *text, const char *set)
{
    const char *at = strstr(text, set);
    uint32_t line = 1;
    for (const char *p = text; at && p < at; p++)
        line += *p == '\n';
    return at ? line : 0;
}

/* One line of the short form: `path:line:column: error[E0201]: text`, or without a place. */
static void read_report(Arena *arena, Reports *out, const char *line, const char *path,
                        const Bytes *source)
{
    Report r = {0};
    const char *bracket = strchr(line, '[');
    assert_true(bracket && is_code(bracket + 1));
    memcpy(r.code, bracket + 1, 5);
    r.text = arena_strdup(arena, bracket + 9);
    char *end;
    size_t length = strlen(path);
    if (strncmp(line, "--set", 5) == 0) {
        const char *name = line + strcspn(line, " :");
        size_t n = strcspn(name + 1, ":");
        const char *set = *name == ' ' ? arena_strndup(arena, name + 1, n) : "# SET ";
        r.line = set_line(source->data, set);
    } else if (strncmp(line, path, length) == 0 && line[length] == ':') {
        r.line = (uint32_t)strtoul(line + length + 1, &end, 10);
        assert_true(*end == ':');
    }
    VEC_PUSH(arena, out, r);
}

static Reports reports_of(Arena *arena, const char *path, const char *const *set, uint32_t nset)
{
    Reports out = {0};
    Bytes source;
    Ir *ir = ir_new(arena, syms_new(arena), diags_new(arena));
    Err err = {0};
    FrontOptions options = {.path = path, .set = set, .nset = nset};
    Front *f = front_open(ir, &options, &err);
    bool good = f && front_check(f);
    assert_int_equal(good, diags_errors(ir->diags) == 0);
    assert_true(f || err.kind == ERR_PROGRAM);
    if (getenv("MDL_SHOW"))
        print_message("%s", diags_render(ir->diags, arena, DIAG_HUMAN, false));
    assert_true(diags_errors(ir->diags) <= 20); /* more are not shown */
    assert_true(file_read(arena, path, 1 << 20, &source, NULL));
    const char *text = diags_render(ir->diags, arena, DIAG_SHORT, false);
    while (*text) {
        size_t n = strcspn(text, "\n");
        read_report(arena, &out, arena_strndup(arena, text, n), path, &source);
        text += n + (text[n] == '\n');
    }
    return out;
}

/* ---- comparison ---- */

static Report *find_report(Reports *in, const Report *want)
{
    for (uint32_t i = 0; i < in->n; i++) {
        Report *r = &in->at[i];
        if (!r->seen && r->line == want->line && strcmp(r->code, want->code) == 0 &&
            strstr(r->text, want->text))
            return r;
    }
    return NULL;
}

static void mark_code(bool *codes, const char *name)
{
    for (int c = 0; c < DIAG_COUNT; c++)
        if (strcmp(diag_code_name((DiagCode)c), name) == 0)
            codes[c] = true;
}

static void check_file(void **state)
{
    const Case *c = *state;
    Arena *arena = arena_new();
    Reports want = {0};
    const char *set[8];
    bool ok = true;
    uint32_t nset = read_case(arena, c->path, &want, set);
    Reports got = reports_of(arena, c->path, set, nset);
    for (uint32_t i = 0; i < want.n; i++) {
        Report *r = find_report(&got, &want.at[i]);
        if (!r) {
            print_error("%s:%u: missing %s: %s\n", c->path, want.at[i].line, want.at[i].code,
                        want.at[i].text);
            ok = false;
        } else {
            r->seen = true;
            mark_code(c->codes, r->code);
        }
    }
    for (uint32_t i = 0; i < got.n; i++) {
        if (!got.at[i].seen) {
            print_error("%s:%u: unexpected %s: %s\n", c->path, got.at[i].line, got.at[i].code,
                        got.at[i].text);
            ok = false;
        }
    }
    assert_true(ok);
    assert_true(want.n > 0);
    arena_free(arena);
}

static bool is_elsewhere(const char *code)
{
    for (size_t i = 0; i < COUNT(elsewhere); i++)
        if (strcmp(elsewhere[i].code, code) == 0)
            return true;
    return false;
}

/* Runs last. */
static void every_code_has_a_case(void **state)
{
    const bool *codes = *state;
    bool ok = true;
    for (int c = 0; c < DIAG_COUNT; c++) {
        const char *name = diag_code_name((DiagCode)c);
        if (codes[c] == is_elsewhere(name)) {
            print_error("%s: %s\n", name,
                        codes[c] ? "has a case and is listed as having none"
                                 : "add a case to tests/errors/cases");
            ok = false;
        }
    }
    assert_true(ok);
}

/* ---- whole texts ---- */

static void check_rendering(void **state)
{
    const Case *c = *state;
    Arena *arena = arena_new();
    Ir *ir = ir_new(arena, syms_new(arena), diags_new(arena));
    Front *f = front_open(ir, &(FrontOptions){.path = c->path}, &(Err){0});
    assert_false(f && front_check(f));
    const char *got = diags_render(ir->diags, arena, DIAG_HUMAN, false);
    char *path = arena_strdup(arena, c->path);
    memcpy(strstr(path, ".mdl"), ".txt", 4);
    Bytes want;
    if (getenv("MDL_UPDATE_GOLDEN"))
        assert_true(file_write_atomic(path, got, strlen(got), NULL));
    assert_true(file_read(arena, path, 1 << 20, &want, NULL));
    assert_string_equal(got, want.data);
    arena_free(arena);
}

/* ---- the folders ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

typedef VEC(struct CMUnitTest) Tests;

/* A test for every .mdl file of a folder. */
static void add_folder(Arena *arena, const char *folder, CMUnitTestFunction run, bool *codes,
                       Tests *out)
{
    VEC(const char *) names = {0};
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (strstr(entry->d_name, ".mdl"))
            VEC_PUSH(arena, &names, arena_strdup(arena, entry->d_name));
    if (dir)
        closedir(dir);
    qsort(names.at, names.n, sizeof *names.at, compare_names);
    for (uint32_t i = 0; i < names.n; i++) {
        Case *c = NEW(arena, Case);
        *c = (Case){path_join(arena, folder, names.at[i]), codes};
        struct CMUnitTest test = {c->path, run, NULL, NULL, c};
        VEC_PUSH(arena, out, test);
    }
}

int main(void)
{
    Arena *arena = arena_new();
    static bool codes[DIAG_COUNT];
    Tests tests = {0};
    if (chdir(FOLDER) != 0)
        return 1;
    add_folder(arena, "cases", check_file, codes, &tests);
    add_folder(arena, "rendered", check_rendering, codes, &tests);
    struct CMUnitTest last = {"every code has a case", every_code_has_a_case, NULL, NULL, codes};
    VEC_PUSH(arena, &tests, last);
    int failed = _cmocka_run_group_tests("errors", tests.at, tests.n, NULL, NULL);
    arena_free(arena);
    return failed;
}
