/* copy.c: cp.async. A copy is done when its thread waits for its group, as late as the program permits;
 * until then its destination holds NaN. */
#include "engine.h"

static void check_places(Simt *s, const MdlCopy *c, int line)
{
    const Access to = {.at = c->smem,
                       .bytes = (size_t)c->size,
                       .align = (size_t)c->size,
                       .kind = ACCESS_WRITE,
                       .shared = true,
                       .call = "mdl_cp_async",
                       .where = AT(line)};
    const Access from = {.at = c->gmem,
                         .bytes = (size_t)c->valid,
                         .align = (size_t)c->size,
                         .call = "mdl_cp_async",
                         .where = AT(line)};
    if (c->valid < 0 || c->valid > c->size) {
        report(s, FAULT_BOUNDS, AT(line), "mdl_cp_async%d with %d valid bytes", c->size, c->valid);
        launch_stop(s);
    }
    access_bounds(s, &to);
    grid_access(s, &from);
    if (c->valid)
        access_check(s, &from);
    if (s->launch->check)
        shadow_begin(s, &to, NULL);
}

static void copy(MdlEngine *e, const MdlCopy *c, int line)
{
    Simt *s = simt_of(e);
    Copies *q = &s->copies[s->face.thread];
    check_places(s, c, line);
    if (q->n == q->cap) {
        uint32_t cap = q->cap ? 2 * q->cap : 8;
        Copy *more = realloc(q->at, cap * sizeof(*more));
        if (!more) {
            report(s, FAULT_LAUNCH, AT(line), "no memory for a copy");
            launch_stop(s);
        }
        q->at = more;
        q->cap = cap;
    }
    memset(c->smem, 0xff, (size_t)c->size);
    q->at[q->n++] = (Copy){.what = *c, .group = q->groups, .line = line};
}

static void copy_commit(MdlEngine *e)
{
    Simt *s = simt_of(e);
    s->copies[s->face.thread].groups++;
}

static void perform(Simt *s, const MdlCopy *c)
{
    const Access to = {.at = c->smem, .bytes = (size_t)c->size, .kind = ACCESS_WRITE};
    if (s->launch->check)
        shadow_end(s, &to, NULL);
    if (c->valid)
        memcpy(c->smem, c->gmem, (size_t)c->valid);
    memset((char *)c->smem + c->valid, 0, (size_t)(c->size - c->valid));
}

static void copy_wait(MdlEngine *e, int groups, int line)
{
    Simt *s = simt_of(e);
    Copies *q = &s->copies[s->face.thread];
    uint32_t kept = 0, done = q->groups > (uint32_t)groups ? q->groups - (uint32_t)groups : 0;
    UNUSED(line);
    for (uint32_t i = 0; i < q->n; i++) {
        if (q->at[i].group < done)
            perform(s, &q->at[i].what);
        else
            q->at[kept++] = q->at[i];
    }
    q->n = kept;
}

void copy_leave(Simt *s, int thread)
{
    Copies *q = &s->copies[thread];
    if (!q->n)
        return;
    report(s, FAULT_IN_FLIGHT, AT(q->at[0].line),
           "a thread ends without having waited for %u copies", q->n);
    q->n = 0;
}

void copy_begin_block(Simt *s)
{
    for (int i = 0; i < s->nthread; i++)
        s->copies[i].n = s->copies[i].groups = 0;
}

void copy_free(Simt *s)
{
    for (int i = 0; i < MAX_THREADS; i++)
        free(s->copies[i].at);
}

void copy_install(MdlEngine *e)
{
    e->copy = copy;
    e->copy_commit = copy_commit;
    e->copy_wait = copy_wait;
}
