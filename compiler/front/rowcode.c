/* rowcode.c: the expression of a data field, `row => row.images / 255`, as postfix code for the loader.
 * What the loader cannot compute is refused when a plan is made (not_yet). */
#include "data.h"

enum { MAX_ROW_CODE = 4096 };

typedef struct RowCx {
    Elab *e;
    PlanBuilder *b;
    const DataSpec *s;
    uint32_t column0;        /* of the data's columns in b */
    uint32_t code0;          /* of the field's code */
    uint32_t depth, longest; /* values held at once, now and at most */
} RowCx;

static void push(RowCx *cx, uint32_t op, uint32_t a, double num)
{
    static const uint32_t pops[] = {
#define ROWOP(id, name, npop, doc) npop,
#include "rowops.def"
#undef ROWOP
    };
    cx->depth = cx->depth - pops[op] + 1;
    cx->longest = cx->depth > cx->longest ? cx->depth : cx->longest;
    PlanCode c = {op, a, num};
    VEC_PUSH(cx->b->arena, &cx->b->codes, c);
}

static bool row_op(const char *name, uint32_t *op)
{
    static const char *const names[] = {
#define ROWOP(id, name, npop, doc) name,
#include "rowops.def"
#undef ROWOP
    };
    for (uint32_t i = 0; i < COUNT(names); i++) {
        if (strcmp(names[i], name) == 0) {
            *op = i;
            return true;
        }
    }
    return false;
}

/* What the loader lacks stands for one value while nothing is run. */
static bool later(RowCx *cx, const Datum *d, const char *what)
{
    bool ok = not_yet(cx->e, d->span, what);
    push(cx, RO_NUMBER, 0, 0);
    return ok;
}

/* The number of a column among the data's; one that is asked for first is added. */
static bool column(RowCx *cx, const Datum *d)
{
    uint32_t n = cx->b->columns.n;
    for (uint32_t i = cx->column0; i < n; i++) {
        if (strcmp(cx->b->text.at + cx->b->columns.at[i].name, d->text) == 0) {
            push(cx, RO_COLUMN, i - cx->column0, 0);
            return true;
        }
    }
    if (source_column(cx->e, cx->b, cx->s, d->text)) {
        push(cx, RO_COLUMN, n - cx->column0, 0);
        return true;
    }
    return later(cx, d, arena_printf(cx->e->arena, "the column `%s`", d->text));
}

static bool emit(RowCx *cx, const Datum *d)
{
    uint32_t op;
    if (cx->b->codes.n - cx->code0 > MAX_ROW_CODE) {
        return true; /* row_code reports it */
    }
    if (strcmp(d->op, "as") == 0) {
        return emit(cx, d->arg[0]); /* the field's type decides the cast and the shape */
    }
    if (strcmp(d->op, "column") == 0) {
        return column(cx, d);
    }
    if (!row_op(d->op, &op)) {
        return later(cx, d, arena_printf(cx->e->arena, "`%s` in a data field", d->op));
    }
    for (uint32_t i = 0; i < d->narg; i++) {
        if (!emit(cx, d->arg[i])) {
            return false;
        }
    }
    push(cx, op, op == RO_INDEX ? (uint32_t)d->num : 0, op == RO_NUMBER ? d->num : 0);
    return true;
}

bool row_code(Elab *e, PlanBuilder *b, const DataSpec *s, const PlanData *data, const DataField *f)
{
    RowCx cx = {e, b, s, data->column0, b->codes.n, 0, 0};
    if (!emit(&cx, f->value)) {
        return false;
    }
    if (b->codes.n - cx.code0 > MAX_ROW_CODE || cx.longest > PLAN_ROW_STACK) {
        diag_at(e->diags, DIAG_E0109, f->ast->kid[1]->span,
                "the field `%s` is too large an expression", f->ast->name);
        return false;
    }
    return true;
}
