/* LIBS: mdl_runtime mdl_plan mdl_base */
/* test_dataset.c: files are found, rows become fields, the order is a permutation, and the loader's
 * thread changes none of it. */
#include "loader.h"
#include "order.h"
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROWS = 37, SIDE = 5, CELLS = SIDE * SIDE };

typedef struct Fixture {
    Arena *arena;
    const char *dir; /* holds images.idx and labels.idx */
    PlanBuilder *b;
    Plan *plan;
    uint32_t filters, workers;
} Fixture;

static uint8_t pixel(int64_t row, int64_t cell)
{
    return (uint8_t)(row * 31 + cell * 7);
}

static void write_idx(Fixture *f, const char *name, const uint32_t *dim, uint32_t rank, int step)
{
    StrBuf sb = sb_new(f->arena);
    sb_putn(&sb, "\0\0\x08", 3);
    sb_putc(&sb, (char)rank);
    uint32_t n = 1;
    for (uint32_t i = 0; i < rank; i++) {
        const char be[4] = {0, 0, (char)(dim[i] >> 8), (char)dim[i]};
        sb_putn(&sb, be, 4);
        n *= dim[i];
    }
    for (uint32_t i = 0; i < n; i++)
        sb_putc(&sb, (char)(step ? (i * (uint32_t)step) % 10 : pixel(i / CELLS, i % CELLS)));
    Err err = {0};
    assert_true(file_write_atomic(path_join(f->arena, f->dir, name), sb.text, sb.n, &err));
}

static int setup(void **state)
{
    Arena *arena = arena_new();
    Fixture *f = NEW(arena, Fixture);
    f->arena = arena;
    f->dir = arena_printf(arena, "%s/dataset-%ld", MDL_BINARY_DIR, (long)getpid());
    Err err = {0};
    assert_true(file_mkdirs(f->dir, &err));
    write_idx(f, "images.idx", (uint32_t[]){ROWS, SIDE, SIDE}, 3, 0);
    write_idx(f, "labels.idx", (uint32_t[]){ROWS, 1}, 2, 3);
    write_idx(f, "short.idx", (uint32_t[]){ROWS - 1}, 1, 3);
    unsetenv("MDL_DATA");
    f->b = planb_new(arena);
    planb_target(f->b, PLAN_CPU, "generic");
    PlanMeta meta = {.name = planb_text(f->b, "t")};
    VEC_PUSH(arena, &f->b->meta, meta);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    plan_free(f->plan);
    file_remove_tree(f->dir, NULL);
    arena_free(f->arena);
    return 0;
}

static void column(Fixture *f, const char *name, const char *file)
{
    PlanColumn c = {.name = planb_text(f->b, name), .file = planb_text(f->b, file)};
    VEC_PUSH(f->arena, &f->b->columns, c);
}

static void code(Fixture *f, RowOp op, uint32_t a, double num)
{
    PlanCode c = {.op = op, .a = a, .num = num};
    VEC_PUSH(f->arena, &f->b->codes, c);
}

/* Takes the codes pushed since `code0`. */
static void field(Fixture *f, const char *name, DType dtype, uint32_t rank, uint32_t code0)
{
    PlanField pf = {.name = planb_text(f->b, name),
                    .dtype = dtype,
                    .rank = rank,
                    .dim = {SIDE, SIDE},
                    .code0 = code0,
                    .ncode = f->b->codes.n - code0};
    VEC_PUSH(f->arena, &f->b->fields, pf);
}

static void finish(Fixture *f, const char *dir, uint32_t shuffle, int64_t limit)
{
    PlanData d = {.name = planb_text(f->b, "digits"),
                  .dir = planb_text(f->b, dir),
                  .source = PD_IDX,
                  .ncolumn = f->b->columns.n,
                  .nfield = f->b->fields.n,
                  .shuffle = shuffle,
                  .limit = limit,
                  .filters = f->filters,
                  .workers = f->workers};
    f->b->fields.n += f->filters;
    VEC_PUSH(f->arena, &f->b->datas, d);
    Bytes bytes = planb_finish(f->b);
    Err err = {0};
    f->plan = plan_from_bytes(bytes.data, bytes.n, &err);
    if (!f->plan)
        fail_msg("%s", err.text);
}

