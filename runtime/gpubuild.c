/* gpubuild.c: kernels are compiled a few to a unit, because NVRTC takes 35 ms to read the prelude and some
 * 10 ms for a small kernel, and units on several threads. How kernels are grouped depends on the texts alone,
 * so that the next run finds the same units. A unit is named after all that goes into it: text, prelude,
 * options, architecture; its file also after NVRTC's version. The report of the assembler is kept with the
 * machine code, so that a warm build knows of spills, too. */
#include "gpubuild.h"
#include "interrupt.h"
#include "jitcache.h"
#include "kernellines.h"
#include "nvrtc.h"
#include "pool.h"
#include "prelude.h"
#include <pthread.h>

enum { FEW_KERNELS = 2, MANY_KERNELS = 8, SHARES = 16, MAX_THREADS = 8 };

typedef struct Unit {
    StrBuf text;
    const char *head; /* of its first kernel, up to its #include: the same for all */
    const char *names;
    uint32_t nkernel;
    const char *content;
    const char *const *options;
    bool have;
} Unit;

typedef struct Build {
    const GpuBuildOptions *opt;
    Arena *arena;
    const char *dir;
    const char **header_names; /* base names, as the text includes them */
    Unit *units;
    uint32_t nunit;
    GpuBuild *out;
    const Nvrtc *nvrtc; /* NULL: none, `no_nvrtc` says why */
    Err no_nvrtc;
    pthread_mutex_t lock; /* what follows, and `progress` */
    uint32_t next, done, total;
    Err err;
} Build;

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
        if (b->units[i].nkernel < most && same_head(b->units[i].head, text))
            return &b->units[i];
    Unit *u = &b->units[b->nunit++];
    u->text = sb_new(b->arena);
    u->head = text;
    u->names = "";
    return u;
}

/* Messages of NVRTC name the kernel as if it were a file. */
static void add_kernel(Build *b, Unit *u, const GpuText *k)
{
    sb_printf(&u->text, "#line 1 \"%s\"\n", k->name);
    if (b->opt->lines)
        kernel_with_lines(&u->text, k->text);
    else
        kernel_without_lines(&u->text, k->text);
    sb_putc(&u->text, '\n');
    u->names = arena_printf(b->arena, "%s%s%s", u->names, u->nkernel ? ", " : "", k->name);
    u->nkernel++;
}

/* The products of warpgroups are 64 functions, which cost 20 ms to read. */
static const char *const *options_of(const Build *b, Unit *u)
{
    static const char *const sets[4][3] = {
        {"-DMDL_WITHOUT_WGMMA", NULL},
        {"-DMDL_WITHOUT_WGMMA", "--generate-line-info", NULL},
        {NULL},
        {"--generate-line-info", NULL},
    };
    bool wgmma = strstr(sb_text(&u->text), "mdl_wgmma_") != NULL;
    return sets[(wgmma ? 2 : 0) + (b->opt->lines ? 1 : 0)];
}

static void name_unit(const Build *b, Unit *u)
{
    VEC(const char *) part = {0};
    u->options = options_of(b, u);
    VEC_PUSH(b->arena, &part, b->opt->arch);
    for (int i = 0; nvrtc_options[i]; i++)
        VEC_PUSH(b->arena, &part, nvrtc_options[i]);
    for (int i = 0; u->options[i]; i++)
        VEC_PUSH(b->arena, &part, u->options[i]);
    for (uint32_t i = 0; mdl_prelude_cuda_names[i]; i++) {
        VEC_PUSH(b->arena, &part, b->header_names[i]);
        VEC_PUSH(b->arena, &part, mdl_prelude_cuda_texts[i]);
    }
    VEC_PUSH(b->arena, &part, sb_text(&u->text));
    u->content = jitcache_content(b->arena, part.at, part.n);
}

