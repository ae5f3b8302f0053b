/* LIBS: mdl_test_tool mdl_runtime mdl_plan mdl_base */
/* test_data.c: every kind of source through the program: what rows hold, mistakes in files with their place,
 * and runs that are the same for any number of threads and from every step on. */
#include "tool.h"
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MODEL                                                   \
    "module M() {\n"                                            \
    "  param w: [2] ~ ones\n"                                   \
    "  fn forward(x: f32[B, 2]) -> [B] = sum(x * w, axis: 1)\n" \
    "}\n"                                                       \
    "model m = M()\n"
#define TRAIN(data)                                                           \
    "train m {\n  data = " data "\n  loss = b => mean((m(b.x) - b.y) ** 2)\n" \
    "  lr = 1e-3; batch = 7; steps = 7\n  every 1 steps: save(keep: 20)\n}\n"
#define EVAL                                                    \
    "eval e {\n  data = d\n  metric a = b => mean(b.x[:, 0])\n" \
    "  metric b = b => mean(b.x[:, 1])\n  metric y = b => mean(b.y)\n}\n"

#define CSV                                                                        \
    "data d {\n  source = pairs(\"d.csv\")\n  workers = 3\n"                       \
    "  filter = row => row.part == \"train\" and row.name != \"say \\\"no\\\"\"\n" \
    "  x: f32[2] = row => (row.age / 2, row.name == \"a, b\")\n  y: f32 = row => row.y\n}\n"

#define JSONL                                                                           \
    "data d {\n  source = jsonl(\"d.jsonl\")\n"                                         \
    "  filter = row => select(row.good, row.who, \"\xc3\xa9t\xc3\xa9\") + \"!\" != "    \
    "\"\xc3\xa9t\xc3\xa9!\"\n"                                                          \
    "  x: f32[2] = row => row.v * (1, 10)\n  y: f32 = row => select(row.none == \"\", " \
    "row.m[1][0], -1)\n}\n"

static const char csv_text[] = "\xef\xbb\xbfname,age,part,y\r\n"
                               "\"a, b\",10,train,1\r\n"
                               "\"say \"\"no\"\"\",20,train,2\r\n"
                               "\r\n"
                               "\"two\nlines\",30,\"train\",3\r\n"
                               "c,40,test,4\n"
                               "d, 50 ,train,-5.5e0";

static const char jsonl_text[] =
    "{\"v\": [1, 2], \"good\": true, \"who\": \"x\", \"none\": null, \"m\": [[0], [7]]}\n"
    "\n"
    "{\"v\": [3, 4e0], \"who\": \"\\u00e9t\\u00e9\", \"good\": true, \"none\": \"\", \"m\": [[0], "
    "[8]]}\n"
    " {\"extra\": {\"v\": 1}, \"none\": \"z\", \"v\": [5, -6], \"good\": 1, \"who\": \"\", \"m\": "
    "[[1],[9]]}\n"
    "{\"v\": [0, 0], \"good\": false, \"who\": \"y\", \"none\": null, \"m\": [[1],[9]]}";

static double metric(Tool *tool, const char *file, const char *name)
{
    json_t *root = json_loads(GOOD(tool, "eval", file, "e", "--json", "-q"), 0, NULL);
    assert_non_null(root);
    json_t *value = json_object_get(json_object_get(root, "metrics"), name);
    assert_true(json_is_real(value));
    double v = json_real_value(value);
    json_decref(root);
    return v;
}

static void expect(Tool *tool, const char *name, double a, double b, double y)
{
    GOOD(tool, "train", name, "-q", "--max-steps", "1");
    assert_true(fabs(metric(tool, name, "a") - a) < 1e-5);
    assert_true(fabs(metric(tool, name, "b") - b) < 1e-5);
    assert_true(fabs(metric(tool, name, "y") - y) < 1e-5);
}

static void csv_rows(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "d.csv", csv_text);
    tool_write(tool, "d.mdl", MODEL CSV TRAIN("d") EVAL);
    expect(tool, "d.mdl", (5 + 15 + 25) / 3.0, 1 / 3.0, (1 + 3 - 5.5) / 3);
}

