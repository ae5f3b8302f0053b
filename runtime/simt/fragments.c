/* fragments.c: where elements of matrices lie, by the tables of fragments.def.
 *
 * Offsets of operands of warpgroups follow the canonical layouts of the PTX ISA ("Shared Memory Matrix
 * Layout", "Strides"), as CUTLASS spells them out for its descriptors: units of 16 bytes, 8 of them for a
 * core matrix; what a swizzle spans is one run of `bytes` for each of 8 lines (or 8 k), the next eight
 * follow at the stride. Without a swizzle the runs are of one unit, and those of one core matrix are
 * neighbours. */
#include "fragments.h"

#define ROW(g, p, b0, b1, b2, r)       .row = {g, p, {b0, b1, b2}, r}
#define COL(g, p, b0, b1, b2, r)       .col = {g, p, {b0, b1, b2}, r}
#define FRAGMENT(id, from, rows, cols) [FRAGMENT_##id] = {.source = from, rows, cols},
const Fragment fragments[FRAGMENT_COUNT] = {
#include "fragments.def"
};
#undef FRAGMENT

#define SWIZZLE(bytes, mode, bits, source) {bytes, mode, bits, source},
static const Swizzle swizzles[] = {
#include "fragments.def"
};
#undef SWIZZLE

const Swizzle *swizzle_of_mode(int mode)
{
    for (size_t i = 0; i < COUNT(swizzles); i++)
        if (swizzles[i].mode == mode)
            return &swizzles[i];
    BUG("swizzle mode %d", mode);
}

const Swizzle *swizzle_of_bytes(int bytes)
{
    for (size_t i = 0; i < COUNT(swizzles); i++)
        if (swizzles[i].bytes == bytes)
            return &swizzles[i];
    return NULL;
}

enum { UNIT = 16, LINES = 8, FIELD = 0x3fff };

MatrixPlace matrix_place(uint64_t d)
{
    return (MatrixPlace){.swizzle = swizzle_of_mode((int)(d >> 62)),
                         .start = (uint32_t)(d & FIELD) * UNIT,
                         .leading = (uint32_t)(d >> 16 & FIELD) * UNIT,
                         .stride = (uint32_t)(d >> 32 & FIELD) * UNIT};
}

uint32_t matrix_offset_k(const MatrixPlace *p, int line, int k)
{
    uint32_t l = (uint32_t)line, run = (uint32_t)p->swizzle->bytes, byte = (uint32_t)k * 2;
    uint32_t block = p->start + l / LINES * p->stride;
    if (!run)
        return block + l % LINES * UNIT + byte / UNIT * p->leading + byte % UNIT;
    return swizzle_apply(p->swizzle, block + l % LINES * run + byte);
}

uint32_t matrix_offset_mn(const MatrixPlace *p, int line, int k)
{
    uint32_t row = (uint32_t)k, run = (uint32_t)p->swizzle->bytes, byte = (uint32_t)line * 2;
    if (!run)
        return p->start + row / LINES * p->leading + row % LINES * UNIT + byte / UNIT * p->stride +
               byte % UNIT;
    return swizzle_apply(p->swizzle, p->start + row / LINES * p->stride + row % LINES * run +
                                         byte / run * p->leading + byte % run);
}
