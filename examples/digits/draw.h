/* draw.h: one random picture of a digit. */
#ifndef MDL_DIGITS_DRAW_H
#define MDL_DIGITS_DRAW_H

#include <stdint.h>

enum { SIDE = 28, PIXELS = SIDE * SIDE };

/* Picture `index` of the set `seed`: a pure function of both. Returns the digit, 0..9. */
int draw_digit(uint64_t seed, uint64_t index, uint8_t pixels[PIXELS]);

#endif