/* image = images / 255, label = labels[0]. */
static void usual_fields(Fixture *f)
{
    column(f, "images", "images.idx");
    column(f, "labels", "labels.idx");
    code(f, RO_COLUMN, 0, 0), code(f, RO_NUMBER, 0, 255), code(f, RO_DIV, 0, 0);
    field(f, "image", DT_F32, 2, 0);
    code(f, RO_COLUMN, 1, 0), code(f, RO_INDEX, 0, 0);
    field(f, "label", DT_I32, 0, 3);
}

static Dataset *open_or_fail(Fixture *f)
{
    Err err = {0};
    Dataset *ds = data_open(f->plan, 0, &err);
    if (!ds)
        fail_msg("%s (%s)", err.text, err.help);
    return ds;
}

static void expect_refusal(Fixture *f, ErrKind kind, const char *text, const char *help)
{
    Err err = {0};
    assert_null(data_open(f->plan, 0, &err));
    assert_int_equal(err.kind, kind);
    if (!strstr(err.text, text))
        fail_msg("%s\n  without: %s", err.text, text);
    if (!strstr(err.help, help))
        fail_msg("help %s\n  without: %s", err.help, help);
}

static void check_row(const float *image, int32_t label, int64_t row)
{
    for (int64_t c = 0; c < CELLS; c++)
        assert_true(image[c] == (float)(pixel(row, c) / 255.0));
    assert_int_equal(label, row * 3 % 10);
}

static void test_batch(void **state)
{
    Fixture *f = *state;
    usual_fields(f);
    finish(f, f->dir, 1, -1);
    Dataset *ds = open_or_fail(f);
    assert_int_equal(data_rows(ds), ROWS);
    for (int64_t n = 1; n <= ROWS; n += 9) {
        int64_t rows[ROWS];
        float images[ROWS * CELLS + 1];
        int32_t labels[ROWS + 1];
        for (int64_t i = 0; i < n; i++)
            rows[i] = (i * 17 + n) % ROWS;
        images[n * CELLS] = 77;
        labels[n] = 77;
        Err err = {0};
        assert_true(data_batch(ds, rows, n, (void *const[]){images, labels}, &err));
        for (int64_t i = 0; i < n; i++)
            check_row(images + i * CELLS, labels[i], rows[i]);
        assert_true(images[n * CELLS] == 77);
        assert_int_equal(labels[n], 77);
    }
    data_close(ds);
}

