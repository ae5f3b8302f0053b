/* LIBS: mdl_runtime mdl_plan mdl_base */
/* test_textfields.c: texts of rows as tokens: one a row or several (first fit), what is cut or left out, and
 * first fit against a plain search over many batches. */
#include "dataset.h"
#include "textfields.h"
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

enum { LENGTH = 6, MAX_ROWS = 16, FIELDS = 7 };

typedef struct Fixture {
    Arena *arena;
    const char *dir;
    Plan *plan;
    Dataset *ds;
} Fixture;

static int setup(void **state)
{
    Arena *arena = arena_new();
    Fixture *f = NEW(arena, Fixture);
    f->arena = arena;
    f->dir = arena_printf(arena, "%s/textfields-%ld", MDL_BINARY_DIR, (long)getpid());
    Err err = {0};
    assert_true(file_mkdirs(f->dir, &err));
    unsetenv("MDL_DATA");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    data_close(f->ds);
    plan_free(f->plan);
    file_remove_tree(f->dir, NULL);
    arena_free(f->arena);
    return 0;
}

typedef struct Use {
    const char *rows; /* of the file */
    bool packs, eos;
    PlanOverlong overlong;
    int64_t limit; /* 0: none */
} Use;

static const struct {
    const char *name;
    PlanFieldKind kind;
    DType dtype;
    uint32_t rank;
} fields[FIELDS] = {{"t.tokens", PF_TOKENS, DT_I32, 1}, {"t.targets", PF_TARGETS, DT_I32, 1},
                    {"t.learn", PF_LEARN, DT_BOOL, 1},  {"t.valid", PF_VALID, DT_BOOL, 1},
                    {"t.pos", PF_POS, DT_I32, 1},       {"t.seg", PF_SEG, DT_I32, 1},
                    {"t.last", PF_LAST, DT_I32, 0}};

/* The text is row.a + "-" + row.b. */
static void add_text(PlanBuilder *b)
{
    static const char *const columns[] = {"a", "b"};
    for (size_t i = 0; i < COUNT(columns); i++)
        VEC_PUSH(b->arena, &b->columns,
                 ((PlanColumn){planb_text(b, columns[i]), planb_text(b, "d.jsonl"), 0, 1}));
    const PlanCode code[] = {{RO_TEXT, 0, 0},
                             {RO_STRING, planb_text(b, "-"), 0},
                             {RO_CONCAT, 0, 0},
                             {RO_TEXT, 1, 0},
                             {RO_CONCAT, 0, 0}};
    for (size_t i = 0; i < COUNT(code); i++)
        VEC_PUSH(b->arena, &b->codes, code[i]);
    for (size_t i = 0; i < FIELDS; i++)
        VEC_PUSH(b->arena, &b->fields,
                 ((PlanField){.name = planb_text(b, fields[i].name),
                              .kind = fields[i].kind,
                              .dtype = fields[i].dtype,
                              .rank = fields[i].rank,
                              .dim = {fields[i].rank ? LENGTH : 0},
                              .text = 1}));
}

static void open_rows(Fixture *f, const Use *u, Err *err)
{
    PlanBuilder *b = planb_new(f->arena);
    data_close(f->ds);
    plan_free(f->plan);
    f->ds = NULL;
    planb_target(b, PLAN_CPU, "generic");
    VEC_PUSH(f->arena, &b->meta, ((PlanMeta){.name = planb_text(b, "t")}));
    PlanTokenizer t = {.vocab = 257, .nspecial = 1, .eos = u->eos ? 256 : PLAN_NONE, .pad = 256};
    VEC_PUSH(f->arena, &b->specials, ((PlanSpecial){planb_text(b, "<x>"), 256}));
    VEC_PUSH(f->arena, &b->tokenizers, t);
    add_text(b);
    VEC_PUSH(f->arena, &b->texts,
             ((PlanText){.name = planb_text(b, "t"),
                         .ncode = b->codes.n,
                         .overlong = u->overlong,
                         .length = LENGTH}));
    VEC_PUSH(f->arena, &b->datas,
             ((PlanData){.name = planb_text(b, "d"),
                         .dir = planb_text(b, f->dir),
                         .source = PD_JSONL,
                         .ncolumn = b->columns.n,
                         .nfield = FIELDS,
                         .ntext = 1,
                         .packs = u->packs,
                         .limit = u->limit ? u->limit : -1}));
    assert_true(
        file_write_atomic(path_join(f->arena, f->dir, "d.jsonl"), u->rows, strlen(u->rows), err));
    Bytes bytes = planb_finish(b);
    f->plan = plan_from_bytes(bytes.data, bytes.n, err);
    if (!f->plan)
        fail_msg("%s", err->text);
    f->ds = data_open(f->plan, 0, err);
}

