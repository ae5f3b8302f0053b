/* datafns.c: functions at data time, on images, turns and answers: their arguments, and the shape of what
 * they give. Random ones are centred or the identity outside training; the loader draws. */
#include "datum.h"

/* ---- arguments ---- */

static const Val *no_argument(Elab *e, const Builtin *b, Args *args, const char *what)
{
    diag_at(e->diags, DIAG_E0303, args->call, "`%s` needs %s", b->name, what);
    return poison(e, args->call);
}

static const Val *wrong_argument(Elab *e, const Builtin *b, const Val *v, const char *want)
{
    if (!val_is_poison(v)) {
        diag_at(e->diags, DIAG_E0205, v->span, "`%s` takes %s, got %s", b->name, want,
                val_text(e, v));
    }
    return poison(e, v->span);
}

/* The image that stands first, or poison. */
static const Val *image_argument(Elab *e, const Builtin *b, Args *args)
{
    const Val *v = args_get(args, 0, NULL);
    if (!v) {
        return no_argument(e, b, args, "an image");
    }
    const Val *image = datum_as_kind(e, v, DA_IMAGE);
    return image ? image : wrong_argument(e, b, v, "an image");
}

/* An optional number argument. */
static bool number_argument(Elab *e, const Builtin *b, const Val *v)
{
    double f;
    if (v && !val_as_double(v, &f)) {
        wrong_argument(e, b, v, "a number here");
        return false;
    }
    return true;
}

static bool is_numbers(const Val *v, uint32_t n)
{
    double f;
    bool ok = (v->kind == V_TUPLE || v->kind == V_LIST) && v->list.n == n;
    for (uint32_t i = 0; ok && i < n; i++) {
        ok = val_as_double(v->list.at[i], &f);
    }
    return ok;
}

/* (r, g, b) */
static bool color_argument(Elab *e, const Builtin *b, const Val *v)
{
    if (!v || is_numbers(v, 3)) {
        return true;
    }
    wrong_argument(e, b, v, "three numbers, (r, g, b)");
    return false;
}

static bool size_argument(Elab *e, const Builtin *b, const Val *v, const Dim **out)
{
    int64_t n;
    if (!val_as_int(v, &n) || n < 1) {
        wrong_argument(e, b, v, "a size of at least 1");
        return false;
    }
    *out = v->dim;
    return true;
}

/* n, or (height, width). */
static bool sizes_argument(Elab *e, const Builtin *b, Args *args, const Dim *out[2])
{
    const Val *v = args_get(args, 1, NULL);
    if (!v) {
        no_argument(e, b, args, "a size");
        return false;
    }
    if (v->kind == V_TUPLE && v->list.n == 2) {
        return size_argument(e, b, v->list.at[0], &out[0]) &&
               size_argument(e, b, v->list.at[1], &out[1]);
    }
    if (!size_argument(e, b, v, &out[0])) {
        return false;
    }
    out[1] = out[0];
    return true;
}

static bool word_argument(Elab *e, const Builtin *b, const Val *v, const char *words)
{
    if (!v || (v->kind == V_STR && word_in(words, v->str))) {
        return true;
    }
    wrong_argument(e, b, v, arena_printf(e->arena, "one of: %s", words));
    return false;
}

static DatumType image_type(const Dim *h, const Dim *w)
{
    return (DatumType){.kind = DA_IMAGE, .shaped = h && w, .rank = 2, .dim = {h, w}};
}

/* A node with all arguments of the call under their names. */
static const Val *call_node(Elab *e, const Builtin *b, Args *args, const DatumType *type)
{
    const Datum **arg = NEW_ARRAY(e->arena, const Datum *, args->n + 1);
    for (uint32_t i = 0; i < args->n; i++) {
        const Datum *d = datum_of(e, args->at[i]);
        if (!d) {
            return poison(e, args->call);
        }
        Datum *copy = COPY_ARRAY(e->arena, Datum, d, 1);
        copy->name = args->name[i];
        arg[i] = copy;
    }
    const Val *v = datum_new(e, b->name, type, (DatumArgs){0}, args->call);
    Datum *d = COPY_ARRAY(e->arena, Datum, v->datum, 1);
    d->narg = args->n;
    d->arg = arg;
    return datum_val(e, d);
}

