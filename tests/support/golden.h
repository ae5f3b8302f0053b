/* golden.h: text in, text out. A golden file has cases:
 *
 *   ## x * 1 -> x
 *   graph g {
 *     ...
 *   }
 *   =>
 *   graph g {
 *     ...
 *   }
 *
 * Everything before the first `##` is comment. With MDL_UPDATE_GOLDEN=1 in the environment the
 * expected texts are replaced by what the pass gives; read the diff before you commit it. */
#ifndef MDL_GOLDEN_H
#define MDL_GOLDEN_H

#include "passes.h"

/* Runs `pass` on every case of tests/golden/<file> and compares. NULL when all agree, else a report in
 * `arena`. Verifies the results too. */
const char *golden_check(Arena *arena, const char *file, PassFn pass);

#endif