typedef struct Batch {
    int32_t tokens[MAX_ROWS][LENGTH], targets[MAX_ROWS][LENGTH];
    uint8_t learn[MAX_ROWS][LENGTH], valid[MAX_ROWS][LENGTH];
    int32_t pos[MAX_ROWS][LENGTH], seg[MAX_ROWS][LENGTH], last[MAX_ROWS];
} Batch;

/* All samples in one batch; gives its rows. */
static int64_t read_all(Fixture *f, const Use *u, Batch *b)
{
    Err err = {0};
    open_rows(f, u, &err);
    if (!f->ds)
        fail_msg("%s", err.text);
    int64_t rows[MAX_ROWS], n = data_rows(f->ds);
    assert_in_range(n, 1, MAX_ROWS);
    for (int64_t i = 0; i < n; i++)
        rows[i] = i;
    memset(b, 0x55, sizeof *b);
    void *out[FIELDS] = {b->tokens, b->targets, b->learn, b->valid, b->pos, b->seg, b->last};
    int64_t made = data_batch(f->ds, rows, n, out, &err), learned = 0;
    for (int64_t i = 0; i < made * LENGTH; i++)
        learned += b->learn[i / LENGTH][i % LENGTH];
    assert_true(data_learned(f->ds) == (double)learned / (double)n);
    return made;
}

#define NUMBERS(row, ...) \
    assert_memory_equal(row, ((const int32_t[LENGTH]){__VA_ARGS__}), sizeof(int32_t) * LENGTH)
#define MARKS(row, ...) assert_memory_equal(row, ((const uint8_t[LENGTH]){__VA_ARGS__}), LENGTH)

static const char rows_text[] = "{\"a\": \"ab\", \"b\": \"\"}\n"
                                "{\"a\": \"1\", \"b\": \"234\"}\n"
                                "{\"b\": \"\", \"a\": \"\\u0041\"}\n"
                                "{\"a\": \"\", \"b\": \"\"}\n";

/* ab-| 1-234| A-| -|: the third and the fourth sample go back to the first row. */
static void test_packed(void **state)
{
    Fixture *f = *state;
    Batch b;
    assert_int_equal(read_all(f, &(Use){.rows = rows_text, .packs = true}, &b), 2);
    NUMBERS(b.tokens[0], 'a', 'b', '-', 'A', '-', '-');
    NUMBERS(b.targets[0], 'b', '-', -1, '-', -1, -1);
    MARKS(b.learn[0], 1, 1, 0, 1, 0, 0);
    MARKS(b.valid[0], 1, 1, 1, 1, 1, 1);
    NUMBERS(b.pos[0], 0, 1, 2, 0, 1, 0);
    NUMBERS(b.seg[0], 0, 0, 0, 1, 1, 2);
    assert_int_equal(b.last[0], 5);
    NUMBERS(b.tokens[1], '1', '-', '2', '3', '4', 256);
    NUMBERS(b.targets[1], '-', '2', '3', '4', -1, -1);
    MARKS(b.valid[1], 1, 1, 1, 1, 1, 0);
    NUMBERS(b.pos[1], 0, 1, 2, 3, 4, 0);
    NUMBERS(b.seg[1], 0, 0, 0, 0, 0, 1);
    assert_int_equal(b.last[1], 4);
}

static void test_apart(void **state)
{
    Fixture *f = *state;
    Batch b;
    assert_int_equal(read_all(f, &(Use){.rows = rows_text, .eos = true}, &b), 4);
    NUMBERS(b.tokens[0], 'a', 'b', '-', 256, 256, 256);
    NUMBERS(b.targets[0], 'b', '-', 256, -1, -1, -1);
    MARKS(b.valid[0], 1, 1, 1, 1, 0, 0);
    MARKS(b.learn[0], 1, 1, 1, 0, 0, 0);
    NUMBERS(b.pos[0], 0, 1, 2, 3, 0, 1);
    NUMBERS(b.seg[0], 0, 0, 0, 0, 1, 1);
    NUMBERS(b.tokens[1], '1', '-', '2', '3', '4', 256);
    NUMBERS(b.targets[3], 256, -1, -1, -1, -1, -1);
    assert_int_equal(b.last[3], 1);
}

static void expect_remark(const Fixture *f, const char *want)
{
    StrBuf sb = sb_new(f->arena);
    data_remarks(f->ds, &sb);
    assert_string_equal(sb_text(&sb), want);
}

