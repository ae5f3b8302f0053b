/* LIBS: mdl_test_emulator mdl_runtime mdl_plan mdl_base */
/* test_fragments.c: the tables of fragments.def against what the PTX ISA says, as it says it: conditions on
 * the index, and corners of its pictures. */
#include "fragments.h"
#include "tensormap.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_at(FragmentId id, int lane, int i, int row, int col)
{
    if (fragment_row(id, lane, i) != row || fragment_col(id, lane, i) != col)
        fail_msg("fragment %d, lane %d, element %d is at %d %d, not at %d %d", (int)id, lane, i,
                 fragment_row(id, lane, i), fragment_col(id, lane, i), row, col);
}

/* groupID = lane / 4, threadID_in_group = lane % 4. */
static void fragments_of_16_bits(void **state)
{
    (void)state;
    for (int lane = 0; lane < 32; lane++) {
        int group = lane / 4, in = lane % 4;
        for (int i = 0; i < 8; i++) {
            int row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
            int col = i < 4 ? in * 2 + i % 2 : in * 2 + i % 2 + 8;
            assert_at(FRAGMENT_A_16x16, lane, i, row, col);
            assert_at(FRAGMENT_A_WGMMA, lane, i, row, col);
        }
        for (int i = 0; i < 4; i++) {
            int k = i < 2 ? in * 2 + i % 2 : in * 2 + i % 2 + 8;
            assert_at(FRAGMENT_B_16x8, lane, i, k, group);
            assert_at(FRAGMENT_D_16x8, lane, i, i < 2 ? group : group + 8, in * 2 + i % 2);
        }
    }
    assert_at(FRAGMENT_A_16x16, 31, 7, 15, 15);
    assert_at(FRAGMENT_B_16x8, 31, 3, 15, 7);
    assert_at(FRAGMENT_D_16x8, 31, 3, 15, 7);
}

static void fragments_of_tf32(void **state)
{
    (void)state;
    for (int lane = 0; lane < 32; lane++) {
        int group = lane / 4, in = lane % 4;
        for (int i = 0; i < 4; i++)
            assert_at(FRAGMENT_A_16x8_TF32, lane, i, i == 0 || i == 2 ? group : group + 8,
                      i == 0 || i == 1 ? in : in + 4);
        assert_at(FRAGMENT_B_8x8_TF32, lane, 0, in, group);
        assert_at(FRAGMENT_B_8x8_TF32, lane, 1, in + 4, group);
    }
}

/* A row of eight elements is held by four threads, two each. */
static void fragments_of_ldmatrix(void **state)
{
    (void)state;
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 2; i++)
            assert_at(FRAGMENT_LDMATRIX, lane, i, lane / 4, lane % 4 * 2 + i);
}

/* Columns in blocks of eight; of each a thread has two neighbours in two rows. */
static void sums_of_warpgroups(void **state)
{
    (void)state;
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 128; i++)
            assert_at(FRAGMENT_D_WGMMA, lane, i, lane / 4 + (i % 4 < 2 ? 0 : 8),
                      i / 4 * 8 + lane % 4 * 2 + i % 2);
    assert_at(FRAGMENT_D_WGMMA, 31, 127, 15, 255);
}

/* The place of each element is that of one lane and register. */
static void fragments_cover_their_matrix(void **state)
{
    static const struct {
        FragmentId id;
        int elements, rows, cols;
    } all[] = {{FRAGMENT_A_16x16, 8, 16, 16},   {FRAGMENT_B_16x8, 4, 16, 8},
               {FRAGMENT_D_16x8, 4, 16, 8},     {FRAGMENT_A_16x8_TF32, 4, 16, 8},
               {FRAGMENT_B_8x8_TF32, 2, 8, 8},  {FRAGMENT_LDMATRIX, 2, 8, 8},
               {FRAGMENT_D_WGMMA, 128, 16, 256}};
    (void)state;
    for (size_t f = 0; f < COUNT(all); f++) {
        static bool seen[16][256];
        memset(seen, 0, sizeof(seen));
        for (int lane = 0; lane < 32; lane++)
            for (int i = 0; i < all[f].elements; i++) {
                int row = fragment_row(all[f].id, lane, i), col = fragment_col(all[f].id, lane, i);
                assert_true(row < all[f].rows && col < all[f].cols && !seen[row][col]);
                seen[row][col] = true;
            }
        assert_int_equal(32 * all[f].elements, all[f].rows * all[f].cols);
    }
}

/* Lines of `bytes`, each in units of 16: where unit u of line l lies in its line, as the pictures have it. */
static void assert_swizzle(int bytes, const char *const lines[8])
{
    const Swizzle *s = swizzle_of_bytes(bytes);
    for (uint32_t l = 0; l < 8; l++)
        for (uint32_t u = 0; u < (uint32_t)bytes / 16; u++) {
            uint32_t at = swizzle_apply(s, l * (uint32_t)bytes + u * 16 + 5);
            uint32_t want = l * (uint32_t)bytes + (uint32_t)(lines[l][u] - '0') * 16 + 5;
            assert_int_equal(at, want);
        }
}

