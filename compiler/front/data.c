/* data.c: data blocks: which arrays a source has, and the fields of one row. */
#include "blocks.h"

enum { MAX_ROW_CODE = 4096 };

static void add_column(PlanBuilder *b, Sym name, const Val *file, const Val *member)
{
    PlanColumn c = {planb_text(b, name), planb_text(b, file->str),
                    member ? planb_text(b, member->str) : 0};
    VEC_PUSH(b->arena, &b->columns, c);
}

static bool want_string(Elab *e, const Val *v, Span span, const char *what)
{
    if (v && v->kind == V_STR) {
        return true;
    }
    if (!v || !val_is_poison(v)) {
        diag_at(e->diags, DIAG_E0802, v ? v->span : span, "%s is a string", what);
    }
    return false;
}

static bool idx_columns(Elab *e, PlanBuilder *b, const Val *source)
{
    static const char *const names[] = {"images", "labels"};
    for (size_t i = 0; i < COUNT(names); i++) {
        const Val *v = record_arg(e, source, UINT32_MAX, names[i]);
        if (!want_string(e, v, source->span, "`images:` and `labels:` of idx: a file name")) {
            return false;
        }
        add_column(b, sym(e->ir->syms, names[i]), v, NULL);
    }
    return true;
}

/* npz(file, image: "train_images", label: "train_labels"): arrays of one archive under new names. */
static bool npz_columns(Elab *e, PlanBuilder *b, const Val *source)
{
    const Val *file = record_arg(e, source, 0, "file");
    const Ast *a = source->code.ast;
    if (!want_string(e, file, source->span, "the file of npz")) {
        return false;
    }
    uint32_t n = b->columns.n;
    Map *names = map_new(e->arena);
    for (uint32_t i = 1; i < a->nkid; i++) {
        if (a->kid[i]->kind != A_NAMED || strcmp(a->kid[i]->name, "file") == 0) {
            continue;
        }
        const Val *member = eval(e, source->code.env, a->kid[i]->kid[0]);
        if (!want_string(e, member, a->kid[i]->span, "the name of an array")) {
            return false;
        }
        if (map_get(names, MAP_KEY(a->kid[i]->name))) {
            diag_at(e->diags, DIAG_E0202, a->kid[i]->name_span, "two arrays are called `%s`",
                    a->kid[i]->name);
            return false;
        }
        map_put(names, MAP_KEY(a->kid[i]->name), (void *)a->kid[i]);
        add_column(b, a->kid[i]->name, file, member);
    }
    if (b->columns.n == n) {
        Diag *d = diag_at(e->diags, DIAG_E0303, source->span, "npz needs the arrays it provides");
        diag_help(d, "name them: npz(\"f.npz\", image: \"train_images\", label: \"train_labels\")");
        return false;
    }
    return true;
}

static bool data_source(Elab *e, PlanBuilder *b, Env *env, const Ast *block, PlanData *out)
{
    const Ast *a = block_attr(block, "source");
    const Val *v = eval(e, env, a);
    out->column0 = b->columns.n;
    bool idx = v->kind == V_RECORD && strcmp(record_name(v), "idx") == 0;
    bool npz = v->kind == V_RECORD && strcmp(record_name(v), "npz") == 0;
    if (!idx && !npz) {
        if (!val_is_poison(v)) {
            diag_at(e->diags, DIAG_E0802, a->span, "expected a source, idx(..) or npz(..), got %s",
                    val_text(e, v));
        }
        return false;
    }
    out->source = idx ? PD_IDX : PD_NPZ;
    bool ok = idx ? idx_columns(e, b, v) : npz_columns(e, b, v);
    out->ncolumn = b->columns.n - out->column0;
    return ok;
}

static bool field_type(Elab *e, Env *env, const Ast *a, PlanField *out, const Type **type)
{
    *type = sig_type(e, env_new(e, ENV_FRAME, env), a->kid[0]);
    if (!*type) {
        return false;
    }
    out->dtype = (*type)->dtype;
    out->rank = (*type)->rank;
    for (uint32_t i = 0; i < out->rank; i++) {
        int64_t v;
        if (!dim_is_const((*type)->dims[i], &v) || v < 1 || v > 1 << 24) {
            diag_at(e->diags, DIAG_E0401, a->span,
                    "the field `%s` needs constant dimensions, 1 to 16,777,216", a->name);
            return false;
        }
        out->dim[i] = (uint32_t)v;
    }
    if (out->rank == IR_MAX_RANK) {
        diag_at(e->diags, DIAG_E0406, a->span, "a field has at most %d dimensions",
                IR_MAX_RANK - 1);
        return false;
    }
    return true;
}

/* One use of a block; env is the scope of its formals. */
typedef struct DataCx {
    Elab *e;
    PlanBuilder *b;
    Env *env;
    PlanData *data;
    DataUse *use;
} DataCx;