/* What is longer than a row loses its end, and `<eos>` with it. */
static void test_overlong(void **state)
{
    Fixture *f = *state;
    Batch b;
    Use u = {.rows = "{\"a\": \"abcde\", \"b\": \"f\"}\n{\"a\": \"x\", \"b\": \"\"}\n"
                     "{\"a\": \"abc\", \"b\": \"fg\"}\n",
             .eos = true,
             .packs = true};
    assert_int_equal(read_all(f, &u, &b), 3);
    NUMBERS(b.tokens[0], 'a', 'b', 'c', 'd', 'e', '-');
    NUMBERS(b.targets[0], 'b', 'c', 'd', 'e', '-', -1);
    NUMBERS(b.tokens[2], 'a', 'b', 'c', '-', 'f', 'g');
    expect_remark(f, "data `d`: 2 of 3 texts are cut: they have up to 8 tokens\n");
    u.overlong = PO_DROP;
    assert_int_equal(read_all(f, &u, &b), 1);
    assert_int_equal(data_rows(f->ds), 1);
    NUMBERS(b.tokens[0], 'x', '-', 256, 256, 256, 256);
    expect_remark(f, "data `d`: 2 of 3 texts are left out: they have up to 8 tokens\n");
    Err err = {0};
    u.overlong = PO_ERROR;
    open_rows(f, &u, &err);
    assert_null(f->ds);
    assert_non_null(strstr(err.text, "row 0 ("));
    assert_non_null(strstr(err.text, "line 1): field `t`: its text has 8 tokens, and a row has 6"));
    err = (Err){0};
    u = (Use){.rows = "{\"a\": \"abcdef\", \"b\": \"\"}\n", .overlong = PO_DROP};
    open_rows(f, &u, &err);
    assert_null(f->ds);
    assert_non_null(strstr(err.text, "no text is short enough"));
    u = (Use){.rows = rows_text, .eos = true, .overlong = PO_ERROR, .limit = 1};
    open_rows(f, &u, &err);
    assert_non_null(f->ds);
    assert_int_equal(data_rows(f->ds), 1);
}

/* A text is what is no number; `null` is the empty one. */
static void test_wrong_cells(void **state)
{
    Fixture *f = *state;
    static const struct {
        const char *rows, *says;
    } wrong[] = {{"{\"a\": \"x\"}\n", "no field `b`"},
                 {"{\"a\": \"x\", \"b\": \"y\"}\n{\"a\": \"x\"}\n", "no field `b`"},
                 {"{\"a\": \"x\", \"b\": \"y}\n", "no JSON"},
                 {"{\"a\": \"\xff\", \"b\": \"y\"}\n", "not UTF-8"}};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        Err err = {0};
        open_rows(f, &(Use){.rows = wrong[i].rows}, &err);
        assert_null(f->ds);
        if (!strstr(err.text, wrong[i].says))
            fail_msg("%s", err.text);
    }
    Batch b;
    Use u = {.rows = "{\"a\": null, \"b\": \"z\"}\n"};
    assert_int_equal(read_all(f, &u, &b), 1);
    NUMBERS(b.tokens[0], '-', 'z', 256, 256, 256, 256);
}

/* ---- first fit ---- */

enum { SAMPLES = 200, LONGEST = 40 };

static int64_t plain_first_fit(int64_t *used, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++)
        if (used[r] + n <= LONGEST)
            return r;
    return rows;
}

static void test_first_fit(void **state)
{
    Fixture *f = *state;
    TokenRows t = {.arena = f->arena};
    SampleTokens s = {.arena = f->arena};
    uint64_t seed = 7;
    for (int round = 0; round < 50; round++) {
        int64_t used[SAMPLES] = {0}, rows = 1, count = 1 + round * 4 % SAMPLES;
        s.tokens.n = s.end.n = 0;
        for (int64_t i = 0; i < count; i++) {
            seed = hash_mix(seed, 1);
            for (int64_t n = (int64_t)(seed % (LONGEST + 1)); n; n--)
                VEC_PUSH(f->arena, &s.tokens, (int32_t)i);
            VEC_PUSH(f->arena, &s.end, s.tokens.n);
        }
        tokenrows_pack(&t, &s, LONGEST);
        for (int64_t i = 0; i < count; i++) {
            int64_t n = (int64_t)s.end.at[i] - (i ? (int64_t)s.end.at[i - 1] : 0);
            int64_t row = n ? plain_first_fit(used, rows, n) : t.sample[i].row;
            assert_int_equal(t.sample[i].row, row);
            assert_int_equal(t.sample[i].at, used[row]);
            used[row] += n;
            rows = row < rows ? rows : row + 1;
        }
        assert_int_equal(t.rows, rows);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_packed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overlong, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_cells, setup, teardown),
        cmocka_unit_test_setup_teardown(test_first_fit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