/* Every operation, with operands of every mixture of array, number per row and constant. */
static void test_operations(void **state)
{
    Fixture *f = *state;
    column(f, "images", "images.idx");
    column(f, "labels", "labels.idx");
    code(f, RO_NUMBER, 0, 2), code(f, RO_NUMBER, 0, 3), code(f, RO_MUL, 0, 0); /* 6 */
    code(f, RO_COLUMN, 1, 0), code(f, RO_INDEX, 0, 0);                         /* label */
    code(f, RO_SUB, 0, 0);                                                     /* 6 - label */
    code(f, RO_COLUMN, 0, 0);                                                  /* image */
    code(f, RO_MUL, 0, 0);
    code(f, RO_COLUMN, 0, 0), code(f, RO_NUMBER, 0, 4), code(f, RO_DIV, 0, 0); /* image / 4 */
    code(f, RO_NEG, 0, 0);
    code(f, RO_ADD, 0, 0);
    code(f, RO_COLUMN, 1, 0), code(f, RO_INDEX, 0, 0), code(f, RO_SUB, 0, 0); /* - label */
    code(f, RO_NUMBER, 0, 1), code(f, RO_NUMBER, 0, 8), code(f, RO_DIV, 0, 0);
    code(f, RO_NEG, 0, 0), code(f, RO_ADD, 0, 0); /* - 1/8 */
    field(f, "x", DT_F64, 2, 0);
    uint32_t at = f->b->codes.n;
    code(f, RO_COLUMN, 0, 0);
    field(f, "raw", DT_U8, 2, at);
    at = f->b->codes.n;
    code(f, RO_NUMBER, 0, 5);
    field(f, "five", DT_F32, 0, at);
    at = f->b->codes.n;
    code(f, RO_COLUMN, 0, 0), code(f, RO_INDEX, 2, 0), code(f, RO_INDEX, 3, 0);
    field(f, "cell", DT_I64, 0, at);
    finish(f, f->dir, 0, -1);
    Dataset *ds = open_or_fail(f);
    int64_t rows[ROWS], cell[ROWS];
    double x[ROWS * CELLS];
    uint8_t raw[ROWS * CELLS];
    float five[ROWS];
    for (int64_t i = 0; i < ROWS; i++)
        rows[i] = ROWS - 1 - i;
    Err err = {0};
    assert_true(data_batch(ds, rows, ROWS, (void *const[]){x, raw, five, cell}, &err));
    for (int64_t i = 0; i < ROWS; i++) {
        double label = (double)(rows[i] * 3 % 10);
        for (int64_t c = 0; c < CELLS; c++) {
            double p = pixel(rows[i], c);
            assert_true(x[i * CELLS + c] == (6 - label) * p + -(p / 4) - label + -(1.0 / 8));
            assert_int_equal(raw[i * CELLS + c], pixel(rows[i], c));
        }
        assert_true(five[i] == 5);
        assert_int_equal(cell[i], pixel(rows[i], 2 * SIDE + 3));
    }
    data_close(ds);
}

/* What compares, chooses and lists; a row's array with a list that repeats in it. */
static void test_choices(void **state)
{
    Fixture *f = *state;
    column(f, "images", "images.idx");
    column(f, "labels", "labels.idx");
    code(f, RO_COLUMN, 0, 0), code(f, RO_NUMBER, 0, 100), code(f, RO_LT, 0, 0); /* image < 100 */
    code(f, RO_COLUMN, 1, 0), code(f, RO_INDEX, 0, 0);                          /* label */
    for (int i = 1; i < SIDE; i++)
        code(f, RO_NUMBER, 0, i), code(f, RO_JOIN, 0, 0); /* (label, 1, 2, 3, 4) */
    code(f, RO_COLUMN, 0, 0), code(f, RO_SELECT, 0, 0);
    field(f, "x", DT_F32, 2, 0);
    uint32_t at = f->b->codes.n;
    code(f, RO_COLUMN, 0, 0), code(f, RO_COLUMN, 0, 0), code(f, RO_INDEX, 1, 0);
    code(f, RO_SUB, 0, 0); /* image - its row 1 */
    field(f, "less", DT_F32, 2, at);
    at = f->b->codes.n;
    code(f, RO_COLUMN, 1, 0), code(f, RO_INDEX, 0, 0), code(f, RO_NUMBER, 0, 3);
    code(f, RO_EQ, 0, 0), code(f, RO_NOT, 0, 0);
    field(f, "filter", DT_BOOL, 0, at);
    f->b->fields.n--; /* it stands behind the fields of the batch */
    f->filters = 1;
    finish(f, f->dir, 0, 20);
    Dataset *ds = open_or_fail(f);
    assert_int_equal(data_rows(ds), 20);
    float x[20 * CELLS], less[20 * CELLS];
    int64_t rows[20];
    for (int64_t i = 0; i < 20; i++)
        rows[i] = i;
    Err err = {0};
    assert_true(data_batch(ds, rows, 20, (void *const[]){x, less}, &err));
    for (int64_t i = 0, row = 0; i < 20; i++, row++) {
        row += row * 3 % 10 == 3; /* label 3 is left out */
        int label = (int)(row * 3 % 10);
        for (int c = 0; c < CELLS; c++) {
            int p = pixel(row, c), want = p >= 100 ? p : c % SIDE ? c % SIDE : label;
            assert_int_equal((int)x[i * CELLS + c], want);
            assert_int_equal((int)less[i * CELLS + c], p - pixel(row, SIDE + c % SIDE));
        }
    }
    data_close(ds);
}

