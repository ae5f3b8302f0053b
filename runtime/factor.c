/* factor.c: a schedule of the program's own is code over two numbers, in the form that fields of data have
 * (rowops.def): a source of one row with the columns `step` and `total`, which change from call to call. */
#include "factor.h"
#include <math.h>

enum { COLUMNS = 2 };

struct Factor {
    PlanData data;
    SourceKind kind;
    Source source;
    SourceColumn columns[COLUMNS];
    double values[COLUMNS]; /* step, total */
    RowProg *prog;
    RowWork *work;
};

Factor *factor_new(Arena *arena, const Plan *plan, Err *err)
{
    static const char *const names[COLUMNS] = {"step", "total"};
    Factor *f = NEW(arena, Factor);
    f->data.ncolumn = COLUMNS;
    for (int i = 0; i < COLUMNS; i++)
        f->columns[i] = (SourceColumn){.name = names[i],
                                       .count = 1,
                                       .dense = (const uint8_t *)&f->values[i],
                                       .dtype = DT_F64,
                                       .load = row_loaders[DT_F64]};
    f->source = (Source){.kind = &f->kind,
                         .plan = plan,
                         .data = &f->data,
                         .arena = arena,
                         .rows = 1,
                         .columns = f->columns};
    f->prog = rowprog_new(arena, &f->source, &plan->fields[plan->runs[0].factor], err);
    f->work = f->prog ? rowwork_new(arena, f->prog) : NULL;
    return f->prog ? f : NULL;
}

void factor_free(Factor *f)
{
    if (f)
        rowwork_free(f->work);
}

bool factor_at(Factor *f, int64_t step, int64_t total, double *out, Err *err)
{
    static const int64_t row = 0;
    f->values[0] = (double)step;
    f->values[1] = (double)total;
    if (!rowprog_run(f->prog, f->work, &(RowBlock){.rows = &row, .n = 1}, out, err))
        return false;
    if (isfinite(*out) && *out >= 0)
        return true;
    err_set(err, ERR_DATA, "the schedule gives the factor %g for step %lld of %lld", *out,
            (long long)step, (long long)total);
    return err_help(err, "a factor is a finite number, at least 0");
}
