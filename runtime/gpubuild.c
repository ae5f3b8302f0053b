/* gpubuild.c: kernels are compiled a few to a unit, because NVRTC takes 35 ms to read the prelude and some
 * 10 ms for a small kernel, and units on several threads. In the cache a cubin has a name for each of its kernels,
 * as objects of the CPU have (units.c): all that goes into the kernel, which are text, prelude, options,
 * architecture, and NVRTC's version. So a kernel that has changed is compiled alone, and one that another program
 * had before is not compiled again; its module then brings some that are not asked for. The report of the assembler
 * is kept with the machine code, so that a warm build knows of spills, too. */
#include "gpubuild.h"
#include "interrupt.h"
#include "jitcache.h"
#include "kernellines.h"
#include "nvrtc.h"
#include "pool.h"
#include "prelude.h"
#include <pthread.h>

enum { FEW_KERNELS = 2, MANY_KERNELS = 8, SHARES = 16, MAX_THREADS = 8 };

typedef struct Kernel {
    StrBuf code; /* what NVRTC sees */
    const char *content;
    bool have;
} Kernel;

/* Of kernels that are not in the cache. */
typedef struct Unit {
    StrBuf text;
    const char *head; /* of its first kernel, up to its #include: the same for all */
    const char *names;
    VEC(const Kernel *) kernels;
} Unit;

typedef struct Build {
    const GpuBuildOptions *opt;
    Arena *arena;
    const char *dir;
    const char **header_names; /* base names, as the text includes them */
    Kernel *kernels;           /* by text */
    Unit *units;
    uint32_t nunit;
    Map *seen; /* hash of what a file has -> number of the unit in `out` + 1 */
    GpuBuild *out;
    const Nvrtc *nvrtc; /* NULL: none, `no_nvrtc` says why */
    Err no_nvrtc;
    pthread_mutex_t lock; /* what follows, and `progress` */
    uint32_t next, done, total;
    Err err;
} Build;

/* ---- names ---- */

static const char line_info[] = "--generate-line-info";

/* What its unit has besides changes none of its instructions, nor do functions that it does not call. */
static const char *name_kernel(const Build *b, const Kernel *k)
{
    VEC(const char *) part = {0};
    VEC_PUSH(b->arena, &part, b->opt->arch);
    for (int i = 0; nvrtc_options[i]; i++)
        VEC_PUSH(b->arena, &part, nvrtc_options[i]);
    if (b->opt->lines)
        VEC_PUSH(b->arena, &part, line_info);
    for (uint32_t i = 0; mdl_prelude_cuda_names[i]; i++) {
        VEC_PUSH(b->arena, &part, b->header_names[i]);
        VEC_PUSH(b->arena, &part, mdl_prelude_cuda_texts[i]);
    }
    VEC_PUSH(b->arena, &part, k->code.text);
    return jitcache_content(b->arena, part.at, part.n);
}

/* Messages of NVRTC name the kernel as if it were a file. */
static void name_kernels(Build *b, GpuTexts texts)
{
    uint32_t nheader = 0;
    while (mdl_prelude_cuda_names[nheader])
        nheader++;
    b->header_names = NEW_ARRAY(b->arena, const char *, nheader + (size_t)1);
    for (uint32_t i = 0; i < nheader; i++)
        b->header_names[i] = path_base(mdl_prelude_cuda_names[i]);
    b->kernels = NEW_ARRAY(b->arena, Kernel, texts.n + (size_t)1);
    for (uint32_t i = 0; i < texts.n; i++) {
        Kernel *k = &b->kernels[i];
        k->code = sb_new(b->arena);
        sb_printf(&k->code, "#line 1 \"%s\"\n", texts.at[i].name);
        if (b->opt->lines)
            kernel_with_lines(&k->code, texts.at[i].text);
        else
            kernel_without_lines(&k->code, texts.at[i].text);
        sb_putc(&k->code, '\n');
        k->content = name_kernel(b, k);
    }
}

/* ---- cache ---- */

static JitcacheEntry entry_of(const Build *b, const Kernel *k)
{
    const char *version = b->nvrtc ? nvrtc_version(b->nvrtc) : NULL;
    return (JitcacheEntry){b->dir, k->content, version, ".cubin"};
}

