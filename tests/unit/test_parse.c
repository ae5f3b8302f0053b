/* LIBS: mdl_front mdl_ir mdl_plan mdl_base */
/* test_parse.c: texts and their trees, one case for every production of the grammar, and what keeps
 * any text from breaking the parser. Messages are tested in tests/errors/test_syntax.c. */
#include "ast.h"
#include "std_files.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct Case {
    const char *text, *tree;
} Case;

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

typedef struct Parsed {
    Diags *diags;
    Ast *root;
    const char *text, *tree;
} Parsed;

/* From a copy of exactly n bytes, so that a read behind the end is seen by ASan. */
static Parsed parse_n(Arena *arena, const char *text, size_t n)
{
    Parsed p = {.diags = diags_new(arena)};
    char *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    if (n)
        memcpy(copy, text, n);
    p.root = ast_parse(arena, syms_new(arena), p.diags, diags_source(p.diags, "m.mdl", copy, n));
    StrBuf sb = sb_new(arena);
    ast_print(p.root, &sb);
    p.tree = sb_text(&sb);
    p.text = diags_render(p.diags, arena, DIAG_SHORT, false);
    free(copy);
    return p;
}

static Parsed parse(Arena *arena, const char *text)
{
    return parse_n(arena, text, strlen(text));
}

static Parsed parse_good(Arena *arena, const char *text)
{
    Parsed p = parse(arena, text);
    assert_string_equal(p.text, "");
    assert_int_equal(diags_errors(p.diags), 0);
    return p;
}

static void check(Arena *arena, const char *text, const char *tree)
{
    assert_string_equal(parse_good(arena, text).tree, tree);
}

/* Puts each case into the frame of its kind of place. */
static void check_all(Arena *arena, const Case *cases, size_t n, const Case *frame)
{
    for (size_t i = 0; i < n; i++) {
        const char *hole = strchr(frame->text, '$'), *hole_tree = strchr(frame->tree, '$');
        const char *text = arena_printf(arena, "%.*s%s%s", (int)(hole - frame->text), frame->text,
                                        cases[i].text, hole + 1);
        const char *tree = arena_printf(arena, "%.*s%s%s", (int)(hole_tree - frame->tree),
                                        frame->tree, cases[i].tree, hole_tree + 1);
        check(arena, text, tree);
    }
}

/* ---- productions ---- */

static const Case items[] = {
    {"import net", "(import net)"},
    {"import net.vision as nv", "(import net.vision \"nv\")"},
    {"import net: Block, head as top",
     "(import net (import-name Block \"Block\") (import-name head \"top\"))"},
    {"let n = 3", "(let n (int \"3\"))"},
    {"fn f() = 1", "(fn f (formals) - (int \"1\"))"},
    {"fn f(a, b = 2, c: i32[B], d: num = 0.5,) -> f32 = a",
     "(fn f (formals (formal a - -) (formal b - (int \"2\")) (formal c (type-tensor (id i32) (id "
     "B)) -) (formal d (type-name (id num)) (float \"0.5\"))) (type-name (id f32)) (id a))"},
    {"op f(x: [..]) -> [..] { x }", "(op f (formals (formal x (type-tensor - (pack)) -)) "
                                    "(type-tensor - (pack)) (stmts (result (id x))))"},
    {"module M(D) { }", "(module M (formals (formal D - -)) (members))"},
    {"model m = M(3)", "(block m \"model\" (header) - (call (id M) (int \"3\")) -)"},
    {"model m = M(3) { load a.* from file(\"w\") }",
     "(block m \"model\" (header) - (call (id M) (int \"3\")) (body (clause \"load\" (globs (glob "
     "\"a.*\")) (from (call (id file) (string \"w\"))) -)))"},
    {"data d(split) { source = idx(split) }",
     "(block d \"data\" (header) (formals (formal split - -)) - (body (attr source (call (id idx) "
     "(id split)))))"},
    {"train m as run like base.run { lr = 1 }",
     "(block m \"train\" (header (as-name run) (like (member run (id base)))) - - (body (attr lr "
     "(int \"1\"))))"},
    {"stage s after a, b.c like a { epochs = 1 }",
     "(block s \"stage\" (header (after (id a) (member c (id b))) (like (id a))) - - (body (attr "
     "epochs (int \"1\"))))"},
    {"mesh node = (data: 4)",
     "(block node \"mesh\" (header) - (tuple (named data (int \"4\"))) -)"},
    {"let a = 1; let b = 2", "(let a (int \"1\")) (let b (int \"2\"))"},
};

