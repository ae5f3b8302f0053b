/* LIBS: mdl_runtime mdl_plan mdl_base */
/* test_safetensors.c: tensor files are written like the reference writes them, read back, and
 * refused for each thing that the format forbids. */
#include "runtime.h"
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Random {
    uint64_t state;
} Random;

static uint64_t next(Random *r)
{
    r->state += 0x9e3779b97f4a7c15u;
    return hash_mix(7, r->state);
}

typedef struct Files {
    Arena *arena;
    char dir[64];
} Files;

static int setup(void **state)
{
    Arena *arena = arena_new();
    Files *f = NEW(arena, Files);
    f->arena = arena;
    memcpy(f->dir, "/tmp/mdl-test-st-XXXXXX", 24);
    *state = f;
    return mkdtemp(f->dir) ? 0 : -1;
}

static int teardown(void **state)
{
    Files *f = *state;
    Err err = {0};
    bool ok = file_remove_tree(f->dir, &err);
    arena_free(f->arena);
    return ok ? 0 : -1;
}

/* length, header, then `n` bytes of data */
static Bytes frame(Arena *arena, const char *header, size_t n)
{
    uint64_t length = strlen(header);
    char *data = arena_alloc(arena, 8 + length + n + 1);
    memcpy(data, &length, 8);
    memcpy(data + 8, header, length);
    for (size_t i = 0; i < n; i++)
        data[8 + length + i] = (char)(i + 1);
    return (Bytes){data, 8 + length + n};
}

static void assert_refused(Bytes file, const char *text)
{
    Err err = {0};
    assert_null(st_from_bytes(file.data, file.n, &err));
    assert_int_equal(err.kind, ERR_DATA);
    if (!strstr(err.text, text))
        fail_msg("expected \"%s\" in: %s", text, err.text);
}

/* ---- writing ---- */

static void bytes_are_those_of_the_reference(void **state)
{
    Files *f = *state;
    static const float a[] = {1, 2}, c[] = {3};
    static const int64_t b[] = {-1};
    static const uint8_t d[] = {7, 8, 9};
    const StTensor all[] = {
        {.name = "d", .dtype = DT_U8, .rank = 1, .dim = {3}, .data = d, .bytes = 3},
        {.name = "c", .dtype = DT_F32, .rank = 0, .data = c, .bytes = 4},
        {.name = "b", .dtype = DT_I64, .rank = 2, .dim = {1, 1}, .data = b, .bytes = 8},
        {.name = "a", .dtype = DT_F32, .rank = 1, .dim = {2}, .data = a, .bytes = 8},
    };
    const char *meta[] = {"format", "pt", NULL};
    const char *path = path_join(f->arena, f->dir, "a.safetensors");
    Err err = {0};
    Bytes file;
    assert_true(st_write(path, all, COUNT(all), meta, &err));
    assert_true(file_read(f->arena, path, 1 << 20, &file, &err));
    const char *header = "{\"__metadata__\":{\"format\":\"pt\"},"
                         "\"b\":{\"dtype\":\"I64\",\"shape\":[1,1],\"data_offsets\":[0,8]},"
                         "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]},"
                         "\"c\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[16,20]},"
                         "\"d\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[20,23]}}";
    uint64_t length, padded = (strlen(header) + 7) / 8 * 8;
    memcpy(&length, file.data, 8);
    assert_int_equal(length, padded);
    assert_memory_equal(file.data + 8, header, strlen(header));
    for (size_t i = strlen(header); i < padded; i++)
        assert_int_equal(file.data[8 + i], ' ');
    const char *data = file.data + 8 + padded;
    assert_int_equal(file.n, 8 + padded + 23);
    assert_memory_equal(data, b, 8);
    assert_memory_equal(data + 8, a, 8);
    assert_memory_equal(data + 16, c, 4);
    assert_memory_equal(data + 20, d, 3);
}

