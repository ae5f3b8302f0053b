/* LIBS: mdl_base */
/* test_diag.c: how reports are collected, merged, sorted and drawn. */
#include "diag.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct Case {
    Arena *arena;
    Diags *diags;
    const char *text;
    uint32_t file;
} Case;

static Case start(void **state, const char *text)
{
    Case c = {.arena = *state, .text = text};
    c.diags = diags_new(c.arena);
    c.file = diags_source(c.diags, "m.mdl", text, strlen(text));
    return c;
}

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

/* The span of the first `what` at or after the first `after`. */
static Span find_after(const Case *c, const char *after, const char *what)
{
    const char *from = strstr(c->text, after);
    assert_non_null(from);
    const char *at = strstr(from, what);
    assert_non_null(at);
    uint32_t lo = (uint32_t)(at - c->text);
    return (Span){c->file, lo, lo + (uint32_t)strlen(what)};
}

static Span find(const Case *c, const char *what)
{
    return find_after(c, "", what);
}

static void expect(const Case *c, const char *want)
{
    assert_string_equal(diags_render(c->diags, c->arena, DIAG_HUMAN, false), want);
}

/* ---- the pictures of the language reference ---- */

static void two_places_far_apart(void **state)
{
    Case c = start(state, "\n\n\n\n\n\n  k_proj: Linear(D, KV * dh, bias: none)\n\n\n\n\n\n\n\n"
                          "    k = k_proj(x) as [B, T, H, dh] |> rope(pos, theta)\n");
    Diag *d = diag_at(c.diags, DIAG_E0414, find(&c, "k_proj(x)"), "cannot reshape `%s` to `%s`",
                      "[B, T, 1024]", "[B, T, 32, 128]");
    diag_also(d, find_after(&c, "KV", "KV * dh"), "k_proj returns KV * dh = 1024 features");
    diag_also(d, find(&c, "H, dh"), "asks for H * dh = %d", 4096);
    diag_note(d, "in llm.layers.*.self_attn");
    diag_fix(d, find_after(&c, "as [B", "H"), "KV", "KV * dh is 1024");
    expect(&c, "error[E0414]: cannot reshape `[B, T, 1024]` to `[B, T, 32, 128]`\n"
               "  --> m.mdl:15:9\n"
               "   |\n"
               " 7 |   k_proj: Linear(D, KV * dh, bias: none)\n"
               "   |                     ------- k_proj returns KV * dh = 1024 features\n"
               "...\n"
               "15 |     k = k_proj(x) as [B, T, H, dh] |> rope(pos, theta)\n"
               "   |         ^^^^^^^^^           ----- asks for H * dh = 4096\n"
               "   |\n"
               "   = note: in llm.layers.*.self_attn\n"
               "help: KV * dh is 1024\n"
               "   |\n"
               "15 |     k = k_proj(x) as [B, T, KV, dh] |> rope(pos, theta)\n"
               "   |                             ~~\n");
}

static void unclosed_bracket(void **state)
{
    Case c = start(state, "module M(D)\n  fc: Linear(D, D\n  param w: [D] ~ zeros\n");
    Diag *d = diag_at(c.diags, DIAG_E0103, find_after(&c, "Linear", "("), "unclosed `(`");
    diag_also(d, find(&c, "param"), "this statement begins before it is closed");
    expect(&c, "error[E0103]: unclosed `(`\n"
               " --> m.mdl:2:13\n"
               "  |\n"
               "2 |   fc: Linear(D, D\n"
               "  |             ^\n"
               "3 |   param w: [D] ~ zeros\n"
               "  |   ----- this statement begins before it is closed\n"
               "  |\n");
}

static void help_without_edit_and_insertion(void **state)
{
    Case c = start(state, "load projector from file(\"x\")\n");
    Diag *d = diag_at(c.diags, DIAG_E1001, find(&c, "projector"), "the checkpoint lacks 4 tensors");
    Span end = {c.file, 29, 29};
    diag_fix(d, end, " { \"a.**\" -> \"**\" }", "map the keys");
    diag_help(d, "or train it");
    expect(&c, "error[E1001]: the checkpoint lacks 4 tensors\n"
               " --> m.mdl:1:6\n"
               "  |\n"
               "1 | load projector from file(\"x\")\n"
               "  |      ^^^^^^^^^\n"
               "  |\n"
               "  = help: or train it\n"
               "help: map the keys\n"
               "  |\n"
               "1 | load projector from file(\"x\") { \"a.**\" -> \"**\" }\n"
               "  |                               ++++++++++++++++++\n");
}