static void test_items(void **state)
{
    check_all(*state, items, COUNT(items), &(Case){"$", "(file $)"});
    check(*state, "", "(file)");
    check(*state, "\n;\n\n", "(file)");
}

static const Case members[] = {
    {"let half = D / 2", "(let half (bin \"/\" (id D) (int \"2\")))"},
    {"fn forward(x: [D]) -> [D] = x",
     "(fn forward (formals (formal x (type-tensor - (id D)) -)) (type-tensor - (id D)) (id x))"},
    {"param w: f32[D, 4 * D] ~ normal(0.02) as \"weight\"",
     "(param w \"weight\" (type-tensor (id f32) (id D) (bin \"*\" (int \"4\") (id D))) (call (id "
     "normal) (float \"0.02\")))"},
    {"param b: [D]?", "(param b (type-optional (type-tensor - (id D))) -)"},
    {"buffer seen: i32 ~ zeros", "(buffer seen (type-name (id i32)) (id zeros))"},
    {"state h: [B, D]", "(state h (type-tensor - (id B) (id D)))"},
    {"state k: bf16[B, S, D] grows S",
     "(state k \"S\" (type-tensor (id bf16) (id B) (id S) (id D)))"},
    {"fc: Linear(D, D) as \"\"", "(sub fc \"\" (call (id Linear) (id D) (id D)))"},
    {"layers[L]: Block(D)", "(array layers (id L) (call (id Block) (id D)))"},
    {"layers[i < L]: net.Block(D, odd: i % 2 == 1) as \"h\"",
     "(array layers \"h\" (cmp \"<\" (id i) (id L)) (call (member Block (id net)) (id D) (named "
     "odd (cmp \"==\" (bin \"%\" (id i) (int \"2\")) (int \"1\")))))"},
    {"base as \"\"", "(rekey base \"\")"},
    {"where D % H == 0", "(where (cmp \"==\" (bin \"%\" (id D) (id H)) (int \"0\")))"},
    {"where D > 0: \"D is positive\"", "(where \"D is positive\" (cmp \">\" (id D) (int \"0\")))"},
    {"if bias { b: Bias(D) }", "(member-if (id bias) (members (sub b (call (id Bias) (id D)))) -)"},
    {"if bias { b: Bias(D) } else { c: None(D) }",
     "(member-if (id bias) (members (sub b (call (id Bias) (id D)))) (members (sub c (call (id "
     "None) (id D)))))"},
};

static void test_members(void **state)
{
    Case frame = {"module M() {$}", "(file (module M (formals) (members $)))"};
    check_all(*state, members, COUNT(members), &frame);
}

static const Case body[] = {
    {"lr = 1e-3", "(attr lr (float \"1e-3\"))"},
    {"image: f32[8, 8] = row => row.pixels / 255",
     "(field image (type-tensor (id f32) (int \"8\") (int \"8\")) (lambda (id row) (bin \"/\" "
     "(member pixels (id row)) (int \"255\"))))"},
    {"checkpoint { keep = 3 }", "(group checkpoint (body (attr keep (int \"3\"))))"},
    {"\"h.*.w\" -> transpose(\"layers.*.w\")",
     "(mapping \"h.*.w\" (call (id transpose) (string \"layers.*.w\")))"},
    {"every 500 steps: save(keep: 3), eval(dev)",
     "(every \"500 steps\" (call (id save) (named keep (int \"3\"))) (call (id eval) (id dev)))"},
    {"freeze **", "(clause \"freeze\" (globs (glob \"**\")) - -)"},
    {"train a.{q,k}_proj.*, b[0..4] { lr = 1e-4 }",
     "(clause \"train\" (globs (glob \"a.{q,k}_proj.*\") (glob \"b[0..4]\")) - (body (attr lr "
     "(float \"1e-4\"))))"},
    {"shard llm.F, llm.H over tensor",
     "(clause \"shard\" (globs (glob \"llm.F\") (glob \"llm.H\")) (over tensor) -)"},
    {"adapt **.fc with LoRA(r: 8)",
     "(clause \"adapt\" (globs (glob \"**.fc\")) (with (call (id LoRA) (named r (int \"8\")))) -)"},
    {"load encoder from hf(\"a/b\")",
     "(clause \"load\" (globs (glob \"encoder\")) (from (call (id hf) (string \"a/b\"))) -)"},
    {"metric m = x => x", "(block m \"metric\" (header) - (lambda (id x) (id x)) -)"},
    {"let k = 3", "(let k (int \"3\"))"},
};

