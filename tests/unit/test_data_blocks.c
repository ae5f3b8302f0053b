/* LIBS: mdl_front mdl_ir mdl_plan mdl_base */
/* test_data_blocks.c: blocks of data with text and images, templates, tokenizers, loads: what becomes of
 * them as structures, the inputs of the entries, and what only a plan refuses. */
#include "elabcase.h"

#define param_value front_param_value /* elabcase.h has one of its own */
#include "data.h"
#include "load.h"
#undef param_value

#define CHARS                                                        \
    "module Chars(D) {\n"                                            \
    "  embed: Embedding(256, D)\n"                                   \
    "  head:  Linear(D, 256)\n"                                      \
    "  fn forward(tokens: i32[B, T], pos: i32[B, T]) -> [B, T, 256]" \
    " = embed(tokens) |> head\n"                                     \
    "}\n"                                                            \
    "model chars = Chars(4)\n"
#define TEMPLATE                                             \
    "template talk {\n"                                      \
    "  begin = [bos]\n"                                      \
    "  user = [\"> \", content, token(\"<end>\")]\n"         \
    "  assistant = [\"< \", learn(content, eos), \"\\n\"]\n" \
    "  image = [token(\"<im>\"), image]\n"                   \
    "  stop = [\"###\", eos]\n"                              \
    "}\n"                                                    \
    "let mid = (0.5, 0.5, 0.5)\n"                            \
    "fn see(img: image) -> [3, 8, 8] = img |> resize(8) |> normalize(mid, mid)\n"

typedef struct Data {
    Lab lab;
    Elab *e;
} Data;

static Data data_open(const char *text)
{
    Data d = {.lab = lab_open(text)};
    d.e = elab_new(d.lab.front, program_new(d.lab.ir, "test"), d.lab.arena);
    return d;
}

static const Val *value(Data *d, const char *name)
{
    Sym s = sym(d->lab.ir->syms, name);
    const Item *item = file_item(d->lab.front->files.at[0], s);
    assert_non_null(item);
    return item_value(d->e, item, item->ast->span);
}

static const DataSpec *spec(Data *d, const char *name, bool training)
{
    const DataSpec *s = data_of(d->e, value(d, name), training);
    if (!s)
        print_error("%s", lab_reports(&d->lab));
    assert_non_null(s);
    return s;
}

static void end(Data *d)
{
    lab_close(&d->lab);
}

/* What `mdl check` reports, and a plan of the same program. */
static void checked_not_run(const char *text, const char *refused)
{
    Lab l = lab_open(text);
    bool ok = front_check(l.front);
    if (!ok)
        print_error("%s", lab_reports(&l));
    assert_true(ok);
    Program *p = front_stage(l.front, NULL, planb_new(l.arena));
    assert_non_null(p);
    assert_false(front_runnable(l.front, p));
    const char *reports = lab_reports(&l);
    if (!strstr(reports, refused))
        print_error("%s\nlacks: %s\n", reports, refused);
    assert_non_null(strstr(reports, refused));
    lab_close(&l);
}

/* ---- templates and tokenizers ---- */

/* > content <end>, with * behind what is learned. */
static const char *segments(Data *d, const Segments *s)
{
    static const char *const atoms[] = {
        [SG_CONTENT] = "content", [SG_BOS] = "bos",  [SG_EOS] = "eos",
        [SG_IMAGE] = "image",     [SG_TOKEN] = NULL, [SG_TEXT] = NULL};
    StrBuf sb = sb_new(d->lab.arena);
    for (uint32_t i = 0; i < s->n; i++) {
        const Segment *x = &s->at[i];
        sb_printf(&sb, "%s%s%s", i ? "|" : "", atoms[x->kind] ? atoms[x->kind] : x->text,
                  x->learned ? "*" : "");
    }
    return sb_text(&sb);
}

static void test_template(void **state)
{
    UNUSED(state);
    Data d = data_open(TEMPLATE "template plain {\n  user = [image]\n  assistant = content\n}\n");
    const Template *t = template_of(d.e, value(&d, "talk"));
    assert_non_null(t);
    assert_string_equal(segments(&d, &t->begin), "bos");
    assert_string_equal(segments(&d, &t->system), "");
    assert_string_equal(segments(&d, &t->user), "> |content|<end>");
    assert_int_equal(t->user.at[0].kind, SG_TEXT);
    assert_int_equal(t->user.at[2].kind, SG_TOKEN);
    assert_string_equal(segments(&d, &t->assistant), "< |content*|eos*|\n");
    assert_string_equal(segments(&d, &t->image), "<im>|image");
    assert_string_equal(segments(&d, &t->stop), "###|eos");
    assert_true(t->learns);
    t = template_of(d.e, value(&d, "plain"));
    assert_string_equal(segments(&d, &t->assistant), "content");
    assert_string_equal(segments(&d, &t->image), "image");
    assert_string_equal(segments(&d, &t->stop), "eos");
    assert_false(t->learns);
    end(&d);
}

