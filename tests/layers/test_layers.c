/* LIBS: mdl_base */
/* test_layers.c: an include that points up does not build, and those that point down do.
 *
 * The build writes the include folders of every layer to layers.txt. For each layer this compiles
 * one-line files that include the header of each layer, with that layer's folders, and compares
 * what built with the table of layers in the design. */
#include "base.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Header {
    const char *layer; /* who exposes it */
    const char *name;
} Header;

static const Header headers[] = {
    {"base", "base.h"},       {"ir", "ir.h"},           {"plan", "plan.h"},
    {"rule", "front_rule.h"}, {"front", "front.h"},     {"target", "target.h"},
    {"kernel", "kernel.h"},   {"runtime", "runtime.h"}, {"passes", "passes.h"},
    {"codegen", "codegen.h"}, {"compile", "compile.h"},
};

/* The headers that must build in a layer; all others must not. */
typedef struct Rule {
    const char *layer, *may;
} Rule;

static const Rule rules[] = {
    {"mdl_base", "base"},
    {"mdl_ir", "base ir"},
    {"mdl_plan", "base plan"},
    {"mdl_front_rule", "base ir rule"},
    {"mdl_front", "base ir plan rule front"},
    {"mdl_target", "base ir target"},
    {"mdl_kernel", "base ir kernel"},
    {"mdl_runtime", "base plan runtime"},
    {"mdl_passes", "base ir target rule passes"},
    {"mdl_codegen", "base ir target kernel plan codegen"},
    {"mdl_compile", "base ir plan rule front target kernel passes codegen compile"},
};

/* The words of `-I` flags for a layer from layers.txt, or NULL when there is no such layer. */
static const char *include_flags(Arena *arena, const char *layer)
{
    Bytes text;
    assert_true(file_read(arena, MDL_BINARY_DIR "/layers.txt", 1 << 20, &text, NULL));
    for (char *line = text.data; *line;) {
        size_t n = strcspn(line, "\n");
        size_t name = strcspn(line, ":");
        if (name == strlen(layer) && strncmp(line, layer, name) == 0) {
            StrBuf sb = sb_new(arena);
            for (size_t i = name + 1; i < n;) {
                size_t len = strcspn(line + i, ";\n");
                if (len)
                    sb_printf(&sb, " '-I%.*s'", (int)len, line + i);
                i += len + 1;
            }
            return sb_text(&sb);
        }
        line += n + (line[n] == '\n');
    }
    return NULL;
}

static bool builds(Arena *arena, const char *flags, const char *header)
{
    const char *command =
        arena_printf(arena,
                     "echo '#include \"%s\"' | '%s' -std=c17 -D_POSIX_C_SOURCE=200809L "
                     "-fsyntax-only%s -x c - >/dev/null 2>&1",
                     header, MDL_C_COMPILER, flags);
    int status = system(command);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) == 0;
}

static bool lists(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at += n)
        if ((at == words || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
            return true;
    return false;
}

/* The first header of which the layer sees too much or too little, or NULL. */
static const char *first_wrong(Arena *arena, const Rule *rule, const char *flags, bool *built)
{
    for (size_t i = 0; i < COUNT(headers); i++) {
        *built = builds(arena, flags, headers[i].name);
        if (*built != lists(rule->may, headers[i].layer))
            return headers[i].name;
    }
    return NULL;
}

static void layer_sees_only_lower_ones(void **state)
{
    const Rule *rule = *state;
    Arena *arena = arena_new();
    const char *flags = include_flags(arena, rule->layer);
    bool known = flags != NULL, built = false;
    const char *wrong = known ? first_wrong(arena, rule, flags, &built) : NULL;
    arena_free(arena);
    if (!known)
        skip();
    if (wrong)
        fail_msg("%s: #include \"%s\" %s", rule->layer, wrong,
                 built ? "builds and points up" : "does not build");
}

/* The other test would be worthless if nothing built, or if anything did. */
static void compiler_tells_good_from_bad(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    const char *flags = include_flags(arena, "mdl_base");
    assert_non_null(flags);
    assert_true(builds(arena, flags, "base.h"));
    assert_false(builds(arena, flags, "no_such_header.h"));
    assert_false(builds(arena, "", "base.h"));
    arena_free(arena);
}

int main(void)
{
    struct CMUnitTest tests[COUNT(rules) + 1];
    for (size_t i = 0; i < COUNT(rules); i++)
        tests[i] = (struct CMUnitTest){.name = rules[i].layer,
                                       .test_func = layer_sees_only_lower_ones,
                                       .initial_state = (void *)(uintptr_t)&rules[i]};
    tests[COUNT(rules)] = (struct CMUnitTest)cmocka_unit_test(compiler_tells_good_from_bad);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
