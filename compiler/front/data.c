/* data.c: data blocks: one use of a block, with its arguments, as a DataSpec: source, fields, and the
 * functions of rows and images as expressions over the source's columns. */
#include "data.h"

#define MAX_EXTENT ((int64_t)1 << 24)

typedef struct DataCx {
    Elab *e;
    DataSpec *s;
    const Ast *block;
} DataCx;

/* ---- functions of rows ---- */

const Val *data_call(Elab *e, Env *env, const Ast *fn, const Val *arg)
{
    const Val *f = eval(e, env, fn);
    Args args = {.call = fn->span};
    args_push(e, &args, NULL, arg);
    const Val *v = call_value(e, env, f, &args);
    return val_is_poison(v) ? NULL : val_at(e, v, v->span.file ? v->span : fn->span);
}

static const Val *row_of(DataCx *cx)
{
    return datum_row(cx->e, cx->s->columns, cx->s->span);
}

/* An attribute that is a function of one argument; *out stays NULL without one. False after an error. */
static bool row_function(DataCx *cx, const char *name, const Val *arg, DatumKind want,
                         const Datum **out)
{
    Elab *e = cx->e;
    const Ast *a = block_attr(cx->block, name);
    if (!a || a->kind == A_NONE) {
        return true;
    }
    const Val *v = data_call(e, cx->s->env, a, arg);
    if (!v) {
        return false;
    }
    const Val *r = v->kind == V_BOOL && want == DA_BOOL ? v : datum_as_kind(e, v, want);
    if (!r) {
        diag_at(e->diags, DIAG_E0802, v->span, "`%s` gives %s, got %s", name, datum_kind_text(want),
                val_text(e, v));
        return false;
    }
    *out = datum_of(e, r);
    return *out != NULL;
}

/* `image`: of an image, f32[3, h, w] of a known size, or tiles of such. */
static bool image_function(DataCx *cx)
{
    Elab *e = cx->e;
    const Ast *a = block_attr(cx->block, "image");
    DatumType image = {.kind = DA_IMAGE};
    const Val *arg = datum_new(e, "image", &image, (DatumArgs){0}, cx->s->span);
    if (!row_function(cx, "image", arg, DA_ARRAY, &cx->s->image) || !cx->s->image) {
        return !a || a->kind == A_NONE;
    }
    const DatumType *t = &cx->s->image->type;
    if (datum_dims_known(t) && t->rank == 3) {
        return true;
    }
    Diag *d = diag_at(e->diags, DIAG_E0706, a->span,
                      "preprocessing gives %s: images of a batch have one known shape, `[C, H, W]`",
                      datum_text(e, t));
    diag_help(d, "end with resize(n) or center_crop(n), and normalize(mean, std)");
    return false;
}

/* ---- fields ---- */

/* text[448], or text with the block's length. */
static bool text_type(DataCx *cx, const Ast *a, DataField *f)
{
    Elab *e = cx->e;
    const Ast *type = a->kid[0];
    f->kind = FK_TEXT;
    f->length = cx->s->length;
    if (type->kind == A_T_TENSOR) {
        const Dim *d = type->nkid == 2 && type->kid[1]->kind != A_PACK
                           ? eval_dim(e, cx->s->env, type->kid[1])
                           : NULL;
        if (type->nkid != 2 || (d && (!dim_is_const(d, &f->length) || f->length < 1))) {
            diag_at(e->diags, DIAG_E0406, type->span,
                    "a text field has one extent, its tokens: `text[128]`");
            return false;
        }
        return d != NULL;
    }
    bool unknown = cx->s->open && block_attr(cx->block, "length");
    if (!f->length && !unknown) {
        diag_at(e->diags, DIAG_E0803, type->span,
                "the field `%s` needs a length: `text[128]`, or `length` of the block", a->name);
    }
    return f->length > 0;
}

