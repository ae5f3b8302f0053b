/* fuzz.h: what a fuzz target defines. It returns 0, and must not crash, leak, hang or call BUG. */
#ifndef MDL_FUZZ_H
#define MDL_FUZZ_H

#include "base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#endif