static void labels_on_one_line(void **state)
{
    Case c = start(state, "y = alpha + beta * gamma\n");
    Diag *d = diag_at(c.diags, DIAG_E0413, find(&c, "+"), "cannot broadcast");
    diag_label(d, "here");
    diag_also(d, find(&c, "gamma"), "this is [C]");
    diag_also(d, find(&c, "alpha"), "this is [A]");
    diag_also(d, find(&c, "beta"), "this is [B]");
    expect(&c, "error[E0413]: cannot broadcast\n"
               " --> m.mdl:1:11\n"
               "  |\n"
               "1 | y = alpha + beta * gamma\n"
               "  |     ----- ^ ----   ----- this is [C]\n"
               "  |     |     | |\n"
               "  |     |     | this is [B]\n"
               "  |     |     here\n"
               "  |     this is [A]\n"
               "  |\n");
}

/* ---- odd places ---- */

static void end_of_file_and_empty_file(void **state)
{
    Case c = start(state, "a = 1\n");
    diag_at(c.diags, DIAG_E0102, (Span){c.file, 6, 6}, "unexpected end of file");
    diag_at(c.diags, DIAG_E0102, (Span){c.file, 700, 900}, "far behind the end");
    expect(&c, "error[E0102]: unexpected end of file\n"
               " --> m.mdl:2:1\n"
               "  |\n"
               "2 |\n"
               "  | ^\n"
               "  |\n"
               "\n"
               "error[E0102]: far behind the end\n"
               " --> m.mdl:2:1\n"
               "  |\n"
               "2 |\n"
               "  | ^\n"
               "  |\n");
    Case e = start(state, "");
    Diag *d = diag_at(e.diags, DIAG_E0102, (Span){e.file, 0, 0}, "nothing here");
    diag_fix(d, (Span){e.file, 0, 0}, "edition 1\n", "begin with the edition");
    expect(&e, "error[E0102]: nothing here\n"
               " --> m.mdl:1:1\n"
               "  |\n"
               "1 |\n"
               "  | ^\n"
               "  |\n"
               "help: begin with the edition\n"
               "  |\n"
               "1 | edition 1\n"
               "  | +++++++++\n"
               "2 |\n");
}

static void tabs_and_code_points_align(void **state)
{
    Case c = start(state, "\tπ\tqué = x\r\n");
    diag_at(c.diags, DIAG_W0101, find(&c, "qué"), "unused value `qué`");
    diag_at(c.diags, DIAG_E0201, find(&c, "x"), "unknown name `x`");
    expect(&c, "warning[W0101]: unused value `qué`\n"
               " --> m.mdl:1:5\n"
               "  |\n"
               "1 |     π   qué = x\n"
               "  |         ^^^\n"
               "  |\n"
               "\n"
               "error[E0201]: unknown name `x`\n"
               " --> m.mdl:1:12\n"
               "  |\n"
               "1 |     π   qué = x\n"
               "  |               ^\n"
               "  |\n");
    assert_int_equal(diags_errors(c.diags), 1);
    assert_int_equal(diags_warnings(c.diags), 1);
}

static void controls_and_bad_utf8_are_harmless(void **state)
{
    Case c = start(state, "a\033[31m \xff\xc3( \xe2\x80\xae!\n");
    Diag *d = diag_at(c.diags, DIAG_E0101, find(&c, "!"), "bad `\033[2J\xff`\nnext");
    diag_label(d, "\007");
    expect(&c, "error[E0101]: bad `?[2J?` next\n"
               " --> m.mdl:1:15\n"
               "  |\n"
               "1 | a?[31m ?"
               "?( ?!\n"
               "  |             ^ ?\n"
               "  |\n");
}

static void long_lines_are_cut(void **state)
{
    enum { N = 100000 };
    char *text = arena_alloc(*state, N + 1);
    for (int i = 0; i < N; i++)
        text[i] = (char)('a' + i % 26);
    memcpy(text + 50000, "WRONG", 5);
    Case c = start(state, text);
    Diag *d = diag_at(c.diags, DIAG_E0201, find(&c, "WRONG"), "unknown name");
    diag_also(d, (Span){c.file, 0, 5}, "far left");
    diag_also(d, (Span){c.file, N - 5, N}, "far right");
    diag_fix(d, find(&c, "WRONG"), "RIGHT", "write");
    const char *out = diags_render(c.diags, c.arena, DIAG_HUMAN, false);
    assert_true(strlen(out) < 2000);
    const char *line = strstr(out, "1 | ...");
    const char *wrong = strstr(out, "WRONG"), *caret = strstr(out, "^^^^^");
    assert_true(line && wrong && caret);
    const char *marks = strchr(line, '\n') + 1;
    assert_int_equal(wrong - line, caret - marks);
    const char *edit = strstr(strstr(out, "help: write"), "1 | ...");
    const char *right = strstr(edit, "RIGHT"), *tilde = strstr(edit, "~~~~~");
    assert_int_equal(right - edit, tilde - (strchr(edit, '\n') + 1));
}