static void test_tokenizer(void **state)
{
    UNUSED(state);
    Data d =
        data_open("let org = \"some\"\n"
                  "tokenizer a = hf(org + \"/name\", pad: \"<unk>\", special: [\"<x>\", \"<y>\"])\n"
                  "tokenizer b {\n  file = \"t.model\"\n  image = \"<im>\"\n  legacy = false\n}\n"
                  "tokenizer c = bytes()\n");
    const Tokenizer *t = tokenizer_of(d.e, value(&d, "a"));
    assert_string_equal(t->kind, "hf");
    assert_string_equal(t->file, "some/name");
    assert_string_equal(t->pad, "<unk>");
    assert_int_equal(t->nspecial, 2);
    assert_string_equal(t->special[1], "<y>");
    assert_int_equal(t->legacy, -1);
    assert_null(t->image);
    t = tokenizer_of(d.e, value(&d, "b"));
    assert_string_equal(t->kind, "file");
    assert_string_equal(t->file, "t.model");
    assert_string_equal(t->image, "<im>");
    assert_int_equal(t->legacy, 0);
    t = tokenizer_of(d.e, value(&d, "c"));
    assert_string_equal(t->kind, "bytes");
    assert_null(t->file);
    end(&d);
}

/* ---- data ---- */

static void check_batch(Data *d, const char *name, const char *want)
{
    const Dim *rows = dim_const(d->lab.ir, 16);
    d->e->g = graph_new(d->lab.ir, d->lab.arena, sym(d->lab.ir->syms, name));
    const char *got = batch_text(d->e, batch_of(d->e, spec(d, name, true), rows, 0));
    if (strcmp(got, want) != 0)
        print_error("%s: got  %s\n", name, got);
    assert_string_equal(got, want);
}

#define TOKENS(B, T)                                                                            \
    "tokens: i32[" B ", " T "], targets: i32[" B ", " T "], learn: bool[" B ", " T "], valid: " \
    "bool[" B ", " T "], pos: i32[" B ", " T "], seg: i32[" B ", " T "], last: i32[" B "]"

static void test_batches(void **state)
{
    UNUSED(state);
    Data d = data_open(
        TEMPLATE
        "tokenizer t = bytes()\n"
        "data stream { source = text(\"a/*.txt\"); tokenizer = t; length = 32 }\n"
        "data ids { source = bin(\"a.bin\", i32); length = 32 }\n"
        "data talks(json) {\n"
        "  source = conversations(json, images: \"pictures\")\n"
        "  tokenizer = t; template = talk; length = 64; image = see\n}\n"
        "data train_talks = talks(\"a.json\")\n"
        "data alone {\n"
        "  source = conversations(\"a.json\", images: \"pictures\")\n"
        "  tokenizer = t; template = talk; length = 64; pack = false\n"
        "  image = img => anyres(img, tile: 8, patch: 2, max: 5, each: see)\n}\n"
        "data pairs_ {\n"
        "  source = jsonl(\"a.jsonl\"); tokenizer = t; template = talk; pack = false; length = 16\n"
        "  good: text = row => turns(user: row.q, assistant: row.good)\n"
        "  bad: text[8] = row => \"A: \" + row.bad\n"
        "  boxes: f32[N, 4] = row => row.boxes\n"
        "  kind: i32 = row => row.kind\n}\n"
        "data blend = mix((stream, 0.7), (stream, 0.3))\n");
    check_batch(&d, "stream", TOKENS("16", "32"));
    check_batch(&d, "ids", TOKENS("16", "32"));
    check_batch(&d, "train_talks",
                TOKENS("B", "64") ", images: f32[images, 3, 8, 8], slots: bool[B, 64]");
    check_batch(&d, "alone",
                TOKENS("16", "64") ", images: f32[tiles, 3, 8, 8], slots: bool[16, 64], "
                                   "order: i32[slots]");
    check_batch(&d, "pairs_",
                "good: text, bad: text, boxes: f32[N, 4], boxes_row: i32[N], "
                "kind: i32[16]");
    check_batch(&d, "blend", TOKENS("16", "32"));
    const DataSpec *s = spec(&d, "pairs_", true);
    assert_int_equal(s->field[0].length, 16);
    assert_int_equal(s->field[1].length, 8);
    assert_string_equal(s->field[1].value->op, "add");
    assert_string_equal(s->field[1].value->arg[1]->text, "bad");
    assert_string_equal(s->field[0].value->arg[1]->name, "assistant");
    s = spec(&d, "blend", true);
    assert_int_equal(s->npart, 2);
    assert_near(s->weight[1], 0.3);
    end(&d);
}