/* ---- images ---- */

static const Val *call_pad_square(Elab *e, const Builtin *b, Args *args)
{
    const Val *image = image_argument(e, b, args);
    if (val_is_poison(image) || !color_argument(e, b, args_get(args, UINT32_MAX, "fill"))) {
        return poison(e, args->call);
    }
    const DatumType *t = &image->datum->type;
    const Dim *side = NULL;
    int64_t h, w;
    if (t->shaped && dim_is_const(t->dim[0], &h) && dim_is_const(t->dim[1], &w)) {
        side = t->dim[h > w ? 0 : 1];
    }
    DatumType out = image_type(side, side);
    return call_node(e, b, args, &out);
}

static const Val *call_resize(Elab *e, const Builtin *b, Args *args)
{
    const Val *image = image_argument(e, b, args), *side = args_get(args, UINT32_MAX, "side");
    const Dim *size[2];
    if (val_is_poison(image) || !sizes_argument(e, b, args, size) ||
        !word_argument(e, b, side, "both shortest") ||
        !word_argument(e, b, args_get(args, UINT32_MAX, "filter"), "bicubic bilinear nearest")) {
        return poison(e, args->call);
    }
    const DatumType *t = &image->datum->type;
    bool keeps_ratio = side && strcmp(side->str, "shortest") == 0;
    bool square = t->shaped && t->dim[0] == t->dim[1];
    DatumType out = image_type(keeps_ratio && !square ? NULL : size[0], size[1]);
    return call_node(e, b, args, &out);
}

/* center_crop, random_crop, random_resized_crop: a square, or (h, w). */
static const Val *call_crop(Elab *e, const Builtin *b, Args *args)
{
    static const char *const pairs[] = {"scale", "ratio"};
    const Val *image = image_argument(e, b, args);
    const Dim *size[2];
    bool ok = !val_is_poison(image) && sizes_argument(e, b, args, size) &&
              number_argument(e, b, args_get(args, UINT32_MAX, "padding"));
    for (size_t i = 0; ok && i < COUNT(pairs); i++) {
        const Val *v = args_get(args, UINT32_MAX, pairs[i]);
        ok = !v || is_numbers(v, 2);
        if (!ok) {
            wrong_argument(e, b, v, "two numbers, (low, high)");
        }
    }
    DatumType out = ok ? image_type(size[0], size[1]) : (DatumType){0};
    return ok ? call_node(e, b, args, &out) : poison(e, args->call);
}

/* normalize(img, mean, std): f32[3, h, w], /255 first. */
static const Val *call_normalize(Elab *e, const Builtin *b, Args *args)
{
    const Val *image = image_argument(e, b, args);
    const Val *mean = args_get(args, 1, "mean"), *std = args_get(args, 2, "std");
    if (val_is_poison(image)) {
        return image;
    }
    if (!mean || !std) {
        return no_argument(e, b, args, "a mean and a standard deviation for each color");
    }
    if (!color_argument(e, b, mean) || !color_argument(e, b, std)) {
        return poison(e, args->call);
    }
    const DatumType *t = &image->datum->type;
    DatumType out = {.kind = DA_ARRAY, .shaped = true, .rank = 3};
    out.dim[0] = dim_const(e->ir, 3);
    out.dim[1] = t->shaped ? t->dim[0] : NULL;
    out.dim[2] = t->shaped ? t->dim[1] : NULL;
    return call_node(e, b, args, &out);
}

static const Val *call_gray(Elab *e, const Builtin *b, Args *args)
{
    const Val *image = image_argument(e, b, args);
    if (val_is_poison(image)) {
        return image;
    }
    DatumType out = image->datum->type;
    out = (DatumType){DA_ARRAY, true, false, 2, {out.dim[0], out.dim[1]}, NULL};
    return call_node(e, b, args, &out);
}

