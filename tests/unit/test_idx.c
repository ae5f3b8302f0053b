/* LIBS: mdl_runtime mdl_plan mdl_base */
/* test_idx.c: MNIST's array files, of every type, and everything that can be wrong with one. */
#include "hostarray.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void expect(const uint8_t *file, size_t n, DType dtype, const double *want, size_t count)
{
    HostArray a;
    Err err = {0};
    if (!idx_parse(&a, file, n, &err))
        fail_msg("%s", err.text);
    assert_int_equal(a.dtype, dtype);
    assert_int_equal(host_array_count(&a), count);
    for (size_t i = 0; i < count; i++) {
        uint64_t element = 0;
        size_t size = dtype_info(dtype)->bytes;
        memcpy(&element, (const uint8_t *)a.data + i * size, size);
        assert_true(dtype_load(dtype, &element, 0) == want[i]);
    }
    host_array_free(&a);
}

static void test_types(void **state)
{
    UNUSED(state);
    static const uint8_t u8[] = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 253, 254, 255};
    expect(u8, sizeof u8, DT_U8, (double[]){1, 2, 3, 253, 254, 255}, 6);
    static const uint8_t i8[] = {0, 0, 9, 1, 0, 0, 0, 2, 0xff, 0x80};
    expect(i8, sizeof i8, DT_I8, (double[]){-1, -128}, 2);
    static const uint8_t i16[] = {0, 0, 0x0b, 1, 0, 0, 0, 2, 0xff, 0xfe, 1, 2};
    expect(i16, sizeof i16, DT_I16, (double[]){-2, 258}, 2);
    static const uint8_t i32[] = {0, 0, 0x0c, 1, 0, 0, 0, 1, 0x80, 0, 0, 1};
    expect(i32, sizeof i32, DT_I32, (double[]){-2147483647.0}, 1);
    static const uint8_t f32[] = {0, 0, 0x0d, 1, 0, 0, 0, 1, 0xbf, 0x80, 0, 0};
    expect(f32, sizeof f32, DT_F32, (double[]){-1}, 1);
    static const uint8_t f64[] = {0, 0, 0x0e, 0, 0x40, 0x09, 0, 0, 0, 0, 0, 0};
    expect(f64, sizeof f64, DT_F64, (double[]){3.125}, 1);
}

static void expect_error(const uint8_t *file, size_t n, const char *text)
{
    HostArray a;
    Err err = {0};
    uint8_t *copy = malloc(n ? n : 1); /* a read behind the end is seen */
    memcpy(copy, file, n);
    assert_false(idx_parse(&a, copy, n, &err));
    assert_int_equal(err.kind, ERR_DATA);
    if (!strstr(err.text, text))
        fail_msg("%s\n  without: %s", err.text, text);
    free(copy);
}

static void test_errors(void **state)
{
    UNUSED(state);
    static const uint8_t good[] = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7};
    for (size_t n = 0; n < sizeof good - 1; n++)
        expect_error(good, n, n < 4 ? "not an idx file" : "truncated");
    expect_error(good, 17, "2 x 3 of u8, which takes 6 bytes, and 5 follow");
    expect_error(good, sizeof good, "too long");
    expect_error((const uint8_t[]){0, 0, 10, 1, 0, 0, 0, 0}, 8, "0x0a");
    expect_error((const uint8_t[]){0, 0, 8, 9, 0, 0, 0, 0}, 8, "rank 9");
    expect_error((const uint8_t[]){80, 75, 3, 4}, 4, "50 4b");
    expect_error((const uint8_t[]){0x1f, 0x8b, 8, 0}, 4, "gzip");
    uint8_t huge[4 + 32];
    memset(huge, 0xff, sizeof huge);
    memcpy(huge, (const uint8_t[]){0, 0, 0x0e, 8}, 4);
    expect_error(huge, sizeof huge, "2^63");
    huge[4] = huge[5] = huge[6] = huge[7] = 0; /* 0 x a lot: empty, and nothing overflows */
    expect(huge, sizeof huge, DT_F64, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
