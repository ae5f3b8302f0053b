/* shadow.c: what is remembered of each word of memory, and whether an access is ordered behind it.
 *
 * A word of four bytes has its last write and a few of the reads since then, each with actor and time;
 * an access that does not have them in its view is a race, in whatever order the fibres happened to run.
 * Memory for this is mapped and taken where it is touched. */
#include "engine.h"
#include <errno.h>
#include <sys/mman.h>

enum { WORD = 4 };

/* Who asks: a thread now, or a unit with the view it began with. */
typedef struct Asker {
    uint16_t actor;
    uint32_t time;
    const View *view;
    bool unit;
} Asker;

/* ---- memory ---- */

Word *shadow_map(size_t bytes)
{
    void *p = mmap(NULL, (bytes + WORD) / WORD * sizeof(Word), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void shadow_unmap(Word *w, size_t bytes)
{
    if (w)
        munmap(w, (bytes + WORD) / WORD * sizeof(Word));
}

typedef struct Range {
    Word *word; /* of the first byte */
    const char *name;
    long long offset; /* of the first byte */
    size_t size;      /* of the whole */
    bool global;
    unsigned skip; /* bytes of the first word that are not meant */
    size_t bytes;
} Range;

static bool find_range(Simt *s, const void *at, size_t bytes, Range *r)
{
    size_t offset;
    if (access_is_shared(s, at)) {
        if (!s->check.shared)
            s->check.shared = shadow_map(ALL_SHARED);
        size_t place = (size_t)((const unsigned char *)at - s->memory);
        offset = access_offset(s, at);
        *r = (Range){.word = s->check.shared ? s->check.shared + (place - offset) / WORD : NULL,
                     .name = "shared memory",
                     .size = s->launch->shared};
    } else {
        Region *region = region_find(&s->regions, at);
        if (!region)
            return false;
        if (!region->words)
            region->words = shadow_map(region->bytes);
        offset = (size_t)((const char *)at - region->lo);
        *r = (Range){
            .word = region->words, .name = region->name, .size = region->bytes, .global = true};
    }
    if (!r->word)
        return false;
    r->word += offset / WORD;
    r->offset = (long long)offset;
    r->skip = offset % WORD;
    r->bytes = bytes;
    return true;
}

/* ---- order ---- */

/* What a launch or a block left unfinished when it was given up is not on its way any more. */
static bool is_pending(const Simt *s, const Mark *m)
{
    return m->flags & MARK_PENDING && m->bytes && m->time >= s->check.block;
}

static bool is_ordered(Simt *s, const Asker *a, const Mark *m, bool global)
{
    const Checker *k = &s->check;
    if (m->time < k->block)
        return !global || m->time < k->launch || blocks_have_met(s, a->actor, m);
    if (is_pending(s, m))
        return false;
    return (m->actor == a->actor && !a->unit) || a->view->at[m->actor] >= m->time;
}

static void name_actor(const Simt *s, const Mark *m, char *text, size_t n)
{
    if (m->actor < s->nthread)
        snprintf(text, n, "thread %d of block %d", m->actor % s->block_threads,
                 blocks_at(s, m->time) + m->actor / s->block_threads);
    else
        snprintf(text, n, "an asynchronous unit of block %d", blocks_at(s, m->time));
}

static void race(Simt *s, const Access *a, const Mark *m, const Range *r, const char *was)
{
    char who[64];
    name_actor(s, m, who, sizeof(who));
    Where other = place_unpack(s, m->from);
    report_pair(s, (Pair){FAULT_RACE, a->where, other},
                "%s%s%s at %s %+lld (of %zu bytes) %s the %s by %s",
                a->kind == ACCESS_READ    ? "read"
                : a->kind == ACCESS_WRITE ? "write"
                                          : "atomic",
                a->call ? " by " : "", a->call ? a->call : "", r->name, r->offset, r->size,
                m->flags & MARK_PENDING ? "during" : "without order behind", was, who);
}

/* What threads wrote is visible to units only behind the thread's mdl_fence_async. */
static void check_proxy(Simt *s, const Asker *who, const Access *a, const Mark *w, const Range *r)
{
    if (!who->unit || r->global || a->kind != ACCESS_READ || w->actor >= s->nthread ||
        w->time < s->check.block || w->time <= s->check.proxied[w->actor])
        return;
    report_pair(s, (Pair){FAULT_ASYNC, a->where, place_unpack(s, w->from)},
                "%s reads %s %+lld, written by thread %d without mdl_fence_async behind it",
                a->call, r->name, r->offset, w->actor % s->block_threads);
}

/* ---- one word ---- */

static void check_word(Simt *s, const Asker *who, const Access *a, const Range *r, unsigned bytes)
{
    const Word *w = r->word;
    bool both_atomic = a->kind == ACCESS_ATOMIC && w->write.flags & MARK_ATOMIC;
    if (w->write.bytes & bytes && !both_atomic) {
        if (!is_ordered(s, who, &w->write, r->global))
            race(s, a, &w->write, r, "write");
        else
            check_proxy(s, who, a, &w->write, r);
    }
    if (a->kind == ACCESS_READ)
        return;
    for (int i = 0; i < KEPT_READS; i++)
        if (w->read[i].bytes & bytes && !is_ordered(s, who, &w->read[i], r->global))
            race(s, a, &w->read[i], r, "read");
}

static void note_write(Word *w, const Mark *m)
{
    bool same =
        w->write.actor == m->actor && w->write.time == m->time && w->write.flags == m->flags;
    unsigned before = same ? w->write.bytes : 0;
    w->write = *m;
    w->write.bytes = (uint8_t)(m->bytes | before);
    for (int i = 0; i < KEPT_READS; i++)
        w->read[i].bytes &= (uint8_t)~m->bytes;
}

/* In the place of a read that this one implies; of one of the others where there is no room. */
static void note_read(Simt *s, Word *w, const Asker *who, const Mark *m, bool global)
{
    int to = (int)(m->time % KEPT_READS);
    for (int i = 0; i < KEPT_READS; i++) {
        const Mark *r = &w->read[i];
        if (is_pending(s, r))
            continue;
        if (!r->bytes || (r->actor == m->actor && r->bytes == m->bytes) ||
            (!(r->bytes & ~m->bytes) && is_ordered(s, who, r, global))) {
            to = i;
            break;
        }
    }
    if (!is_pending(s, &w->read[to]))
        w->read[to] = *m;
}

/* Nothing has happened since the same actor did the same at the same time. */
static bool is_repeated(const Word *w, const Mark *m, AccessKind kind)
{
    if (kind != ACCESS_READ)
        return w->write.actor == m->actor && w->write.time == m->time &&
               w->write.flags == m->flags && !(m->bytes & ~w->write.bytes) &&
               !((w->read[0].bytes | w->read[1].bytes | w->read[2].bytes) & m->bytes);
    for (int i = 0; i < KEPT_READS; i++)
        if (w->read[i].time == m->time && w->read[i].actor == m->actor &&
            w->read[i].flags == m->flags && !(m->bytes & ~w->read[i].bytes))
            return true;
    return false;
}

static void touch(Simt *s, const Asker *who, const Access *a, unsigned flags)
{
    Range r;
    if (!a->bytes || !find_range(s, a->at, a->bytes, &r))
        return;
    Mark m = {.time = who->time,
              .from = place_pack(s, a->where),
              .actor = who->actor,
              .flags = (uint8_t)flags};
    for (size_t left = a->bytes; left; r.word++) {
        size_t n = WORD - r.skip < left ? WORD - r.skip : left;
        m.bytes = (uint8_t)(((1u << n) - 1) << r.skip);
        if (!is_repeated(r.word, &m, a->kind)) {
            check_word(s, who, a, &r, m.bytes);
            if (a->kind == ACCESS_READ)
                note_read(s, r.word, who, &m, r.global);
            else
                note_write(r.word, &m);
        }
        r.offset += (long long)n;
        r.skip = 0;
        left -= n;
    }
}

/* ---- what threads and units do ---- */

static Asker thread_asks(const Simt *s)
{
    int t = s->face.thread;
    return (Asker){.actor = (uint16_t)t, .time = s->check.own[t], .view = s->check.seen[t]};
}

void shadow_access(Simt *s, const Access *a)
{
    Asker who = thread_asks(s);
    touch(s, &who, a, a->kind == ACCESS_ATOMIC ? MARK_ATOMIC : 0);
}

void shadow_begin(Simt *s, const Access *a, const Unit *u)
{
    Asker who = thread_asks(s);
    if (u)
        who = (Asker){.actor = u->actor, .time = u->time, .view = u->view, .unit = true};
    touch(s, &who, a, MARK_PENDING);
}

static void finish_mark(Mark *m, uint16_t actor, const Unit *u)
{
    if (m->actor == actor && (!u || m->time == u->time))
        m->flags &= (uint8_t)~MARK_PENDING;
}

void shadow_end(Simt *s, const Access *a, const Unit *u)
{
    Range r;
    if (!a->bytes || !find_range(s, a->at, a->bytes, &r))
        return;
    uint16_t actor = u ? u->actor : (uint16_t)s->face.thread;
    size_t words = (r.skip + a->bytes + WORD - 1) / WORD;
    for (size_t i = 0; i < words; i++) {
        Word *w = &r.word[i];
        if (a->kind == ACCESS_READ) {
            for (int k = 0; k < KEPT_READS; k++)
                finish_mark(&w->read[k], actor, u);
            continue;
        }
        finish_mark(&w->write, actor, u);
        if (!u && w->write.actor == actor)
            w->write.time = s->check.own[actor]; /* it was written now */
    }
}