static void make_units(Build *b, const GpuText *texts, uint32_t n)
{
    uint32_t most = kernels_per_unit(n), nheader = 0;
    while (mdl_prelude_cuda_names[nheader])
        nheader++;
    b->header_names = NEW_ARRAY(b->arena, const char *, nheader + (size_t)1);
    for (uint32_t i = 0; i < nheader; i++)
        b->header_names[i] = path_base(mdl_prelude_cuda_names[i]);
    b->units = NEW_ARRAY(b->arena, Unit, n + (size_t)1);
    for (uint32_t i = 0; i < n; i++) {
        Unit *u = unit_for(b, texts[i].text, most);
        add_kernel(b, u, &texts[i]);
        b->out->unit_of[i] = (uint32_t)(u - b->units);
    }
    for (uint32_t i = 0; i < b->nunit; i++)
        name_unit(b, &b->units[i]);
}

/* ---- cache ---- */

static JitcacheEntry entry_of(const Build *b, const Unit *u)
{
    const char *version = b->nvrtc ? nvrtc_version(b->nvrtc) : NULL;
    return (JitcacheEntry){b->dir, u->content, version, ".cubin"};
}

/* What is damaged counts as absent. */
static void look_up(Build *b, Arena *keep, uint32_t i)
{
    Bytes file;
    Err ignored = {0};
    Unit *u = &b->units[i];
    JitcacheEntry e = entry_of(b, u);
    u->have = jitcache_read(keep, &e, &file) &&
              cubin_unpack(keep, file.data, file.n, &b->out->units[i], &ignored);
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
                          .options = u->options};
    NvrtcResult made;
    Cubin cubin;
    if (!nvrtc_compile(b->nvrtc, arena, &in, &made, err) ||
        !cubin_parse(arena, made.cubin.data, made.cubin.n, &cubin, err))
        return false;
    cubin_add_log(arena, made.log, &cubin);
    JitcacheEntry e = entry_of(b, u);
    return jitcache_write(arena, &e, cubin_pack(arena, &cubin), err);
}

/* The next unit to compile, or nunit. */
static uint32_t take_unit(Build *b)
{
    pthread_mutex_lock(&b->lock);
    if (interrupt_wanted())
        err_set(&b->err, ERR_INTERRUPTED, "interrupted while compiling kernels");
    while (b->next < b->nunit && b->units[b->next].have)
        b->next++;
    uint32_t i = b->err.kind ? b->nunit : b->next;
    b->next += i < b->nunit;
    pthread_mutex_unlock(&b->lock);
    return i;
}

static void finish_unit(Build *b, uint32_t i, const Err *err)
{
    pthread_mutex_lock(&b->lock);
    b->done += b->units[i].nkernel;
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
static bool compile_all(Build *b, uint32_t missing, Err *err)
{
    pthread_t threads[MAX_THREADS];
    int want = b->opt->threads ? b->opt->threads : pool_cpus(), started = 0;
    want = want > MAX_THREADS ? MAX_THREADS : want;
    want = want > (int)missing ? (int)missing : want;
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

static bool build(Build *b, Arena *keep, Err *err)
{
    uint32_t missing = 0;
    for (uint32_t i = 0; i < b->nunit; i++) {
        look_up(b, keep, i);
        missing += !b->units[i].have;
        b->total += b->units[i].have ? 0 : b->units[i].nkernel;
    }
    b->out->compiled = b->total;
    if (missing && !b->nvrtc) {
        err_set(err, b->no_nvrtc.kind, "%s", b->no_nvrtc.text);
        return err_help(err, "%s", b->no_nvrtc.help);
    }
    if (missing && !compile_all(b, missing, err))
        return false;
    for (uint32_t i = 0; i < b->nunit; i++) {
        if (!b->units[i].have)
            look_up(b, keep, i);
        if (!b->units[i].have)
            return err_set(err, ERR_DEVICE, "the kernels just compiled are not in the cache %s",
                           b->dir);
    }
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
        make_units(&b, texts.at, texts.n);
        out->units = NEW_ARRAY(arena, Cubin, b.nunit);
        out->nunit = b.nunit;
        b.nvrtc = nvrtc_open(b.arena, opt->newest, &b.no_nvrtc);
        if (b.nvrtc)
            out->nvrtc = arena_strdup(arena, nvrtc_version(b.nvrtc));
        ok = build(&b, arena, err);
    }
    pthread_mutex_destroy(&b.lock);
    arena_free(b.arena);
    return ok;
}
