/* smallcpu.h: a CPU for tests of passes, so that what they choose does not depend on the machine. */
#ifndef SMALLCPU_H
#define SMALLCPU_H

#include "target.h"

static const Target small_cpu = {.kind = TK_CPU,
                                 .name = "cpu",
                                 .isa = "avx2",
                                 .vector = 8,
                                 .registers = 16,
                                 .l1 = 32 << 10,
                                 .l2 = 1 << 20,
                                 .flops = 8e10,
                                 .bandwidth = 8e9,
                                 .launch = 2e-6};

#endif