/* `mode` is train in training alone; filters and maps are functions of rows. */
static void test_row_functions(void **state)
{
    UNUSED(state);
    Data d = data_open("fn cut(img: image) -> image =\n"
                       "  if mode == train { random_crop(img, 8) } else { center_crop(img, 8) }\n"
                       "data d {\n"
                       "  source = pairs(\"a.csv\", images: \"pictures\")\n"
                       "  filter = row => row.score > 0.5 and row.kind != \"bad\"\n"
                       "  map = row => random_flip(row, fields: [\"image\", \"mask\"])\n"
                       "  limit = 10%\n"
                       "  x: f32[8, 8] = row => cut(row.image) |> gray\n"
                       "  y: f32 = row => select(row.kind == \"x\", 1, min(row.score, 0.5))\n"
                       "}\n");
    const DataSpec *s = spec(&d, "d", true);
    assert_string_equal(s->filter->op, "and");
    assert_string_equal(s->filter->arg[0]->op, "lt"); /* 0.5 < score */
    assert_string_equal(s->map->op, "random_flip");
    assert_near(s->limit_share, 0.1);
    assert_string_equal(s->field[0].value->arg[0]->op, "random_crop");
    assert_string_equal(s->field[1].value->op, "select");
    assert_string_equal(spec(&d, "d", false)->field[0].value->arg[0]->op, "center_crop");
    end(&d);
}

/* ---- entries ---- */

static void check_text_entry(void *user, Program *p, Arena *arena)
{
    const Lab *l = user;
    const Graph *g = p->entries.at[0];
    static const struct {
        const char *name, *type;
    } want[] = {{"x", "f32[2, 3]"},
                {"said.tokens", "i32[2, 12]"},
                {"said.targets", "i32[2, 12]"},
                {"said.learn", "bool[2, 12]"},
                {"said.pos", "i32[2, 12]"}};
    uint32_t found = 0;
    UNUSED(arena);
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        for (size_t k = 0; k < COUNT(want); k++) {
            bool same = strcmp(node_sym(g->inputs.at[i], "name"), want[k].name) == 0;
            found += same && strcmp(type_text(l->ir, g->inputs.at[i]->type), want[k].type) == 0;
        }
    }
    assert_int_equal(g->inputs.n, COUNT(want));
    assert_int_equal(found, COUNT(want));
    graph_verify(g, p);
}

static void test_text_entry(void **state)
{
    UNUSED(state);
    Lab l = lab_open(CHARS "data d {\n"
                           "  source = jsonl(\"a.jsonl\"); tokenizer = bytes(); pack = false\n"
                           "  said: text[12] = row => row.text\n"
                           "  x: f32[3] = row => row.x\n}\n"
                           "fn score(m: Chars, r: text[B, T]) -> [B, T, 256] = m(r.tokens, r.pos)\n"
                           "train chars {\n"
                           "  data = d\n"
                           "  loss = b => cross_entropy(score(chars, b.said), b.said.targets,\n"
                           "                            mask: b.said.learn)\n"
                           "  lr = 1; batch = 2; steps = 1\n}\n");
    bool ok = front_check_each(l.front, check_text_entry, &l);
    if (!ok)
        print_error("%s", lab_reports(&l));
    assert_true(ok);
    lab_close(&l);
}