/* Extents of one row: constant, but for the first of a ragged field. */
static bool extents_fit(Elab *e, const Ast *a, const Type *t, uint32_t first)
{
    int64_t v;
    for (uint32_t i = first; i < t->rank; i++) {
        if (!dim_is_const(t->dims[i], &v) || v < 1 || v > MAX_EXTENT) {
            diag_at(e->diags, DIAG_E0401, a->span,
                    "the field `%s` needs constant dimensions, 1 to 16,777,216", a->name);
            return false;
        }
    }
    if (t->rank == IR_MAX_RANK) {
        diag_at(e->diags, DIAG_E0406, a->span, "a field has at most %d dimensions",
                IR_MAX_RANK - 1);
    }
    return t->rank < IR_MAX_RANK;
}

/* The free name that a ragged type begins with, or NULL. */
static Sym ragged_name(DataCx *cx, const Ast *type)
{
    const Ast *first = type->kind == A_T_TENSOR && type->nkid > 1 ? type->kid[1] : NULL;
    bool free =
        first && first->kind == A_ID && !env_find(cx->e, cx->s->env, first->name, first->span);
    return free ? first->name : NULL;
}

static bool field_type(DataCx *cx, const Ast *a, DataField *f)
{
    Elab *e = cx->e;
    Env *frame = env_new(e, ENV_FRAME, cx->s->env);
    if (datum_is_text(a->kid[0])) {
        return text_type(cx, a, f);
    }
    Sym ragged = ragged_name(cx, a->kid[0]);
    if (ragged) {
        f->kind = FK_RAGGED;
        env_bind(e, frame, ragged,
                 val_dim(e, dim_of(e->ir, dim_named(e, ragged, 0, BATCH_SIZE_MAX)), a->span));
    }
    frame->has_float = true; /* batches are what the loader makes, whatever the model computes in */
    frame->float_type = DT_F32;
    f->type = sig_type(e, frame, a->kid[0]);
    return f->type && extents_fit(e, a, f->type, ragged != NULL);
}

/* What the function gives against the field's type: E0706 for shapes. */
static bool shape_fits(Elab *e, const DataField *f, const DatumType *t)
{
    const Type *want = f->type;
    uint32_t first = f->kind == FK_RAGGED;
    bool fits = !t->tiles && (!t->shaped || t->rank == want->rank);
    for (uint32_t i = first; fits && t->shaped && i < want->rank; i++) {
        fits = !t->dim[i] || t->dim[i] == want->dims[i];
    }
    if (!fits) {
        diag_at(e->diags, DIAG_E0706, f->ast->kid[1]->span,
                "the field `%s` is `%s`, its function gives %s%s", f->ast->name,
                type_text(e->ir, want), t->tiles ? "several " : "", datum_text(e, t));
    }
    return fits;
}

static bool wrong_value(Elab *e, const DataField *f, const Val *v)
{
    bool text = f->kind == FK_TEXT;
    Diag *d = diag_at(e->diags, DIAG_E0802, v->span,
                      text ? "a text field is a string or turns(..), got %s"
                           : "a field computes with numbers, got %s",
                      val_text(e, v));
    if (!text && is_datum(v) && v->datum->type.kind == DA_IMAGE) {
        diag_help(d, "normalize(img, mean, std) and gray(img) make numbers of an image");
    }
    return false;
}

static bool field_value(DataCx *cx, DataField *f)
{
    Elab *e = cx->e;
    const Ast *fn = f->ast->kid[1];
    if (fn->kind == A_LAMBDA ? fn->kid[0]->kind != A_ID : fn->kind != A_ID) {
        diag_at(e->diags, DIAG_E0802, fn->span, "a field is a function of one row: `row => row.x`");
        return false;
    }
    const Val *v = data_call(e, cx->s->env, fn, row_of(cx));
    if (!v) {
        return false;
    }
    bool text = f->kind == FK_TEXT;
    bool list = v->kind == V_TUPLE || v->kind == V_LIST;
    bool number = val_is_number(v) || v->kind == V_BOOL || (list && datum_list_of_numbers(e, v));
    const Val *r = text                                            ? datum_as_kind(e, v, DA_TEXT)
                   : number                                        ? v
                   : is_datum(v) && v->datum->type.kind == DA_BOOL ? v
                                                                   : datum_as_kind(e, v, DA_ARRAY);
    if (!r) {
        return wrong_value(e, f, v);
    }
    f->value = datum_of(e, r);
    if (f->value && text && f->value->type.kind == DA_TEXT && !cx->s->template) {
        diag_at(e->diags, DIAG_E0803, v->span, "turns(..) needs `template` of the data");
        return false;
    }
    bool shaped = is_datum(r) || list;
    return f->value && (text || !f->type || !shaped || shape_fits(e, f, &f->value->type));
}

