/* parity.h: what may be left out changes nothing but speed. A course is compiled again without each pass
 * that may be skipped, without fusion, and with values computed again in the backward half: a step then has
 * the same bits, or gradients as near as passes.def says. */
#ifndef MDL_TEST_PARITY_H
#define MDL_TEST_PARITY_H

#include "courses.h"

/* cache: folder of compiled kernels. */
void parity_check(const Course *c, const char *cache);

#endif
