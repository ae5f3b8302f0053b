/* LIBS: mdl_front mdl_ir mdl_plan mdl_base */
/* test_mistakes.c: the programs of the tree with one mistake each (mistakes.def): it is found, marked
 * where it was made, and nothing follows from it. MDL_SHOW=1 prints the reports. */
#define _GNU_SOURCE
#include "../fuzz/fuzz_file.h"

#include "front.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct Mistake {
    const char *file, *from, *to, *code, *mark;
} Mistake;

static const Mistake mistakes[] = {
#define MISTAKE(file, from, to, code, mark) {file, from, to, #code, mark},
#include "mistakes.def"
#undef MISTAKE
};

static const char *with_mistake(Arena *arena, const Mistake *m)
{
    Bytes text;
    assert_true(file_read(arena, path_join(arena, MDL_SOURCE_DIR, m->file), 1 << 20, &text, NULL));
    const char *at = strstr(text.data, m->from);
    if (!at)
        fail_msg("%s has no `%s` any more: change mistakes.def", m->file, m->from);
    StrBuf sb = sb_new(arena);
    sb_putn(&sb, text.data, (size_t)(at - text.data));
    sb_puts(&sb, m->to);
    sb_puts(&sb, at + strlen(m->from));
    return sb_text(&sb);
}

/* The text from line and column (in bytes) on. */
static const char *place(const char *text, unsigned long line, unsigned long column)
{
    while (--line > 0)
        text = strchr(text, '\n') + 1;
    return text + column - 1;
}

/* `path:line:column: error[E0201]: text` against what is expected. */
static bool is_expected(const Mistake *m, const char *text, const char *path, const char *report)
{
    char *end;
    if (strncmp(report, path, strlen(path)) != 0)
        return false;
    unsigned long line = strtoul(report + strlen(path) + 1, &end, 10);
    unsigned long column = strtoul(end + 1, &end, 10);
    return strncmp(end, ": error[", 8) == 0 && strncmp(end + 8, m->code, 5) == 0 &&
           strncmp(place(text, line, column), m->mark, strlen(m->mark)) == 0;
}

static void check_mistake(void **state)
{
    const Mistake *m = *state;
    Arena *arena = arena_new();
    const char *text = with_mistake(arena, m);
    FuzzFile file = fuzz_file_open(text, strlen(text));
    Ir *ir = ir_new(arena, syms_new(arena), diags_new(arena));
    Err err = {0};
    Front *f = front_open(ir, &(FrontOptions){.path = file.path}, &err);
    assert_false(f && front_check(f));
    const char *all = diags_render(ir->diags, arena, DIAG_SHORT, false), *line = all;
    bool good = diags_errors(ir->diags) == 1;
    while (good && !strstr(arena_strndup(arena, line, strcspn(line, "\n")), ": error["))
        line += strcspn(line, "\n") + 1; /* warnings */
    good = good && is_expected(m, text, file.path, line);
    if (!good)
        print_error("%s\nwith `%s`\nexpected %s at `%s`\n", all, m->to, m->code, m->mark);
    if (getenv("MDL_SHOW"))
        print_message("%s", diags_render(ir->diags, arena, DIAG_HUMAN, false));
    assert_true(good);
    fuzz_file_close(&file);
    arena_free(arena);
}

int main(void)
{
    Arena *arena = arena_new();
    setenv("MDL_PATH",
           MDL_SOURCE_DIR "/models:" MDL_SOURCE_DIR "/examples/digits:" MDL_SOURCE_DIR
                          "/models/std",
           1);
    struct CMUnitTest *tests = NEW_ARRAY(arena, struct CMUnitTest, COUNT(mistakes));
    for (size_t i = 0; i < COUNT(mistakes); i++) {
        const Mistake *m = &mistakes[i];
        tests[i].name = arena_printf(arena, "%s: %s", m->file, m->to);
        tests[i].test_func = check_mistake;
        tests[i].initial_state = (void *)m;
    }
    int failed = _cmocka_run_group_tests("mistakes", tests, COUNT(mistakes), NULL, NULL);
    arena_free(arena);
    return failed;
}
