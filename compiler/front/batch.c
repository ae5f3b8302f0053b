/* batch.c: the `b` of b => ..: fields with the rows in front, records of text fields, and the standard
 * fields of sources of tokens (language.md 2.12). An input of the graph comes to be when it is used. */
#include "data.h"

typedef VEC(BatchField) FieldList;

static void add(Elab *e, FieldList *out, const char *name, const Type *type)
{
    BatchField f = {.name = sym(e->ir->syms, name), .input = sym(e->ir->syms, name), .type = type};
    VEC_PUSH(e->arena, out, f);
}

static const Type *with_rows(Elab *e, const Dim *rows, const Type *t)
{
    const Dim *dims[IR_MAX_RANK] = {rows};
    for (uint32_t k = 0; k < t->rank; k++) {
        dims[k + 1] = t->dims[k];
    }
    return type_tensor(e->ir, t->dtype, t->rank + 1, dims);
}

static void add_tokens(Elab *e, FieldList *out, const Dim *rows, int64_t length)
{
    const Dim *dims[2] = {rows, dim_const(e->ir, length)};
    for (uint32_t i = 0; i < TOKEN_FIELDS; i++) {
        const TokenField *f = &token_fields[i];
        add(e, out, f->name, type_tensor(e->ir, f->dtype, f->rank + 1, dims));
    }
}

static const Dim *size_named(Elab *e, const char *name, int64_t hi)
{
    return dim_of(e->ir, dim_named(e, sym(e->ir->syms, name), 0, hi));
}

/* images: all images of the batch in one row; slots: where their features go; order: of tiles. The number of images, or
 * NULL where `order` says which they are. */
static const Dim *image_fields(Elab *e, FieldList *out, const DataSpec *s, const Dim *rows,
                               int64_t picture_rows)
{
    const DatumType *t = &s->image->type;
    const Dim *slots[2] = {rows, dim_const(e->ir, s->length)};
    const Dim *tokens = dim_mul(e->ir, slots[0], slots[1]);
    const Dim *order = size_named(e, "slots", pictures_most(e, tokens, 1));
    const char *name = t->tiles ? "tiles" : picture_rows == PICTURES_OPEN ? "pictures" : "images";
    const Dim *dims[IR_MAX_RANK] = {
        size_named(e, name, pictures_most(e, tokens, t->tiles ? 0 : picture_rows))};
    for (uint32_t i = 0; i < t->rank; i++) {
        dims[i + 1] = t->dim[i];
    }
    add(e, out, "images", type_tensor(e->ir, DT_F32, t->rank + 1, dims));
    add(e, out, "slots", type_tensor(e->ir, DT_BOOL, 2, slots));
    if (t->tiles) {
        add(e, out, "order", type_tensor(e->ir, DT_I32, 1, &order));
    }
    return t->tiles ? NULL : dims[0];
}

static Batch *batch_new(Elab *e, const FieldList *list, bool text)
{
    Batch *b = NEW(e->arena, Batch);
    b->n = list->n;
    b->at = list->at;
    b->text = text;
    b->g = e->g;
    return b;
}

/* said.tokens, said.pos .. */
static Batch *text_record(Elab *e, const DataField *f, const Dim *rows)
{
    FieldList list = {0};
    add_tokens(e, &list, rows, f->length);
    for (uint32_t i = 0; i < list.n; i++) {
        list.at[i].input = sym_printf(e->ir->syms, "%s.%s", f->ast->name, list.at[i].name);
    }
    return batch_new(e, &list, true);
}

static void field(Elab *e, FieldList *out, const DataField *f, const Dim *rows)
{
    Sym name = f->ast->name;
    if (f->kind == FK_TEXT) {
        BatchField record = {.name = name, .record = text_record(e, f, rows)};
        VEC_PUSH(e->arena, out, record);
    } else if (f->kind == FK_FIXED) {
        add(e, out, name, with_rows(e, rows, f->type));
    } else {
        add(e, out, name, f->type);
        add(e, out, arena_printf(e->arena, "%s_row", name),
            type_tensor(e->ir, DT_I32, 1, f->type->dims));
    }
}

bool data_packs(const DataSpec *s)
{
    bool text = s->nfield == 1 && s->field[0].kind == FK_TEXT;
    return s->npart ? data_packs(s->part[0]) : s->packs && (s->info->conversations || text);
}

/* Packed samples fill fewer rows than there are samples. */
static const Dim *rows_of(Elab *e, const DataSpec *s, const Dim *rows)
{
    int64_t n;
    if (!data_packs(s) || !dim_is_const(rows, &n) || n == 1) {
        return rows;
    }
    return dim_of(e->ir, dim_named(e, sym(e->ir->syms, "B"), 1, n));
}

Batch *batch_of(Elab *e, const DataSpec *s, const Dim *rows, int64_t picture_rows)
{
    FieldList list = {0};
    if (s->npart) {
        return batch_of(e, s->part[0], rows, picture_rows);
    }
    rows = rows_of(e, s, rows);
    for (uint32_t i = 0; i < s->nfield; i++) {
        field(e, &list, &s->field[i], rows);
    }
    if (data_tokens(s)) {
        add_tokens(e, &list, rows, s->length);
    }
    const Dim *pictures = NULL;
    if (s->info->conversations && s->image) {
        pictures = image_fields(e, &list, s, rows, picture_rows);
    }
    Batch *b = batch_new(e, &list, false);
    b->rows = rows;
    b->pictures = pictures;
    return b;
}

const char *batch_text(Elab *e, const Batch *b)
{
    StrBuf sb = sb_new(e->arena);
    for (uint32_t i = 0; i < b->n; i++) {
        const BatchField *f = &b->at[i];
        sb_printf(&sb, "%s%s: %s", i ? ", " : "", f->name,
                  f->record ? "text" : type_text(e->ir, f->type));
    }
    return sb_text(&sb);
}

/* ---- as a value ---- */

static const Node *input_of(Batch *b, BatchField *f)
{
    f->node = f->node ? f->node : graph_input(b->g, f->input, f->type);
    return f->node;
}

static const Val *record_value(Elab *e, Batch *b, Span span)
{
    Val *v = val_new(e, V_BATCH, span);
    v->batch = b;
    return v;
}

const Val *data_batch_value(Elab *e, const DataUse *use, const Dim *rows, Span span)
{
    Batch *b = batch_of(e, use->spec, rows, use->picture_rows);
    bool tokens = data_tokens(use->spec);
    for (uint32_t i = 0; i < b->n && !tokens; i++) {
        if (b->at[i].type) {
            input_of(b, &b->at[i]); /* in the order of the fields */
        }
    }
    return record_value(e, b, span);
}

const Val *batch_member(Elab *e, const Val *v, const Ast *a)
{
    Batch *b = v->batch;
    Sym *names = NEW_ARRAY(e->arena, Sym, b->n + 1);
    StrBuf sb = sb_new(e->arena);
    for (uint32_t i = 0; i < b->n; i++) {
        BatchField *f = &b->at[i];
        if (f->name == a->name) {
            return f->record ? record_value(e, f->record, a->span)
                             : val_node(e, input_of(b, f), a->span);
        }
        names[i] = f->name;
        sb_printf(&sb, "%s%s", i ? ", " : "", f->name);
    }
    Diag *d = diag_at(e->diags, DIAG_E0703, a->name_span, "the batch has no field `%s`; it has %s",
                      a->name, sb_text(&sb));
    Sym near = sym_nearest(a->name, names, b->n);
    if (near) {
        diag_fix(d, a->name_span, near, "a similar field exists");
    }
    return poison(e, a->span);
}
