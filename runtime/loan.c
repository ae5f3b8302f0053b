/* loan.c: states, results and tensors of a device, looked at and written by the host.
 *
 * Where the host sees the device's memory, a loan is that memory and costs nothing. Else it is a copy in
 * both directions, as far as its access asks for. */
#include "exec.h"

static bool fetch(Runtime *rt, RtLoan *loan, unsigned access, Err *err)
{
    loan->writes = (access & RT_WRITE) != 0;
    if (!rt->v->separate) {
        loan->data = loan->device;
        return true;
    }
    loan->data = malloc(loan->bytes ? loan->bytes : 1);
    if (!loan->data)
        return err_set(err, ERR_DEVICE, "no memory for %zu bytes of the device", loan->bytes);
    if (!(access & RT_READ) ||
        rt->v->download(rt->device, loan->data, loan->device, loan->bytes, err))
        return true;
    free(loan->data);
    return false;
}

bool rt_return(Runtime *rt, RtLoan *loan, Err *err)
{
    bool ok = true;
    if (rt->v->separate && loan->data) {
        if (loan->writes)
            ok = rt->v->upload(rt->device, loan->device, loan->data, loan->bytes, err);
        free(loan->data);
    }
    *loan = (RtLoan){0};
    return ok;
}

/* The shape of a state is constant, so its size needs no extents. */
size_t rt_state_bytes(const Runtime *rt, uint32_t state)
{
    ASSERT(state < rt->plan->nstates);
    const PlanTensor *t = &rt->plan->tensors[rt->plan->states[state].tensor];
    size_t n = dtype_info((DType)t->dtype)->bytes;
    for (uint32_t k = 0; k < t->rank; k++)
        n *= (size_t)plan_dim_hi(rt->plan, t->dim[k]);
    return n;
}

bool rt_lend_state(Runtime *rt, uint32_t state, unsigned access, RtLoan *out, Err *err)
{
    *out = (RtLoan){.bytes = rt_state_bytes(rt, state),
                    .device = exec_fixed(rt, rt->plan->states[state].tensor)};
    return fetch(rt, out, access, err);
}

bool rt_lend_tensor(Runtime *rt, uint32_t entry, uint32_t tensor, RtLoan *out, Err *err)
{
    const Plan *p = rt->plan;
    ASSERT(entry < p->nentries && tensor < p->ntensors);
    *out = (RtLoan){.bytes = exec_tensor_bytes(rt, &p->tensors[tensor]),
                    .device = exec_address(rt, &rt->entries[entry], tensor)};
    return fetch(rt, out, RT_READ, err);
}

bool rt_lend_result(Runtime *rt, uint32_t entry, uint32_t i, RtLoan *out, Err *err)
{
    const Plan *p = rt->plan;
    ASSERT(entry < p->nentries && i < p->entries[entry].nresult);
    return rt_lend_tensor(rt, entry, p->bindings[p->entries[entry].result0 + i].tensor, out, err);
}

bool rt_lend_arena(Runtime *rt, PlanArena arena, unsigned access, RtLoan *out, Err *err)
{
    ASSERT(arena == PA_STATE || arena == PA_TEMP);
    bool states = arena == PA_STATE;
    const PlanMeta *m = rt->plan->meta;
    *out = (RtLoan){.bytes = (size_t)(states ? m->state_bytes : m->temp_bytes),
                    .device = states ? rt->state : rt->temp};
    return fetch(rt, out, access, err);
}

void rt_clear_state(Runtime *rt, uint32_t state)
{
    rt->v->clear(rt->device, exec_fixed(rt, rt->plan->states[state].tensor),
                 rt_state_bytes(rt, state));
}

/* The first element of something. */
static bool first_of(Runtime *rt, uint32_t tensor, void *at, double *out, Err *err)
{
    DType dtype = (DType)rt->plan->tensors[tensor].dtype;
    char copy[16];
    ASSERT(dtype_info(dtype)->bytes <= sizeof copy);
    if (!rt->v->separate) {
        *out = dtype_load(dtype, at, 0);
        return true;
    }
    if (!rt->v->download(rt->device, copy, at, dtype_info(dtype)->bytes, err))
        return false;
    *out = dtype_load(dtype, copy, 0);
    return true;
}

bool rt_state_number(Runtime *rt, uint32_t state, double *out, Err *err)
{
    ASSERT(state < rt->plan->nstates);
    uint32_t tensor = rt->plan->states[state].tensor;
    return first_of(rt, tensor, exec_fixed(rt, tensor), out, err);
}

bool rt_result_number(Runtime *rt, uint32_t entry, uint32_t i, double *out, Err *err)
{
    const PlanEntry *e = &rt->plan->entries[entry];
    ASSERT(entry < rt->plan->nentries && i < e->nresult);
    uint32_t tensor = rt->plan->bindings[e->result0 + i].tensor;
    return first_of(rt, tensor, exec_address(rt, &rt->entries[entry], tensor), out, err);
}
