/* answers.c: metrics over generated answers: `mean(a => token_recall(a.text, a.answer), where: a => ..)`,
 * and `require`, which tests the numbers that metrics gave. An answer has the fields of its row, and text. */
#include "data.h"

/* f(row) as one number or one condition. */
static const Val *of_row(Elab *e, const Val *f, const Val *row, DatumKind want)
{
    Args args = {.call = f->span};
    args_push(e, &args, NULL, row);
    const Val *v = call_value(e, NULL, f, &args);
    if (val_is_poison(v) || v->kind == V_BOOL || (want == DA_ARRAY && val_is_number(v))) {
        return v;
    }
    bool condition = is_datum(v) && v->datum->type.kind == DA_BOOL;
    const Val *r = condition ? v : datum_as_kind(e, v, want);
    bool scalar = r && (condition || !r->datum->type.shaped || r->datum->type.rank == 0);
    if (!scalar) {
        diag_at(e->diags, DIAG_E0802, v->span.file ? v->span : f->span,
                want == DA_BOOL ? "expected a condition on one answer, got %s"
                                : "expected a number for one answer, got %s",
                val_text(e, v));
        return poison(e, f->span);
    }
    return r;
}

const Val *answers_mean(Elab *e, const Builtin *b, Args *args)
{
    const Val *row = datum_row(e, e->answers, args->call), *at[2];
    uint32_t n = 0;
    for (uint32_t i = 0; i < args->n; i++) {
        bool where = args->name[i] && strcmp(args->name[i], "where") == 0;
        if ((args->name[i] && !where) || i > 1 || where != (i == 1)) {
            diag_at(e->diags, DIAG_E0302, args->at[i]->span,
                    "`%s` of answers is %s(a => number, where: a => condition)", b->name, b->name);
            return poison(e, args->call);
        }
        if (args->at[i]->kind != V_CLOSURE) {
            if (!val_is_poison(args->at[i])) {
                diag_at(e->diags, DIAG_E0205, args->at[i]->span,
                        "`%s` of answers takes functions of one answer, got %s", b->name,
                        val_text(e, args->at[i]));
            }
            return poison(e, args->call);
        }
        at[n] = of_row(e, args->at[i], row, where ? DA_BOOL : DA_ARRAY);
        if (val_is_poison(at[n++])) {
            return poison(e, args->call);
        }
    }
    DatumType number = {.kind = DA_ARRAY, .shaped = true};
    if (n == 0) {
        diag_at(e->diags, DIAG_E0303, args->call, "`%s` needs a function of one answer", b->name);
        return poison(e, args->call);
    }
    return datum_new(e, b->name, &number, (DatumArgs){at, n}, args->call);
}

bool answer_metric(Elab *e, Env *env, const Ast *m, const DataSpec *s)
{
    const Columns *outer = e->answers;
    Graph *g = e->g;
    if (!m->kid[2]) {
        diag_at(e->diags, DIAG_E0802, m->span, "a metric has a value: `metric %s = mean(a => ..)`",
                m->name);
        return false;
    }
    e->answers = data_answers(e, s);
    e->g = NULL;
    e->at_data = true;
    const Val *v = eval(e, env, m->kid[2]);
    if (v->kind == V_CLOSURE) { /* a => .. alone is its mean */
        v = of_row(e, v, datum_row(e, e->answers, m->span), DA_ARRAY);
    } else if (!val_is_poison(v) && !(is_datum(v) && v->datum->type.kind == DA_ARRAY)) {
        diag_at(e->diags, DIAG_E0802, m->kid[2]->span,
                "a metric of answers is a number: mean(a => ..), got %s", val_text(e, v));
        v = poison(e, m->span);
    }
    e->answers = outer;
    e->g = g;
    e->at_data = false;
    return !val_is_poison(v);
}

/* The metrics of the block, as fields of `a`. */
static const Columns *metric_columns(Elab *e, const Ast *block)
{
    VEC(Column) list = {0};
    Columns *c = NEW(e->arena, Columns);
    for (uint32_t i = 0; i < block->kid[3]->nkid; i++) {
        if (block->kid[3]->kid[i]->kind == A_BLOCK) {
            Column m = {block->kid[3]->kid[i]->name, {.kind = DA_ARRAY, .shaped = true}};
            VEC_PUSH(e->arena, &list, m);
        }
    }
    c->n = list.n;
    c->at = list.at;
    return c;
}

bool eval_requirements(Elab *e, Env *env, const Ast *block)
{
    const Ast *a = block_attr(block, "require");
    bool ok = true;
    if (!a || a->kind == A_NONE) {
        return true;
    }
    Graph *g = e->g;
    e->g = NULL;
    e->at_data = true;
    const Val *tests = eval(e, env, a), *row = datum_row(e, metric_columns(e, block), a->span);
    for (uint32_t i = 0; tests->kind == V_LIST && i < tests->list.n; i++) {
        ok = !val_is_poison(of_row(e, tests->list.at[i], row, DA_BOOL)) && ok;
    }
    e->g = g;
    e->at_data = false;
    return ok;
}