static void test_block_bodies(void **state)
{
    Case frame = {"train t {$}", "(file (block t \"train\" (header) - - (body $)))"};
    check_all(*state, body, COUNT(body), &frame);
}

static const Case stmts[] = {
    {"x", "(result (id x))"},
    {"x, y", "(result (id x) (id y))"},
    {"x = 1", "(bind \"=\" (exprs (id x)) (int \"1\") - -)"},
    {"a, b = f(x)", "(bind \"=\" (exprs (id a) (id b)) (call (id f) (id x)) - -)"},
    {"(a, b) = f(x)", "(bind \"=\" (exprs (id a) (id b)) (call (id f) (id x)) - -)"},
    {"c: f32[B] = x", "(bind \"=\" (exprs (id c)) (id x) (type-tensor (id f32) (id B)) -)"},
    {"s[b, t] += q[b, d] * k[t, d]",
     "(bind \"+=\" (exprs (index (id s) (id b) (id t))) (bin \"*\" (index (id q) (id b) (id d)) "
     "(index (id k) (id t) (id d))) - -)"},
    {"m[..] max= x[.., d]",
     "(bind \"max=\" (exprs (index (id m) (pack))) (index (id x) (pack) (id d)) - -)"},
    {"n[i] *= x[i, j]",
     "(bind \"*=\" (exprs (index (id n) (id i))) (index (id x) (id i) (id j)) - -)"},
    {"l[i] min= x[i, j]",
     "(bind \"min=\" (exprs (index (id l) (id i))) (index (id x) (id i) (id j)) - -)"},
    {"p[i]: [N] max= x[i + k]", "(bind \"max=\" (exprs (index (id p) (id i))) (index (id x) (bin "
                                "\"+\" (id i) (id k))) (type-tensor - (id N)) -)"},
    {"y[i] += x[2 * i + k] where i in 0..N, k in 0..3",
     "(bind \"+=\" (exprs (index (id y) (id i))) (index (id x) (bin \"+\" (bin \"*\" (int \"2\") "
     "(id i)) (id k))) - (ranges (in i (range (int \"0\") (id N))) (in k (range (int \"0\") (int "
     "\"3\")))))"},
    {"let n = 2", "(let n (int \"2\"))"},
    {"for i in 0..3 { x = f(x) }", "(for i (range (int \"0\") (int \"3\")) (stmts (bind \"=\" "
                                   "(exprs (id x)) (call (id f) (id x)) - -)))"},
    {"vjp dy { dx = dy }", "(vjp dy (stmts (bind \"=\" (exprs (id dx)) (id dy) - -)))"},
    {"if a { x = 1 }",
     "(result (if (id a) (stmts (bind \"=\" (exprs (id x)) (int \"1\") - -)) -))"},
};

static void test_statements(void **state)
{
    Case frame = {"fn f() {$}", "(file (fn f (formals) - (stmts $)))"};
    check_all(*state, stmts, COUNT(stmts), &frame);
}

static const Case types[] = {
    {"f32", "(type-name (id f32))"},
    {"net.Type", "(type-name (member Type (id net)))"},
    {"[]", "(type-tensor -)"},
    {"[B, T]", "(type-tensor - (id B) (id T))"},
    {"f32[B, .., D]", "(type-tensor (id f32) (id B) (pack) (id D))"},
    {"[..S, D - 1]", "(type-tensor - (pack S) (bin \"-\" (id D) (int \"1\")))"},
    {"(f32, [D])", "(type-tuple (type-name (id f32)) (type-tensor - (id D)))"},
    {"(f32)", "(type-name (id f32))"},
    {"[D]?", "(type-optional (type-tensor - (id D)))"},
    {"(f32, i32)?", "(type-optional (type-tuple (type-name (id f32)) (type-name (id i32))))"},
    {"fn", "(type-name (id fn))"},
};