/* anyres(img, tile:, patch:, max:, each:): tiles of one size, each put through a function. */
static const Val *call_anyres(Elab *e, const Builtin *b, Args *args)
{
    static const char *const names[] = {"tile", "patch", "max"};
    const Val *image = image_argument(e, b, args), *each = args_get(args, UINT32_MAX, "each");
    const Dim *size[3] = {NULL}, *quotient;
    if (val_is_poison(image)) {
        return image;
    }
    for (size_t i = 0; i < COUNT(names); i++) {
        const Val *v = args_get(args, UINT32_MAX, names[i]);
        if (!v) {
            return no_argument(e, b, args, arena_printf(e->arena, "`%s:`", names[i]));
        }
        if (!size_argument(e, b, v, &size[i])) {
            return poison(e, args->call);
        }
    }
    if (!dim_div(e->ir, size[0], size[1], &quotient)) {
        diag_at(e->diags, DIAG_E0403, args->call, "a tile is not a whole number of patches: %s",
                "tile / patch is no integer");
        return poison(e, args->call);
    }
    if (!each) {
        return no_argument(e, b, args, "`each:`, the function of one tile");
    }
    DatumType tile = image_type(size[0], size[0]);
    Args one = {.call = each->span};
    args_push(e, &one, NULL, datum_new(e, "tile", &tile, (DatumArgs){0}, args->call));
    const Val *r = call_value(e, NULL, each, &one);
    if (val_is_poison(r)) {
        return r;
    }
    if (!is_datum(r) || r->datum->type.kind != DA_ARRAY) {
        return wrong_argument(e, b, val_at(e, r, each->span), "a function that gives numbers");
    }
    DatumType out = r->datum->type;
    out.tiles = true;
    const Val *arg[] = {image, r};
    return datum_new(e, b->name, &out, (DatumArgs){arg, 2}, args->call);
}

/* Every name of `fields: [..]` is a column that the row has. */
static bool fields_argument(Elab *e, const Builtin *b, const Val *row, const Val *fields)
{
    bool list = fields->kind == V_LIST || fields->kind == V_TUPLE;
    for (uint32_t i = 0; list && i < fields->list.n; i++) {
        const Val *f = fields->list.at[i];
        if (f->kind != V_STR) {
            wrong_argument(e, b, f, "names of fields");
            return false;
        }
        const Ast member = {
            .kind = A_MEMBER, .span = f->span, .name = f->str, .name_span = f->span};
        if (val_is_poison(datum_member(e, row, &member))) {
            return false;
        }
    }
    if (!list) {
        wrong_argument(e, b, fields, "a list of names of fields");
    }
    return list;
}

/* random_flip(img), or random_flip(row, fields: [..]): one draw for several. */
static const Val *call_random_flip(Elab *e, const Builtin *b, Args *args)
{
    const Val *v = args_get(args, 0, NULL), *fields = args_get(args, UINT32_MAX, "fields");
    const Val *row = v && fields ? datum_as_kind(e, v, DA_ROW) : NULL;
    if (v && fields && !row) {
        return wrong_argument(e, b, v, "a row where there are `fields:`");
    }
    if (row) {
        return fields_argument(e, b, row, fields) ? call_node(e, b, args, &row->datum->type)
                                                  : poison(e, args->call);
    }
    const Val *image = image_argument(e, b, args);
    return val_is_poison(image) ? image : call_node(e, b, args, &image->datum->type);
}

static const Val *call_color_jitter(Elab *e, const Builtin *b, Args *args)
{
    static const char *const names[] = {"b", "c", "s"};
    const Val *image = image_argument(e, b, args);
    if (val_is_poison(image)) {
        return image;
    }
    for (uint32_t i = 0; i < COUNT(names); i++) {
        if (!number_argument(e, b, args_get(args, i + 1, names[i]))) {
            return poison(e, args->call);
        }
    }
    return call_node(e, b, args, &image->datum->type);
}

/* ---- text ---- */

/* turns(user: .., assistant: ..): a conversation, in the order in which it is written. */
static const Val *call_turns(Elab *e, const Builtin *b, Args *args)
{
    if (!args->n) {
        return no_argument(e, b, args, "turns: turns(user: .., assistant: ..)");
    }
    for (uint32_t i = 0; i < args->n; i++) {
        if (!args->name[i]) {
            return wrong_argument(e, b, args->at[i], "named turns, `user:`, `assistant:`");
        }
        if (!datum_as_kind(e, args->at[i], DA_STR)) {
            return wrong_argument(e, b, args->at[i], "strings");
        }
    }
    DatumType out = {.kind = DA_TEXT};
    return call_node(e, b, args, &out);
}

