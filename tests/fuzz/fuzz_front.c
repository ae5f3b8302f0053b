/* LIBS: mdl_front mdl_front_rule mdl_ir mdl_plan mdl_base */
/* fuzz_front.c: programs that may say anything, from text to checked graphs. What is refused must be
 * refused with a diagnostic, and what every stage accepts must hold the invariants of graphs. */
#define _GNU_SOURCE
#include "fuzz_program.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static FuzzStd s;
    if (!s.arena)
        s = fuzz_std_new();
    FuzzFile file = fuzz_file_open(data, n);
    if (fuzz_load(&s, file.path)) {
        bool good = front_check(s.front);
        ASSERT(good == (diags_errors(s.ir->diags) == 0));
        fuzz_stages(&s);
    }
    ASSERT(diags_render(s.ir->diags, s.arena, DIAG_HUMAN, false));
    fuzz_std_restore(&s);
    fuzz_file_close(&file);
    return 0;
}
