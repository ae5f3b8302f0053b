/* LIBS: mdl_base m */
/* test_dtype.c: conversions of the small floats, exhaustively: what tests/recorded/record_dtypes.py
 * printed of PyTorch 2.5.1, against base/dtype.c and against the kernels' prelude. */
#include "dtype.h"

#define MDL_W 4
#include "../../runtime/prelude/c/mdl.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

typedef struct Recorded {
    DType dtype;
    uint64_t wide, narrow; /* hashes */
    size_t count;          /* of numbers narrowed */
} Recorded;

static const Recorded recorded[] = {
    {DT_F16, 0xfe87bb782adb2fc5, 0x618e4e19d0675b75, 253972},
    {DT_BF16, 0x5e93c8468f9404d5, 0x1e32344ab43b36e5, 261140},
    {DT_F8E4M3, 0x4d4ded90c4f5d9b5, 0x77e48c8ffbc3b5df, 1036},
    {DT_F8E5M2, 0x61a099e723174195, 0x42ff979ea29bd3af, 1012},
};

/* FNV-1a */
static void hash_in(uint64_t *h, const void *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        *h = (*h ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
}

/* One way to convert. */
typedef struct Convert {
    double (*widen)(DType dt, uint16_t bits);
    uint16_t (*narrow)(DType dt, float x);
} Convert;

static double widen_base(DType dt, uint16_t bits)
{
    return dtype_load(dt, &bits, 0);
}

static uint16_t narrow_base(DType dt, float x)
{
    uint16_t bits = 0;
    dtype_store(dt, &bits, 0, (double)x);
    return bits;
}

static double widen_kernel(DType dt, uint16_t bits)
{
    if (dt == DT_F16)
        return (double)mdl_widen_f16(bits);
    if (dt == DT_BF16)
        return (double)mdl_widen_bf16(bits);
    return (double)(dt == DT_F8E4M3 ? mdl_widen_f8e4m3((uint8_t)bits)
                                    : mdl_widen_f8e5m2((uint8_t)bits));
}

static uint16_t narrow_kernel(DType dt, float x)
{
    if (dt == DT_F16)
        return mdl_narrow_f16(x);
    if (dt == DT_BF16)
        return mdl_narrow_bf16(x);
    return dt == DT_F8E4M3 ? mdl_narrow_f8e4m3(x) : mdl_narrow_f8e5m2(x);
}

static const Convert ways[] = {{widen_base, narrow_base}, {widen_kernel, narrow_kernel}};

/* ---- from the type ---- */

static void check_widening(const Recorded *r, const Convert *way)
{
    uint64_t h = 0xcbf29ce484222325;
    uint32_t n = 1u << 8 * dtype_info(r->dtype)->bytes;
    for (uint32_t bits = 0; bits < n; bits++) {
        double x = way->widen(r->dtype, (uint16_t)bits);
        const uint64_t nan = 0x7ff8000000000000;
        hash_in(&h, isnan(x) ? (const void *)&nan : &x, sizeof x);
    }
    if (h != r->wide)
        fail_msg("%s: hash of all values is %llx", dtype_info(r->dtype)->name,
                 (unsigned long long)h);
}

/* ---- to the type ---- */

typedef struct Narrowing {
    const Recorded *r;
    const Convert *way;
    uint64_t h;
    size_t count;
} Narrowing;

static void narrow_both(Narrowing *w, float x)
{
    size_t bytes = dtype_info(w->r->dtype)->bytes;
    for (int minus = 0; minus < 2; minus++) {
        uint16_t bits = w->way->narrow(w->r->dtype, minus ? -x : x);
        if (isnan(w->way->widen(w->r->dtype, bits)))
            bits = bytes == 2 ? 0x7fff : 0x7f;
        hash_in(&w->h, &bits, bytes);
        w->count++;
    }
}

static void check_narrowing(const Recorded *r, const Convert *way)
{
    static const float special[] = {0.0f,   INFINITY,   NAN,      3.40282347e38f, 1e-45f,
                                    1e30f,  65519.996f, 65520.0f, 61439.996f,     61440.0f,
                                    464.0f, 464.00003f, 480.0f,   448.0f};
    Narrowing w = {r, way, 0xcbf29ce484222325, 0};
    for (uint32_t bits = 0;; bits++) {
        double a = widen_base(r->dtype, (uint16_t)bits);
        double b = widen_base(r->dtype, (uint16_t)(bits + 1));
        if (!isfinite(b))
            break;
        float mid = (float)((a + b) / 2);
        narrow_both(&w, (float)a);
        narrow_both(&w, nextafterf(mid, -INFINITY));
        narrow_both(&w, mid);
        narrow_both(&w, nextafterf(mid, INFINITY));
    }
    for (size_t i = 0; i < COUNT(special); i++)
        narrow_both(&w, special[i]);
    assert_int_equal(w.count, r->count);
    if (w.h != r->narrow)
        fail_msg("%s: hash of all roundings is %llx", dtype_info(r->dtype)->name,
                 (unsigned long long)w.h);
}

static void patterns_mean_what_they_mean_elsewhere(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(recorded); i++)
        for (size_t k = 0; k < COUNT(ways); k++)
            check_widening(&recorded[i], &ways[k]);
}

static void numbers_round_as_they_do_elsewhere(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(recorded); i++)
        for (size_t k = 0; k < COUNT(ways); k++)
            check_narrowing(&recorded[i], &ways[k]);
}

/* From f64 there is one rounding, not one by way of f32. */
static void doubles_are_rounded_once(void **state)
{
    UNUSED(state);
    for (size_t i = 0; i < COUNT(recorded); i++) {
        DType dt = recorded[i].dtype;
        double unit = dtype_info(dt)->unit, got = 1 + unit + 0x1p-40;
        uint16_t bits = 0;
        dtype_store(dt, &bits, 0, got);
        assert_true(dtype_load(dt, &bits, 0) == 1 + 2 * unit);
        dtype_store(dt, &bits, 0, 1 + unit);
        assert_true(dtype_load(dt, &bits, 0) == 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_mean_what_they_mean_elsewhere),
        cmocka_unit_test(numbers_round_as_they_do_elsewhere),
        cmocka_unit_test(doubles_are_rounded_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
