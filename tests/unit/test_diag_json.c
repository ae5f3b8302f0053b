/* LIBS: mdl_base */
/* test_diag_json.c: diagnostics as JSON and SARIF, strings of any bytes, certain edits. */
#include "diag.h"
#include <setjmp.h>
#include <stdarg.h>

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

static void strings(void **state)
{
    static const struct {
        const char *text;
        size_t n;
        const char *want;
    } cases[] = {
        {"", 0, "\"\""},
        {"a\"b\\c/", 6, "\"a\\\"b\\\\c/\""},
        {"\n\t\r\0\x1f\x7f", 6, "\"\\n\\t\\u000d\\u0000\\u001f\\u007f\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\xff", 1, "\"\\ufffd\""},
        {"\xc3", 1, "\"\\ufffd\""},                       /* cut off */
        {"\xc0\x80", 2, "\"\\ufffd\\ufffd\""},            /* overlong */
        {"\xe0\x80\x80", 3, "\"\\ufffd\\ufffd\\ufffd\""}, /* overlong */
        {"\xed\xa0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\""}, /* half of a surrogate pair */
        {"\xf4\x90\x80\x80", 4, "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
        {"\xf5x", 2, "\"\\ufffdx\""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        StrBuf sb = sb_new(*state);
        sb_json(&sb, cases[i].text, cases[i].n);
        assert_string_equal(sb_text(&sb), cases[i].want);
    }
}

#define TEXT "let \xc3\xa9 = 1.\nlet b\n"

static Diags *sample(Arena *arena)
{
    Diags *diags = diags_new(arena);
    uint32_t file = diags_source(diags, "a b.mdl", TEXT, strlen(TEXT));
    Diag *d = diag_at(diags, DIAG_W0101, (Span){file, 16, 19}, "second");
    diag_note(d, "a \"note\"");
    d = diag_at(diags, DIAG_E0104, (Span){file, 9, 11}, "first");
    diag_label(d, "here");
    diag_also(d, (Span){file, 4, 6}, "there");
    diag_help(d, "help");
    diag_fix_certain(d, (Span){file, 11, 11}, "0", "write it");
    diag_fix(d, (Span){file, 4, 6}, "e", "rename");
    diag_at(diags, DIAG_E0109, (Span){0}, "no place");
    return diags;
}

static void json(void **state)
{
    assert_string_equal(
        diags_render(sample(*state), *state, DIAG_JSON, false),
        "{\"code\":\"E0109\",\"level\":\"error\",\"message\":\"no "
        "place\",\"spans\":[],\"notes\":[],"
        "\"helps\":[],\"fixes\":[]}\n"
        "{\"code\":\"E0104\",\"level\":\"error\",\"message\":\"first\",\"spans\":["
        "{\"file\":\"a b.mdl\",\"line\":1,\"column\":10,\"end_line\":1,\"end_column\":12,\"lo\":9,"
        "\"hi\":11,\"primary\":true,\"label\":\"here\"},"
        "{\"file\":\"a b.mdl\",\"line\":1,\"column\":5,\"end_line\":1,\"end_column\":7,\"lo\":4,"
        "\"hi\":6,\"primary\":false,\"label\":\"there\"}],\"notes\":[],\"helps\":[\"help\"],"
        "\"fixes\":[{\"message\":\"write it\",\"certain\":true,\"file\":\"a b.mdl\",\"line\":1,"
        "\"column\":12,\"end_line\":1,\"end_column\":12,\"lo\":11,\"hi\":11,\"replacement\":\"0\"},"
        "{\"message\":\"rename\",\"certain\":false,\"file\":\"a b.mdl\",\"line\":1,\"column\":5,"
        "\"end_line\":1,\"end_column\":7,\"lo\":4,\"hi\":6,\"replacement\":\"e\"}]}\n"
        "{\"code\":\"W0101\",\"level\":\"warning\",\"message\":\"second\",\"spans\":["
        "{\"file\":\"a b.mdl\",\"line\":2,\"column\":5,\"end_line\":3,\"end_column\":1,\"lo\":16,"
        "\"hi\":18,\"primary\":true,\"label\":null}],\"notes\":[\"a \\\"note\\\"\"],\"helps\":[],"
        "\"fixes\":[]}\n");
}

static void has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no %s in:\n%s", part, text);
}

static void sarif(void **state)
{
    const char *text = diags_render(sample(*state), *state, DIAG_SARIF, false);
    has(text, "\"version\":\"2.1.0\"");
    has(text,
        "\"rules\":[{\"id\":\"E0104\",\"shortDescription\":{\"text\":\"malformed number\"}},");
    has(text,
        "\"ruleId\":\"E0104\",\"level\":\"error\",\"message\":{\"text\":\"first\\nhere\\nhelp: "
        "help\\nhelp: write it\\nhelp: rename\"}");
    /* the letter of two bytes is one column */
    has(text, "\"uri\":\"a%20b.mdl\"},\"region\":{\"startLine\":1,\"startColumn\":9,\"endLine\":1,"
              "\"endColumn\":11,\"byteOffset\":9,\"byteLength\":2}");
    has(text, "\"insertedContent\":{\"text\":\"0\"}");
    int depth = 0;
    for (const char *p = text; *p; p++) /* no quoted brackets in this sample */
        depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
    assert_int_equal(depth, 0);
    assert_string_equal(
        diags_render(diags_new(*state), *state, DIAG_SARIF, false),
        "{\"$schema\":\"https://json.schemastore.org/sarif-2.1.0.json\",\"version\":\"2.1.0\","
        "\"runs\":[{\"tool\":{\"driver\":{\"name\":\"mdl\",\"rules\":[]}},\"columnKind\":"
        "\"unicodeCodePoints\",\"results\":[]}]}\n");
}

/* Of edits that overlap only the first is made; files do not mix. */
static void certain_edits(void **state)
{
    Diags *diags = diags_new(*state);
    uint32_t a = diags_source(diags, "a", "0123456789", 10), n;
    uint32_t b = diags_source(diags, "b", "xyz", 3);
    Diag *d = diag_at(diags, DIAG_E0101, (Span){a, 0, 1}, "x");
    diag_fix_certain(d, (Span){a, 6, 8}, "G", "x");
    diag_fix_certain(d, (Span){a, 2, 5}, "CDE!", "x");
    diag_fix_certain(d, (Span){a, 4, 6}, "no", "x");
    diag_fix_certain(d, (Span){a, 2, 5}, "no", "x");
    diag_fix_certain(d, (Span){a, 9, 99}, "no", "x");
    diag_fix(d, (Span){a, 0, 1}, "no", "x");
    assert_string_equal(diags_fixed(diags, *state, a, &n), "01CDE!5G89");
    assert_int_equal(n, 2);
    assert_null(diags_fixed(diags, *state, b, &n));
    assert_int_equal(n, 0);
}

static void denied_warnings(void **state)
{
    Diags *diags = diags_new(*state);
    uint32_t file = diags_source(diags, "a", "xy", 2);
    DiagCode code;
    assert_true(diag_code_find("W0102", &code));
    assert_false(diag_code_find("W9999", &code));
    diags_deny(diags, DIAG_W0102);
    diag_at(diags, DIAG_W0102, (Span){file, 0, 1}, "x");
    diag_at(diags, DIAG_W0101, (Span){file, 0, 1}, "x");
    assert_int_equal(diags_errors(diags), 1);
    assert_int_equal(diags_warnings(diags), 1);
    assert_string_equal(diags_render(diags, *state, DIAG_SHORT, false),
                        "a:1:1: error[W0102]: x\na:1:1: warning[W0101]: x\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(strings, setup, teardown),
        cmocka_unit_test_setup_teardown(json, setup, teardown),
        cmocka_unit_test_setup_teardown(sarif, setup, teardown),
        cmocka_unit_test_setup_teardown(certain_edits, setup, teardown),
        cmocka_unit_test_setup_teardown(denied_warnings, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
