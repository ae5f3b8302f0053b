/* feed.c: connects the fields of a data block with the inputs of an entry, by name.
 *
 * The first axis of every input is the rows of the batch; where its extent is a symbol of the plan,
 * the number of rows of each batch is the value of that symbol. */
#include "feed.h"

static const PlanTensor *input_tensor(const Feed *feed, uint32_t i)
{
    return &feed->plan->tensors[feed->plan->bindings[feed->entry->input0 + i].tensor];
}

static const char *input_name(const Feed *feed, uint32_t i)
{
    return plan_text(feed->plan, feed->plan->bindings[feed->entry->input0 + i].name);
}

static bool find_field(const Feed *feed, const PlanData *data, uint32_t i, uint32_t *out)
{
    for (uint32_t f = 0; f < data->nfield; f++) {
        const PlanField *field = &feed->plan->fields[data->field0 + f];
        if (strcmp(plan_text(feed->plan, field->name), input_name(feed, i)) == 0) {
            *out = f;
            return true;
        }
    }
    return false;
}

/* One row of the input and of the field. */
static bool is_alike(const Feed *feed, const PlanTensor *tensor, const PlanField *field)
{
    if (tensor->dtype != field->dtype || tensor->rank != field->rank + 1)
        return false;
    for (uint32_t k = 0; k < field->rank; k++)
        if (plan_dim(feed->plan, tensor->dim[k + 1], feed->syms) != (int64_t)field->dim[k])
            return false;
    return true;
}

bool feed_init(Feed *feed, Arena *arena, uint32_t data, Err *err)
{
    const Plan *plan = feed->plan;
    const PlanEntry *e = feed->entry;
    feed->field = NEW_ARRAY(arena, uint32_t, e->ninput);
    feed->inputs = NEW_ARRAY(arena, const void *, e->ninput);
    feed->syms = NEW_ARRAY(arena, int64_t, plan->nsyms);
    for (uint32_t s = 0; s < plan->nsyms; s++)
        feed->syms[s] = plan->syms[s].lo;
    const PlanData *d = &plan->datas[data];
    for (uint32_t i = 0; i < e->ninput; i++) {
        if (!find_field(feed, d, i, &feed->field[i]))
            return err_set(err, ERR_DATA, "data `%s` has no field `%s`, which `%s` takes",
                           plan_text(plan, d->name), input_name(feed, i), plan_text(plan, e->name));
        if (!is_alike(feed, input_tensor(feed, i), &plan->fields[d->field0 + feed->field[i]]))
            return err_set(err, ERR_DATA, "field `%s` of data `%s` is not what `%s` takes",
                           input_name(feed, i), plan_text(plan, d->name), plan_text(plan, e->name));
    }
    return true;
}

/* Sets the symbol if the extent is exactly one symbol. */
static void set_rows(Feed *feed, const PlanDim *dim, int64_t rows)
{
    const PlanTerm *term = &feed->plan->terms[dim->term0];
    if (dim->nterm == 1 && term->nsym == 1 && term->coef == 1)
        feed->syms[term->sym[0]] = rows;
}

bool feed_set(Feed *feed, const LoaderBatch *batch, Err *err)
{
    for (uint32_t i = 0; i < feed->entry->ninput; i++) {
        uint32_t rows = input_tensor(feed, i)->dim[0];
        set_rows(feed, &feed->plan->dims[rows], batch->n);
        int64_t takes = plan_dim(feed->plan, rows, feed->syms);
        if (takes != batch->n)
            return err_set(err, ERR_DATA, "`%s` takes batches of %lld rows, and this one has %lld",
                           plan_text(feed->plan, feed->entry->name), (long long)takes,
                           (long long)batch->n);
        feed->inputs[i] = batch->fields[feed->field[i]];
    }
    return true;
}