/* False after E0202: an earlier field has the name. */
static bool once(Elab *e, const Ast *body, uint32_t i)
{
    for (uint32_t k = 0; k < i; k++) {
        const Ast *a = body->kid[k];
        if (a->kind == A_FIELD && a->name == body->kid[i]->name) {
            Diag *d = diag_at(e->diags, DIAG_E0202, body->kid[i]->name_span,
                              "the field `%s` is defined twice", a->name);
            diag_also(d, a->name_span, "first here");
            return false;
        }
    }
    return true;
}

static bool fields(DataCx *cx)
{
    const Ast *body = cx->block->kid[3];
    DataSpec *s = cx->s;
    s->field = NEW_ARRAY(cx->e->arena, DataField, body->nkid + 1);
    bool ok = true;
    for (uint32_t i = 0; i < body->nkid; i++) {
        const Ast *a = body->kid[i];
        if (a->kind != A_FIELD) {
            continue;
        }
        DataField *f = &s->field[s->nfield++];
        f->ast = a;
        uint32_t errors = diags_reported(cx->e->diags);
        bool fits = once(cx->e, body, i) && field_type(cx, a, f);
        bool go_on = fits || (s->open && diags_reported(cx->e->diags) == errors);
        ok = go_on && field_value(cx, f) && fits && ok;
    }
    return ok;
}

/* ---- what must be there ---- */

static const Val *attr_value(DataCx *cx, const char *name)
{
    const Ast *a = block_attr(cx->block, name);
    const Val *v = a ? eval(cx->e, cx->s->env, a) : NULL;
    return v && v->kind == V_NONE ? NULL : v;
}

/* `none` is not there; anything else that does not do was reported. */
static bool need(DataCx *cx, bool there, const char *name, const char *why)
{
    if (!there && !attr_value(cx, name)) {
        diag_at(cx->e->diags, DIAG_E0803, cx->block->name_span, "`data %s` needs `%s`: %s",
                cx->block->name, name, why);
    }
    return there;
}

bool data_tokens(const DataSpec *s)
{
    return s->npart ? data_tokens(s->part[0]) : s->info->stream || s->info->conversations;
}

static uint32_t texts(const DataSpec *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->nfield; i++) {
        n += s->field[i].kind == FK_TEXT;
    }
    return n;
}

bool data_has_tokens(const DataSpec *s)
{
    return s->npart ? data_has_tokens(s->part[0]) : data_tokens(s) || texts(s) > 0;
}

static bool complete(DataCx *cx)
{
    DataSpec *s = cx->s;
    if (!s->info) {
        return false; /* the source is an argument that is not known */
    }
    uint32_t ntext = texts(s);
    bool own = s->info->stream || s->info->conversations, ok = true;
    if ((own || ntext) && !s->info->tokens) {
        ok = need(cx, s->tokenizer != NULL, "tokenizer", "what makes tokens of text");
    }
    if (own) {
        ok = need(cx, s->length > 0, "length", "tokens per row") && ok;
    }
    if (s->info->conversations) {
        ok = need(cx, s->template != NULL, "template", "conversations as tokens") && ok;
    }
    if (ok && !own && !s->nfield) {
        Diag *d = diag_at(cx->e->diags, DIAG_E0803, cx->block->name_span, "`data %s` has no fields",
                          cx->block->name);
        diag_help(d, "a field says what a batch holds: `image: f32[28, 28] = row => row.images`");
        return false;
    }
    if (ok && s->packs && (own || ntext) && s->nfield + own > 1) {
        Diag *d = diag_at(cx->e->diags, DIAG_E0803, cx->block->name_span,
                          "`data %s` needs `pack = false`: a row has more than its tokens",
                          cx->block->name);
        diag_note(d, "packing puts several samples into one row, and other fields cannot follow");
        return false;
    }
    return ok;
}