static void swizzles(void **state)
{
    (void)state;
    assert_swizzle(128, (const char *const[]){"01234567", "10325476", "23016745", "32107654",
                                              "45670123", "54761032", "67452301", "76543210"});
    assert_swizzle(
        64, (const char *const[]){"0123", "0123", "1032", "1032", "2301", "2301", "3210", "3210"});
    assert_swizzle(32, (const char *const[]){"01", "01", "01", "01", "10", "10", "10", "10"});
    assert_null(swizzle_of_bytes(16));
    assert_int_equal(swizzle_apply(swizzle_of_bytes(0), 12345), 12345);
}

/* Bits 0-13, 16-29 and 32-45 in units of 16 bytes; bits 62-63: 1 is 128 bytes, 2 is 64, 3 is 32. */
static void descriptors(void **state)
{
    (void)state;
    MatrixPlace p = matrix_place(UINT64_C(0x4000004000010100));
    assert_int_equal(p.start, 0x1000);
    assert_int_equal(p.leading, 16);
    assert_int_equal(p.stride, 1024);
    assert_int_equal(p.swizzle->bytes, 128);
    assert_int_equal(matrix_place(UINT64_C(2) << 62).swizzle->bytes, 64);
    assert_int_equal(matrix_place(UINT64_C(3) << 62).swizzle->bytes, 32);
    assert_int_equal(matrix_place(0).swizzle->bytes, 0);
}

/* Eight lines of 16 bytes are a core matrix of 128 neighbouring bytes. */
static void places_without_swizzle(void **state)
{
    (void)state;
    const MatrixPlace p = {
        .swizzle = swizzle_of_bytes(0), .start = 512, .leading = 128, .stride = 256};
    assert_int_equal(matrix_offset_k(&p, 0, 0), 512);
    assert_int_equal(matrix_offset_k(&p, 7, 7), 512 + 7 * 16 + 14);
    assert_int_equal(matrix_offset_k(&p, 0, 8), 512 + 128);
    assert_int_equal(matrix_offset_k(&p, 8, 0), 512 + 256);
    assert_int_equal(matrix_offset_mn(&p, 7, 7), 512 + 7 * 16 + 14);
    assert_int_equal(matrix_offset_mn(&p, 8, 0), 512 + 256);
    assert_int_equal(matrix_offset_mn(&p, 0, 8), 512 + 128);
}

static void places_with_swizzle(void **state)
{
    (void)state;
    MatrixPlace p = {
        .swizzle = swizzle_of_bytes(128), .start = 2048, .leading = 8192, .stride = 1024};
    assert_int_equal(matrix_offset_k(&p, 0, 9), 2048 + 18);
    assert_int_equal(matrix_offset_k(&p, 1, 0), 2048 + 128 + 16);
    assert_int_equal(matrix_offset_k(&p, 9, 8), 2048 + 1024 + 128);
    assert_int_equal(matrix_offset_mn(&p, 0, 1), 2048 + 128 + 16);
    assert_int_equal(matrix_offset_mn(&p, 63, 0), 2048 + 126);
    assert_int_equal(matrix_offset_mn(&p, 64, 0), 2048 + 8192);
    assert_int_equal(matrix_offset_mn(&p, 0, 8), 2048 + 1024);
    p.start += 32; /* the next 16 of k, within the lines of a swizzle */
    assert_int_equal(matrix_offset_k(&p, 2, 0), 2048 + 256 + (2 ^ 2) * 16);
}

/* What a GPU refuses is refused here. */
static void maps_of_tensors(void **state)
{
    (void)state;
    static _Alignas(16) char memory[4096];
    const GpuTensor good = {.base = memory,
                            .rank = 2,
                            .element = 2,
                            .dim = {64, 16},
                            .stride = {128},
                            .box = {64, 8},
                            .swizzle = 128};
    MdlTensorMap map;
    TensorMap read;
    Err err = {0};
    assert_true(simt_encode_map(&good, &map, &err));
    assert_true(tensormap_read(&map, &read));
    assert_int_equal(tensormap_box_bytes(&read), 1024);
    GpuTensor bad[8];
    for (size_t i = 0; i < COUNT(bad); i++)
        bad[i] = good;
    bad[0].base = memory + 8;
    bad[1].stride[0] = 120;
    bad[2].box[0] = 128;
    bad[3].box[1] = 257;
    bad[4].swizzle = 16;
    bad[5].rank = 1;
    bad[6].dim[1] = 0;
    bad[7].element = 3;
    for (size_t i = 0; i < COUNT(bad); i++) {
        Err why = {0};
        assert_false(simt_encode_map(&bad[i], &map, &why));
        assert_int_equal(why.kind, ERR_DATA);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fragments_of_16_bits),
        cmocka_unit_test(fragments_of_tf32),
        cmocka_unit_test(fragments_of_ldmatrix),
        cmocka_unit_test(sums_of_warpgroups),
        cmocka_unit_test(fragments_cover_their_matrix),
        cmocka_unit_test(swizzles),
        cmocka_unit_test(descriptors),
        cmocka_unit_test(places_without_swizzle),
        cmocka_unit_test(places_with_swizzle),
        cmocka_unit_test(maps_of_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