/* token_f1(text, answer) and kin: a number in 0..1. */
static const Val *call_text_metric(Elab *e, const Builtin *b, Args *args)
{
    static const char *const names[] = {"text", "answer"};
    for (uint32_t i = 0; i < COUNT(names); i++) {
        const Val *v = args_get(args, i, names[i]);
        if (!v) {
            return no_argument(e, b, args, "a text and the right answer");
        }
        if (!datum_as_kind(e, v, DA_STR)) {
            return wrong_argument(e, b, v, "strings");
        }
    }
    DatumType out = {.kind = DA_ARRAY, .shaped = true};
    return call_node(e, b, args, &out);
}

/* ---- the table ---- */

static const Builtin functions[] = {
#define ROW(name, fn, formals, doc)       \
    {                                     \
#name, fn, OP_CONST, doc, formals \
    }
    ROW(pad_square, call_pad_square, "img, fill:", "to a square"),
    ROW(resize, call_resize, "img, n, side:, filter:", "n is a side or (h, w)"),
    ROW(center_crop, call_crop, "img, n", "n x n in the middle"),
    ROW(random_crop, call_crop, "img, n, padding:", "n x n anywhere, of the padded image"),
    ROW(random_resized_crop, call_crop,
        "img, n, scale:, ratio:", "a part of random size and shape, resized to n x n"),
    ROW(random_flip, call_random_flip, "img, fields:", "left and right, with probability 1/2"),
    ROW(color_jitter, call_color_jitter, "img, b, c, s", "brightness, contrast, saturation"),
    ROW(normalize, call_normalize, "img, mean, std", "an image as f32[3, h, w]"),
    ROW(gray, call_gray, "img", "an image as f32[h, w] in 0..1"),
    ROW(anyres, call_anyres, "img, tile:, patch:, max:, each:", "an image as tiles of one size"),
    ROW(turns, call_turns, "system:, user:, assistant:", "a conversation"),
    ROW(exact_match, call_text_metric, "text, answer", "1 where the answers are equal"),
    ROW(contains, call_text_metric, "text, answer", "1 where the text has the answer in it"),
    ROW(token_recall, call_text_metric, "text, answer", "share of the answer's words"),
    ROW(token_f1, call_text_metric, "text, answer", "F1 of the words"),
    ROW(bleu, call_text_metric, "text, answer", "BLEU-4 of one answer"),
    ROW(rouge_l, call_text_metric, "text, answer", "F1 by the longest common subsequence"),
#undef ROW
#define RECORD(name, formals)                           \
    {                                                   \
#name, NULL, OP_CONST, "a constructor", formals \
    }
    RECORD(idx, "images:, labels:"),
    RECORD(npz, "file, ..:"),
    RECORD(npy, "..:"),
    RECORD(conversations, "json, images:"),
    RECORD(pairs, "csv, images:"),
    RECORD(jsonl, "file, images:, audio:"),
    RECORD(text, "glob, from:, to:, stride:"),
    RECORD(bin, "file, dtype, from:, to:, stride:"),
    RECORD(tar, "glob"),
    RECORD(folders, "dir"),
    RECORD(mix, ".."),
    RECORD(hf, "name, pad:, special:, image:, legacy:"),
    RECORD(sentencepiece, "file, pad:, special:, image:, legacy:"),
    RECORD(bpe, "file, pad:, special:, image:"),
    RECORD(bytes, "pad:, special:, image:"),
    RECORD(file, "path"),
    RECORD(stage, "name"),
    RECORD(greedy, "max_tokens:"),
    RECORD(sample, "temperature, top_k, top_p:, min_p:, seed:, max_tokens:"),
#undef RECORD
};

const Builtin *data_builtin_at(uint32_t i)
{
    return i < COUNT(functions) ? &functions[i] : NULL;
}

bool builtin_at_data(const Builtin *b)
{
    bool here = b >= functions && b < functions + COUNT(functions);
    return here || template_builtin(b);
}

/* Words that arguments are spelt with: resize(img, 224, side: shortest), rope(x, pos, 1e4, style:
 * interleaved). A name that anything else has means that. */
bool data_word(Sym name)
{
    return word_in("both shortest bicubic bilinear nearest half interleaved", name);
}