static void jsonl_rows(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "d.jsonl", jsonl_text);
    tool_write(tool, "d.mdl", MODEL JSONL TRAIN("d") EVAL);
    expect(tool, "d.mdl", 3, (20 - 60) / 2.0, (7 - 1) / 2.0);
}

/* Little-endian npy of f32[n, 2], element i = i. */
static void write_npy(Tool *tool, const char *name, int n)
{
    StrBuf sb = sb_new(tool->arena);
    char head[128];
    int used = snprintf(head, sizeof head,
                        "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, 2), }", n);
    memset(head + used, ' ', sizeof head - (size_t)used);
    head[117] = '\n';
    sb_putn(&sb, "\x93NUMPY\1\0\x76\0", 10);
    sb_putn(&sb, head, 118);
    for (int i = 0; i < 2 * n; i++) {
        float f = (float)i;
        sb_putn(&sb, (const char *)&f, sizeof f);
    }
    Err err = {0};
    assert_true(file_write_atomic(tool_path(tool, name), sb.text, sb.n, &err));
}

static void npy_rows_and_limits(void **state)
{
    Tool *tool = *state;
    write_npy(tool, "d.npy", 30);
    tool_write(tool, "d.mdl",
               MODEL "data d {\n  source = npy(v: \"d.npy\")\n  limit = 25%\n"
                     "  filter = row => row.v[0] < 20\n  x: f32[2] = row => row.v\n"
                     "  y: f32 = row => max(row.v[0], 1)\n}\n" TRAIN("d") EVAL);
    expect(tool, "d.mdl", 1, 2, 1.5); /* a quarter of 10 rows */
}

/* ---- runs ---- */

static const char *weights_of(Tool *tool, const char *run, int step)
{
    return arena_printf(tool->arena, "%s/checkpoints/step-%d/weights.safetensors", run, step);
}

static void check_same(Tool *tool, const char *run, int step)
{
    Bytes a = tool_read(tool, weights_of(tool, "whole", step));
    Bytes b = tool_read(tool, weights_of(tool, run, step));
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.data, b.data, a.n);
}

static void mixes_resume_from_every_step(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "d.jsonl", jsonl_text);
    tool_write(tool, "d.csv", csv_text);
    write_npy(tool, "d.npy", 13);
    tool_write(tool, "d.mdl",
               MODEL CSV "data j {\n  source = jsonl(\"d.jsonl\")\n  x: f32[2] = row => row.v\n"
                         "  y: f32 = row => row.m[1][0]\n}\n"
                         "data n {\n  source = npy(v: \"d.npy\")\n  x: f32[2] = row => row.v / 10\n"
                         "  y: f32 = row => row.v[1] / 10\n}\n"
                         "data all {\n  source = mix((mix((d, 2), (j, 1)), 0.5), (n, 0.5))\n  "
                         "workers = 2\n}\n" TRAIN("all"));
    GOOD(tool, "train", "d.mdl", "--run", "whole", "-q");
    for (int step = 1; step < 7; step++) {
        const char *run = arena_printf(tool->arena, "part%d", step);
        const char *to = arena_printf(tool->arena, "%d", step);
        GOOD(tool, "train", "d.mdl", "--run", run, "-q", "--max-steps", to);
        check_same(tool, run, step);
        GOOD(tool, "train", "d.mdl", "--run", run, "-q");
        check_same(tool, run, 7);
    }
    GOOD(tool, "train", "d.mdl", "--run", "one", "-q", "--set", "data.all.workers=1");
    check_same(tool, "one", 7);
    GOOD(tool, "train", "d.mdl", "--run", "many", "-q", "--set", "data.all.workers=9");
    check_same(tool, "many", 7);
}

/* ---- changed data ---- */

static void go_on(Tool *tool, const char *to, int code, const char *says)
{
    Outcome o = RUN(tool, "train", "d.mdl", "--run", "r", "-q", "--max-steps", to);
    check_code(&o, code);
    check_has(o.err, says);
}