static void test_types(void **state)
{
    Case frame = {"fn f() -> $ = x", "(file (fn f (formals) $ (id x)))"};
    check_all(*state, types, COUNT(types), &frame);
}

static const Case exprs[] = {
    {"x => x + 1", "(lambda (id x) (bin \"+\" (id x) (int \"1\")))"},
    {"(a, b) => { a }", "(lambda (tuple (id a) (id b)) (stmts (result (id a))))"},
    {"() => 1", "(lambda (tuple) (int \"1\"))"},
    {"(a) => a", "(lambda (id a) (id a))"},
    {"x |> f |> g(1)", "(pipe (pipe (id x) (id f)) (call (id g) (int \"1\")))"},
    {"x as f32", "(as (id x) (type-name (id f32)))"},
    {"x |> f as [B] |> g", "(pipe (as (pipe (id x) (id f)) (type-tensor - (id B))) (id g))"},
    {"a ?? b ?? c", "(?? (?? (id a) (id b)) (id c))"},
    {"a or b or c", "(or (or (id a) (id b)) (id c))"},
    {"a and b or not not c", "(or (and (id a) (id b)) (not (not (id c))))"},
    {"a == b", "(cmp \"==\" (id a) (id b))"},
    {"a != b", "(cmp \"!=\" (id a) (id b))"},
    {"a < b", "(cmp \"<\" (id a) (id b))"},
    {"a <= b", "(cmp \"<=\" (id a) (id b))"},
    {"a > b", "(cmp \">\" (id a) (id b))"},
    {"a >= b", "(cmp \">=\" (id a) (id b))"},
    {"0..n", "(range (int \"0\") (id n))"},
    {"1 + 2 - 3", "(bin \"-\" (bin \"+\" (int \"1\") (int \"2\")) (int \"3\"))"},
    {"a * b / c // d % e @ f", "(bin \"@\" (bin \"%\" (bin \"//\" (bin \"/\" (bin \"*\" (id a) (id "
                               "b)) (id c)) (id d)) (id e)) (id f))"},
    {"-a ** -b ** c", "(neg (bin \"**\" (id a) (neg (bin \"**\" (id b) (id c)))))"},
    {"-a * b", "(bin \"*\" (neg (id a)) (id b))"},
    {"a.b.0.c", "(member c (member 0 (member b (id a))))"},
    {"x.0.1", "(member 1 (member 0 (id x)))"},
    {"f()", "(call (id f))"},
    {"f(a, k: 1,)", "(call (id f) (id a) (named k (int \"1\")))"},
    {"f(over: 1, in: 2)", "(call (id f) (named over (int \"1\")) (named in (int \"2\")))"},
    {"m.in.as", "(member as (member in (id m)))"},
    {"x[1:]", "(index (id x) (slice (int \"1\") -))"},
    {"x[:, 0]", "(index (id x) (slice - -) (int \"0\"))"},
    {"x[.., :n]", "(index (id x) (pack) (slice - (id n)))"},
    {"x[..S, -1:3]", "(index (id x) (pack S) (slice (neg (int \"1\")) (int \"3\")))"},
    {"x[i][j](k)", "(call (index (index (id x) (id i)) (id j)) (id k))"},
    {"12", "(int \"12\")"},
    {"1_000", "(int \"1000\")"},
    {"0x1F", "(int \"0x1F\")"},
    {"1.5", "(float \"1.5\")"},
    {"2e-5", "(float \"2e-5\")"},
    {"1_0.2_5e3", "(float \"10.25e3\")"},
    {"3%", "(percent \"3%\")"},
    {"10%3", "(bin \"%\" (int \"10\") (int \"3\"))"},
    {"10 % 3", "(bin \"%\" (int \"10\") (int \"3\"))"},
    {"500 steps", "(quantity \"500 steps\")"},
    {"1.5 hours", "(quantity \"1.5 hours\")"},
    {"30 min", "(quantity \"30 min\")"},
    {"\"a\\n\\t\\\"\\\\\\u{e9}\\u{1F600}\"", "(string \"a\\n\\u{9}\\\"\\\\é😀\")"},
    {"\"\"\"raw \\n \"q\"\n2\"\"\"", "(string \"raw \\\\n \\\"q\\\"\\n2\")"},
    {"true", "(true)"},
    {"false", "(false)"},
    {"none", "(none)"},
    {"inf", "(inf)"},
    {"(a)", "(paren (id a))"},
    {"(a,)", "(paren (id a))"},
    {"()", "(tuple)"},
    {"(a, b)", "(tuple (id a) (id b))"},
    {"(data: 2, t: 1)", "(tuple (named data (int \"2\")) (named t (int \"1\")))"},
    {"(data: 2)", "(tuple (named data (int \"2\")))"},
    {"[]", "(list)"},
    {"[a, b,]", "(list (id a) (id b))"},
    {"if a { 1 }", "(if (id a) (stmts (result (int \"1\"))) -)"},
    {"if a { 1 } else { 2 }",
     "(if (id a) (stmts (result (int \"1\"))) (stmts (result (int \"2\"))))"},
    {"if a { 1 } else if b { 2 } else { 3 }",
     "(if (id a) (stmts (result (int \"1\"))) (if (id b) (stmts (result (int \"2\"))) (stmts "
     "(result (int \"3\")))))"},
    {"a\n  + 1\n  |> f\n  as f32",
     "(as (pipe (bin \"+\" (id a) (int \"1\")) (id f)) (type-name (id f32)))"},
    {"f(\n  a,\n  b\n)", "(call (id f) (id a) (id b))"},
    {"model + data * train", "(bin \"+\" (id model) (bin \"*\" (id data) (id train)))"},
    {"model(train)", "(call (id model) (id train))"},
};

