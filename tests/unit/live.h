/* live.h: states and results where they are, of devices whose memory the host sees. */
#ifndef MDL_TEST_LIVE_H
#define MDL_TEST_LIVE_H

#include "runtime.h"

static inline void *live_state(Runtime *rt, uint32_t state, size_t *bytes)
{
    RtLoan loan;
    Err err = {0};
    if (!rt_lend_state(rt, state, RT_READ | RT_WRITE, &loan, &err))
        BUG("%s", err.text);
    void *at = loan.data;
    if (bytes)
        *bytes = loan.bytes;
    rt_return(rt, &loan, &err);
    return at;
}

static inline const void *live_result(Runtime *rt, uint32_t entry, uint32_t i)
{
    RtLoan loan;
    Err err = {0};
    if (!rt_lend_result(rt, entry, i, &loan, &err))
        BUG("%s", err.text);
    const void *at = loan.data;
    rt_return(rt, &loan, &err);
    return at;
}

#endif
