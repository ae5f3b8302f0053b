/* units.c: kernel text to objects, through the system C compiler and a cache on disk.
 *
 * Kernels are compiled a few to a file: a compiler process costs 35 ms before the first kernel and
 * some 10 ms for each, and several processes run at once. In the cache an object has a name for each
 * of its kernels, made of everything that goes into it (text, prelude, flags): a program that has
 * most of its kernels in common with another compiles the rest alone. When all are in the cache,
 * nothing is started and no compiler need be installed. */
#include "units.h"
#include "cc.h"
#include "jitcache.h"
#include "kernellines.h"
#include "pool.h"
#include <dlfcn.h>
#include <unistd.h>
#include <xxhash.h>

enum { FEW_KERNELS = 4, MANY_KERNELS = 16, MAX_PROCESSES = 8, MAX_ARGS = 40, LOG_LIMIT = 1 << 20 };

/* Of each text; equal texts have a handle each. */
struct Units {
    Arena *arena;
    void **handles; /* NULL while not loaded */
    const char **paths;
    uint32_t n;
};

typedef struct Text {
    StrBuf code; /* what the compiler sees */
    char content[33];
} Text;

typedef struct Unit {
    StrBuf code;
    const char *head; /* text of its first kernel, up to its first #include: the same for all */
    VEC(const Text *) kernels;
    const char *source, *temp, *log; /* while it is being compiled */
    pid_t pid;
} Unit;

typedef struct Load {
    const UnitTexts *texts;
    const DeviceOptions *opt;
    Units *out;
    Arena *arena; /* of this load */
    const char *dir, *include;
    Text *all;
    Unit *units; /* of the texts that are not in the cache */
    uint32_t nunit;
    const char *cc_path; /* NULL: no usable compiler, `no_cc` says why */
    Cc cc;
    Err no_cc;
    char compiler[17];
    uint32_t done, total; /* kernels, for the progress line */
} Load;

/* ---- names ---- */

/* Changes no instruction. */
static const char debug_flag[] = "-g";

static void hash_part(XXH3_state_t *state, const char *text)
{
    XXH3_128bits_update(state, text, strlen(text) + 1);
}

/* The hash of `code` and of all that is compiled with it. */
static bool name_content(const Load *l, const StrBuf *code, char out[33], Err *err)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state || XXH3_128bits_reset(state) != XXH_OK) {
        XXH3_freeState(state);
        return err_set(err, ERR_DEVICE, "no memory to hash kernels");
    }
    const UnitFlavour *f = l->texts->flavour;
    for (uint32_t i = 0; f->flags[i]; i++)
        hash_part(state, f->flags[i]);
    for (uint32_t i = 0; f->link[i]; i++)
        hash_part(state, f->link[i]);
    hash_part(state, l->texts->isa_flag ? l->texts->isa_flag : "");
    if (l->texts->lines)
        hash_part(state, debug_flag);
    for (uint32_t i = 0; f->prelude_names[i]; i++) {
        hash_part(state, path_base(f->prelude_names[i]));
        hash_part(state, f->prelude_texts[i]);
    }
    hash_part(state, code->text);
    XXH128_hash_t hash = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    snprintf(out, 33, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    return true;
}

static bool name_texts(Load *l, Err *err)
{
    uint32_t n = l->texts->n;
    l->all = NEW_ARRAY(l->arena, Text, n);
    for (uint32_t k = 0; k < n; k++) {
        Text *t = &l->all[k];
        t->code = sb_new(l->arena);
        if (l->texts->lines)
            kernel_with_lines(&t->code, l->texts->at[k]);
        else
            kernel_without_lines(&t->code, l->texts->at[k]);
        sb_putc(&t->code, '\n');
        if (!name_content(l, &t->code, t->content, err))
            return false;
    }
    return true;
}

/* ---- units ---- */

/* What a kernel defines for the prelude (its vector width): from its first directive, behind the comment
 * that names it, to the #include. */
static const char *head_of(const char *text, size_t *n)
{
    const char *line = text[0] == '#' ? text : strstr(text, "\n#");
    const char *start = line && line != text ? line + 1 : line;
    const char *end = start ? strstr(start, "#include") : NULL;
    *n = end ? (size_t)(end - start) : 0;
    return end ? start : text;
}

/* It holds for the whole file. */
static bool same_head(const char *a, const char *b)
{
    size_t a_n, b_n;
    const char *x = head_of(a, &a_n), *y = head_of(b, &b_n);
    return a_n == b_n && memcmp(x, y, a_n) == 0;
}

/* The last unit that has room for the text, or a new one. */
static Unit *unit_for(Load *l, const char *text, uint32_t most)
{
    for (uint32_t i = l->nunit; i-- > 0;)
        if (l->units[i].kernels.n < most && same_head(l->units[i].head, text))
            return &l->units[i];
    Unit *u = &l->units[l->nunit++];
    u->code = sb_new(l->arena);
    u->head = text;
    return u;
}

