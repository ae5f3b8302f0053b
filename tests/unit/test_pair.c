/* LIBS: mdl_test_support mdl_passes mdl_front_rule mdl_target mdl_ir mdl_base */
/* test_pair.c: which calls become one, on golden texts; bodies are compared by tests/ops/test_codegen_xent.c. */
#include "golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static Graph *pair_on_cpu(PassCx *cx, const Graph *in)
{
    static const Target cpu = {.kind = TK_CPU, .name = "cpu", .isa = "generic", .vector = 4};
    cx->target = &cpu;
    return pass_pair(cx, in);
}

static void test_golden(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    const char *report = golden_check(arena, "pair/pair.txt", pair_on_cpu);
    if (report)
        fail_msg("%s", report);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
