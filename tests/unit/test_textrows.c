/* LIBS: mdl_runtime mdl_plan mdl_base */
/* test_textrows.c: what is JSON, UTF-8 and a number in a file of rows, and what is not. JSON is measured by
 * JSONTestSuite where that is there. */
#include "jsonscan.h"
#include "textrows.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static bool is_json(const char *text, size_t n)
{
    JsonScan s = {.at = text, .end = text + n};
    if (!text_is_utf8(text, n) || !jscan_value(&s, NULL))
        return false;
    jscan_blanks(&s);
    return s.at == s.end;
}

static void test_json(void **state)
{
    UNUSED(state);
    static const char *const good[] = {
        "0",   "-0.5E+3", " [1 , [] , {} ] ", "\"\\u00e9\\ud834\\udd1e\"", "{\"a\":{\"a\":null}}",
        "true"};
    static const char *const bad[] = {
        "",       "01",      "1.",          ".5", "+1",    "[1,]",        "{a:1}", "nul",     "NaN",
        "\"\t\"", "\"\\x\"", "\"\\ud834\"", "[1", "\"abc", "\"\\udd1e\"", "1 2",   "{\"a\"}", "-"};
    for (size_t i = 0; i < COUNT(good); i++)
        if (!is_json(good[i], strlen(good[i])))
            fail_msg("refused: %s", good[i]);
    for (size_t i = 0; i < COUNT(bad); i++)
        if (is_json(bad[i], strlen(bad[i])))
            fail_msg("taken: %s", bad[i]);
    char deep[200];
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    assert_false(is_json(deep, 200));
    assert_true(is_json(deep + 40, 120));
}

static void test_escapes(void **state)
{
    UNUSED(state);
    const char *text = "\"\\\"\\\\\\/\\b\\f\\n\\r\\t \\u0041\\u00e9\\u20ac\\ud83d\\ude00\"";
    JsonScan s = {.at = text, .end = text + strlen(text)};
    JsonText t;
    char out[100];
    assert_true(jscan_string(&s, &t) && t.escapes);
    size_t n = jscan_unescape(&t, out);
    const char *want = "\"\\/\b\f\n\r\t A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
    assert_int_equal(n, strlen(want));
    assert_memory_equal(out, want, n);
}

/* n_structure_100000_opening_arrays and kin are deeper than 64, which is right to refuse. */
static void test_suite(void **state)
{
    UNUSED(state);
    Arena *arena = arena_new();
    const char *base = getenv("MDL_TEST_DATA");
    const char *path =
        path_join(arena, base ? base : MDL_SOURCE_DIR "/../shared/data", "json/test_parsing");
    DIR *dir = opendir(path);
    int taken = 0, refused = 0;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        Bytes b;
        Err err = {0};
        if (e->d_name[1] != '_' ||
            !file_read(arena, path_join(arena, path, e->d_name), 1 << 20, &b, &err))
            continue;
        bool good = is_json(b.data, b.n);
        if ((e->d_name[0] == 'y' && !good) || (e->d_name[0] == 'n' && good))
            fail_msg("%s: %s", e->d_name, good ? "taken" : "refused");
        taken += good, refused += !good;
    }
    if (dir)
        closedir(dir);
    arena_free(arena);
    if (!dir)
        skip();
    assert_true(taken >= 95 && refused >= 188);
}

static void test_utf8(void **state)
{
    UNUSED(state);
    static const char *const good[] = {"",
                                       "plain, longer than eight",
                                       "\xc2\x80",
                                       "\xed\x9f\xbf",
                                       "\xef\xbf\xbf",
                                       "\xf4\x8f\xbf\xbf",
                                       "12345678\xf0\x90\x80\x80"};
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc2",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "12345678\xff",
                                      "\xe2\x82"};
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(text_is_utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(text_is_utf8(bad[i], strlen(bad[i])));
}

static void test_numbers(void **state)
{
    UNUSED(state);
    static const struct {
        const char *text;
        double value;
    } good[] = {{"1", 1}, {" -2.5e1\t", -25}, {"+.5", 0.5}, {"5.", 5}, {"true", 1}, {"False", 0}};
    static const char *const bad[] = {"",    " ",     "x",   "1x",  "0x10", "nan",
                                      "inf", "1e999", "1 2", "--1", "e5"};
    double v;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(text_number(good[i].text, strlen(good[i].text), &v) && v == good[i].value);
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(text_number(bad[i], strlen(bad[i]), &v));
    assert_false(text_number("1\0002", 3, &v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json), cmocka_unit_test(test_escapes), cmocka_unit_test(test_suite),
        cmocka_unit_test(test_utf8), cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