/* Two processes are worth starting for two kernels already; of many kernels more share one. */
static uint32_t kernels_per_unit(uint32_t n)
{
    uint32_t share = n / (2 * MAX_PROCESSES), half = (n + 1) / 2;
    uint32_t most = share < FEW_KERNELS ? FEW_KERNELS : share < MANY_KERNELS ? share : MANY_KERNELS;
    return half < most ? half : most;
}

/* Of what is not in the cache; equal texts are compiled once. */
static void make_units(Load *l)
{
    Map *seen = map_new(l->arena);
    uint32_t most = kernels_per_unit(l->total);
    l->units = NEW_ARRAY(l->arena, Unit, l->total + (size_t)1);
    l->total = 0;
    for (uint32_t k = 0; k < l->texts->n; k++) {
        const Text *t = &l->all[k];
        if (l->out->handles[k] || map_get(seen, hash_text(t->content)))
            continue;
        map_put(seen, hash_text(t->content), l);
        Unit *u = unit_for(l, l->texts->at[k], most);
        sb_putn(&u->code, t->code.text, t->code.n);
        VEC_PUSH(l->arena, &u->kernels, t);
        l->total++;
    }
}

/* ---- compiling ---- */

/* The prelude as a file, in a folder named after its contents. */
static bool write_prelude(Load *l, Err *err)
{
    const UnitFlavour *f = l->texts->flavour;
    uint64_t hash = 0;
    for (uint32_t i = 0; f->prelude_names[i]; i++)
        hash = hash_mix(hash, hash_text(f->prelude_texts[i]));
    l->include = arena_printf(l->arena, "%s/prelude-%016llx", l->dir, (unsigned long long)hash);
    if (!file_mkdirs(l->include, err))
        return jitcache_help(err);
    for (uint32_t i = 0; f->prelude_names[i]; i++) {
        const char *text = f->prelude_texts[i];
        const char *path = path_join(l->arena, l->include, path_base(f->prelude_names[i]));
        Bytes have;
        Err ignored = {0};
        if (file_read(l->arena, path, LOG_LIMIT, &have, &ignored) && have.n == strlen(text) &&
            memcmp(have.data, text, have.n) == 0)
            continue;
        if (!file_write_atomic(path, text, strlen(text), err))
            return jitcache_help(err);
    }
    return true;
}

static bool start(Load *l, Unit *u, Err *err)
{
    const char *args[MAX_ARGS] = {l->cc.path};
    uint32_t n = 1;
    char content[33];
    if (!name_content(l, &u->code, content, err))
        return false;
    u->source = arena_printf(l->arena, "%s/%s.c", l->dir, content);
    u->temp = jitcache_temp(l->arena, u->source, err);
    if (!u->temp)
        return false;
    if (!file_write_atomic(u->source, u->code.text, u->code.n, err)) {
        unlink(u->temp);
        return jitcache_help(err);
    }
    u->log = arena_printf(l->arena, "%s.log", u->temp);
    const UnitFlavour *f = l->texts->flavour;
    for (uint32_t i = 0; f->flags[i]; i++)
        args[n++] = f->flags[i];
    if (l->texts->isa_flag)
        args[n++] = l->texts->isa_flag;
    if (l->texts->lines)
        args[n++] = debug_flag;
    args[n++] = arena_printf(l->arena, "-I%s", l->include);
    args[n++] = "-o";
    args[n++] = u->temp;
    args[n++] = u->source;
    for (uint32_t i = 0; f->link[i]; i++)
        args[n++] = f->link[i];
    if (l->cc.libmvec)
        args[n++] = "-lmvec";
    args[n++] = "-lm";
    args[n] = NULL;
    ASSERT(n < MAX_ARGS);
    if (cc_start(args, u->log, &u->pid, err))
        return true;
    unlink(u->temp);
    return false;
}

/* The first lines that the compiler wrote, as much as a message holds. */
static const char *first_lines(Arena *arena, const char *log)
{
    Bytes text;
    Err ignored = {0};
    if (!file_read(arena, log, LOG_LIMIT, &text, &ignored))
        return "";
    size_t n = 0;
    for (int lines = 0; lines < 8 && n < text.n && n < 600; lines++)
        n += strcspn(text.data + n, "\n") + 1;
    n = n > text.n ? text.n : n;
    n = n > 700 ? 700 : n;
    while (n && text.data[n - 1] == '\n')
        n--;
    return arena_strndup(arena, text.data, n);
}

/* The object under the names of all its kernels. */
static bool keep(const Load *l, const Unit *u, Err *err)
{
    const char **path = NEW_ARRAY(l->arena, const char *, u->kernels.n);
    for (uint32_t k = 0; k < u->kernels.n; k++)
        path[k] =
            arena_printf(l->arena, "%s/%s-%s.so", l->dir, u->kernels.at[k]->content, l->compiler);
    return jitcache_keep(l->arena, u->temp, path, u->kernels.n, err);
}