static void what_is_written_is_read(void **state)
{
    Files *f = *state;
    Random r = {5};
    Err err = {0};
    const char *path = path_join(f->arena, f->dir, "b.safetensors");
    for (int round = 0; round < 40; round++) {
        uint32_t n = (uint32_t)(next(&r) % 12);
        StTensor *all = NEW_ARRAY(f->arena, StTensor, n + 1);
        for (uint32_t i = 0; i < n; i++) {
            all[i].name = arena_printf(f->arena, "layers.%u.\"w\u00e4\"\\%d", i, round);
            all[i].dtype = (DType)(next(&r) % DT_COUNT);
            all[i].rank = (uint32_t)(next(&r) % (PLAN_MAX_RANK + 1));
            all[i].bytes = dtype_info(all[i].dtype)->bytes;
            for (uint32_t k = 0; k < all[i].rank; k++) {
                all[i].dim[k] = (int64_t)(next(&r) % 4);
                all[i].bytes *= (size_t)all[i].dim[k];
            }
            char *data = arena_alloc(f->arena, all[i].bytes + 1);
            for (size_t k = 0; k < all[i].bytes; k++)
                data[k] = (char)next(&r);
            all[i].data = data;
        }
        assert_true(st_write(path, all, n, NULL, &err));
        StFile *file = st_open(path, &err);
        if (!file)
            fail_msg("%s", err.text);
        assert_int_equal(file->n, n);
        for (uint32_t i = 0; i < n; i++) {
            const StTensor *t = st_find(file, all[i].name);
            assert_non_null(t);
            assert_int_equal(t->dtype, all[i].dtype);
            assert_int_equal(t->rank, all[i].rank);
            assert_memory_equal(t->dim, all[i].dim, sizeof(t->dim));
            assert_int_equal(t->bytes, all[i].bytes);
            assert_memory_equal(t->data, all[i].data, t->bytes);
            assert_int_equal((uintptr_t)t->data % dtype_info(t->dtype)->bytes, 0);
        }
        assert_null(st_find(file, "layers"));
        st_close(file);
    }
}

static void a_failed_write_leaves_the_old_file(void **state)
{
    Files *f = *state;
    Err err = {0};
    const char *path = path_join(f->arena, f->dir, "c.safetensors");
    const StTensor one = {.name = "a", .dtype = DT_U8, .rank = 0, .data = "x", .bytes = 1};
    const StTensor twice[] = {one, one};
    assert_true(st_write(path, &one, 1, NULL, &err));
    assert_false(st_write(path, twice, 2, NULL, &err));
    assert_non_null(strstr(err.text, "two tensors are called a"));
    err = (Err){0};
    const StTensor bad = {.name = "\xff", .dtype = DT_U8, .rank = 0, .data = "x", .bytes = 1};
    assert_false(st_write(path, &bad, 1, NULL, &err));
    err = (Err){0};
    assert_false(st_write(path_join(f->arena, f->dir, "no/c"), &one, 1, NULL, &err));
    assert_int_equal(err.kind, ERR_FILE);
    err = (Err){0};
    StFile *file = st_open(path, &err);
    assert_non_null(file);
    assert_int_equal(file->n, 1);
    st_close(file);
}

/* ---- reading ---- */

#define T(name, dtype, shape, from, to)                                                          \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to \
    "]}"

static void good_files_of_others_are_read(void **state)
{
    Files *f = *state;
    static const struct {
        const char *header;
        size_t data;
        uint32_t n;
    } good[] = {
        {"{}", 0, 0},
        {"{ }   ", 0, 0},
        {"{\"__metadata__\":{}}", 0, 0},
        {"{\"__metadata__\":null}", 0, 0},
        {"{" T("b", "F32", "[]", 1, 5) "," T("a", "U8", "[1]", 0, 1) "}", 5, 2},
        {"{" T("a", "F32", "[0,5]", 0, 0) "," T("b", "F32", "[3,0]", 0, 0) "}", 0, 2},
        {"{" T("a", "F32", "[0,4611686018427387904]", 0, 0) "}", 0, 1},
        {"{\"a\":{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[0,2],\"more\":1}}", 2, 1},
        {"{" T("a", "F4", "[4]", 0, 2) "," T("b", "F6_E2M3", "[4]", 2, 5) "}", 5, 2},
        {"{" T("a", "C64", "[]", 0, 8) "," T("b", "F8_E8M0", "[2]", 8, 10) "}", 10, 2},
        {"{" T("a/b/../c", "U8", "[]", 0, 1) "," T("", "U8", "[]", 1, 2) "}", 2, 2},
    };
    for (size_t i = 0; i < COUNT(good); i++) {
        Bytes file = frame(f->arena, good[i].header, good[i].data);
        Err err = {0};
        StFile *st = st_from_bytes(file.data, file.n, &err);
        if (!st)
            fail_msg("%s: %s", good[i].header, err.text);
        assert_int_equal(st->n, good[i].n);
        st_close(st);
    }
}