static void changed_data_is_noticed(void **state)
{
    Tool *tool = *state;
    tool_write(tool, "d.csv", csv_text);
    write_npy(tool, "d.npy", 13);
    tool_write(tool, "d.mdl",
               MODEL CSV "data n {\n  source = npy(v: \"d.npy\")\n  x: f32[2] = row => row.v / 10\n"
                         "  y: f32 = row => row.v[1] / 10\n}\n"
                         "data all = mix((d, 0.5), (n, 0.5))\n" TRAIN("all"));
    go_on(tool, "1", 0, "");
    go_on(tool, "2", 0, "");
    tool_write(tool, "d.csv", arena_printf(tool->arena, "%s\n", csv_text));
    go_on(tool, "3", 4, "data `d` has changed since the run began: 3 rows (");
    go_on(tool, "3", 4, "bytes in 1 files) were 3 rows (");
    go_on(tool, "3", 4, "--fork");
    tool_write(tool, "d.csv", csv_text);
    StrBuf sb = sb_new(tool->arena);
    Bytes npy = tool_read(tool, "d.npy");
    sb_putn(&sb, npy.data, npy.n);
    sb.text[npy.n - 1] ^= 1; /* in the last number */
    Err err = {0};
    assert_true(file_write_atomic(tool_path(tool, "d.npy"), sb.text, sb.n, &err));
    go_on(tool, "3", 4,
          "data `n` has changed since the run began: its files are as long as before");
    GOOD(tool, "train", "d.mdl", "--run", "r", "-q", "--max-steps", "3", "--fork");
    go_on(tool, "4", 0, ""); /* it is the run's data now */
    tool_write(tool, "r/data.json", "{\"format\": 1, \"data\": [{}]}");
    go_on(tool, "5", 4, "data.json: format or data is missing or wrong");
    tool_write(tool, "r/data.json", "{\"format\": 1, \"data\": []}");
    go_on(tool, "5", 4, "is about other data");
    tool_cut(tool, "r/data.json", 7);
    go_on(tool, "5", 4, "data.json");
    file_remove_tree(tool_path(tool, "r/data.json"), NULL);
    go_on(tool, "5", 0, "");
    GOOD(tool, "train", "r", "-q", "--fork");
}

static void bin_tokens(void **state)
{
    Tool *tool = *state;
    StrBuf sb = sb_new(tool->arena);
    for (int i = 0; i < 401; i++) { /* 40,000 to 40,003 over and over */
        uint16_t token = (uint16_t)(40000 + i % 4);
        sb_putn(&sb, (const char *)&token, sizeof token);
    }
    Err err = {0};
    assert_true(file_write_atomic(tool_path(tool, "t.bin"), sb.text, sb.n, &err));
    tool_write(
        tool, "d.mdl",
        "module L() {\n  embed: Embedding(4, 4)\n"
        "  fn forward(t: i32[B, T]) -> [B, T, 4] = embed(t - 40000)\n}\nmodel l = L()\n"
        "data d { source = bin(\"t.bin\", i16); length = 20; workers = 2 }\n"
        "train l {\n  data = d\n  loss = b => cross_entropy(l(b.tokens), b.targets - 40000)\n"
        "  lr = 0.1; batch = 5; steps = 60\n}\n"
        "eval e {\n  data = d\n  metric loss = b => cross_entropy(l(b.tokens), b.targets - "
        "40000)\n}\n");
    GOOD(tool, "train", "d.mdl", "-q");
    assert_true(metric(tool, "d.mdl", "loss") < 0.1);
    tool_cut(tool, "t.bin", 401);
    Outcome o = RUN(tool, "train", "d.mdl", "--run", "r");
    check_code(&o, 4);
    check_has(o.err, "truncated: 401 bytes are no whole number of i16");
}

/* ---- mistakes in files ---- */

typedef struct Mistake {
    const char *text, *says;
    int code;
} Mistake;

static void check_mistakes(Tool *tool, const char *file, const Mistake *at, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tool_write(tool, file, at[i].text);
        Outcome o =
            RUN(tool, "train", "d.mdl", "--run", arena_printf(tool->arena, "r%zu", i), "-q");
        check_code(&o, at[i].code);
        check_has(o.err, at[i].says);
    }
}