static void test_expressions(void **state)
{
    Case frame = {"let x = $", "(file (let x $))"};
    check_all(*state, exprs, COUNT(exprs), &frame);
}

/* ---- line ends, keywords, places ---- */

static void test_line_ends(void **state)
{
    const char *two = "(file (fn f (formals) - (stmts (result (id a)) (result (id b)))))";
    check(*state, "fn f() {\n a\n b\n}", two);
    check(*state, "fn f() { a; b }", two);
    check(*state, "fn f() { a;; b; }", two);
    check(*state, "fn f()\n{\n\n a # remark\n # remark\n b }\n", two);
    const char *sum = "(file (let x (bin \"+\" (id a) (id b))))";
    check(*state, "let x = a +\n\n b", sum);
    check(*state, "let x = a\n # remark\n + b", sum);
    check(*state, "let x =\n a + b\r\n", sum);
    /* `-` begins a statement of its own, `if` does too, and so does a name before a colon */
    check(*state, "fn f() {\n a\n - b\n}",
          "(file (fn f (formals) - (stmts (result (id a)) (result (neg (id b))))))");
    check(*state, "module M() {\n a: B()\n in: C()\n}",
          "(file (module M (formals) (members (sub a (call (id B))) (sub in (call (id C))))))");
    check(*state, "fn f() {\n if a {\n b\n }\n else {\n c\n }\n}",
          "(file (fn f (formals) - (stmts (result (if (id a) (stmts (result (id b))) "
          "(stmts (result (id c))))))))");
}

static void test_keywords_are_names(void **state)
{
    static const char *const words[] = {
        "import", "let",    "fn",    "op",    "module",    "param",    "buffer", "state", "vjp",
        "every",  "model",  "data",  "train", "tokenizer", "template", "stage",  "eval",  "chat",
        "mesh",   "metric", "shard", "load",  "generate",  "freeze",   "adapt",  "remat",
    };
    Arena *arena = *state;
    for (size_t i = 0; i < COUNT(words); i++) {
        const char *w = words[i];
        check(arena, arena_printf(arena, "fn f() {\n %s = 1\n %s as f32\n %s\n}", w, w, w),
              arena_printf(arena,
                           "(file (fn f (formals) - (stmts (bind \"=\" (exprs (id %s)) (int \"1\") "
                           "- -) (result (as (id %s) (type-name (id f32)))) (result (id %s)))))",
                           w, w, w));
        check(
            arena, arena_printf(arena, "module M() { %s: L() }", w),
            arena_printf(arena, "(file (module M (formals) (members (sub %s (call (id L))))))", w));
    }
}

