/* LIBS: mdl_target mdl_ir mdl_base */
/* test_records.c: files of tuning records: what is taken, left out and refused. */
#include "records.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
    *state = arena_new();
    return 0;
}

static int teardown(void **state)
{
    arena_free(*state);
    return 0;
}

#define HEAD "{\"mdl.tuning\":1,\"problem\":\"00000000000000ff\",\"class\":\"gemm\","

static Records *parse(Arena *arena, const char *text, Err *err)
{
    return records_parse(arena, "t.jsonl", text, strlen(text), err);
}

static void newest(void **state)
{
    Err err = {0};
    const Records *r = parse(*state,
                             HEAD "\"isa\":\"sm_80\",\"config\":[1,2],\"seconds\":1e-4}\n\n" HEAD
                                  "\"isa\":\"sm_90a\",\"config\":[9]}\n" HEAD
                                  "\"isa\":\"sm_80\",\"config\":[3,4],\"more\":[]}",
                             &err);
    assert_non_null(r);
    assert_int_equal(r->at.n, 3);
    const TuningRecord *found = records_find(r, 255, "sm_80");
    assert_non_null(found);
    assert_int_equal(found->line, 4);
    assert_int_equal(found->n, 2);
    assert_int_equal(found->config[1], 4);
    assert_int_equal(records_find(r, 255, "sm_90a")->config[0], 9);
    assert_null(records_find(r, 254, "sm_80"));
    assert_null(records_find(r, 255, "avx2"));
    assert_null(records_find(NULL, 255, "avx2"));
}

/* Another version is no mistake: the file is shared by programs of different ages. */
static void versions(void **state)
{
    Err err = {0};
    const Records *r = parse(*state,
                             "{\"mdl.tuning\":0,\"x\":1}\n{\"mdl.tuning\":2}\n" HEAD
                             "\"isa\":\"sm_80\",\"config\":[1]}\n",
                             &err);
    assert_non_null(r);
    assert_int_equal(r->other, 2);
    assert_int_equal(r->at.n, 1);
    assert_int_equal(parse(*state, "", &err)->at.n, 0);
}

static void mistakes(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"{", "t.jsonl:1: this is no JSON"},
        {"\n[1]", "t.jsonl:2: this is no tuning record"},
        {"{\"mdl.tuning\":\"1\"}", "t.jsonl:1: this is no tuning record"},
        {"{\"mdl.tuning\":1,\"problem\":\"ff\"}", "t.jsonl:1: `problem` is no hash"},
        {"{\"mdl.tuning\":1,\"problem\":\"00000000000000FF\"}", "t.jsonl:1: `problem` is no hash"},
        {"{\"mdl.tuning\":1,\"problem\":\"00000000000000ff\",\"class\":\"gem\"}", "`class` is"},
        {HEAD "\"isa\":\"\"}", "`isa` is no instruction set"},
        {HEAD "\"isa\":\"avx2\"}", "`config` is no list"},
        {HEAD "\"isa\":\"avx2\",\"config\":[]}", "`config` is no list"},
        {HEAD "\"isa\":\"avx2\",\"config\":[1,-1]}", "`config` is no list"},
        {HEAD "\"isa\":\"avx2\",\"config\":[1.5]}", "`config` is no list"},
        {HEAD "\"isa\":\"avx2\",\"config\":[1],\"seconds\":-1}", "`seconds` or `usual`"},
        {HEAD "\"isa\":\"avx2\",\"config\":[1],\"usual\":\"x\"}", "`seconds` or `usual`"},
        {HEAD "\"isa\":\"avx2\",\"config\":[1],\"device\":7}", "`device` is no name"},
        {HEAD "\"isa\":\"sm_80\",\"config\":[1],\"library\":{}}", "`library` is no choice"},
        {HEAD "\"isa\":\"sm_80\",\"config\":[1],\"library\":{\"cublaslt\":1,\"workspace\":0,"
              "\"algorithm\":\"00\"}}",
         "`library` is no choice"},
        {HEAD "\"isa\":\"avx2\",\"isa\":\"avx2\",\"config\":[1]}", "this is no JSON"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        Err err = {0};
        assert_null(parse(*state, cases[i].text, &err));
        assert_int_equal(err.kind, ERR_DATA);
        if (!strstr(err.text, cases[i].want))
            fail_msg("%s: %s", cases[i].text, err.text);
        assert_non_null(strstr(err.help, "remove the line"));
    }
    Err err = {0};
    assert_null(records_read(*state, "/nowhere/t.jsonl", &err));
    assert_int_equal(err.kind, ERR_FILE);
}

static void appended(void **state)
{
    char path[] = "/tmp/mdl-records-XXXXXX";
    Err err = {0};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    static const int64_t config[] = {128, 256, 64};
    TuningRecord record = {.problem = 0x0123456789abcdef,
                           .cls = "gemm",
                           .isa = "sm_90a",
                           .device = "a \"GPU\"",
                           .config = config,
                           .n = 3,
                           .seconds = 1.5e-4};
    assert_true(record_append(path, &record, &err));
    record.problem++;
    record.device = NULL;
    record.by_library = true;
    record.library = (LibraryChoice){
        .version = 130000, .workspace = 4096, .algorithm = {1, 0, UINT64_MAX, 0, 0, 0, 0, 7}};
    assert_true(record_append(path, &record, &err));
    const Records *r = records_read(*state, path, &err);
    unlink(path);
    assert_non_null(r);
    assert_int_equal(r->at.n, 2);
    const TuningRecord *got = records_find(r, 0x0123456789abcdef, "sm_90a");
    assert_non_null(got);
    assert_string_equal(got->device, "a \"GPU\"");
    assert_true(got->seconds == 1.5e-4 && got->usual == 0);
    assert_int_equal(got->config[2], 64);
    assert_false(got->by_library);
    got = records_find(r, 0x0123456789abcdf0, "sm_90a");
    assert_true(got && got->by_library);
    assert_memory_equal(&got->library, &record.library, sizeof record.library);
    assert_false(record_append("/nowhere/t.jsonl", &record, &err));
    assert_int_equal(err.kind, ERR_FILE);
}

/* A disk that is full in the middle of a line: what was there before is still read. */
static void half_a_line_is_taken_back(void **state)
{
    char path[] = "/tmp/mdl-records-XXXXXX";
    Err err = {0};
    static const int64_t config[] = {7};
    const TuningRecord record = {
        .problem = 1, .cls = "gemm", .isa = "sm_80", .device = "", .config = config, .n = 1};
    struct rlimit old, limit;
    struct stat st;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_true(record_append(path, &record, &err));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = old;
    limit.rlim_cur = (rlim_t)st.st_size + 20;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    bool ok = record_append(path, &record, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    const Records *r = records_read(*state, path, &(Err){0});
    unlink(path);
    assert_false(ok);
    assert_int_equal(err.kind, ERR_FILE);
    assert_non_null(strstr(err.text, "No space left"));
    assert_non_null(r);
    assert_int_equal(r->at.n, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newest),
        cmocka_unit_test(versions),
        cmocka_unit_test(mistakes),
        cmocka_unit_test(appended),
        cmocka_unit_test(half_a_line_is_taken_back),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
