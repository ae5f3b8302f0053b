/* embed.c: mdl as a library. Trains a plan that `mdl compile` wrote, then runs its evaluations: neither
 * the compiler nor the program's text is needed.
 *
 *     embed PLAN RUN_FOLDER
 */
#include <runtime.h>

static bool evaluate(Runtime *rt, Err *err)
{
    const Plan *plan = rt_plan(rt);
    for (uint32_t i = 0; i < plan->nevals; i++) {
        const PlanEval *eval = &plan->evals[i];
        EvalMetric metrics[8] = {{0}};
        int64_t rows = 0;
        if (eval->nmetric > 8 || !rt_eval(rt, i, metrics, &rows, err))
            return false;
        for (uint32_t k = 0; k < eval->nmetric; k++)
            printf("%s %s %.4f (%lld rows)\n", plan_text(plan, eval->name), metrics[k].name,
                   metrics[k].value, (long long)rows);
    }
    return true;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: embed PLAN RUN_FOLDER\n");
        return 2;
    }
    Err err = {0};
    TrainResult result;
    Plan *plan = plan_load(argv[1], &err);
    Runtime *rt = plan ? rt_open(plan, &(RtOptions){.threads = 0}, &err) : NULL;
    bool ok = rt && rt_train(rt, &(TrainOptions){.run_dir = argv[2]}, &result, &err) &&
              evaluate(rt, &err);
    rt_close(rt);
    plan_free(plan);
    if (!ok)
        fprintf(stderr, "embed: %s\n", err.text);
    return ok ? 0 : (int)err.kind;
}
