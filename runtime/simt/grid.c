/* grid.c: launches that a GPU may begin before the launch before them has ended (griddepcontrol). Here launches run one
 * after the other, but a thread that touches memory of the device before it has waited, or ends without, is a fault:
 * what it reads may not be written yet, and what it writes may still be read. A thread that ends early counts, too: the
 * launch behind this one takes its end for the end of all before it. */
#include "engine.h"

static bool is_early(const Simt *s)
{
    return s->launch->chained && !s->thread[s->face.thread].waited;
}

static void grid_wait(MdlEngine *e)
{
    thread_now(simt_of(e))->waited = true;
}

void grid_access(Simt *s, const Access *a)
{
    if (!is_early(s) || access_is_shared(s, a->at) || access_is_argument(s, a))
        return;
    report(s, FAULT_GRID, a->where, "%s of the device's memory before mdl_grid_wait",
           a->call                  ? a->call
           : a->kind == ACCESS_READ ? "a read"
                                    : "a write");
    launch_stop(s);
}

void grid_leave(Simt *s)
{
    if (is_early(s))
        report(s, FAULT_GRID, NOWHERE, "a thread ends without mdl_grid_wait");
}

void grid_install(MdlEngine *e)
{
    e->grid_wait = grid_wait;
}
