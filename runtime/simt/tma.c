/* tma.c: transfers of boxes between tensors and shared memory. Loads count their bytes on an mbarrier, and
 * happen when nothing else can (in random order, sometimes before); what they will write is NaN until then.
 * Stores happen when their thread waits for their group. Elements outside of the tensor load as zeros and
 * are not stored. */
#include "engine.h"
#include "fragments.h"
#include "tensormap.h"

enum { SMEM_ALIGN = 128, BULK_ALIGN = 16 };

static TensorMap read_map(Simt *s, const MdlBox *box, int line)
{
    TensorMap m;
    const Access a = {.at = box->map,
                      .bytes = sizeof(MdlTensorMap),
                      .align = 64,
                      .call = "TMA",
                      .where = AT(line)};
    access_bounds(s, &a);
    if (!tensormap_read(box->map, &m) || m.rank != box->rank) {
        report(s, FAULT_ASYNC, AT(line), "TMA with what is no map of a tensor of %d dimensions",
               box->rank);
        launch_stop(s);
    }
    return m;
}

static Access smem_access(const Transfer *t, AccessKind kind)
{
    return (Access){.at = t->box.smem,
                    .bytes =
                        t->bulk.to ? (size_t)t->bulk.bytes : (size_t)tensormap_box_bytes(&t->map),
                    .align = t->bulk.to ? BULK_ALIGN : SMEM_ALIGN,
                    .kind = kind,
                    .shared = true,
                    .call = t->bulk.to             ? "mdl_bulk"
                            : kind == ACCESS_WRITE ? "mdl_tma_load"
                                                   : "mdl_tma_store",
                    .where = AT(t->line)};
}

/* ---- lines of a box ---- */

typedef struct BoxLine {
    char *global;   /* of its first element */
    int64_t lo, hi; /* bytes of the line that lie in the tensor */
    uint32_t smem;  /* offset of the line in shared memory, before the swizzle */
} BoxLine;

static BoxLine box_line(const Simt *s, const Transfer *t, uint32_t y, uint32_t z)
{
    const TensorMap *m = &t->map;
    int64_t run = (int64_t)m->box[0] * m->element;
    int64_t gx = t->box.at[0], gy = t->box.at[1] + (int64_t)y, gz = t->box.at[2] + (int64_t)z;
    BoxLine l = {.smem =
                     (uint32_t)access_offset(s, t->box.smem) + (z * m->box[1] + y) * (uint32_t)run};
    if (gy < 0 || gy >= (int64_t)m->dim[1] || gz < 0 || gz >= (int64_t)m->dim[2])
        return l;
    int64_t left = ((int64_t)m->dim[0] - gx) * m->element;
    l.lo = gx < 0 ? -gx * m->element : 0;
    l.hi = left < run ? left : run;
    l.hi = l.hi < l.lo ? l.lo : l.hi;
    l.global = m->base + gx * m->element + gy * (int64_t)m->stride[0] + gz * (int64_t)m->stride[1];
    return l;
}

/* The thread that issues it is taken for who accesses the tensor. */
static void check_tensor(Simt *s, const Transfer *t, AccessKind kind)
{
    for (uint32_t z = 0; z < t->map.box[2]; z++)
        for (uint32_t y = 0; y < t->map.box[1]; y++) {
            const BoxLine l = box_line(s, t, y, z);
            const Access a = {.at = l.global + l.lo,
                              .bytes = (size_t)(l.hi - l.lo),
                              .kind = kind,
                              .call = "TMA",
                              .where = AT(t->line)};
            if (l.hi > l.lo)
                access_check(s, &a);
        }
}

static void move_line(const Simt *s, const Transfer *t, const BoxLine *l, bool load)
{
    const Swizzle *swizzle = swizzle_of_bytes(t->map.swizzle);
    int64_t run = (int64_t)t->map.box[0] * t->map.element;
    unsigned char *block = (unsigned char *)t->box.smem - access_offset(s, t->box.smem);
    for (int64_t i = 0; i < run; i++) {
        unsigned char *smem = block + swizzle_apply(swizzle, l->smem + (uint32_t)i);
        bool inside = i >= l->lo && i < l->hi;
        if (load)
            *smem = inside ? (unsigned char)l->global[i] : 0;
        else if (inside)
            l->global[i] = (char)*smem;
    }
}