static void spans_of_several_lines(void **state)
{
    Case c = start(state, "x = f(a,\n      b,\n      c)\ny = 2\n");
    Diag *d = diag_at(c.diags, DIAG_E0303, (Span){c.file, 4, 26}, "too many arguments");
    diag_label(d, "3 given");
    diag_fix(d, (Span){c.file, 7, 25}, "\n  b", "drop two");
    expect(&c, "error[E0303]: too many arguments\n"
               " --> m.mdl:1:5\n"
               "  |\n"
               "1 | x = f(a,\n"
               "  |     ^^^^\n"
               "...\n"
               "3 |       c)\n"
               "  |       ^^ 3 given\n"
               "  |\n"
               "help: drop two\n"
               "  |\n"
               "1 | x = f(a\n"
               "2 |   b)\n"
               "  |   ~\n");
}

static void other_files_follow(void **state)
{
    Case c = start(state, "use other\n");
    const char *text = "module Other\n";
    uint32_t other = diags_source(c.diags, "other.mdl", text, strlen(text));
    Diag *d = diag_at(c.diags, DIAG_E0205, find(&c, "other"), "a module was expected");
    diag_also(d, (Span){other, 7, 12}, "defined here");
    diag_also(d, (Span){99, 7, 12}, "in no file");
    expect(&c, "error[E0205]: a module was expected\n"
               " --> m.mdl:1:5\n"
               "  |\n"
               "1 | use other\n"
               "  |     ^^^^^\n"
               "  |\n"
               " ::: other.mdl:1:8\n"
               "  |\n"
               "1 | module Other\n"
               "  |        ----- defined here\n"
               "  |\n");
    assert_string_equal(diags_path(c.diags, other), "other.mdl");
    size_t n;
    assert_ptr_equal(diags_text(c.diags, other, &n), text);
    assert_int_equal(n, strlen(text));
}

static void no_place(void **state)
{
    Case c = start(state, "x\n");
    Diag *d = diag_at(c.diags, DIAG_E0811, (Span){0}, "no setting `stage.lrr`");
    diag_fix(d, (Span){0}, "lr", "write `lr`");
    expect(&c, "error[E0811]: no setting `stage.lrr`\n"
               "  = help: write `lr`\n");
    assert_string_equal(diags_render(c.diags, c.arena, DIAG_SHORT, false),
                        "error[E0811]: no setting `stage.lrr`\n");
}

/* ---- collection ---- */

static void short_format_is_sorted_and_merged(void **state)
{
    Case c = start(state, "one\ntwo three\n");
    for (int i = 0; i < 3; i++) {
        Diag *d = diag_at(c.diags, DIAG_E0201, find(&c, "three"), "unknown name `three`");
        diag_note(d, "seen %d", i);
    }
    diag_at(c.diags, DIAG_E0201, find(&c, "three"), "unknown name `thre`");
    diag_at(c.diags, DIAG_W0101, find(&c, "one"), "unused value");
    assert_int_equal(diags_errors(c.diags), 2);
    assert_int_equal(diags_reported(c.diags), 4);
    assert_string_equal(diags_render(c.diags, c.arena, DIAG_SHORT, true),
                        "m.mdl:1:1: warning[W0101]: unused value\n"
                        "m.mdl:2:5: error[E0201]: unknown name `three`\n"
                        "m.mdl:2:5: error[E0201]: unknown name `thre`\n");
    const char *human = diags_render(c.diags, c.arena, DIAG_HUMAN, false);
    assert_non_null(strstr(human, "seen 0"));
    assert_null(strstr(human, "seen 1"));
}