static void test_train_in_braces_is_a_clause(void **state)
{
    check(*state, "train m { train x.** }",
          "(file (block m \"train\" (header) - - (body (clause \"train\" (globs (glob \"x.**\")) - "
          "-))))");
}

static void test_patterns_over_lines(void **state)
{
    check(*state, "train m {\n freeze a.b, # remark\n  c.*\n lr = 1 }",
          "(file (block m \"train\" (header) - - (body (clause \"freeze\" (globs (glob \"a.b\") "
          "(glob \"c.*\")) - -) (attr lr (int \"1\")))))");
}

static void test_docs(void **state)
{
    Parsed p = parse_good(*state, "## lost\n\n## first\n##second \nlet a = 1 ## beside\n"
                                  "# plain\nlet b = 2\n## third\n# plain\nlet c = 3\n"
                                  "module M() {\n  ## inner\n  fc: L()\n}\n## end");
    assert_int_equal(p.root->nkid, 4);
    assert_string_equal(p.root->kid[0]->doc, "first\nsecond");
    assert_null(p.root->kid[1]->doc);
    assert_null(p.root->kid[2]->doc);
    assert_null(p.root->kid[3]->doc);
    assert_string_equal(p.root->kid[3]->kid[1]->kid[0]->doc, "inner");
}

static void expect_span(const char *text, Span span, const char *want)
{
    assert_true(span.hi <= strlen(text));
    assert_int_equal(span.hi - span.lo, strlen(want));
    assert_memory_equal(text + span.lo, want, strlen(want));
}

static void test_spans(void **state)
{
    const char *text = "\xef\xbb\xbf# remark\nlet width = a.b + 2 ;\n"
                       "fn f(x: [D]) {\n  y = g(x)[1]  # remark\n}\n";
    Parsed p = parse_good(*state, text);
    const Ast *let = p.root->kid[0], *fn = p.root->kid[1];
    assert_int_equal(let->span.file, 1);
    expect_span(text, let->span, "let width = a.b + 2");
    expect_span(text, let->name_span, "width");
    expect_span(text, let->kid[0]->span, "a.b + 2");
    expect_span(text, let->kid[0]->kid[0]->name_span, "b");
    expect_span(text, fn->span, "fn f(x: [D]) {\n  y = g(x)[1]  # remark\n}");
    expect_span(text, fn->kid[0]->span, "(x: [D])");
    expect_span(text, fn->kid[0]->kid[0]->span, "x: [D]");
    const Ast *bind = fn->kid[2]->kid[0];
    expect_span(text, bind->span, "y = g(x)[1]");
    expect_span(text, bind->kid[1]->kid[0]->span, "g(x)");
    assert_int_equal(p.root->span.hi, strlen(text));
}

static void test_one_expression(void **state)
{
    static const Case cases[] = {
        {"1e-3", "(float \"1e-3\")"},
        {"\n cosine(warmup: 3%)\n", "(call (id cosine) (named warmup (percent \"3%\")))"},
        {"train", "(id train)"},
        {"train m", NULL},
        {"", NULL},
        {"1; 2", NULL},
        {"let x = 3", NULL},
        {"(1", NULL},
        {"\"a", NULL},
    };
    Arena *arena = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        Diags *diags = diags_new(arena);
        uint32_t file = diags_source(diags, "--set", cases[i].text, strlen(cases[i].text));
        const Ast *a = ast_parse_expr(arena, syms_new(arena), diags, file);
        assert_int_equal(a == NULL, cases[i].tree == NULL);
        assert_int_equal(diags_errors(diags), a ? 0 : 1);
        StrBuf sb = sb_new(arena);
        if (a)
            ast_print(a, &sb);
        assert_string_equal(sb_text(&sb), a ? cases[i].tree : "");
    }
}

/* ---- whole files ---- */