static void move_bulk(const Transfer *t)
{
    const float *from = t->bulk.smem;
    for (int i = 0; i < t->bulk.bytes / (int)sizeof(float); i++)
        t->bulk.to[i] = t->bulk.add ? t->bulk.to[i] + from[i] : from[i];
}

static void move(Simt *s, Transfer *t, bool load)
{
    const Access a = smem_access(t, load ? ACCESS_WRITE : ACCESS_READ);
    if (t->bulk.to)
        move_bulk(t);
    for (uint32_t z = 0; z < t->map.box[2] && !t->bulk.to; z++)
        for (uint32_t y = 0; y < t->map.box[1]; y++) {
            const BoxLine l = box_line(s, t, y, z);
            move_line(s, t, &l, load);
        }
    if (s->launch->check) {
        shadow_end(s, &a, &t->unit);
        view_end_unit(s, &t->unit);
    }
}

/* ---- begin ---- */

/* Also says who reads shared memory from now on, or writes it. */
static Transfer *queue(Simt *s, Transfers *q, Transfer *t)
{
    if (s->launch->check) {
        const Access a = smem_access(t, t->box.bar ? ACCESS_WRITE : ACCESS_READ);
        t->unit = view_begin_unit(s, s->face.thread);
        shadow_begin(s, &a, &t->unit);
    }
    if (q->n == q->cap) {
        uint32_t cap = q->cap ? 2 * q->cap : 8;
        Transfer *more = realloc(q->at, cap * sizeof(*more));
        if (!more) {
            report(s, FAULT_LAUNCH, AT(t->line), "no memory for a transfer");
            launch_stop(s);
        }
        q->at = more;
        q->cap = cap;
    }
    q->at[q->n++] = *t;
    return &q->at[q->n - 1];
}

static Transfer *begin(Simt *s, Transfers *q, const MdlBox *box, int line)
{
    bool load = box->bar != NULL;
    Transfer t = {.box = *box, .map = read_map(s, box, line), .line = line};
    t.group = q->groups;
    const Access a = smem_access(&t, load ? ACCESS_WRITE : ACCESS_READ);
    const Access tensor = {.at = t.map.base, .call = "TMA", .where = AT(line)};
    access_bounds(s, &a);
    grid_access(s, &tensor);
    check_tensor(s, &t, load ? ACCESS_READ : ACCESS_WRITE);
    return queue(s, q, &t);
}

static void load_one(Simt *s, const MdlBox *box, int line)
{
    Mbar *b = mbar_get(s, box->bar, line);
    if (!b->fenced) {
        report(s, FAULT_ASYNC, AT(line),
               "TMA with an mbarrier (line %d) that has no mdl_mbar_fence_init behind", b->line);
        launch_stop(s);
    }
    Transfer *t = begin(s, &s->loads, box, line);
    t->mbar = b;
    memset(box->smem, 0xff, (size_t)tensormap_box_bytes(&t->map));
}

/* Of several blocks, each has a copy at the same place and a barrier that counts it. */
static void load(MdlEngine *e, const MdlBox *box, int line)
{
    Simt *s = simt_of(e);
    if (!box->blocks) {
        load_one(s, box, line);
        return;
    }
    for (int rank = 0; box->blocks >> rank; rank++) {
        MdlBox one = *box;
        if (!(box->blocks >> rank & 1))
            continue;
        one.smem = access_in_block(s, box->smem, rank, line);
        one.bar = access_in_block(s, box->bar, rank, line);
        load_one(s, &one, line);
    }
}

static void store(MdlEngine *e, const MdlBox *box, int line)
{
    Simt *s = simt_of(e);
    begin(s, &s->stores[s->face.thread], box, line);
}

static void bulk(MdlEngine *e, const MdlBulk *bulk, int line)
{
    Simt *s = simt_of(e);
    Transfers *q = &s->stores[s->face.thread];
    Transfer t = {.box = {.smem = (void *)bulk->smem}, .bulk = *bulk, .line = line};
    t.group = q->groups;
    Access from = smem_access(&t, ACCESS_READ);
    Access to = {.at = bulk->to,
                 .bytes = (size_t)bulk->bytes,
                 .align = BULK_ALIGN,
                 .kind = ACCESS_WRITE,
                 .call = "mdl_bulk",
                 .where = AT(line)};
    access_bounds(s, &from);
    access_check(s, &to);
    grid_access(s, &to);
    queue(s, q, &t);
}