static void many_errors_are_counted(void **state)
{
    Case c = start(state, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n");
    for (uint32_t i = 0; i < 21; i++)
        diag_at(c.diags, DIAG_E0201, (Span){c.file, i, i + 1}, "unknown name");
    const char *out = diags_render(c.diags, c.arena, DIAG_SHORT, false);
    assert_non_null(strstr(out, "m.mdl:1:20: "));
    assert_null(strstr(out, "m.mdl:1:21: "));
    assert_non_null(strstr(out, "\n... and 1 more error\n"));
    for (uint32_t i = 0; i < 100000; i++)
        diag_at(c.diags, DIAG_E0202, (Span){c.file, 30, 31}, "name %u", i);
    out = diags_render(c.diags, c.arena, DIAG_HUMAN, false);
    assert_non_null(strstr(out, "... and 100001 more errors\n"));
}

static void colour_adds_only_escapes(void **state)
{
    Case c = start(state, "y = alpha + beta\n");
    Diag *d = diag_at(c.diags, DIAG_E0413, find(&c, "alpha"), "cannot broadcast");
    diag_label(d, "one");
    diag_also(d, find(&c, "beta"), "two");
    diag_fix(d, find(&c, "beta"), "alpha", "add");
    const char *plain = diags_render(c.diags, c.arena, DIAG_HUMAN, false);
    const char *color = diags_render(c.diags, c.arena, DIAG_HUMAN, true);
    StrBuf sb = sb_new(c.arena);
    int escapes = 0;
    for (const char *p = color; *p; p++) {
        if (*p == '\033') {
            p = strchr(p, 'm');
            escapes++;
        } else {
            sb_putc(&sb, *p);
        }
    }
    assert_true(escapes > 10);
    assert_string_equal(sb_text(&sb), plain);
}

static void codes_have_names_and_titles(void **state)
{
    UNUSED(state);
    for (int i = 0; i < DIAG_COUNT; i++) {
        const char *name = diag_code_name((DiagCode)i);
        assert_int_equal(strlen(name), 5);
        assert_true(name[0] == 'E' || name[0] == 'W');
        assert_true(strlen(diag_code_title((DiagCode)i)) > 5);
    }
    assert_string_equal(diag_code_name(DIAG_E0201), "E0201");
    assert_string_equal(diag_code_title(DIAG_E0201), "unknown name");
}

/* Random texts, spans and edits: nothing but a crash can fail here. */
static void random_reports_do_not_crash(void **state)
{
    static const char alphabet[] = "ab (\t\n\r\xcf\x80\xff\xe2\x82\xac\033\n\n ";
    uint64_t seed = 1;
    for (int round = 0; round < 300; round++) {
        Arena *arena = *state;
        uint64_t n = (seed = hash_mix(seed, 1)) % (round % 10 ? 40 : 1500);
        char *text = arena_alloc(arena, n + 1);
        for (uint64_t i = 0; i < n; i++)
            text[i] = alphabet[(seed = hash_mix(seed, 2)) % (sizeof alphabet - 1)];
        Case c = start(state, text);
        for (int i = 0; i < 6; i++) {
            uint32_t lo = (uint32_t)((seed = hash_mix(seed, 3)) % (n + 3));
            uint32_t hi = lo + (uint32_t)((seed = hash_mix(seed, 4)) % 60);
            Diag *d = diag_at(c.diags, DIAG_E0201, (Span){c.file, lo, hi}, "m");
            diag_label(d, "label");
            diag_also(d, (Span){c.file, hi, lo}, "b");
            diag_also(d, (Span){c.file, lo / 2, hi}, "c");
            diag_fix(d, (Span){c.file, lo, hi}, i % 2 ? "" : "\n a\n b ", "h");
            diag_fix(d, (Span){c.file, lo, lo}, " ", "h");
        }
        assert_non_null(diags_render(c.diags, arena, DIAG_HUMAN, round % 2));
        assert_non_null(diags_render(c.diags, arena, DIAG_SHORT, false));
        arena_reset(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_places_far_apart),
        cmocka_unit_test(unclosed_bracket),
        cmocka_unit_test(help_without_edit_and_insertion),
        cmocka_unit_test(labels_on_one_line),
        cmocka_unit_test(end_of_file_and_empty_file),
        cmocka_unit_test(tabs_and_code_points_align),
        cmocka_unit_test(controls_and_bad_utf8_are_harmless),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(spans_of_several_lines),
        cmocka_unit_test(other_files_follow),
        cmocka_unit_test(no_place),
        cmocka_unit_test(short_format_is_sorted_and_merged),
        cmocka_unit_test(many_errors_are_counted),
        cmocka_unit_test(colour_adds_only_escapes),
        cmocka_unit_test(codes_have_names_and_titles),
        cmocka_unit_test(random_reports_do_not_crash),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