static void test_standard_library(void **state)
{
    StdFile f;
    uint32_t n = 0;
    for (; std_file_get(n, &f); n++) {
        Parsed a = parse_good(*state, f.text), b = parse_good(*state, f.text);
        assert_true(a.root->nkid > 0);
        assert_string_equal(a.tree, b.tree);
    }
    assert_true(n >= 4);
    assert_true(std_file_find("nn.mdl", &f));
    assert_non_null(strstr(f.text, "module Linear(In, Out)"));
    assert_false(std_file_find("nn", &f));
}

static uint32_t parse_folder(Arena *arena, const char *folder)
{
    uint32_t n = 0;
    DIR *dir = opendir(folder);
    if (!dir)
        return 0;
    for (struct dirent *e; (e = readdir(dir));) {
        size_t length = strlen(e->d_name);
        Bytes bytes;
        Err err = {0};
        if (length < 5 || strcmp(e->d_name + length - 4, ".mdl") != 0)
            continue;
        assert_true(file_read(arena, path_join(arena, folder, e->d_name), 1 << 20, &bytes, &err));
        parse_good(arena, bytes.data);
        n++;
    }
    closedir(dir);
    return n;
}

/* Programs that were written while the language was designed, where they are at hand. */
static void test_design_examples(void **state)
{
    Arena *arena = *state;
    const char *data = getenv("MDL_TEST_DATA");
    if (!data)
        data = MDL_SOURCE_DIR "/../shared/data";
    const char *folder = arena_printf(arena, "%s/../spec/language-examples", data);
    uint32_t n = parse_folder(arena, folder);
    n += parse_folder(arena, path_join(arena, folder, "std"));
    n += parse_folder(arena, path_join(arena, folder, "more"));
    if (n == 0)
        skip();
}

/* ---- limits ---- */

static const char *repeat(Arena *arena, const char *text, uint32_t n)
{
    StrBuf sb = sb_new(arena);
    for (uint32_t i = 0; i < n; i++)
        sb_puts(&sb, text);
    return sb_text(&sb);
}

/* The item before is kept, the one that is too deep is not; one message. */
static void check_too_deep(Arena *arena, const char *item)
{
    Parsed p = parse(arena, arena_printf(arena, "let z = 1\n%s\nlet y = $\n", item));
    assert_int_equal(diags_errors(p.diags), 1);
    assert_non_null(strstr(p.text, "E0109"));
    assert_string_equal(p.tree, "(file (let z (int \"1\")))");
}

static void test_depth_is_limited(void **state)
{
    Arena *arena = *state;
    for (uint32_t n = 600; n <= 60000; n *= 10) {
        check_too_deep(arena, arena_printf(arena, "let a = %sx", repeat(arena, "-", n)));
        check_too_deep(arena, arena_printf(arena, "let a = %sx", repeat(arena, "not ", n)));
        check_too_deep(arena, arena_printf(arena, "let a = %sx", repeat(arena, "a ** ", n)));
        check_too_deep(arena, arena_printf(arena, "let a = %sx", repeat(arena, "a => ", n)));
        check_too_deep(arena, arena_printf(arena, "let a = x%s", repeat(arena, " + x", n)));
        check_too_deep(arena, arena_printf(arena, "let a = x%s", repeat(arena, ".y", n)));
        check_too_deep(arena, arena_printf(arena, "let a = x%s", repeat(arena, "(1)", n)));
        check_too_deep(arena, arena_printf(arena, "import x%s", repeat(arena, ".y", n)));
        check_too_deep(arena, arena_printf(arena, "fn f() {\n%s{ 1 }\n}",
                                           repeat(arena, "if a { b } else ", n)));
        check_too_deep(arena, arena_printf(arena, "fn f() -> %s", repeat(arena, "(", n)));
        check_too_deep(arena, arena_printf(arena, "let a = %s", repeat(arena, "[", n)));
        check_too_deep(arena, arena_printf(arena, "train t {\n%s", repeat(arena, "a {\n", n)));
    }
}

