/* LIBS: mdl_target mdl_ir mdl_base */
/* test_target.c: the host runs every class of operations; what a target does not run, fuse.c refuses at its
 * place. */
#include "target.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_classes(void **state)
{
    UNUSED(state);
    Target target;
    Err err = {0};
    assert_true(target_host(&target, NULL, &err));
    for (OpClass cls = OC_LEAF; cls <= OC_GROUP; cls++)
        assert_true(target_runs(&target, cls));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