static void test_value_does_not_fit(void **state)
{
    Fixture *f = *state;
    column(f, "images", "images.idx");
    code(f, RO_COLUMN, 0, 0), code(f, RO_NUMBER, 0, 2), code(f, RO_DIV, 0, 0);
    field(f, "half", DT_I32, 2, 0);
    finish(f, f->dir, 0, -1);
    Dataset *ds = open_or_fail(f);
    int32_t out[CELLS * 2];
    Err err = {0};
    assert_false(data_batch(ds, (int64_t[]){4, 9}, 2, (void *const[]){out}, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, "field `half`: row 4: the value 65.5"));
    data_close(ds);
}

static void test_shape_mistakes(void **state)
{
    Fixture *f = *state;
    column(f, "images", "images.idx");
    code(f, RO_COLUMN, 0, 0);
    field(f, "image", DT_F32, 1, 0);
    finish(f, f->dir, 0, -1);
    expect_refusal(f, ERR_DATA,
                   "field `image`: declared and found are rows of shapes [5] and [5, 5]", "");
}

static void test_index_mistakes(void **state)
{
    Fixture *f = *state;
    column(f, "short", "short.idx");
    code(f, RO_COLUMN, 0, 0), code(f, RO_INDEX, 0, 0);
    field(f, "label", DT_I32, 0, 0);
    finish(f, f->dir, 0, -1);
    expect_refusal(f, ERR_DATA, "element 0 of a single number", "");
}

static void test_rows_differ(void **state)
{
    Fixture *f = *state;
    usual_fields(f);
    column(f, "short", "short.idx");
    finish(f, f->dir, 0, -1);
    expect_refusal(f, ERR_DATA, "`images` has 37 rows, `short` has 36", "");
}

static void test_places(void **state)
{
    Fixture *f = *state;
    usual_fields(f);
    finish(f, "/nonexistent/program", 0, -1);
    expect_refusal(f, ERR_FILE, "/nonexistent/program/images.idx", "MDL_DATA");
    setenv("MDL_DATA", "/nonexistent/a::/nonexistent/b", 1);
    expect_refusal(f, ERR_FILE, "/nonexistent/a/images.idx, /nonexistent/b/images.idx", "MDL_DATA");
    setenv("MDL_DATA", arena_printf(f->arena, "/nonexistent/a:%s", f->dir), 1);
    data_close(open_or_fail(f));
    unsetenv("MDL_DATA");
}

static void test_limit(void **state)
{
    Fixture *f = *state;
    usual_fields(f);
    finish(f, f->dir, 1, 10);
    Dataset *ds = open_or_fail(f);
    assert_int_equal(data_rows(ds), 10);
    for (int64_t i = 0; i < 10; i++)
        assert_true(data_sample(ds, &(uint64_t){5}, 10 + i) < 10);
    data_close(ds);
}

/* ---- the order ---- */

static void expect_bijection(OrderKey key, int64_t n, uint8_t *seen)
{
    memset(seen, 0, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        int64_t j = order_permute(key, n, i);
        assert_true(0 <= j && j < n);
        assert_int_equal(seen[j], 0);
        seen[j] = 1;
    }
}

static void test_order_is_a_bijection(void **state)
{
    UNUSED(state);
    static uint8_t seen[70000];
    for (int64_t n = 1; n < 300; n++)
        for (uint64_t seed = 0; seed < 4; seed++)
            expect_bijection((OrderKey){seed, (int64_t)seed * 7}, n, seen);
    static const int64_t sizes[] = {1023, 1024, 1025, 2428, 4096, 4097, 16385, 60000, 65536, 65537};
    for (size_t i = 0; i < COUNT(sizes); i++)
        expect_bijection((OrderKey){UINT64_MAX, 3}, sizes[i], seen);
    int64_t huge = (int64_t)1 << 45; /* only that it answers */
    assert_true(order_permute((OrderKey){1, 1}, huge, huge - 1) < huge);
}