static void test_plan_refuses(void **state)
{
    UNUSED(state);
    checked_not_run(CHARS
                    "data d { source = text(\"a.txt\"); tokenizer = bpe(\"t.json\"); length = 8 }\n"
                    "train chars {\n"
                    "  data = d; loss = b => cross_entropy(chars(b.tokens, b.pos), b.targets)\n"
                    "  lr = 1; batch = 2; steps = 1\n}\n",
                    "E0199]: a tokenizer of bpe cannot be run yet");
    checked_not_run("model net = Linear(4, 2)\n"
                    "data d {\n  source = tar(\"a.tar\")\n  x: f32[4] = row => row.npy\n}\n"
                    "train net {\n"
                    "  data = d; loss = b => mean(net(b.x)); lr = 1; batch = 2; steps = 1\n}\n",
                    "E0199]: `tar(..)` cannot be run yet");
    checked_not_run("model net = Linear(4, 2) { load ** from file(\"a.safetensors\") }\n"
                    "data d {\n  source = npz(\"a.npz\")\n  x: f32[4] = row => row.x\n}\n"
                    "train net {\n"
                    "  data = d; loss = b => mean(net(b.x)); lr = 1; batch = 2; steps = 1\n}\n",
                    "E0199]: `load` cannot be run yet");
}

/* npz without names: a column for each that is used, called as in the archive. */
static void test_open_npz(void **state)
{
    UNUSED(state);
    Lab l =
        lab_open("model net = Linear(4, 2)\n"
                 "data d {\n  source = npz(\"a.npz\")\n  x: f32[4] = row => row.xs - row.mean\n}\n"
                 "train net {\n"
                 "  data = d; loss = b => mean(net(b.x)); lr = 1; batch = 2; steps = 1\n}\n");
    PlanBuilder *b = planb_new(l.arena);
    assert_non_null(front_stage(l.front, NULL, b));
    assert_int_equal(b->datas.at[0].ncolumn, 2);
    assert_string_equal(b->text.at + b->columns.at[1].name, "mean");
    assert_string_equal(b->text.at + b->columns.at[1].member, "mean");
    assert_string_equal(b->text.at + b->columns.at[1].file, "a.npz");
    lab_close(&l);
}

/* ---- metrics ---- */

static void check_accuracy(const char *call, double sum, double weight)
{
    /* ranks of the targets: 0, 1 (a tie in front), 2, 1, 0 (NaN) */
    static const double z[] = {3, 1, 2, 5, 5, 1, 1, 2, 3, 4, 9, 0, (double)NAN, 7, 7};
    static const double t[] = {0, 1, 0, 0, 0}, m[] = {1, 1, 1, 0, 1};
    char text[300];
    snprintf(text, sizeof text,
             "fn f(z: f32[B, V], t: i32[B], m: bool[B]) -> loss = accuracy(z, t%s)\n", call);
    Lab l = lab_open(text);
    lab_input(&l, "z", DT_F32, z, 2, (int64_t[]){5, 3});
    lab_input(&l, "t", DT_I32, t, 1, (int64_t[]){5});
    lab_input(&l, "m", DT_BOOL, m, 1, (int64_t[]){5});
    Value **out = lab_call(&l, "f");
    ASSERT_VALUES(out[0], sum);
    ASSERT_VALUES(out[1], weight);
    lab_close(&l);
}

static void test_accuracy(void **state)
{
    UNUSED(state);
    check_accuracy("", 2, 5);
    check_accuracy(", k: 2", 4, 5);
    check_accuracy(", k: 3", 5, 5);
    check_accuracy(", mask: m", 2, 4);
    check_accuracy(", mask: m, k: 2", 3, 4);
}

/* ---- loads ---- */

static void test_keys(void **state)
{
    UNUSED(state);
    static const struct {
        const char *pattern, *key;
        bool matches;
        const char *captures;
    } cases[] = {
        {"a.b", "a.b", true, ""},
        {"a.b", "a.bc", false, ""},
        {"a.*", "a.b", true, "b"},
        {"a.*", "a.b.c", false, ""},
        {"h.*.w*t", "h.12.weight", true, "12 eigh"},
        {"**", "a.b.c", true, "a.b.c"},
        {"a.**", "a.b.c", true, "b.c"},
        {"a.**.c", "a.b.b.c", true, "b.b"},
        {"**.*.c", "a.b.c", true, "a b"},
        {"a.*_proj.c", "a.q_a_proj.c", true, "q_a"},
        {"a.b.c", "a.b", false, ""},
        {"a", "a.b", false, ""},
    };
    Data d = data_open("");
    for (size_t i = 0; i < COUNT(cases); i++) {
        KeyPattern p;
        Captures c;
        StrBuf sb = sb_new(d.lab.arena);
        assert_true(key_parse(d.e, sym(d.lab.ir->syms, cases[i].pattern), (Span){0}, &p));
        bool matches = key_match(&p, cases[i].key, &c);
        for (uint32_t k = 0; matches && k < c.n; k++)
            sb_printf(&sb, "%s%.*s", k ? " " : "", (int)c.length[k], c.at[k]);
        if (matches != cases[i].matches || strcmp(sb_text(&sb), cases[i].captures) != 0)
            print_error("%s on %s: %d %s\n", cases[i].pattern, cases[i].key, matches, sb_text(&sb));
        assert_int_equal(matches, cases[i].matches);
        assert_string_equal(sb_text(&sb), cases[i].captures);
    }
    end(&d);
}