/* ---- end ---- */

bool tma_step(Simt *s)
{
    Transfers *q = &s->loads;
    if (!q->n)
        return false;
    uint32_t i = s->random ? (uint32_t)(random_next(s) % q->n) : 0;
    Transfer t = q->at[i];
    memmove(q->at + i, q->at + i + 1, (q->n - i - 1) * sizeof(t));
    q->n--;
    move(s, &t, true);
    mbar_transfer_done(s, t.mbar, tensormap_box_bytes(&t.map), t.unit.view);
    view_drop(s, t.unit.view);
    return true;
}

static void commit(MdlEngine *e)
{
    Simt *s = simt_of(e);
    s->stores[s->face.thread].groups++;
}

/* Floats stay noted until their thread waits for all that is written. */
static void finish(Simt *s, int groups, bool all)
{
    Transfers *q = &s->stores[s->face.thread];
    uint32_t kept = 0, done = q->groups > (uint32_t)groups ? q->groups - (uint32_t)groups : 0;
    for (uint32_t i = 0; i < q->n; i++) {
        Transfer t = q->at[i];
        bool now = t.group < done;
        if (now && !t.read) {
            move(s, &t, false);
            if (t.unit.view)
                view_acquire(s, s->face.thread, t.unit.view);
            view_drop(s, t.unit.view);
            t.unit.view = NULL;
            t.read = true;
        }
        if (!now || (t.bulk.to && !all))
            q->at[kept++] = t;
    }
    q->n = kept;
}

static void wait(MdlEngine *e, int groups, int line)
{
    UNUSED(line);
    finish(simt_of(e), groups, false);
}

static void bulk_wait(MdlEngine *e, int groups, int line)
{
    UNUSED(line);
    finish(simt_of(e), groups, true);
}

void tma_told(Simt *s, int line)
{
    const Transfers *q = &s->stores[s->face.thread];
    if (!q->n)
        return;
    report(s, FAULT_IN_FLIGHT, AT(line),
           "others are told of what line %d stores, and nobody has waited for it", q->at[0].line);
    launch_stop(s);
}

static void forget(Simt *s, Transfers *q)
{
    for (uint32_t i = 0; i < q->n; i++)
        view_drop(s, q->at[i].unit.view);
    q->n = q->groups = 0;
}

void tma_leave(Simt *s, int thread)
{
    Transfers *q = &s->stores[thread];
    uint32_t n = 0;
    for (uint32_t i = 0; i < q->n; i++)
        n += !q->at[i].read;
    if (n)
        report(s, FAULT_IN_FLIGHT, AT(q->at[0].line),
               "a thread ends without having waited for %u stores", n);
    forget(s, q);
}

void tma_end_block(Simt *s)
{
    if (s->loads.n)
        report(s, FAULT_IN_FLIGHT, AT(s->loads.at[0].line),
               "the block ends and nobody has waited for %u loads", s->loads.n);
}

void tma_begin_block(Simt *s)
{
    forget(s, &s->loads);
    for (int i = 0; i < MAX_THREADS; i++)
        if (s->stores[i].n || s->stores[i].groups)
            forget(s, &s->stores[i]);
}

void tma_free(Simt *s)
{
    free(s->loads.at);
    for (int i = 0; i < MAX_THREADS; i++)
        free(s->stores[i].at);
}

/* What the thread wrote up to here is seen by units that begin behind. */
static void fence_async(MdlEngine *e)
{
    Simt *s = simt_of(e);
    if (s->launch->check)
        s->check.proxied[s->face.thread] = s->check.own[s->face.thread]++;
}

void tma_install(MdlEngine *e)
{
    e->tma_load = load;
    e->tma_store = store;
    e->tma_commit = commit;
    e->tma_wait = wait;
    e->bulk = bulk;
    e->bulk_wait = bulk_wait;
    e->fence_async = fence_async;
}
