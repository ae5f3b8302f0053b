/* LIBS: mdl_base */
/* test_manual.c: the pages of docs/ that are made from the tables are those of today's tables. */
#include "base.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void pages_are_current(void **state)
{
    UNUSED(state);
    /* says which page is not, and how to write it */
    assert_int_equal(
        system("'" MDL_BINARY_DIR "/tools/manual/mdl-manual' --check '" MDL_SOURCE_DIR "/docs'"),
        0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pages_are_current)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
