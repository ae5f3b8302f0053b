/* LIBS: mdl_test_parity mdl_test_courses mdl_test_machine mdl_test_lab mdl_compile mdl_codegen mdl_kernel mdl_passes mdl_front mdl_front_rule mdl_runtime mdl_plan mdl_target mdl_ir mdl_base */
/* test_parity_pictures.c: models of pictures are the same without what may be left out (parity.h). */
#include "parity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_parity(void **state)
{
    UNUSED(state);
    for (size_t k = 0; k < COURSES; k++)
        if (!courses[k].texts)
            parity_check(&courses[k], MDL_KERNEL_CACHE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parity)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