static void test_loads(void **state)
{
    UNUSED(state);
    Data d = data_open("module Net(D) {\n"
                       "  a: Linear(D, D) as \"x.a\"\n"
                       "  b: Linear(D, D)\n"
                       "  param w: [2, D]\n"
                       "  fn forward(x: [.., D]) -> [.., D] = x |> a |> b\n}\n"
                       "module Top(D) {\n  net: Net(D) as \"deep.net\"\n"
                       "  fn forward(x: [.., D]) -> [.., D] = net(x)\n}\n"
                       "model m = Top(4) {\n"
                       "  load net from file(\"a.safetensors\") {\n"
                       "    \"w\" -> concat(transpose(\"x.a.weight\"), \"b.weight\", axis: 1)\n"
                       "    \"v.*\" -> \"w[*]\"\n"
                       "    \"u\" -> \"b.bias[1..3]\"\n"
                       "  }\n"
                       "  load net.a from hf(\"org/name\")\n"
                       "}\n");
    const Val *m = value(&d, "m");
    if (val_is_poison(m))
        print_error("%s", lab_reports(&d.lab));
    assert_int_equal(m->kind, V_INSTANCE);
    const Item *item = file_item(d.lab.front->files.at[0], sym(d.lab.ir->syms, "m"));
    const Loads *loads = map_get(d.e->loads, MAP_KEY(item->ast));
    assert_int_equal(loads->n, 2);
    assert_string_equal(loads->at[0].prefix, "deep.net");
    assert_string_equal(loads->at[1].prefix, "deep.net.x.a");
    assert_string_equal(load_key(&loads->at[0], "deep.net.x.a.weight"), "x.a.weight");
    assert_string_equal(record_name(loads->at[1].source), "hf");
    assert_int_equal(loads->at[0].nentry, 3);
    const MapExpr *x = loads->at[0].entry[0].value;
    assert_int_equal(x->op, MAP_CONCAT);
    assert_int_equal(x->axis, 1);
    assert_int_equal(x->arg[0]->op, MAP_TRANSPOSE);
    assert_string_equal(x->arg[0]->arg[0]->key.text, "x.a.weight");
    assert_true(loads->at[0].entry[1].value->key.stacked);
    const KeyPattern *rows = &loads->at[0].entry[2].value->key;
    assert_int_equal(rows->lo, 1);
    assert_int_equal(rows->hi, 3);
    assert_false(rows->one);
    end(&d);
}

/* Of a model that is read beside the one in training, and of its copies: paths begin within it. */
static void test_loads_of_others(void **state)
{
    UNUSED(state);
    Lab l = lab_open("module Net(D) {\n  a: Linear(D, D)\n  param w: [D]\n"
                     "  fn forward(x: [.., D]) -> [.., D] = a(x) * w\n}\n"
                     "model big = Net(4) {\n  load a, w from file(\"b.safetensors\")\n}\n"
                     "model net = Linear(4, 4)\n"
                     "data d {\n  source = npz(\"a.npz\")\n  x: f32[4] = row => row.x\n}\n"
                     "train net {\n  data = d; lr = 1; batch = 2; steps = 1\n"
                     "  loss = b => mean(net(b.x) - big(b.x))\n}\n"
                     "train big {\n  data = d; lr = 1; batch = 2; steps = 1\n"
                     "  loss = b => {\n    let first = start(big)\n"
                     "    mean(big(b.x) - first(b.x))\n  }\n}\n");
    assert_non_null(l.front);
    if (!front_check(l.front))
        fail_msg("%s", lab_reports(&l));
    lab_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_template),
        cmocka_unit_test(test_tokenizer),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_row_functions),
        cmocka_unit_test(test_text_entry),
        cmocka_unit_test(test_plan_refuses),
        cmocka_unit_test(test_open_npz),
        cmocka_unit_test(test_accuracy),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_loads),
        cmocka_unit_test(test_loads_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
