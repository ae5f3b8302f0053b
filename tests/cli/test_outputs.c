/* LIBS: mdl_test_tool mdl_runtime mdl_plan mdl_base */
/* test_outputs.c: what a run leaves for people: its log, TensorBoard events, traces, the report. */
#include "tool.h"
#include <dirent.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static int setup(void **state)
{
    int rc = tool_setup(state);
    if (rc == 0)
        tool_data(*state);
    return rc;
}

static void train(Tool *tool, const char *lines)
{
    tool_program(tool, "p.mdl", "  epochs    = 5\n", lines);
    GOOD(tool, "train", "p.mdl", "--run", "r", "--quiet", "--trace", "3..4");
}

/* ---- TensorBoard ---- */

/* The reflected Castagnoli polynomial, by a table. */
static uint32_t crc32c(const unsigned char *data, size_t n)
{
    uint32_t table[256], crc = UINT32_MAX;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int k = 0; k < 8; k++)
            table[i] = table[i] >> 1 ^ (0x82f63b78u & (0u - (table[i] & 1)));
    }
    for (size_t i = 0; i < n; i++)
        crc = crc >> 8 ^ table[(crc ^ data[i]) & 255];
    return ~crc;
}

static uint32_t masked(const unsigned char *data, size_t n)
{
    uint32_t crc = crc32c(data, n);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static uint64_t little(const unsigned char *at, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes; i-- > 0;)
        v = v << 8 | at[i];
    return v;
}

static const char *events_file(Tool *tool, const char *run)
{
    const char *found = NULL;
    DIR *dir = opendir(tool_path(tool, run));
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir));)
        if (strncmp(e->d_name, "events.out.tfevents.", 20) == 0)
            found = arena_printf(tool->arena, "%s/%s", run, e->d_name);
    closedir(dir);
    return found;
}

/* Every record has the lengths and sums that the format asks for; the tag and value of one is known. */
static void events_are_records(void **state)
{
    Tool *tool = *state;
    assert_true(crc32c((const unsigned char *)"123456789", 9) == 0xe3069283u);
    train(tool, "  steps = 20\n  log = 1\n  every 10 steps: eval(test)\n");
    Bytes file = tool_read(tool, events_file(tool, "r"));
    const unsigned char *at = (const unsigned char *)file.data, *end = at + file.n;
    int records = 0, losses = 0, evals = 0;
    while (at < end) {
        uint64_t n = little(at, 8);
        assert_true(n < (uint64_t)(end - at) - 12);
        assert_true(little(at + 8, 4) == masked(at, 8));
        assert_true(little(at + 12 + n, 4) == masked(at + 12, n));
        char *text = arena_alloc(tool->arena, n + 1);
        for (uint64_t i = 0; i < n; i++)
            text[i] = at[12 + i] ? (char)at[12 + i] : ' ';
        losses += strstr(text, "train/loss") != NULL;
        evals += strstr(text, "test/accuracy") != NULL;
        records++;
        at += n + 16;
    }
    assert_int_equal(losses, 20);
    assert_int_equal(evals, 2);
    assert_int_equal(records, 2 + 20 + 2);
}

/* ---- the others ---- */

static void the_log_says_what_it_cost(void **state)
{
    Tool *tool = *state;
    train(tool, "  steps = 20\n  log = 5\n");
    Bytes text = tool_read(tool, "r/run.jsonl");
    int lines = 0;
    for (const char *line = text.data; (line = strstr(line, "{\"step\":")); line++, lines++) {
        json_t *json = json_loadb(line, strcspn(line, "\n"), 0, NULL);
        assert_true(json_number_value(json_object_get(json, "memory_mb")) > 1);
        double wait = json_number_value(json_object_get(json, "wait"));
        assert_true(wait >= 0 && wait <= 1);
        assert_true(json_is_number(json_object_get(json, "gnorm")));
        json_decref(json);
    }
    assert_int_equal(lines, 4);
    json_t *kernels = json_loads(tool_read(tool, "r/kernels.json").data, 0, NULL);
    assert_true(json_array_size(kernels) > 3);
    json_decref(kernels);
}

/* Only where the program wants it. */
static void logs_are_chosen(void **state)
{
    Tool *tool = *state;
    train(tool, "  steps = 20\n  log { every = 5 steps ; to = [console] }\n");
    assert_false(file_exists(tool_path(tool, "r/run.jsonl")));
    assert_null(events_file(tool, "r"));
    Outcome o = RUN(tool, "report", "r");
    check_code(&o, 3);
    check_has(o.err, "there is no r/run.jsonl");
}

static void traces_show_launches(void **state)
{
    Tool *tool = *state;
    train(tool, "  steps = 20\n");
    json_t *trace = json_loads(tool_read(tool, "r/trace.json").data, 0, NULL);
    const json_t *events = json_object_get(trace, "traceEvents");
    int launches = 0, steps = 0;
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *e = json_array_get(events, i);
        const char *name = json_string_value(json_object_get(e, "name"));
        if (strcmp(json_string_value(json_object_get(e, "ph")), "X") != 0)
            continue;
        assert_true(json_number_value(json_object_get(e, "dur")) >= 0);
        launches += json_object_get(e, "cat") != NULL;
        steps += strcmp(name, "step 3") == 0 || strcmp(name, "step 4") == 0;
    }
    assert_int_equal(steps, 2);
    assert_true(launches >= 8 && launches % 2 == 0); /* two steps of the same launches */
    json_decref(trace);
    Outcome o = RUN(tool, "train", "p.mdl", "--run", "r", "--trace", "4..3");
    check_code(&o, 2);
    check_has(o.err, "--trace takes steps");
}

static void reports_need_no_other_file(void **state)
{
    Tool *tool = *state;
    train(tool, "  steps = 20\n  log = 1\n  every 5 steps: eval(test), save(keep: 1)\n");
    const char *said = GOOD(tool, "report", "r");
    assert_string_equal(said, "r/report.html\n");
    const char *page = tool_read(tool, "r/report.html").data;
    check_has(page, "<polyline points=");
    check_has(page, ">loss</text>");
    check_has(page, "learning rate");
    check_has(page, "test: accuracy");
    check_has(page, "<h3>Kernels</h3>");
    check_has(page, "p.mdl");
    check_has(page, "</body></html>");
    check_lacks(page, "http");
    check_lacks(page, "nan");
    check_lacks(page, "<script");
    GOOD(tool, "report", "r", "--out", "x.html");
    assert_string_equal(tool_read(tool, "x.html").data, page);
    tool_write(tool, "r/run.jsonl", "{\"step\":1}\n{\"event\":\"eval\"}\nnonsense\n[]\n{\"step\":");
    GOOD(tool, "report", "r");
    Outcome o = RUN(tool, "report", "p.mdl");
    check_code(&o, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(events_are_records, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(the_log_says_what_it_cost, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(logs_are_chosen, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(traces_show_launches, setup, tool_teardown),
        cmocka_unit_test_setup_teardown(reports_need_no_other_file, setup, tool_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