/* ---- attributes ---- */

/* schema.def has its words, and no other gets here. */
static void overlong(DataCx *cx)
{
    const Ast *a = block_attr(cx->block, "overlong");
    bool word = a && a->kind == A_ID;
    cx->s->overlong = word && strcmp(a->name, "drop") == 0    ? PO_DROP
                      : word && strcmp(a->name, "error") == 0 ? PO_ERROR
                                                              : PO_TRUNCATE;
}

static bool attributes(DataCx *cx, bool training)
{
    Elab *e = cx->e;
    DataSpec *s = cx->s;
    const Val *tokenizer = attr_value(cx, "tokenizer"), *template = attr_value(cx, "template");
    const Val *limit = attr_value(cx, "limit");
    s->limit = -1;
    s->packs = true;
    s->shuffle = true;
    if (limit && !val_as_int(limit, &s->limit)) {
        val_as_double(limit, &s->limit_share);
    }
    s->tokenizer = tokenizer ? tokenizer_of(e, tokenizer) : NULL;
    s->template = template ? template_of(e, template) : NULL;
    bool ok = (!tokenizer || s->tokenizer) && (!template || s->template);
    ok = attr_int(e, s->env, cx->block, "length", &s->length) && ok;
    ok = attr_bool(e, s->env, cx->block, "pack", &s->packs) && ok;
    ok = attr_bool(e, s->env, cx->block, "shuffle", &s->shuffle) && ok;
    overlong(cx);
    s->shuffle = s->shuffle && training;
    const Ast *length = block_attr(cx->block, "length"), *w = block_attr(cx->block, "workers");
    ok = attr_int(e, s->env, cx->block, "workers", &s->workers) && ok;
    if (ok && w && w->kind != A_NONE && (s->workers < 1 || s->workers > PLAN_MAX_WORKERS)) {
        diag_at(e->diags, DIAG_E0802, w->span, "`workers` is 1 to %d threads", PLAN_MAX_WORKERS);
        ok = false;
    }
    if (ok && length && (s->length < 1 || s->length > MAX_EXTENT)) {
        diag_at(e->diags, DIAG_E0802, length->span, "a row has 1 to 16,777,216 tokens");
        ok = false;
    }
    return ok;
}

/* ---- sources ---- */

static bool same_fields(Elab *e, const DataSpec *a, const DataSpec *b)
{
    const Dim *rows = dim_const(e->ir, 1);
    const Batch *x = batch_of(e, a, rows, 0), *y = batch_of(e, b, rows, 0);
    bool same = x->n == y->n && data_packs(a) == data_packs(b);
    for (uint32_t i = 0; same && i < x->n; i++) {
        same = x->at[i].name == y->at[i].name && x->at[i].type == y->at[i].type &&
               !x->at[i].record == !y->at[i].record;
    }
    if (same) {
        return true;
    }
    Diag *d = diag_at(e->diags, DIAG_E0802, b->span,
                      "the parts of a mix have the same fields: (%s) and (%s)", batch_text(e, x),
                      batch_text(e, y));
    if (data_packs(a) != data_packs(b)) {
        diag_note(d,
                  "one of them packs several texts into a row: `pack` is the same for all parts");
    }
    return false;
}