static void forbidden_headers_are_refused(void **state)
{
    Files *f = *state;
    static const struct {
        const char *header;
        size_t data;
        const char *text;
    } bad[] = {
        {"", 0, "does not begin with {"},
        {" {}", 0, "does not begin with {"},
        {"[]", 0, "does not begin with {"},
        {"{", 0, "the header is not valid"},
        {"{} x", 0, "the header is not valid"},
        {"{\"a\xff\":1}", 0, "the header is not valid"},
        {"{\"a\":1}", 0, "not an object"},
        {"{\"__metadata__\":[]}", 0, "`__metadata__` is not an object"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "not a text"},
        {"{\"a\":{\"shape\":[],\"data_offsets\":[0,4]}}", 4, "no `dtype`"},
        {"{" T("a", "F7", "[]", 0, 4) "}", 4, "unknown dtype F7"},
        {"{" T("a", "f32", "[]", 0, 4) "}", 4, "unknown dtype f32"},
        {"{" T("a", "F4", "[3]", 0, 1) "}", 1, "not a whole number of bytes"},
        {"{" T("a\\u0000b", "U8", "[]", 0, 1) "}", 1, "the header is not valid"},
        {"{" T("a", "U8", "[1,1,1,1,1,1,1,1,1]", 0, 1) "}", 1, "more than 8 dimensions"},
        {"{" T("a", "U8", "[0,9223372036854775808]", 0, 0) "}", 0, "the header is not valid"},
        {"{" T("a", "F32", "1", 0, 4) "}", 4, "`shape` is not a list"},
        {"{" T("a", "F32", "[-1]", 0, 4) "}", 4, "not a natural number"},
        {"{" T("a", "F32", "[1.0]", 0, 4) "}", 4, "not a natural number"},
        {"{" T("a", "F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4, "more than 8"},
        {"{" T("a", "F32", "[4611686018427387904]", 0, 4) "}", 4, "overflows"},
        {"{" T("a", "F32", "[4294967296,4294967296]", 0, 4) "}", 4, "overflows"},
        {"{" T("a", "F32", "[9223372036854775808]", 0, 4) "}", 4, "the header is not valid"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 4, "`data_offsets` is not a pair"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4,4]}}", 4, "not a pair"},
        {"{" T("a", "F32", "[]", -4, 0) "}", 4, "not a pair"},
        {"{" T("a", "F32", "[]", 4, 0) "}", 4, "outside the file"},
        {"{" T("a", "F32", "[]", 0, 8) "}", 4, "outside the file"},
        {"{" T("a", "F32", "[2]", 0, 4) "}", 4, "not as long as"},
        {"{" T("a", "F32", "[]", 0, 4) "}", 5, "1 bytes behind the last tensor"},
        {"{" T("a", "F32", "[]", 1, 5) "}", 5, "a gap before"},
        {"{" T("a", "F32", "[]", 0, 4) "," T("b", "F32", "[]", 5, 9) "}", 9, "a gap before"},
        {"{" T("a", "F32", "[]", 0, 4) "," T("b", "F32", "[]", 2, 6) "}", 6, "overlaps"},
        {"{" T("a", "F32", "[]", 0, 4) "," T("b", "F32", "[]", 0, 4) "}", 4, "overlaps"},
        {"{" T("a", "F32", "[]", 0, 4) "," T("a", "F32", "[]", 4, 8) "}", 8, "not valid"},
    };
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_refused(frame(f->arena, bad[i].header, bad[i].data), bad[i].text);
}

static void wrong_lengths_are_refused(void **state)
{
    Files *f = *state;
    Bytes good = frame(f->arena, "{" T("a", "F32", "[2]", 0, 8) "}", 8);
    for (size_t n = 0; n < good.n; n++) {
        /* a block of exactly that size, so that reading behind it is noticed */
        char *cut = malloc(n ? n : 1);
        assert_non_null(cut);
        memcpy(cut, good.data, n);
        assert_refused((Bytes){cut, n}, n < 8 ? "only" : "");
        free(cut);
    }
    const uint64_t lengths[] = {100000001, UINT64_MAX, UINT64_MAX - 7, good.n - 7, 0};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        memcpy(good.data, &lengths[i], 8);
        assert_refused(good, i < 3 ? "a header of" : i == 3 ? "truncated" : "begin with {");
    }
}

static void a_missing_file_is_named(void **state)
{
    Files *f = *state;
    const char *path = path_join(f->arena, f->dir, "none.safetensors");
    Err err = {0};
    assert_null(st_open(path, &err));
    assert_int_equal(err.kind, ERR_FILE);
    assert_non_null(strstr(err.text, path));
    err = (Err){0};
    assert_true(file_write_atomic(path, "", 0, &err));
    assert_null(st_open(path, &err));
    assert_int_equal(err.kind, ERR_DATA);
    err = (Err){0};
    assert_null(st_open(f->dir, &err));
    assert_int_equal(err.kind, ERR_FILE);
}

