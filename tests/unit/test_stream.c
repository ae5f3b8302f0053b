/* LIBS: mdl_runtime mdl_plan mdl_base */
/* test_stream.c: files of text become rows of tokens: windows, next tokens, positions and segments, shares, and
 * what is refused. Every field is compared with what a plain walk over the joined text says. */
#include "dataset.h"
#include "interrupt.h"
#include "loader.h"
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LENGTH = 5, MAX_ROWS = 64, FIELDS = 7 };

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
    f->dir = arena_printf(arena, "%s/stream-%ld", MDL_BINARY_DIR, (long)getpid());
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

static void write_text(Fixture *f, const char *name, const char *text)
{
    Err err = {0};
    assert_true(file_write_atomic(path_join(f->arena, f->dir, name), text, strlen(text), &err));
}

static const struct {
    const char *name;
    PlanFieldKind kind;
    DType dtype;
    uint32_t rank;
} fields[FIELDS] = {{"tokens", PF_TOKENS, DT_I32, 1}, {"targets", PF_TARGETS, DT_I32, 1},
                    {"learn", PF_LEARN, DT_BOOL, 1},  {"valid", PF_VALID, DT_BOOL, 1},
                    {"pos", PF_POS, DT_I32, 1},       {"seg", PF_SEG, DT_I32, 1},
                    {"last", PF_LAST, DT_I32, 0}};

typedef struct Use {
    const char *files;
    bool eos, pad;
    int64_t stride, limit;
    double from, to; /* to 0: 1 */
} Use;

static PlanBuilder *build(Fixture *f, const Use *u)
{
    PlanBuilder *b = planb_new(f->arena);
    planb_target(b, PLAN_CPU, "generic");
    PlanMeta meta = {.name = planb_text(b, "t")};
    VEC_PUSH(f->arena, &b->meta, meta);
    PlanTokenizer t = {.vocab = 256, .eos = PLAN_NONE, .pad = PLAN_NONE};
    if (u->eos)
        t.eos = t.vocab++;
    if (u->pad)
        t.pad = t.vocab++;
    for (t.nspecial = 0; t.nspecial + 256 < t.vocab; t.nspecial++) {
        PlanSpecial s = {planb_text(b, "<x>"), 256 + t.nspecial};
        VEC_PUSH(f->arena, &b->specials, s);
    }
    VEC_PUSH(f->arena, &b->tokenizers, t);
    PlanStream s = {.files = planb_text(b, u->files),
                    .dtype = DT_U8,
                    .length = LENGTH,
                    .stride = u->stride,
                    .from = u->from,
                    .to = u->to > 0 ? u->to : 1};
    VEC_PUSH(f->arena, &b->streams, s);
    for (size_t i = 0; i < FIELDS; i++) {
        PlanField p = {.name = planb_text(b, fields[i].name),
                       .kind = fields[i].kind,
                       .dtype = fields[i].dtype,
                       .rank = fields[i].rank,
                       .dim = {fields[i].rank ? LENGTH : 0}};
        VEC_PUSH(f->arena, &b->fields, p);
    }
    PlanData d = {.name = planb_text(b, "words"),
                  .dir = planb_text(b, f->dir),
                  .source = PD_TEXT,
                  .nfield = FIELDS,
                  .limit = u->limit ? u->limit : -1};
    VEC_PUSH(f->arena, &b->datas, d);
    return b;
}

