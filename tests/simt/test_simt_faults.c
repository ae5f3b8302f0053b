/* LIBS: mdl_test_emulator mdl_runtime mdl_plan mdl_base */
/* test_simt_faults.c: every fault of faults.def is found, in every order, as what it is. */
#include "examples.h"
#include "testdir.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct FaultRow {
    const char *kernel, *what, *text, *replacement, *found;
    size_t shared; /* of a block, instead of the example's */
} FaultRow;

static const FaultRow faults[] = {
#define FAULT(kernel, what, text, replacement, found) {kernel, what, text, replacement, found, 0},
#define SMALL(kernel, bytes, found)                   {kernel, "too little shared memory", NULL, NULL, found, bytes},
#include "faults.def"
#undef FAULT
#undef SMALL
};

static int setup(void **state)
{
    *state = emulator_new();
    return 0;
}

static int teardown(void **state)
{
    emulator_free(*state);
    return 0;
}

/* The kernel's text with the fault; the text stands in it once, so the row says what it means. */
static const char *faulty_text(Emulator *e, const FaultRow *f, const char *text)
{
    if (!f->text)
        return text;
    const char *at = strstr(text, f->text);
    if (!at || strstr(at + 1, f->text))
        fail_msg("%s, %s: the text stands there %s", f->kernel, f->what, at ? "twice" : "nowhere");
    return arena_printf(e->arena, "%.*s%s%s", (int)(at - text), text, f->replacement,
                        at + strlen(f->text));
}

/* Whether one of the words of `found` (a list with bars) is that of the report. */
static bool is_named(Emulator *e, const char *found, const char *report)
{
    for (const char *word = found; *word;) {
        size_t n = strcspn(word, "|");
        if (strstr(report, arena_printf(e->arena, ": %.*s: ", (int)n, word)))
            return true;
        word += n + (word[n] == '|');
    }
    return false;
}

/* What was found otherwise than the row says, or NULL. */
static const char *surprise(Emulator *e, const FaultRow *f, Trial *t, const Kernel *k)
{
    double error = 0;
    bool clean = trial_run(e, k, t, t->c.seed, &error);
    bool off = clean && !(error <= t->of->bound);
    if (clean)
        return !off ? "nothing" : is_named(e, f->found, ": wrong: ") ? NULL : "a wrong result";
    for (uint32_t i = 0; simt_report(e->simt, i); i++)
        if (is_named(e, f->found, simt_report(e->simt, i)))
            return strstr(simt_report(e->simt, i), "line 0") ? "no line" : NULL;
    return simt_report(e->simt, 0);
}

/* Number of orders in which it is not found. */
static int run_fault(Emulator *e, const FaultRow *f)
{
    const Example *of = example_find(f->kernel);
    Kernel k = kernel_compile(e, faulty_text(e, f, example_text(e, of->file)), SIMT_CHECK);
    Trial t;
    int missed = 0;
    trial_begin(e, &t, of);
    if (f->shared)
        t.c.shared = f->shared;
    for (t.c.seed = 0; t.c.seed < test_times(3, 20); t.c.seed++) {
        const char *other = surprise(e, f, &t, &k);
        if (other)
            print_error("%s, %s, seed %d: %s instead of `%s`\n", f->kernel, f->what, (int)t.c.seed,
                        other, f->found);
        missed += other != NULL;
    }
    trial_end(e, &t);
    kernel_free(&k);
    return missed;
}

static void every_fault_is_found(void **state)
{
    int missed = 0;
    for (size_t i = 0; i < COUNT(faults); i++)
        missed += run_fault(*state, &faults[i]);
    assert_int_equal(missed, 0);
    assert_true(COUNT(faults) >= 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_fault_is_found)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