/* What is damaged counts as absent. Kernels that were compiled together are in one unit again. */
static bool look_up(Build *b, Arena *keep, uint32_t i)
{
    Arena *arena = arena_new();
    Bytes file = {0};
    Err ignored = {0};
    Kernel *k = &b->kernels[i];
    JitcacheEntry e = entry_of(b, k);
    bool read = jitcache_read(arena, &e, &file);
    uint64_t hash = read ? hash_bytes(file.data, file.n) : 0;
    uintptr_t known = read ? (uintptr_t)map_get(b->seen, hash) : 0;
    if (read && !known) {
        const char *data = COPY_ARRAY(keep, char, file.data, file.n);
        if (cubin_unpack(keep, data, file.n, &b->out->units[b->out->nunit], &ignored)) {
            known = ++b->out->nunit;
            map_put(b->seen, hash, (void *)known);
        }
    }
    arena_free(arena);
    k->have = known != 0;
    b->out->unit_of[i] = k->have ? (uint32_t)known - 1 : 0;
    return k->have;
}

/* ---- units ---- */

/* What a kernel defines for the prelude (its vector width). */
static bool same_head(const char *a, const char *b)
{
    const char *x = strstr(a, "#include"), *y = strstr(b, "#include");
    const char *from_a = strstr(a, "#define"), *from_b = strstr(b, "#define");
    if (!x || !y || !from_a || !from_b || from_a > x || from_b > y)
        return x && y && (!from_a || from_a > x) && (!from_b || from_b > y);
    return x - from_a == y - from_b && memcmp(from_a, from_b, (size_t)(x - from_a)) == 0;
}

static uint32_t kernels_per_unit(uint32_t n)
{
    uint32_t share = (n + SHARES - 1) / SHARES;
    return share < FEW_KERNELS ? FEW_KERNELS : share < MANY_KERNELS ? share : MANY_KERNELS;
}

static Unit *unit_for(Build *b, const char *text, uint32_t most)
{
    for (uint32_t i = b->nunit; i-- > 0;)
        if (b->units[i].kernels.n < most && same_head(b->units[i].head, text))
            return &b->units[i];
    Unit *u = &b->units[b->nunit++];
    u->text = sb_new(b->arena);
    u->head = text;
    u->names = "";
    return u;
}

/* Of what is not in the cache; equal texts are compiled once. */
static void make_units(Build *b, GpuTexts texts)
{
    Map *seen = map_new(b->arena);
    uint32_t most = kernels_per_unit(b->total);
    b->units = NEW_ARRAY(b->arena, Unit, texts.n + (size_t)1);
    b->total = 0;
    for (uint32_t i = 0; i < texts.n; i++) {
        const Kernel *k = &b->kernels[i];
        if (k->have || map_get(seen, hash_text(k->content)))
            continue;
        map_put(seen, hash_text(k->content), b);
        Unit *u = unit_for(b, texts.at[i].text, most);
        const char *name = texts.at[i].name;
        u->names = arena_printf(b->arena, "%s%s%s", u->names, u->kernels.n ? ", " : "", name);
        sb_puts(&u->text, k->code.text);
        VEC_PUSH(b->arena, &u->kernels, k);
        b->total++;
    }
}

/* The products of warpgroups are 64 functions, which cost 20 ms to read. */
static const char *const *options_of(const Build *b, const Unit *u)
{
    static const char *const sets[4][3] = {
        {"-DMDL_WITHOUT_WGMMA", NULL},
        {"-DMDL_WITHOUT_WGMMA", line_info, NULL},
        {NULL},
        {line_info, NULL},
    };
    bool wgmma = strstr(u->text.text, "mdl_wgmma_") != NULL;
    return sets[(wgmma ? 2 : 0) + (b->opt->lines ? 1 : 0)];
}

/* ---- compiling ---- */

static bool compile(const Build *b, Arena *arena, uint32_t i, Err *err)
{
    const Unit *u = &b->units[i];
    const NvrtcText in = {.name = u->names,
                          .text = u->text.text,
                          .arch = b->opt->arch,
                          .header_names = b->header_names,
                          .header_texts = mdl_prelude_cuda_texts,
                          .options = options_of(b, u)};
    NvrtcResult made;
    Cubin cubin;
    if (!nvrtc_compile(b->nvrtc, arena, &in, &made, err) ||
        !cubin_parse(arena, made.cubin.data, made.cubin.n, &cubin, err))
        return false;
    cubin_add_log(arena, made.log, &cubin);
    const char **path = NEW_ARRAY(arena, const char *, u->kernels.n);
    for (uint32_t k = 0; k < u->kernels.n; k++) {
        JitcacheEntry e = entry_of(b, u->kernels.at[k]);
        path[k] = jitcache_path(arena, &e);
    }
    return jitcache_write(arena, path, u->kernels.n, cubin_pack(arena, &cubin), err);
}