static bool finish(Load *l, Unit *u, Err *err)
{
    char how[64];
    bool interrupted, ok = cc_wait(u->pid, how, &interrupted);
    u->pid = 0;
    if (interrupted)
        err_set(err, ERR_INTERRUPTED, "interrupted while compiling kernels");
    else if (!ok)
        err_set(err, ERR_DEVICE, "the C compiler %s failed (%s) on %s:\n%s", l->cc.path, how,
                u->source, first_lines(l->arena, u->log));
    ok = ok && keep(l, u, err);
    unlink(u->log);
    if (!ok)
        unlink(u->temp);
    l->done += u->kernels.n;
    if (ok && l->opt->progress)
        l->opt->progress(l->opt->user, l->done, l->total);
    return ok;
}

/* Starts all units, a few at a time; after a failure only waits. */
static bool compile_missing(Load *l, Err *err)
{
    int most = pool_cpus() < MAX_PROCESSES ? pool_cpus() : MAX_PROCESSES, running = 0;
    bool ok = true;
    for (uint32_t next = 0, oldest = 0; oldest < l->nunit;) {
        while (ok && next < l->nunit && running < most) {
            ok = start(l, &l->units[next++], err);
            running += ok;
        }
        for (; oldest < next && !l->units[oldest].pid; oldest++)
            continue;
        if (oldest < next) {
            ok = finish(l, &l->units[oldest], err) && ok;
            running--;
        } else if (!ok) {
            break;
        }
    }
    return ok;
}

/* ---- loading ---- */

/* A cached object that does not load (another libc, a missing library) counts as absent. */
static bool open_text(Load *l, uint32_t i, Err *err)
{
    const char *compiler = l->cc_path ? l->compiler : NULL;
    const char *path = jitcache_find(l->arena, l->dir, l->all[i].content, compiler);
    if (!path)
        return err_set(err, ERR_DEVICE, "the kernels just compiled are not in the cache %s",
                       l->dir);
    l->out->paths[i] = arena_strdup(l->out->arena, path);
    l->out->handles[i] = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (l->out->handles[i])
        return true;
    const char *why = dlerror();
    return err_set(err, ERR_DEVICE, "cannot load %s: %s", path, why ? why : "unknown reason");
}

static void know_compiler(Load *l)
{
    l->cc_path = cc_find(l->arena, l->opt->cc, &l->no_cc);
    if (l->cc_path && !cc_probe(l->arena, l->cc_path, l->dir, &l->cc, &l->no_cc))
        l->cc_path = NULL;
    if (l->cc_path)
        snprintf(l->compiler, sizeof(l->compiler), "%016llx",
                 (unsigned long long)hash_mix(l->cc.libmvec, hash_text(l->cc.version)));
}

static bool load_texts(Load *l, Err *err)
{
    Err ignored = {0};
    for (uint32_t i = 0; i < l->texts->n; i++)
        l->total += !open_text(l, i, &ignored);
    if (l->total && !l->cc_path) {
        err_set(err, l->no_cc.kind, "%s", l->no_cc.text);
        return err_help(err, "%s", l->no_cc.help);
    }
    make_units(l);
    if (l->total && l->opt->progress)
        l->opt->progress(l->opt->user, 0, l->total);
    if (l->total && (!write_prelude(l, err) || !compile_missing(l, err)))
        return false;
    for (uint32_t i = 0; i < l->texts->n; i++)
        if (!l->out->handles[i] && !open_text(l, i, err))
            return false;
    return true;
}

Units *units_load(const UnitTexts *texts, const DeviceOptions *opt, Err *err)
{
    Arena *arena = arena_new();
    Units *u = NEW(arena, Units);
    *u = (Units){.arena = arena,
                 .handles = NEW_ARRAY(arena, void *, texts->n + (size_t)1),
                 .paths = NEW_ARRAY(arena, const char *, texts->n + (size_t)1),
                 .n = texts->n};
    Load l = {.texts = texts, .opt = opt, .out = u, .arena = arena_new()};
    l.dir = opt->cache_dir ? opt->cache_dir : path_cache(l.arena);
    bool ok = true;
    if (texts->n) {
        ok = jitcache_open(l.dir, err) && name_texts(&l, err);
        if (ok)
            know_compiler(&l);
        ok = ok && load_texts(&l, err);
    }
    arena_free(l.arena);
    if (ok)
        return u;
    units_unload(u);
    return NULL;
}

void units_unload(Units *u)
{
    if (!u)
        return;
    for (uint32_t i = 0; i < u->n; i++)
        if (u->handles[i])
            dlclose(u->handles[i]);
    arena_free(u->arena);
}

void *units_symbol(const Units *u, uint32_t text, const char *name)
{
    void *found = dlsym(u->handles[text], name);
    if (!found) { /* asked twice, what the failure was is freed */
        dlerror();
        dlerror();
    }
    return found;
}

const char *units_object(const Units *u, uint32_t text)
{
    return u->paths[text];
}