static void csv_mistakes(void **state)
{
    Tool *tool = *state;
    static const Mistake mistakes[] = {
        {"", "no header", 4},
        {"name,age,part,y\n", "a header and no rows", 4},
        {"name,part,y\na,train,1\n", "no column `age`; it has `name`, `part`, `y`", 4},
        {"name,age,part,y,age\na,1,train,1,1\n", "two columns are called `age`", 4},
        {"name,age,part,y\na,1,train,2\nb,2,train\n",
         "d.csv, line 3): 3 fields, and the header has 4", 4},
        {"name,age,part,y\na,1,train,2\n\"x\ny\",2,train,abc\n", "row 1 (", 4},
        {"name,age,part,y\na,1,train,2\n\"x\ny\",2,train,abc\n",
         "line 3): column `y`: a number is expected, and this is `abc`", 4},
        {"name,age,part,y\na,,train,2\n", "column `age`: a number is expected, and this is empty",
         4},
        {"name,age,part,y\n\"a,1,train,2\n", "line 2: a quote that is never closed", 4},
        {"name,age,part,y\n\"a\"b,1,train,2\n", "line 2: text behind a closing quote", 4},
        {"name,age,part,y\n\xff,1,train,2\n", "line 2): not UTF-8", 4},
        {"name,age,part,y\na,1,test,2\n", "`filter` leaves none of its 1 rows", 4},
    };
    tool_write(tool, "d.mdl", MODEL CSV TRAIN("d"));
    check_mistakes(tool, "d.csv", mistakes, COUNT(mistakes));
    file_remove_tree(tool_path(tool, "d.csv"), NULL);
    Outcome o = RUN(tool, "train", "d.mdl", "--run", "none");
    check_code(&o, 3);
    check_has(o.err, "no file d.csv");
}

static void jsonl_mistakes(void **state)
{
    Tool *tool = *state;
#define GOOD_ROW "{\"v\":[1,2],\"y\":3}\n"
    static const Mistake mistakes[] = {
        {"\n \n", "no rows", 4},
        {"[1, 2]\n", "row 0 (", 4},
        {"[1, 2]\n", "d.jsonl, line 1): no JSON object", 4},
        {"{\"v\":[1,2]}\n", "it has no field `y`; it has `v`", 4},
        {GOOD_ROW "\n{\"v\":[1,2,3],\"y\":3}\n", "row 1 (", 4},
        {GOOD_ROW "\n{\"v\":[1,2,3],\"y\":3}\n",
         "line 3): column `v`: 2 elements are expected on axis 0, as in the first row", 4},
        {GOOD_ROW "{\"v\":[1,\"2\"],\"y\":3}\n",
         "column `v`: a number is expected, and this is `\"2\"`", 4},
        {GOOD_ROW "{\"v\":[1,2],\"y\":null}\n",
         "column `y`: a number is expected, and this is `null`", 4},
        {GOOD_ROW "{\"v\":[1,2],\"y\":3,}\n", "line 2): no JSON: expected a string at byte", 4},
        {GOOD_ROW "{\"v\":[1,2],\"y\":3", "line 2): no JSON: expected `,` or `}`", 4},
        {GOOD_ROW "{\"v\":[1,2],\"y\":3,\"v\":[1,2]}\n", "two fields `v`", 4},
        {GOOD_ROW "{\"v\":[1,2],\"y\":3} x\n", "more than one JSON object on a line", 4},
        {GOOD_ROW "{\"v\":[1,2],\"y\":3,\"\xc3\":1}\n", "line 2): not UTF-8", 4},
        {"{\"v\":[],\"y\":3}\n", "column `v`: an empty list", 4},
        {"{\"v\":[1,2,3],\"y\":3}\n",
         "field `x`: declared and found are rows of shapes [2] and [3]", 4},
    };
#undef GOOD_ROW
    tool_write(tool, "d.mdl",
               MODEL "data d {\n  source = jsonl(\"d.jsonl\")\n  workers = 2\n"
                     "  x: f32[2] = row => row.v\n  y: f32 = row => row.y\n}\n" TRAIN("d"));
    check_mistakes(tool, "d.jsonl", mistakes, COUNT(mistakes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_TOOL(test) cmocka_unit_test_setup_teardown(test, tool_setup, tool_teardown)
        WITH_TOOL(csv_rows),
        WITH_TOOL(jsonl_rows),
        WITH_TOOL(npy_rows_and_limits),
        WITH_TOOL(mixes_resume_from_every_step),
        WITH_TOOL(changed_data_is_noticed),
        WITH_TOOL(bin_tokens),
        WITH_TOOL(csv_mistakes),
        WITH_TOOL(jsonl_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
