/* eval.c: metrics of a model over a dataset, in the order of its rows.
 *
 * A metric is (sum of weight x value, sum of weight) over all batches, added in f64 in row order:
 * it does not depend on the size of the last batch as a mean of means would. */
#include "eval.h"
#include "feed.h"
#include "loader.h"
#include "philox.h"

typedef struct Evaluation {
    Runtime *rt;
    const Plan *plan;
    const PlanEval *eval;
    Feed feed;
    double *sum, *weight; /* of each metric */
} Evaluation;

/* Adds result i of the last call to *sum. */
static bool add_result(const Evaluation *v, uint32_t i, double *sum, Err *err)
{
    double x;
    if (!rt_result_number(v->rt, v->eval->entry, i, &x, err))
        return false;
    *sum += x;
    return true;
}

static bool add_batch(Evaluation *v, const LoaderBatch *batch, Err *err)
{
    if (!feed_set(&v->feed, batch, err))
        return false;
    RtCall call = {.inputs = v->feed.inputs, .syms = v->feed.syms, .first = true};
    call.seed = (int64_t)rng_seed(v->plan->nruns ? v->plan->runs[0].seed : 0,
                                  plan_text(v->plan, v->eval->name));
    if (!rt_run(v->rt, v->eval->entry, &call, err))
        return false;
    for (uint32_t m = 0; m < v->eval->nmetric; m++) {
        const PlanMetric *metric = &v->plan->metrics[v->eval->metric0 + m];
        if (!add_result(v, metric->sum, &v->sum[m], err) ||
            !add_result(v, metric->weight, &v->weight[m], err))
            return false;
    }
    return true;
}

static bool add_all(Evaluation *v, Loader *loader, Err *err)
{
    LoaderBatch batch;
    for (;;) {
        if (!loader_next(loader, &batch, err))
            return false;
        if (batch.n == 0)
            return true;
        if (!add_batch(v, &batch, err))
            return false;
    }
}

static bool run_all(Evaluation *v, Arena *arena, Dataset *ds, int64_t rows, Err *err)
{
    v->sum = NEW_ARRAY(arena, double, v->eval->nmetric);
    v->weight = NEW_ARRAY(arena, double, v->eval->nmetric);
    v->feed = (Feed){.plan = v->plan, .entry = &v->plan->entries[v->eval->entry]};
    if (!feed_init(&v->feed, arena, v->eval->data, err))
        return false;
    LoaderSpec spec = {.plan = v->plan,
                       .ds = ds,
                       .data = v->eval->data,
                       .batch = v->eval->batch < rows ? v->eval->batch : rows,
                       .end = rows,
                       .in_order = true};
    Loader *loader = loader_new(&spec, err);
    bool ok = loader && add_all(v, loader, err);
    loader_free(loader);
    return ok;
}

bool eval_over(Runtime *rt, uint32_t eval, Dataset *ds, EvalOutcome *out, Err *err)
{
    const Plan *plan = rt_plan(rt);
    ASSERT(eval < plan->nevals);
    Evaluation v = {.rt = rt, .plan = plan, .eval = &plan->evals[eval]};
    int64_t n = data_rows(ds);
    if (v.eval->limit >= 0 && v.eval->limit < n)
        n = v.eval->limit;
    if (n == 0 || v.eval->batch < 1)
        return err_set(err, ERR_DATA, "eval `%s`: no rows", plan_text(plan, v.eval->name));
    Arena *arena = arena_new();
    bool ok = run_all(&v, arena, ds, n, err);
    for (uint32_t m = 0; ok && m < v.eval->nmetric; m++)
        out->metrics[m] =
            (EvalMetric){.name = plan_text(plan, plan->metrics[v.eval->metric0 + m].name),
                         .value = v.sum[m] / v.weight[m]};
    out->rows = ok ? n : 0;
    arena_free(arena);
    return ok || err_context(err, "eval `%s`", plan_text(plan, v.eval->name));
}

bool rt_eval(Runtime *rt, uint32_t eval, EvalMetric *metrics, int64_t *rows, Err *err)
{
    const Plan *plan = rt_plan(rt);
    ASSERT(eval < plan->nevals);
    Dataset *ds = data_open(plan, plan->evals[eval].data, err);
    EvalOutcome out = {.metrics = metrics};
    bool ok = ds && eval_over(rt, eval, ds, &out, err);
    data_close(ds);
    if (rows)
        *rows = out.rows;
    return ok;
}