/* mix((d, w), ..) */
static bool mix_parts(Elab *e, DataSpec *s, bool training)
{
    const Ast *a = s->source->code.ast;
    uint32_t n = a->kind == A_CALL ? a->nkid - 1 : 0;
    s->part = NEW_ARRAY(e->arena, const DataSpec *, n + 1);
    s->weight = NEW_ARRAY(e->arena, double, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        const Val *v = record_arg(e, s->source, i, NULL);
        bool pair = v && v->kind == V_TUPLE && v->list.n == 2;
        double w = pair && val_as_double(v->list.at[1], &w) ? w : 0;
        if (!pair || !(w > 0) || w > 1e300) {
            if (!v || !val_is_poison(v)) {
                diag_at(e->diags, DIAG_E0802, v ? v->span : s->span,
                        "a part of a mix is data and its weight above 0: `(d, 0.7)`");
            }
            return false;
        }
        const DataSpec *p = data_of(e, v->list.at[0], training);
        if (!p || (s->npart && !same_fields(e, s->part[0], p))) {
            return false;
        }
        s->weight[s->npart] = w;
        s->part[s->npart++] = p;
    }
    if (!n) {
        diag_at(e->diags, DIAG_E0303, s->span, "`mix` needs data: mix((d, 0.7), (other, 0.3))");
    }
    return n > 0;
}

/* A source that depends on arguments that are not known. */
static bool open_source(Elab *e, DataSpec *s, const Val *v)
{
    Columns *any = NEW(e->arena, Columns);
    any->open = true;
    s->columns = any;
    s->info = v->kind == V_RECORD ? source_find(record_name(v)) : NULL;
    if (s->info && !s->info->arrays && !s->info->mix) {
        s->columns = source_columns(e, s->info, v);
    }
    return s->open && !(s->info && s->info->mix);
}

static bool source(Elab *e, DataSpec *s, const Val *v, bool training)
{
    if (!value_fits(e, SV_SOURCE, v, "`source`")) {
        return open_source(e, s, v);
    }
    s->source = v;
    s->info = source_find(record_name(v));
    if (s->info->mix) {
        return mix_parts(e, s, training);
    }
    s->columns = source_columns(e, s->info, v);
    return s->columns != NULL;
}

/* Formals that nobody gave are their defaults. */
static Env *scope_of(Elab *e, const Val *v)
{
    if (v->code.env->kind == ENV_FRAME) {
        return v->code.env;
    }
    Args none = {.call = v->span};
    const Val *bound = block_apply(e, v, &none);
    return val_is_poison(bound) ? NULL : bound->code.env;
}

/* A mix has what its parts have. */
static bool only_mixes(Elab *e, const Ast *block)
{
    const Ast *body = block->kid[3];
    for (uint32_t i = 0; i < body->nkid; i++) {
        const Ast *a = body->kid[i];
        if (a->kind == A_ATTR && word_in("source shuffle limit workers", a->name)) {
            continue;
        }
        diag_at(e->diags, DIAG_E0802, a->name_span,
                "a mix has the fields and attributes of its parts, but for `shuffle`, `limit` and "
                "`workers`: `%s` belongs into them",
                a->name);
        return false;
    }
    return true;
}

static bool block_spec(Elab *e, DataSpec *s, const Ast *block, bool training)
{
    DataCx cx = {e, s, block};
    if (!schema_check(e, block)) {
        return false;
    }
    if (block->kid[2] && !block->kid[3]) { /* data d = mix(..), or another data */
        const Val *v = eval(e, s->env, block->kid[2]);
        if (v->kind != V_BLOCK) {
            return source(e, s, val_at(e, v, block->kid[2]->span), training);
        }
        const DataSpec *same = data_of(e, v, training);
        if (same) {
            *s = *same;
        }
        return same != NULL;
    }
    uint32_t errors = diags_reported(e->diags);
    bool good = schema_values(e, s->env, block) && attributes(&cx, training);
    good = good || (s->open && diags_reported(e->diags) == errors);
    if (!good || !source(e, s, eval(e, s->env, block_attr(block, "source")), training)) {
        return false;
    }
    if (s->npart) {
        return only_mixes(e, block);
    }
    const Val *row = row_of(&cx);
    bool ok = row_function(&cx, "filter", row, DA_BOOL, &s->filter);
    ok = row_function(&cx, "map", row, DA_ROW, &s->map) && ok;
    ok = image_function(&cx) && ok;
    ok = fields(&cx) && ok;
    return complete(&cx) && ok;
}