/* What the language has no type for can be looked at, and read where it is whole numbers. */
static void foreign_types_are_read_as_numbers(void **state)
{
    Files *f = *state;
    Bytes file = frame(f->arena,
                       "{" T("a", "U16", "[2]", 0, 4) "," T("b", "U64", "[1]", 4, 12) "," T(
                           "c", "C64", "[1]", 12, 20) "," T("d", "I64", "[1]", 20, 28) "}",
                       28);
    Err err = {0};
    StFile *st = st_from_bytes(file.data, file.n, &err);
    assert_non_null(st);
    const StTensor *a = st_find(st, "a"), *b = st_find(st, "b"), *c = st_find(st, "c");
    DKind kind;
    int64_t n = 0;
    assert_true(st_kind(a, &kind) && kind == DK_INT && st_count(a) == 2);
    assert_true(st_load(a, 1) == 0x0403 && st_load_int(a, 1, &n) && n == 0x0403);
    assert_true(st_load_int(b, 0, &n) && n == 0x0c0b0a0908070605);
    assert_false(st_kind(c, &kind));
    assert_string_equal(st_type_name(c), "C64");
    assert_string_equal(st_type_name(st_find(st, "d")), "i64");
    st_close(st);
    char *data = (char *)(uintptr_t)file.data;
    memset(data + file.n - 28 + 4, 0xff, 8);
    memset(data + file.n - 8, 0xff, 8);
    assert_non_null(st = st_from_bytes(file.data, file.n, &err));
    assert_false(st_load_int(st_find(st, "b"), 0, &n));
    assert_true(st_load_int(st_find(st, "d"), 0, &n) && n == -1);
    st_close(st);
}

/* ---- weights in several files ---- */

static void put(const Files *f, const char *name, const char *text)
{
    Err err = {0};
    assert_true(file_write_atomic(path_join(f->arena, f->dir, name), text, strlen(text), &err));
}

static void put_tensor(const Files *f, const char *file, const char *name)
{
    Err err = {0};
    const StTensor t = {.name = name, .dtype = DT_U8, .rank = 0, .data = name, .bytes = 1};
    assert_true(st_write(path_join(f->arena, f->dir, file), &t, 1, NULL, &err));
}

static void an_index_joins_files(void **state)
{
    Files *f = *state;
    Err err = {0};
    put_tensor(f, "one.safetensors", "a");
    put_tensor(f, "two.safetensors", "b");
    put(f, "x.index.json",
        "{\"metadata\":{\"total_size\":2},"
        "\"weight_map\":{\"b\":\"two.safetensors\",\"a\":\"one.safetensors\"}}");
    StFile *st = st_open_weights(path_join(f->arena, f->dir, "x.index.json"), &err);
    if (!st)
        fail_msg("%s", err.text);
    assert_int_equal(st->n, 2);
    assert_int_equal(*(const char *)st_find(st, "a")->data, 'a');
    assert_int_equal(*(const char *)st_find(st, "b")->data, 'b');
    assert_null(st_find(st, "c"));
    st_close(st);
}

static void bad_indexes_are_refused(void **state)
{
    Files *f = *state;
    static const struct {
        const char *index, *text;
    } bad[] = {
        {"{", "not valid JSON"},
        {"[]", "no `weight_map`"},
        {"{\"weight_map\":{\"a\":1}}", "is not a text"},
        {"{\"weight_map\":{\"a\":\"../one.safetensors\"}}", "no name of a file beside"},
        {"{\"weight_map\":{\"a\":\"\"}}", "no name of a file beside"},
        {"{\"weight_map\":{\"c\":\"one.safetensors\"}}", "tensor c is not in one.safetensors"},
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"a\":\"one.safetensors\"}}", "not valid"},
    };
    put_tensor(f, "one.safetensors", "a");
    for (size_t i = 0; i < COUNT(bad); i++) {
        Err err = {0};
        put(f, "x.index.json", bad[i].index);
        assert_null(st_open_weights(path_join(f->arena, f->dir, "x.index.json"), &err));
        assert_int_equal(err.kind, ERR_DATA);
        if (!strstr(err.text, bad[i].text) || !strstr(err.text, "x.index.json"))
            fail_msg("%s", err.text);
    }
    Err err = {0};
    put(f, "x.index.json", "{\"weight_map\":{\"a\":\"none\"}}");
    assert_null(st_open_weights(path_join(f->arena, f->dir, "x.index.json"), &err));
    assert_int_equal(err.kind, ERR_FILE);
}

static void a_folder_is_its_weights(void **state)
{
    Files *f = *state;
    static const char *const order[] = {"odd.safetensors", "weights.safetensors",
                                        "model.safetensors"};
    Err err = {0};
    assert_null(st_open_weights(f->dir, &err));
    assert_int_equal(err.kind, ERR_FILE);
    err = (Err){0};
    for (size_t i = 0; i < COUNT(order); i++) {
        put_tensor(f, order[i], order[i]);
        StFile *st = st_open_weights(f->dir, &err);
        assert_non_null(st);
        assert_non_null(st_find(st, order[i]));
        st_close(st);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bytes_are_those_of_the_reference, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_written_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_write_leaves_the_old_file, setup, teardown),
        cmocka_unit_test_setup_teardown(good_files_of_others_are_read, setup, teardown),
        cmocka_unit_test_setup_teardown(forbidden_headers_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_lengths_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_missing_file_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_types_are_read_as_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(an_index_joins_files, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_indexes_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_is_its_weights, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
