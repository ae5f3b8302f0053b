/* LIBS: mdl_runtime mdl_plan mdl_base */
/* test_npz.c: archives written here by hand, whole, cut and damaged; and a real one. */
#include "hostarray.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <zlib.h>

#include <cmocka.h>

/* ---- an archive under construction ---- */

typedef struct Zip {
    Arena *arena;
    StrBuf file, dir;
    uint32_t n;
    bool zip64, descriptor;
} Zip;

static void put16(StrBuf *sb, uint32_t v)
{
    sb_putc(sb, (char)(v & 255));
    sb_putc(sb, (char)(v >> 8 & 255));
}

static void put32(StrBuf *sb, uint32_t v)
{
    put16(sb, v & 0xffff);
    put16(sb, v >> 16);
}

static void put64(StrBuf *sb, uint64_t v)
{
    put32(sb, (uint32_t)v);
    put32(sb, (uint32_t)(v >> 32));
}

static Bytes deflated(Arena *arena, Bytes in)
{
    z_stream zs = {0};
    assert_int_equal(deflateInit2(&zs, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t cap = in.n + in.n / 10 + 100;
    Bytes out = {arena_alloc(arena, cap), 0};
    zs.next_in = (Bytef *)in.data;
    zs.avail_in = (uInt)in.n;
    zs.next_out = (Bytef *)out.data;
    zs.avail_out = (uInt)cap;
    assert_int_equal(deflate(&zs, Z_FINISH), Z_STREAM_END);
    out.n = cap - zs.avail_out;
    deflateEnd(&zs);
    return out;
}

static void zip_add(Zip *z, const char *name, uint32_t method, Bytes data)
{
    Bytes packed = method == 8 ? deflated(z->arena, data) : data;
    uint32_t crc = (uint32_t)crc32(0, (const Bytef *)data.data, (uInt)data.n);
    uint32_t ones = 0xffffffffu, local = (uint32_t)z->file.n, flags = z->descriptor ? 8 : 0;
    put32(&z->file, 0x04034b50u);
    put16(&z->file, 20);
    put16(&z->file, flags);
    put16(&z->file, method);
    put32(&z->file, 0);
    put32(&z->file, flags ? 0 : crc);
    put32(&z->file, flags ? 0 : z->zip64 ? ones : (uint32_t)packed.n);
    put32(&z->file, flags ? 0 : z->zip64 ? ones : (uint32_t)data.n);
    put16(&z->file, (uint32_t)strlen(name));
    put16(&z->file, z->zip64 ? 20 : 0);
    sb_puts(&z->file, name);
    if (z->zip64) {
        put16(&z->file, 1), put16(&z->file, 16);
        put64(&z->file, data.n), put64(&z->file, packed.n);
    }
    sb_putn(&z->file, packed.data, packed.n);
    if (flags) {
        put32(&z->file, 0x08074b50u), put32(&z->file, crc);
        put32(&z->file, (uint32_t)packed.n), put32(&z->file, (uint32_t)data.n);
    }
    put32(&z->dir, 0x02014b50u);
    put32(&z->dir, 20 | 20 << 16);
    put16(&z->dir, flags);
    put16(&z->dir, method);
    put32(&z->dir, 0);
    put32(&z->dir, crc);
    put32(&z->dir, z->zip64 ? ones : (uint32_t)packed.n);
    put32(&z->dir, z->zip64 ? ones : (uint32_t)data.n);
    put16(&z->dir, (uint32_t)strlen(name));
    put16(&z->dir, z->zip64 ? 32 : 0);
    put16(&z->dir, 0);
    put32(&z->dir, 0);
    put32(&z->dir, 0);
    put32(&z->dir, z->zip64 ? ones : local);
    sb_puts(&z->dir, name);
    if (z->zip64) { /* behind another extra field */
        put16(&z->dir, 0x7777), put16(&z->dir, 0);
        put16(&z->dir, 1), put16(&z->dir, 24);
        put64(&z->dir, data.n), put64(&z->dir, packed.n), put64(&z->dir, local);
    }
    z->n++;
}

static HostFile zip_end(Zip *z, const char *comment)
{
    size_t dir = z->file.n;
    sb_putn(&z->file, z->dir.text, z->dir.n);
    if (z->zip64) {
        size_t end64 = z->file.n;
        put32(&z->file, 0x06064b50u), put64(&z->file, 44), put32(&z->file, 45 | 45 << 16);
        put32(&z->file, 0), put32(&z->file, 0);
        put64(&z->file, z->n), put64(&z->file, z->n), put64(&z->file, z->dir.n);
        put64(&z->file, dir);
        put32(&z->file, 0x07064b50u), put32(&z->file, 0), put64(&z->file, end64);
        put32(&z->file, 1);
    }
    put32(&z->file, 0x06054b50u);
    put32(&z->file, 0);
    put16(&z->file, z->zip64 ? 0xffff : z->n);
    put16(&z->file, z->zip64 ? 0xffff : z->n);
    put32(&z->file, z->zip64 ? 0xffffffffu : (uint32_t)z->dir.n);
    put32(&z->file, z->zip64 ? 0xffffffffu : (uint32_t)dir);
    put16(&z->file, (uint32_t)strlen(comment));
    sb_puts(&z->file, comment);
    return (HostFile){(const uint8_t *)z->file.text, z->file.n};
}

static Zip zip_new(Arena *arena)
{
    return (Zip){.arena = arena, .file = sb_new(arena), .dir = sb_new(arena)};
}

static Bytes npy(Arena *arena, int version, const char *dict, const void *data, size_t n)
{
    StrBuf sb = sb_new(arena);
    sb_putn(&sb, "\x93NUMPY", 6);
    sb_putc(&sb, (char)version);
    sb_putc(&sb, 0);
    if (version == 1)
        put16(&sb, (uint32_t)strlen(dict));
    else
        put32(&sb, (uint32_t)strlen(dict));
    sb_puts(&sb, dict);
    sb_putn(&sb, data, n);
    return (Bytes){sb.text, sb.n};
}

enum { ROWS = 30, COLS = 7 };
static const char *const dict_u1 = "{'descr': '|u1', 'fortran_order': False, 'shape': (30, 7), }\n";

static void fill(uint8_t *out)
{
    for (int i = 0; i < ROWS * COLS; i++)
        out[i] = (uint8_t)(i * i + 3 * i);
}

/* Two members: "a" of the given method, and "b", a stored scalar. */
static HostFile two_members(Arena *arena, Zip *z, uint32_t method, const char *comment)
{
    uint8_t pixels[ROWS * COLS];
    fill(pixels);
    float pi = 3.25f;
    zip_add(z, "a.npy", method, npy(arena, 1, dict_u1, pixels, sizeof pixels));
    zip_add(z, "b.npy", 0,
            npy(arena, 2, "{'descr': '<f4', 'fortran_order': False, 'shape': ()}", &pi, 4));
    return zip_end(z, comment);
}

static void check_two(HostFile file)
{
    Err err = {0};
    HostArray a, b;
    uint8_t pixels[ROWS * COLS];
    fill(pixels);
    if (!npz_parse(&a, file, "a", &err))
        fail_msg("%s", err.text);
    assert_int_equal(a.dtype, DT_U8);
    assert_int_equal(a.rank, 2);
    assert_int_equal(a.dim[0], ROWS);
    assert_int_equal(a.dim[1], COLS);
    assert_int_equal(a.bytes, sizeof pixels);
    assert_memory_equal(a.data, pixels, sizeof pixels);
    assert_true(npz_parse(&b, file, "b.npy", &err));
    assert_int_equal(b.rank, 0);
    assert_int_equal(b.dtype, DT_F32);
    assert_true(dtype_load(DT_F32, b.data, 0) == 3.25);
    host_array_free(&a);
    host_array_free(&b);
}

static void test_members(void **state)
{
    UNUSED(state);
    for (int variant = 0; variant < 16; variant++) {
        Arena *arena = arena_new();
        Zip z = zip_new(arena);
        z.zip64 = variant & 1;
        z.descriptor = variant & 2;
        check_two(
            two_members(arena, &z, variant & 4 ? 8 : 0, variant & 8 ? "PK\5\6 a comment" : ""));
        arena_free(arena);
    }
}

static void test_unknown_member(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    Zip z = zip_new(arena);
    HostFile file = two_members(arena, &z, 8, "");
    HostArray a;
    Err err = {0};
    assert_false(npz_parse(&a, file, "train_images", &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, "train_images"));
    assert_string_equal(err.help, "it has: a, b");
    arena_free(arena);
}

/* Whatever is done to a file, the reader answers, and never with a wrong array. */
static void expect_refusal(HostFile file)
{
    HostArray a;
    Err err = {0};
    if (npz_parse(&a, file, "a", &err)) {
        uint8_t pixels[ROWS * COLS];
        fill(pixels); /* damage outside the member does not matter */
        assert_int_equal(a.bytes, sizeof pixels);
        assert_memory_equal(a.data, pixels, sizeof pixels);
        host_array_free(&a);
        return;
    }
    assert_true(err.kind == ERR_DATA);
    assert_true(strlen(err.text) > 0);
}

static void test_truncated(void **state)
{
    UNUSED(state);
    for (uint32_t method = 0; method <= 8; method += 8) {
        Arena *arena = arena_new();
        Zip z = zip_new(arena);
        HostFile file = two_members(arena, &z, method, "");
        for (size_t n = 0; n < file.n; n++) {
            uint8_t *cut = malloc(n ? n : 1); /* exactly n bytes: a read behind them is seen */
            memcpy(cut, file.data, n);
            HostArray a;
            Err err = {0};
            assert_false(npz_parse(&a, (HostFile){cut, n}, "a", &err));
            assert_int_equal(err.kind, ERR_DATA);
            free(cut);
        }
        arena_free(arena);
    }
}

static void test_flipped_bytes(void **state)
{
    UNUSED(state);
    static const uint8_t masks[] = {0x01, 0x80, 0xff};
    for (int variant = 0; variant < 4; variant++) {
        Arena *arena = arena_new();
        Zip z = zip_new(arena);
        z.zip64 = variant & 1;
        HostFile file = two_members(arena, &z, variant & 2 ? 8 : 0, "");
        uint8_t *copy = malloc(file.n);
        for (size_t i = 0; i < file.n; i++) {
            for (size_t k = 0; k < COUNT(masks); k++) {
                memcpy(copy, file.data, file.n);
                copy[i] ^= masks[k];
                expect_refusal((HostFile){copy, file.n});
            }
        }
        free(copy);
        arena_free(arena);
    }
}

static void expect_npy_error(const char *dict, size_t n, const char *text)
{
    Arena *arena = arena_new();
    char data[64] = {0};
    Bytes b = npy(arena, 1, dict, data, n);
    HostArray a;
    Err err = {0};
    if (npy_parse(&a, (const uint8_t *)b.data, b.n, &err))
        fail_msg("accepted: %s", dict);
    assert_int_equal(err.kind, ERR_DATA);
    if (!strstr(err.text, text))
        fail_msg("%s\n  gives: %s\n  without: %s", dict, err.text, text);
    arena_free(arena);
}

static void test_npy_errors(void **state)
{
    UNUSED(state);
    expect_npy_error("{'descr': '|O', 'fortran_order': False, 'shape': (3,)}", 24, "pickled");
    expect_npy_error("{'descr': '<c8', 'fortran_order': False, 'shape': (3,)}", 24, "`<c8`");
    expect_npy_error("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (3,)}", 12,
                     "named fields");
    expect_npy_error("{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2)}", 24, "column");
    expect_npy_error("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2)}", 20, "truncated");
    expect_npy_error("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2)}", 28, "too long");
    expect_npy_error("{'descr': '<f4', 'fortran_order': False}", 24, "`shape` is missing");
    expect_npy_error("{'descr': '<f4', 'shape': (1,)}", 24, "`fortran_order` is missing");
    expect_npy_error("{'descr': '<f4', 'fortran_order': 1, 'shape': (1,)}", 4, "True or False");
    expect_npy_error("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", 4, "an extent");
    expect_npy_error("{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}", 4, "`,` or `)`");
    expect_npy_error("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}",
                     4, "2^63");
    expect_npy_error("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
                     4, "2^63");
    expect_npy_error("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", 4,
                     "8 axes");
    expect_npy_error("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 2}", 4,
                     "unknown key `x`");
    expect_npy_error("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", 4, "end of the");
    expect_npy_error("{'descr': '<f4", 4, "end of the string");
    expect_npy_error("", 4, "expected `{`");
}

/* Each accepted type: values in the file, and the doubles they are. */
static void test_npy_types(void **state)
{
    UNUSED(state);
    static const struct {
        const char *descr;
        DType dtype;
        size_t n;
        uint8_t bytes[16];
        double want[2];
    } cases[] = {
        {"|b1", DT_BOOL, 2, {1, 0}, {1, 0}},
        {"|i1", DT_I8, 2, {255, 5}, {-1, 5}},
        {"<i2", DT_I16, 4, {0xfe, 0xff, 1, 2}, {-2, 513}},
        {">i2", DT_I16, 4, {0xff, 0xfe, 2, 1}, {-2, 513}},
        {"<u2", DT_I32, 4, {0xff, 0xff, 1, 0}, {65535, 1}},
        {">u2", DT_I32, 4, {0xff, 0xfe, 0, 1}, {65534, 1}},
        {"<i4", DT_I32, 8, {0xff, 0xff, 0xff, 0xff, 4, 3, 2, 1}, {-1, 0x01020304}},
        {"<u4", DT_I64, 8, {0xff, 0xff, 0xff, 0xff, 4, 3, 2, 1}, {4294967295.0, 0x01020304}},
        {"<i8", DT_I64, 16, {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80}, {1, -0x1p63}},
        {"<f2", DT_F16, 4, {0, 0x3c, 0, 0xc0}, {1, -2}},
        {"<f4", DT_F32, 8, {0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}, {1, -2}},
        {">f4", DT_F32, 8, {0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0}, {1, -2}},
        {"=f8", DT_F64, 16, {0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0}, {1, -2}},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Arena *arena = arena_new();
        const char *dict = arena_printf(
            arena, "{\"shape\": (2L,), 'fortran_order' : True,'descr':'%s'}", cases[i].descr);
        Bytes b = npy(arena, 3, dict, cases[i].bytes, cases[i].n);
        HostArray a;
        Err err = {0};
        if (!npy_parse(&a, (const uint8_t *)b.data, b.n, &err))
            fail_msg("%s: %s", cases[i].descr, err.text);
        assert_int_equal(a.dtype, cases[i].dtype);
        assert_int_equal(host_array_count(&a), 2);
        uint64_t aligned[2];
        memcpy(aligned, a.data, a.bytes);
        for (size_t k = 0; k < 2; k++)
            assert_true(dtype_load(a.dtype, aligned, k) == cases[i].want[k]);
        host_array_free(&a);
        arena_free(arena);
    }
}

/* A directory that promises 4 GiB out of a few bytes takes no memory for it. */
static void test_bomb(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    Zip z = zip_new(arena);
    HostFile file = two_members(arena, &z, 8, "");
    uint8_t *copy = arena_memdup(arena, file.data, file.n);
    size_t dir = 0;
    for (size_t i = 0; i + 4 < file.n && !dir; i++)
        if (memcmp(copy + i, "PK\1\2", 4) == 0)
            dir = i;
    memset(copy + dir + 24, 0xfe, 4); /* unpacked size of "a" */
    HostArray a;
    Err err = {0};
    assert_false(npz_parse(&a, (HostFile){copy, file.n}, "a", &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, "cannot hold"));
    arena_free(arena);
}

static const char *data_file(Arena *arena, const char *name)
{
    const char *dir = getenv("MDL_TEST_DATA");
    return path_join(arena, dir ? dir : MDL_SOURCE_DIR "/../shared/data", name);
}

static void check_real(const char *path, const char *member, const int64_t *dim, uint32_t rank)
{
    HostArray a;
    Err err = {0};
    if (!host_array_read(&a, npz_parse, path, member, &err))
        fail_msg("%s", err.text);
    assert_int_equal(a.dtype, DT_U8);
    assert_int_equal(a.rank, rank);
    uint64_t sum = 0;
    for (size_t i = 0; i < a.bytes; i++)
        sum += ((const uint8_t *)a.data)[i];
    for (uint32_t i = 0; i < rank; i++)
        assert_int_equal(a.dim[i], dim[i]);
    if (rank == 2) /* labels of a balanced set */
        assert_int_equal(sum * 2, dim[0]);
    else
        assert_true(sum > a.bytes * 64 && sum < a.bytes * 192);
    host_array_free(&a);
}

static void test_pneumonia(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    const char *path = data_file(arena, "medmnist/pneumoniamnist_balanced.npz");
    bool there = file_exists(path);
    if (there) {
        check_real(path, "train_images", (int64_t[]){2428, 28, 28}, 3);
        check_real(path, "train_labels", (int64_t[]){2428, 1}, 2);
        check_real(path, "val_images", (int64_t[]){270, 28, 28}, 3);
        check_real(path, "test_images", (int64_t[]){468, 28, 28}, 3);
        check_real(path, "test_labels", (int64_t[]){468, 1}, 2);
    }
    arena_free(arena);
    if (!there)
        skip();
}

static void test_missing_file(void **state)
{
    UNUSED(state);
    HostArray a;
    Err err = {0};
    assert_false(host_array_read(&a, npz_parse, "/nonexistent/x.npz", "a", &err));
    assert_int_equal(err.kind, ERR_FILE);
    err = (Err){0};
    assert_false(host_array_read(&a, npz_parse, "/tmp", "a", &err));
    assert_int_equal(err.kind, ERR_FILE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),      cmocka_unit_test(test_unknown_member),
        cmocka_unit_test(test_truncated),    cmocka_unit_test(test_flipped_bytes),
        cmocka_unit_test(test_npy_errors),   cmocka_unit_test(test_npy_types),
        cmocka_unit_test(test_bomb),         cmocka_unit_test(test_pneumonia),
        cmocka_unit_test(test_missing_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