/* Did data_check_open bind some formal? */
static bool has_unknown(const Env *env, const Ast *block)
{
    const Ast *formals = block->kid[1];
    for (uint32_t i = 0; formals && i < formals->nkid; i++) {
        const Val *v = env_local(env, formals->kid[i]->name);
        if (v && val_is_poison(v)) {
            return true;
        }
    }
    return false;
}

static bool spec(Elab *e, const Val *v, DataSpec *s, bool training)
{
    if (!value_fits(e, SV_DATA, v, "`data`")) {
        return false;
    }
    s->span = v->span;
    if (v->kind == V_RECORD) {
        return source(e, s, v, training);
    }
    Pending here = {MAP_KEY(v->code.ast), v->code.ast->name, e->pending};
    s->block = v->code.ast;
    if (pending_cycle(e, here.key, here.name, v->span)) {
        return false;
    }
    e->pending = &here;
    s->env = scope_of(e, v);
    s->open = s->env && has_unknown(s->env, s->block);
    bool ok = s->env && block_spec(e, s, s->block, training);
    e->pending = here.up;
    return ok;
}

const DataSpec *data_of(Elab *e, const Val *v, bool training)
{
    DataSpec *s = NEW(e->arena, DataSpec);
    s->shuffle = training;
    s->limit = -1;
    Graph *g = e->g;
    Mode mode = e->mode;
    bool at_data = e->at_data;
    e->g = NULL; /* nothing of this is in a graph */
    e->mode = training ? MODE_TRAIN : MODE_EVAL;
    e->at_data = true;
    bool ok = spec(e, v, s, training);
    e->g = g;
    e->mode = mode;
    e->at_data = at_data;
    return ok ? s : NULL;
}

bool data_check_open(Elab *e, const Val *block)
{
    const Ast *formals = block->code.ast->kid[1];
    Env *frame = env_new(e, ENV_FRAME, block->code.env);
    e->left_open = true;
    for (uint32_t i = 0; i < formals->nkid; i++) {
        const Ast *f = formals->kid[i];
        env_bind(e, frame, f->name, f->kid[1] ? eval(e, frame, f->kid[1]) : poison(e, f->span));
    }
    Val *v = COPY_ARRAY(e->arena, Val, block, 1);
    uint32_t errors = diags_reported(e->diags);
    v->code.env = frame;
    data_of(e, v, false);
    return diags_reported(e->diags) == errors;
}

const Columns *data_answers(Elab *e, const DataSpec *s)
{
    const Columns *row = s->npart ? data_answers(e, s->part[0]) : s->columns;
    Columns *c = NEW(e->arena, Columns);
    VEC(Column) list = {0};
    for (uint32_t i = 0; i < row->n; i++) {
        VEC_PUSH(e->arena, &list, row->at[i]);
    }
    Column text = {sym(e->ir->syms, "text"), {.kind = DA_STR}};
    VEC_PUSH(e->arena, &list, text);
    *c = *row;
    c->n = list.n;
    c->at = list.at;
    return c;
}

/* ---- application: chats("a.json", "images", inst) ---- */

const Val *block_apply(Elab *e, const Val *block, Args *args)
{
    const Ast *ast = block->code.ast;
    const char *who = arena_printf(e->arena, "`data %s`", ast->name);
    Env *frame = env_new(e, ENV_FRAME, block->code.env);
    frame->call = args->call;
    const Ast none = {.kind = A_FORMALS, .span = ast->span};
    const Ast *formals = ast->kid[1] ? ast->kid[1] : &none;
    Ast *kid[1] = {(Ast *)formals};
    Ast fn = {.kind = A_FN, .span = ast->span, .kid = kid, .nkid = 1};
    const Val **arg = NEW_ARRAY(e->arena, const Val *, formals->nkid + 1);
    if (!args_bind(e, formals, args, arg, who) || !frame_bind(e, frame, &fn, arg, who)) {
        return poison(e, args->call);
    }
    Val *v = val_new(e, V_BLOCK, args->call);
    v->code.ast = ast;
    v->code.env = frame;
    return v;
}