static bool data_field(DataCx *cx, const Ast *a)
{
    Elab *e = cx->e;
    PlanBuilder *b = cx->b;
    DataUse *use = cx->use;
    PlanField f = {.name = planb_text(b, a->name), .code0 = b->codes.n};
    const Ast *lambda = a->kid[1];
    const Type *type;
    if (lambda->kind != A_LAMBDA || lambda->kid[0]->kind != A_ID) {
        diag_at(e->diags, DIAG_E0802, lambda->span,
                "a field is a function of one row: `row => row.x`");
        return false;
    }
    RowCx row = {e, b, cx->env, lambda->kid[0]->name, cx->data->column0, cx->data->ncolumn, 0, 0};
    if (!field_type(e, cx->env, a, &f, &type) || !row_code(&row, lambda->kid[1])) {
        return false;
    }
    f.ncode = b->codes.n - f.code0;
    if (f.ncode > MAX_ROW_CODE || row.longest > PLAN_ROW_STACK) {
        diag_at(e->diags, DIAG_E0109, lambda->span, "the field `%s` is too large an expression",
                a->name);
        return false;
    }
    use->name[use->nfield] = a->name;
    use->type[use->nfield++] = type;
    VEC_PUSH(b->arena, &b->fields, f);
    return true;
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

static bool data_fields(DataCx *cx, const Ast *block)
{
    Elab *e = cx->e;
    const Ast *body = block->kid[3];
    cx->use->name = NEW_ARRAY(e->arena, Sym, body->nkid + 1);
    cx->use->type = NEW_ARRAY(e->arena, const Type *, body->nkid + 1);
    cx->data->field0 = cx->b->fields.n;
    bool ok = true;
    for (uint32_t i = 0; i < body->nkid; i++) {
        if (body->kid[i]->kind == A_FIELD) {
            ok = once(e, body, i) && ok;
            ok = data_field(cx, body->kid[i]) && ok;
        }
    }
    cx->data->nfield = cx->b->fields.n - cx->data->field0;
    if (ok && !cx->data->nfield) {
        Diag *d =
            diag_at(e->diags, DIAG_E0803, block->name_span, "`data %s` has no fields", block->name);
        diag_help(d, "a field says what a batch holds: `image: f32[28, 28] = row => row.images`");
        return false;
    }
    return ok;
}

/* The scope of the block's formals, bound to the arguments of `mnist("train")`. */
static Env *data_scope(Elab *e, Env *env, const Ast *expr, const Val **block)
{
    const Ast *callee = expr->kind == A_CALL ? expr->kid[0] : expr;
    *block = eval(e, env, callee);
    const Val *v = *block;
    if (v->kind != V_BLOCK || strcmp(v->code.ast->text, "data") != 0) {
        if (!val_is_poison(v)) {
            diag_at(e->diags, DIAG_E0205, expr->span, "expected data, got %s", val_text(e, v));
        }
        return NULL;
    }
    const Ast *ast = v->code.ast;
    const char *who = arena_printf(e->arena, "`data %s`", ast->name);
    Env *frame = env_new(e, ENV_FRAME, v->code.env);
    frame->call = expr->span;
    Args *args = args_eval(e, env, expr->kind == A_CALL ? expr : NULL, NULL);
    args->call = expr->span;
    const Ast none = {.kind = A_FORMALS, .span = ast->span};
    const Ast *formals = ast->kid[1] ? ast->kid[1] : &none;
    Ast *kid[1] = {(Ast *)formals};
    Ast fn = {.kind = A_FN, .span = ast->span, .kid = kid, .nkid = 1};
    const Val **arg = NEW_ARRAY(e->arena, const Val *, formals->nkid + 1);
    return args_bind(e, formals, args, arg, who) && frame_bind(e, frame, &fn, arg, who) ? frame
                                                                                        : NULL;
}

bool data_use(Elab *e, PlanBuilder *b, Env *env, const Ast *expr, DataUse *use)
{
    const Val *block;
    Env *scope = data_scope(e, env, expr, &block);
    if (!scope || !schema_check(e, block->code.ast)) {
        return false;
    }
    const Ast *ast = block->code.ast;
    const File *file = e->front->files.at[0];
    PlanData d = {.name = planb_text(b, ast->name),
                  .dir = planb_text(b, path_dir(e->arena, file->path)),
                  .limit = -1};
    bool wanted = use->training;
    DataCx cx = {e, b, scope, &d, use};
    if (!attr_bool(e, scope, ast, "shuffle", &wanted) ||
        !attr_int(e, scope, ast, "limit", &d.limit) || !data_source(e, b, scope, ast, &d) ||
        !data_fields(&cx, ast)) {
        return false;
    }
    d.shuffle = use->training && wanted;
    use->index = b->datas.n;
    VEC_PUSH(b->arena, &b->datas, d);
    return true;
}

const Val *data_batch_value(Elab *e, const DataUse *use, const Dim *rows, Span span)
{
    Val *v = val_new(e, V_BATCH, span);
    const Node **node = NEW_ARRAY(e->arena, const Node *, use->nfield + 1);
    for (uint32_t i = 0; i < use->nfield; i++) {
        const Type *t = use->type[i];
        const Dim *dims[IR_MAX_RANK] = {rows};
        for (uint32_t k = 0; k < t->rank; k++) {
            dims[k + 1] = t->dims[k];
        }
        node[i] = graph_input(e->g, use->name[i], type_tensor(e->ir, t->dtype, t->rank + 1, dims));
    }
    v->batch.n = use->nfield;
    v->batch.name = use->name;
    v->batch.node = node;
    return v;
}
