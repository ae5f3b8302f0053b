/* results.c: `accuracy 0.9731  (10000 rows)`, or one JSON object per eval. */
#include "results.h"
#include <math.h>

static void put_text(const char *name, const EvalMetric *m, int64_t rows)
{
    double size = fabs(m->value);
    bool plain = m->value == 0 || (size >= 1e-3 && size < 1e5);
    printf(plain ? "%s%s%s %.4f  (%lld rows)\n" : "%s%s%s %.4g  (%lld rows)\n", name,
           *name ? " " : "", m->name, m->value, (long long)rows);
}

bool print_json(json_t *root, int digits)
{
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION((size_t)digits)) : NULL;
    if (text)
        puts(text);
    bool ok = text != NULL;
    free(text);
    json_decref(root);
    return ok;
}

static bool put_json(const char *name, const EvalMetric *m, uint32_t n, int64_t rows)
{
    json_t *metrics = json_object();
    for (uint32_t i = 0; i < n; i++)
        json_object_set_new(metrics, m[i].name,
                            isfinite(m[i].value) ? json_real(m[i].value) : json_null());
    json_t *root = json_pack("{s:s, s:s, s:I, s:o}", "schema", "mdl.eval.1", "eval", name, "rows",
                             (json_int_t)rows, "metrics", metrics);
    return print_json(root, 17);
}

bool print_eval(const Cli *cli, Runtime *rt, uint32_t eval, bool named, Err *err)
{
    const Plan *plan = rt_plan(rt);
    const PlanEval *e = &plan->evals[eval];
    const char *name = plan_text(plan, e->name);
    EvalMetric *metrics = NEW_ARRAY(cli->arena, EvalMetric, e->nmetric);
    int64_t rows;
    if (!rt_eval(rt, eval, metrics, &rows, err))
        return false;
    if (cli_has(cli, OPT_json))
        return put_json(name, metrics, e->nmetric, rows) ||
               err_set(err, ERR_DATA, "eval `%s`: its result cannot be written as JSON", name);
    for (uint32_t i = 0; i < e->nmetric; i++)
        put_text(named ? name : "", &metrics[i], rows);
    return true;
}