/* The next unit to compile, or nunit. */
static uint32_t take_unit(Build *b)
{
    pthread_mutex_lock(&b->lock);
    if (interrupt_wanted())
        err_set(&b->err, ERR_INTERRUPTED, "interrupted while compiling kernels");
    uint32_t i = b->err.kind ? b->nunit : b->next;
    b->next += i < b->nunit;
    pthread_mutex_unlock(&b->lock);
    return i;
}

static void finish_unit(Build *b, uint32_t i, const Err *err)
{
    pthread_mutex_lock(&b->lock);
    b->done += b->units[i].kernels.n;
    if (err->kind && !b->err.kind)
        b->err = *err;
    else if (b->opt->progress)
        b->opt->progress(b->opt->user, b->done, b->total);
    pthread_mutex_unlock(&b->lock);
}

static void *work(void *of)
{
    Build *b = of;
    for (uint32_t i = take_unit(b); i < b->nunit; i = take_unit(b)) {
        Arena *arena = arena_new();
        Err err = {0};
        compile(b, arena, i, &err);
        finish_unit(b, i, &err);
        arena_free(arena);
    }
    return NULL;
}

/* The calling thread works, too; where no more threads are to be had, alone. */
static bool compile_all(Build *b, Err *err)
{
    pthread_t threads[MAX_THREADS];
    int want = b->opt->threads ? b->opt->threads : pool_cpus(), started = 0;
    want = want > MAX_THREADS ? MAX_THREADS : want;
    want = want > (int)b->nunit ? (int)b->nunit : want;
    if (b->opt->progress)
        b->opt->progress(b->opt->user, 0, b->total);
    while (started < want - 1 && pthread_create(&threads[started], NULL, work, b) == 0)
        started++;
    work(b);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (!b->err.kind)
        return true;
    err_set(err, b->err.kind, "%s", b->err.text);
    return b->err.help[0] ? err_help(err, "%s", b->err.help) : false;
}

static bool build(Build *b, Arena *keep, GpuTexts texts, Err *err)
{
    name_kernels(b, texts);
    b->seen = map_new(b->arena);
    b->out->units = NEW_ARRAY(keep, Cubin, texts.n + (size_t)1);
    for (uint32_t i = 0; i < texts.n; i++)
        b->total += !look_up(b, keep, i);
    make_units(b, texts);
    b->out->compiled = b->total;
    if (b->nunit && !b->nvrtc) {
        err_set(err, b->no_nvrtc.kind, "%s", b->no_nvrtc.text);
        return err_help(err, "%s", b->no_nvrtc.help);
    }
    if (b->nunit && !compile_all(b, err))
        return false;
    for (uint32_t i = 0; i < texts.n; i++)
        if (!b->kernels[i].have && !look_up(b, keep, i))
            return err_set(err, ERR_DEVICE, "the kernels just compiled are not in the cache %s",
                           b->dir);
    return true;
}

bool gpubuild_run(Arena *arena, GpuTexts texts, const GpuBuildOptions *opt, GpuBuild *out, Err *err)
{
    Build b = {.opt = opt, .arena = arena_new(), .out = out};
    pthread_mutex_init(&b.lock, NULL);
    *out = (GpuBuild){.unit_of = NEW_ARRAY(arena, uint32_t, texts.n + (size_t)1)};
    b.dir = opt->cache_dir ? opt->cache_dir : path_cache(b.arena);
    bool ok = jitcache_open(b.dir, err);
    if (ok && texts.n) {
        b.nvrtc = nvrtc_open(b.arena, opt->newest, &b.no_nvrtc);
        if (b.nvrtc)
            out->nvrtc = arena_strdup(arena, nvrtc_version(b.nvrtc));
        ok = build(&b, arena, texts, err);
    }
    pthread_mutex_destroy(&b.lock);
    arena_free(b.arena);
    return ok;
}