/* Neither fixed points nor neighbours survive, nor is an epoch like another. */
static void test_order_mixes(void **state)
{
    UNUSED(state);
    enum { N = 10000 };
    int fixed = 0, neighbours = 0, same = 0, low = 0;
    for (int64_t i = 0; i < N; i++) {
        int64_t j = order_permute((OrderKey){1, 0}, N, i);
        fixed += j == i;
        neighbours += i + 1 < N && order_permute((OrderKey){1, 0}, N, i + 1) == j + 1;
        same += j == order_permute((OrderKey){1, 1}, N, i);
        same += j == order_permute((OrderKey){2, 0}, N, i);
        low += i < N / 2 && j < N / 2;
    }
    assert_true(fixed < 10 && neighbours < 10 && same < 15);
    assert_true(low > N / 4 - 200 && low < N / 4 + 200);
}

/* ---- the loader ---- */

static void check_loader(Fixture *f, uint32_t workers)
{
    f->workers = workers;
    usual_fields(f);
    finish(f, f->dir, 1, -1);
    Dataset *ds = open_or_fail(f);
    for (int64_t begin = 0; begin < 80; begin += 13) {
        LoaderSpec spec = {
            .plan = f->plan, .ds = ds, .batch = 10, .begin = begin, .end = 115, .seed = 9};
        Err err = {0};
        Loader *l = loader_new(&spec, &err);
        assert_non_null(l);
        LoaderBatch batch;
        for (int64_t p = begin; p < 115; p += batch.n) {
            assert_true(loader_next(l, &batch, &err));
            assert_int_equal(batch.n, p + 10 <= 115 ? 10 : 115 - p);
            for (int64_t i = 0; i < batch.n; i++) {
                int64_t row = data_sample(ds, &spec.seed, p + i);
                check_row((const float *)batch.fields[0] + i * CELLS,
                          ((const int32_t *)batch.fields[1])[i], row);
            }
        }
        for (int i = 0; i < 3; i++) {
            assert_true(loader_next(l, &batch, &err));
            assert_int_equal(batch.n, 0);
        }
        loader_free(l);
        l = loader_new(&spec, &err); /* given up early */
        if (begin % 2)
            assert_true(loader_next(l, &batch, &err));
        loader_free(l);
    }
    data_close(ds);
}

static void test_loader(void **state)
{
    check_loader(*state, 1);
}

static void test_loader_of_many_threads(void **state)
{
    check_loader(*state, 5);
}

static void test_loader_reports_errors(void **state)
{
    Fixture *f = *state;
    column(f, "images", "images.idx");
    code(f, RO_COLUMN, 0, 0), code(f, RO_NUMBER, 0, 2), code(f, RO_DIV, 0, 0);
    field(f, "half", DT_U8, 2, 0);
    finish(f, f->dir, 0, -1);
    Dataset *ds = open_or_fail(f);
    LoaderSpec spec = {.plan = f->plan, .ds = ds, .batch = 10, .end = 30};
    Err err = {0};
    Loader *l = loader_new(&spec, &err);
    LoaderBatch batch;
    assert_false(loader_next(l, &batch, &err));
    assert_int_equal(err.kind, ERR_DATA);
    assert_non_null(strstr(err.text, "field `half`"));
    err = (Err){0};
    assert_false(loader_next(l, &batch, &err));
    loader_free(l);
    data_close(ds);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(test_batch),
        WITH_FIXTURE(test_operations),
        WITH_FIXTURE(test_choices),
        WITH_FIXTURE(test_value_does_not_fit),
        WITH_FIXTURE(test_shape_mistakes),
        WITH_FIXTURE(test_index_mistakes),
        WITH_FIXTURE(test_rows_differ),
        WITH_FIXTURE(test_places),
        WITH_FIXTURE(test_limit),
        cmocka_unit_test(test_order_is_a_bijection),
        cmocka_unit_test(test_order_mixes),
        WITH_FIXTURE(test_loader),
        WITH_FIXTURE(test_loader_of_many_threads),
        WITH_FIXTURE(test_loader_reports_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