static void test_depth_within_limits(void **state)
{
    Arena *arena = *state;
    uint32_t n = AST_NESTING - 1;
    parse_good(arena,
               arena_printf(arena, "let a = %sx%s", repeat(arena, "(", n), repeat(arena, ")", n)));
    parse_good(arena, arena_printf(arena, "let a = x%s", repeat(arena, " + x", AST_DEPTH - 4)));
    parse_good(arena, arena_printf(arena, "let a = %sx", repeat(arena, "-", AST_DEPTH - 4)));
}

static void test_size_is_limited(void **state)
{
    Arena *arena = *state;
    Parsed p = parse_n(arena, repeat(arena, "0123456789abcde\n", (1 << 20) + 1), (16 << 20) + 16);
    assert_int_equal(diags_errors(p.diags), 1);
    assert_non_null(strstr(p.text, "E0109"));
    assert_string_equal(p.tree, "(file)");
    check_too_deep(arena, arena_printf(arena, "let a = [%s]", repeat(arena, "1,", 1000001)));
}

/* ---- mutations ---- */

typedef struct Rng {
    uint64_t s;
} Rng;

static uint32_t next(Rng *r, uint32_t n)
{
    r->s = r->s * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((r->s >> 33) % n);
}

static uint32_t token_end(const char *text, uint32_t at, uint32_t n)
{
    uint32_t end = at;
    while (end < n && strchr("abcdefghijklmnopqrstuvwxyz", text[end] | 32) && text[end])
        end++;
    return end > at ? end : at < n ? at + 1 : n;
}

/* Removes, repeats or moves words and signs of a good program. */
static const char *mutate(Arena *arena, Rng *r, const char *text)
{
    static const char *const spice[] = {"(", "}",  "{",    "\"", "\"\"\"", "as", ";",   "..",
                                        ")", "\n", "max=", "3.", "|>",     "fn", "op ", "\xc3"};
    uint32_t n = (uint32_t)strlen(text);
    StrBuf sb = sb_new(arena);
    uint32_t rate = 3 + next(r, 200);
    for (uint32_t i = 0; i < n;) {
        uint32_t end = token_end(text, i, n), from = next(r, n), what = next(r, rate * 4);
        if (what != 0)
            sb_putn(&sb, text + i, end - i);
        if (what == 1)
            sb_putn(&sb, text + i, end - i);
        if (what == 2)
            sb_putn(&sb, text + from, token_end(text, from, n) - from);
        if (what == 3)
            sb_puts(&sb, spice[next(r, COUNT(spice))]);
        i = end;
    }
    return sb_text(&sb);
}

static void test_mutations(void **state)
{
    UNUSED(state);
    StdFile f;
    Rng rng = {2024};
    uint32_t wrong = 0, rounds = 0;
    for (uint32_t i = 0; std_file_get(i, &f); i++) {
        for (uint32_t k = 0; k < 60; k++) {
            Arena *arena = arena_new();
            Parsed p = parse(arena, mutate(arena, &rng, f.text));
            wrong += diags_errors(p.diags) > 0;
            rounds++;
            arena_free(arena);
        }
    }
    assert_true(wrong > rounds / 4);
}

/* Every cut of a program: ends within strings, numbers, brackets and keywords. */
static void test_cuts(void **state)
{
    UNUSED(state);
    StdFile f;
    assert_true(std_file_find("nn.mdl", &f));
    for (size_t n = 0; n <= f.n; n++) {
        Arena *arena = arena_new();
        parse_n(arena, f.text, n);
        arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_items, setup, teardown),
        cmocka_unit_test_setup_teardown(test_members, setup, teardown),
        cmocka_unit_test_setup_teardown(test_block_bodies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_statements, setup, teardown),
        cmocka_unit_test_setup_teardown(test_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expressions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_line_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keywords_are_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_train_in_braces_is_a_clause, setup, teardown),
        cmocka_unit_test_setup_teardown(test_patterns_over_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(test_docs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spans, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_expression, setup, teardown),
        cmocka_unit_test_setup_teardown(test_standard_library, setup, teardown),
        cmocka_unit_test_setup_teardown(test_design_examples, setup, teardown),
        cmocka_unit_test_setup_teardown(test_depth_is_limited, setup, teardown),
        cmocka_unit_test_setup_teardown(test_depth_within_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_size_is_limited, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mutations, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cuts, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