static void open_text(Fixture *f, const Use *u, Err *err)
{
    data_close(f->ds);
    plan_free(f->plan);
    f->ds = NULL;
    Bytes bytes = planb_finish(build(f, u));
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

static int64_t read_all(Fixture *f, const Use *u, Batch *b)
{
    Err err = {0};
    open_text(f, u, &err);
    if (!f->ds)
        fail_msg("%s", err.text);
    int64_t rows[MAX_ROWS], n = data_rows(f->ds);
    assert_in_range(n, 1, MAX_ROWS);
    for (int64_t i = 0; i < n; i++)
        rows[i] = i;
    memset(b, 0x55, sizeof *b);
    void *out[FIELDS] = {b->tokens, b->targets, b->learn, b->valid, b->pos, b->seg, b->last};
    assert_int_equal(data_batch(f->ds, rows, n, out, &err), n);
    int64_t learned = 0;
    for (int64_t i = 0; i < n * LENGTH; i++)
        learned += b->learn[i / LENGTH][i % LENGTH];
    assert_true(u->limit || data_learned(f->ds) == (double)learned / (double)n);
    return n;
}

#define NUMBERS(row, ...) \
    assert_memory_equal(row, ((const int32_t[LENGTH]){__VA_ARGS__}), sizeof(int32_t) * LENGTH)
#define MARKS(row, ...) assert_memory_equal(row, ((const uint8_t[LENGTH]){__VA_ARGS__}), LENGTH)

/* Rows follow each other; the last one begins earlier, and each token but the first is learned once. */
static void test_cut(void **state)
{
    Fixture *f = *state;
    Batch b;
    write_text(f, "a.txt", "abcdefghijklm");
    assert_int_equal(read_all(f, &(Use){.files = "a.txt"}, &b), 3);
    NUMBERS(b.tokens[0], 'a', 'b', 'c', 'd', 'e');
    NUMBERS(b.targets[0], 'b', 'c', 'd', 'e', 'f');
    NUMBERS(b.tokens[1], 'f', 'g', 'h', 'i', 'j');
    NUMBERS(b.tokens[2], 'h', 'i', 'j', 'k', 'l');
    NUMBERS(b.targets[2], -1, -1, -1, 'l', 'm');
    MARKS(b.learn[2], 0, 0, 0, 1, 1);
    MARKS(b.learn[1], 1, 1, 1, 1, 1);
    MARKS(b.valid[2], 1, 1, 1, 1, 1);
    NUMBERS(b.pos[2], 0, 1, 2, 3, 4);
    NUMBERS(b.seg[2], 0, 0, 0, 0, 0);
    assert_int_equal(b.last[2], 4);
    uint32_t learned[256] = {0};
    for (size_t r = 0; r < 3; r++)
        for (size_t i = 0; i < LENGTH; i++)
            if (b.targets[r][i] >= 0)
                learned[b.targets[r][i]]++;
    for (size_t c = 'a'; c <= 'm'; c++)
        assert_int_equal(learned[c], c > 'a');
    assert_int_equal(read_all(f, &(Use){.files = "a.txt", .limit = 2}, &b), 2);
}

/* A window at every so many tokens, where all of it and the next token lie inside. */
static void test_windows(void **state)
{
    Fixture *f = *state;
    Batch b;
    write_text(f, "a.txt", "abcdefghijklm");
    assert_int_equal(read_all(f, &(Use){.files = "a.txt", .stride = 1}, &b), 8);
    NUMBERS(b.tokens[7], 'h', 'i', 'j', 'k', 'l');
    NUMBERS(b.targets[7], 'i', 'j', 'k', 'l', 'm');
    assert_int_equal(read_all(f, &(Use){.files = "a.txt", .stride = 4}, &b), 2);
    NUMBERS(b.tokens[1], 'e', 'f', 'g', 'h', 'i');
    write_text(f, "b.txt", "no");
    write_text(f, "c.txt", "pqrstu");
    for (int64_t stride = 1; stride <= LENGTH; stride++)
        for (int eos = 0; eos < 2; eos++)
            read_all(f, &(Use){.files = "?.txt", .stride = stride, .eos = eos, .from = 0.1}, &b);
}

static void test_shares(void **state)
{
    Fixture *f = *state;
    Batch b;
    write_text(f, "a.txt", "abcdefghijklmnopqrst");
    assert_int_equal(read_all(f, &(Use){.files = "a.txt", .to = 0.6}, &b), 3);
    NUMBERS(b.targets[2], -1, -1, -1, -1, 'l'); /* of twelve, the last is learned, too */
    assert_int_equal(read_all(f, &(Use){.files = "a.txt", .from = 0.6}, &b), 2);
    NUMBERS(b.tokens[0], 'm', 'n', 'o', 'p', 'q');
    NUMBERS(b.targets[1], -1, -1, -1, 's', 't');
}

/* Positions, segments and targets stop at the end of a file; `<eos>` is its last token. */
static void test_files(void **state)
{
    Fixture *f = *state;
    Batch b;
    write_text(f, "b.txt", "xyz");
    write_text(f, "a.txt", "abc");
    write_text(f, "c.txt", "");
    write_text(f, "d.txt", "1");
    write_text(f, "ignored.md", "no");
    assert_int_equal(read_all(f, &(Use){.files = "*.txt"}, &b), 2);
    NUMBERS(b.tokens[0], 'a', 'b', 'c', 'x', 'y');
    NUMBERS(b.targets[0], 'b', 'c', -1, 'y', 'z');
    NUMBERS(b.pos[0], 0, 1, 2, 0, 1);
    NUMBERS(b.seg[0], 0, 0, 0, 1, 1);
    NUMBERS(b.targets[1], -1, -1, -1, -1, -1); /* z ends its file */
    assert_int_equal(read_all(f, &(Use){.files = "*.txt", .eos = true}, &b), 2);
    NUMBERS(b.tokens[0], 'a', 'b', 'c', 256, 'x');
    NUMBERS(b.targets[0], 'b', 'c', 256, -1, 'y');
    NUMBERS(b.tokens[1], 'y', 'z', 256, 256, '1');
    NUMBERS(b.targets[1], 'z', 256, -1, -1, 256);
    NUMBERS(b.pos[1], 0, 1, 2, 0, 0);
    NUMBERS(b.seg[1], 0, 0, 0, 1, 2);
}

/* Less than a row: the rest is a sample of its own, which is not valid. */
static void test_short(void **state)
{
    Fixture *f = *state;
    Batch b;
    write_text(f, "a.txt", "abc");
    assert_int_equal(read_all(f, &(Use){.files = "a.txt", .pad = true}, &b), 1);
    NUMBERS(b.tokens[0], 'a', 'b', 'c', 256, 256);
    NUMBERS(b.targets[0], 'b', 'c', -1, -1, -1);
    MARKS(b.valid[0], 1, 1, 1, 0, 0);
    MARKS(b.learn[0], 1, 1, 0, 0, 0);
    NUMBERS(b.pos[0], 0, 1, 2, 0, 1);
    NUMBERS(b.seg[0], 0, 0, 0, 1, 1);
    assert_int_equal(b.last[0], 2);
}

static void expect_refusal(Fixture *f, const Use *u, ErrKind kind, const char *text)
{
    Err err = {0};
    open_text(f, u, &err);
    assert_null(f->ds);
    assert_int_equal(err.kind, kind);
    if (!strstr(err.text, text))
        fail_msg("%s\n  without: %s", err.text, text);
}

static void test_refused(void **state)
{
    Fixture *f = *state;
    write_text(f, "one.txt", "a");
    write_text(f, "none.txt", "");
    write_text(f, "few.txt", "abcde");
    expect_refusal(f, &(Use){.files = "x*.txt"}, ERR_FILE, "no file x*.txt; looked for");
    expect_refusal(f, &(Use){.files = "/nowhere/*"}, ERR_FILE, "no file /nowhere/*");
    expect_refusal(f, &(Use){.files = "one.txt"}, ERR_DATA, "1 token of text: none has a next");
    expect_refusal(f, &(Use){.files = "none.txt"}, ERR_DATA, "0 tokens of text");
    expect_refusal(f, &(Use){.files = "few.txt", .stride = 1}, ERR_DATA, "less than one row of 5");
    expect_refusal(f, &(Use){.files = "few.txt", .to = 0.2}, ERR_DATA, "1 token of text");
}

/* A pattern's characters are no pattern where a file has that very name; folders are no texts. */
static void test_names(void **state)
{
    Fixture *f = *state;
    Batch b;
    Err err = {0};
    write_text(f, "[a].txt", "abcdefg");
    assert_true(file_mkdirs(path_join(f->arena, f->dir, "dir.txt"), &err));
    assert_int_equal(read_all(f, &(Use){.files = "[a].txt"}, &b), 2);
    expect_refusal(f, &(Use){.files = "d*.txt"}, ERR_FILE, "no file");
    setenv("MDL_DATA", f->dir, 1);
    const char *here = f->dir;
    f->dir = "/nowhere";
    assert_int_equal(read_all(f, &(Use){.files = "[a].txt"}, &b), 2);
    f->dir = here;
}

/* Cut off while it is mapped: said, with the exit code of bad data, also from a thread of the loader. */
static void test_cut_off(void **state)
{
    Fixture *f = *state;
    StrBuf sb = sb_new(f->arena);
    for (int i = 0; i < 40000; i++)
        sb_putc(&sb, 'a');
    write_text(f, "long.txt", sb_text(&sb));
    Err err = {0};
    open_text(f, &(Use){.files = "long.txt"}, &err);
    assert_non_null(f->ds);
    pid_t child = fork();
    if (child == 0) {
        Interrupt before;
        LoaderBatch batch;
        interrupt_watch(&before);
        bool cut = truncate(path_join(f->arena, f->dir, "long.txt"), 0) == 0;
        LoaderSpec spec = {.plan = f->plan, .ds = f->ds, .batch = 8, .begin = 4000, .end = 4800};
        Loader *loader = cut ? loader_new(&spec, &err) : NULL;
        _exit(loader && loader_next(loader, &batch, &err) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), ERR_DATA);
}

/* A plan whose numbers do not fit together is refused before anything is read. */
static void test_verified(void **state)
{
    Fixture *f = *state;
    static const struct {
        size_t at;
        uint32_t bits;
        const char *text;
    } wrong[] = {{offsetof(PlanStream, tokenizer), 7, "tokenizer"},
                 {offsetof(PlanStream, length), 0, "rows of 0"},
                 {offsetof(PlanStream, length), LENGTH + 1, "not what its source of tokens gives"}};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        PlanBuilder *b = build(f, &(Use){.files = "a.txt"});
        Err err = {0};
        memcpy((char *)&b->streams.at[0] + wrong[i].at, &wrong[i].bits, sizeof wrong[i].bits);
        Bytes bytes = planb_finish(b);
        assert_null(plan_from_bytes(bytes.data, bytes.n, &err));
        if (!strstr(err.text, wrong[i].text))
            fail_msg("%s", err.text);
    }
    PlanBuilder *b = build(f, &(Use){.files = "a.txt"});
    Err err = {0};
    b->tokenizers.at[0].vocab = 300;
    Bytes bytes = planb_finish(b);
    assert_null(plan_from_bytes(bytes.data, bytes.n, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_windows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shares, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_short, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_verified, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
