/* view.c: views of threads: vector clocks (Fidge, Mattern), as race detectors use them (FastTrack).
 *
 * After a barrier all its threads have one view, so a view is an array that is shared until it changes:
 * a barrier costs one array, whatever the number of its threads. */
#include "engine.h"

/* ---- views ---- */

static View *take(Simt *s)
{
    View *c = s->check.free;
    if (c) {
        s->check.free = c->next;
    } else {
        c = malloc(sizeof(*c));
        if (!c)
            BUG("no memory for the clocks of a checked kernel");
    }
    c->refs = 1;
    return c;
}

View *view_hold(View *c)
{
    c->refs++;
    return c;
}

void view_drop(Simt *s, View *c)
{
    if (!c || --c->refs)
        return;
    c->next = s->check.free;
    s->check.free = c;
}

/* Puts c, which the caller owns, in the place of *view. */
static void replace(Simt *s, View **view, View *c)
{
    view_drop(s, *view);
    *view = c;
}

static void add(const Simt *s, View *to, const View *from)
{
    for (uint32_t i = 0; i < s->check.width; i++)
        to->at[i] = from->at[i] > to->at[i] ? from->at[i] : to->at[i];
}

static View *view_copy(Simt *s, const View *from)
{
    View *c = take(s);
    memcpy(c->at, from->at, s->check.width * sizeof(c->at[0]));
    return c;
}

/* ---- threads ---- */

/* What the threads have done so far happened before whatever any of them does next. */
void view_meet(Simt *s, const uint16_t *thread, uint32_t n)
{
    Checker *k = &s->check;
    View *all = view_copy(s, k->seen[thread[0]]);
    const View *last = k->seen[thread[0]];
    for (uint32_t i = 1; i < n; i++)
        if (k->seen[thread[i]] != last) {
            last = k->seen[thread[i]];
            add(s, all, last);
        }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t *at = &all->at[thread[i]], own = k->own[thread[i]]++;
        *at = own > *at ? own : *at;
    }
    for (uint32_t i = 0; i < n; i++)
        replace(s, &k->seen[thread[i]], view_hold(all));
    view_drop(s, all);
}

/* The view of a thread, and all that it has done itself. */
View *view_now(Simt *s, int thread)
{
    View *c = view_copy(s, s->check.seen[thread]);
    c->at[thread] = s->check.own[thread]++;
    return c;
}

void view_release(Simt *s, int thread, View **to)
{
    View *now = view_now(s, thread);
    if (*to)
        add(s, now, *to);
    replace(s, to, now);
}

void view_join(Simt *s, View **to, const View *from)
{
    View *both = view_copy(s, from);
    if (*to)
        add(s, both, *to);
    replace(s, to, both);
}

void view_narrow(Simt *s, View *view, int first, int n)
{
    const Checker *k = &s->check;
    const View *last = NULL;
    for (int t = first; t < first + n; t++) {
        const View *seen = k->seen[t];
        if (seen == last)
            continue;
        for (uint32_t i = 0; i < k->width; i++)
            view->at[i] = seen->at[i] < view->at[i] ? seen->at[i] : view->at[i];
        last = seen;
    }
}

void view_acquire(Simt *s, int thread, View *from)
{
    Checker *k = &s->check;
    View **seen = &k->seen[thread];
    if (k->memo && k->memo_from == *seen && k->memo_with == from) {
        replace(s, seen, view_hold(k->memo));
        return;
    }
    View *both = view_copy(s, *seen);
    add(s, both, from);
    view_forget_join(s);
    k->memo_from = view_hold(*seen);
    k->memo_with = view_hold(from);
    k->memo = view_hold(both);
    replace(s, seen, both);
}

void view_forget_join(Simt *s)
{
    Checker *k = &s->check;
    view_drop(s, k->memo_from);
    view_drop(s, k->memo_with);
    view_drop(s, k->memo);
    k->memo_from = k->memo_with = k->memo = NULL;
}

/* ---- units ---- */

/* One begins: an actor that has seen what `thread` has. */
Unit view_begin_unit(Simt *s, int thread)
{
    Checker *k = &s->check;
    uint16_t actor = (uint16_t)((uint32_t)s->nthread + k->next_unit++ % CHECK_UNITS);
    return (Unit){.actor = actor, .time = ++k->own[actor], .view = view_now(s, thread)};
}

/* Who sees the unit's end has seen what it did: `view` becomes that. */
void view_end_unit(Simt *s, Unit *u)
{
    UNUSED(s);
    u->view->at[u->actor] = u->time;
}

/* ---- blocks ---- */

uint32_t view_latest(const Simt *s)
{
    const Checker *k = &s->check;
    uint32_t time = 0;
    for (uint32_t i = 0; i < CHECK_ACTORS; i++)
        time = k->own[i] > time ? k->own[i] : time;
    return time;
}

/* All that was done before happened before; what other blocks of this launch did is another question. */
void view_begin_block(Simt *s)
{
    Checker *k = &s->check;
    view_forget_join(s);
    uint32_t before = view_latest(s);
    View *start = take(s);
    k->width = (uint32_t)s->nthread + CHECK_UNITS;
    k->block = before + 1;
    for (uint32_t i = 0; i < CHECK_ACTORS; i++) {
        k->own[i] = k->block;
        start->at[i] = before;
    }
    for (int i = 0; i < CHECK_THREADS; i++) {
        replace(s, &k->seen[i], view_hold(start));
        replace(s, &k->fence_view[i], NULL);
        k->proxied[i] = before;
    }
    view_drop(s, start);
}

static void free_view(View *c)
{
    if (c && !--c->refs)
        free(c);
}

void view_free(Simt *s)
{
    Checker *k = &s->check;
    free_view(k->memo_from);
    free_view(k->memo_with);
    free_view(k->memo);
    for (int i = 0; i < CHECK_THREADS; i++) {
        free_view(k->seen[i]);
        free_view(k->fence_view[i]);
    }
    while (k->free) {
        View *c = k->free;
        k->free = c->next;
        free(c);
    }
}
