/* quantise.c: rows of a weight as numbers of few bits; see quantise.h. */
#include "quantise.h"

#include <math.h>

static bool largest_size(const double *x, size_t n, double *out)
{
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            return false;
        *out = fmax(*out, fabs(x[i]));
    }
    return true;
}

/* The scale, rounded to its type, may be 0 where no number of that type is small enough. */
static int64_t nearest(double x, double scale, int64_t least, int64_t most)
{
    const double whole = 0x1.8p52; /* below it a double's last place is a half or less */
    double q = scale > 0 ? x / scale + whole - whole : 0;
    return q < (double)least ? least : q > (double)most ? most : (int64_t)q;
}

bool quantise_int8(const double *row, size_t n, int8_t *codes, float *scale)
{
    double size;
    if (!largest_size(row, n, &size))
        return false;
    dtype_store(DT_F32, scale, 0, size / 127);
    if (!isfinite(*scale))
        return false;
    for (size_t i = 0; i < n; i++)
        codes[i] = (int8_t)nearest(row[i], *scale, -127, 127);
    return true;
}

bool quantise_int4(const double *row, size_t n, size_t block, int32_t *codes, uint16_t *scale)
{
    for (size_t b = 0; b < n / block; b++, row += block) {
        double size;
        float rounded;
        if (!largest_size(row, block, &size))
            return false;
        dtype_store(DT_F32, &rounded, 0, size / 7);
        dtype_store(DT_BF16, scale, b, rounded);
        if (!isfinite(dtype_load(DT_BF16, scale, b)))
            return false;
        for (size_t i = 0; i < block; i += 8) {
            uint32_t word = 0;
            for (size_t k = 0; k < 8; k++) {
                int64_t q = nearest(row[i + k], dtype_load(DT_BF16, scale, b), -8, 7);
                word |= ((uint32_t)q & 15) << 4 * k;
            }
            codes[(b * block + i) / 8] = (int32_t)word;
        }
    }
    return true;
}
