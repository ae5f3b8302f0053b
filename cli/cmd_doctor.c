/* cmd_doctor.c: `mdl doctor`: what training needs of this machine, and what of it is missing. */
#include "cc.h"
#include "cli.h"
#include "compile.h"
#include "cublaslt.h"
#include "nvrtc.h"
#include "runtime.h"
#include "target.h"
#include <stdarg.h>
#include <sys/statvfs.h>
#include <unistd.h>

typedef struct Doctor {
    Cli *cli;
    uint32_t missing;
} Doctor;

static void good(const char *what, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void bad(Doctor *d, const char *what, const Err *err);

static void good(const char *what, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    printf("ok       %-12s ", what);
    vprintf(fmt, args);
    putchar('\n');
    va_end(args);
}

static void bad(Doctor *d, const char *what, const Err *err)
{
    d->missing++;
    printf("missing  %-12s %s\n", what, err->text);
    if (err->help[0])
        printf("%-21s  %s\n", "", err->help);
}

/* What only some need: it is said, and not counted. */
static void absent(const char *what, const Err *err)
{
    printf("absent   %-12s %s\n", what, err->text);
    if (err->help[0])
        printf("%-21s  %s\n", "", err->help);
}

/* kept: whether the cache takes the compiler's answers, which it is asked for through files there. */
static void check_compiler(Doctor *d, bool kept)
{
    Err err = {0};
    Cc cc;
    Arena *arena = d->cli->arena;
    const char *path = cc_find(arena, NULL, &err);
    if (path && !kept)
        good("C compiler", "%s, not tried: its answers go to the cache", path);
    else if (path && cc_probe(arena, path, path_cache(arena), &cc, &err))
        good("C compiler", "%s, %s%s", cc.path, cc.version,
             cc.libmvec ? "" : "; no libmvec: exp, log and others are slower");
    else
        bad(d, "C compiler", &err);
}

static void check_cpu(Doctor *d)
{
    Err err = {0};
    Target t;
    if (target_host(&t, NULL, &err))
        good("processor", "%s: %u f32 lanes, %llu KiB L1, %llu KiB L2", t.isa, t.vector,
             (unsigned long long)t.l1 >> 10, (unsigned long long)t.l2 >> 10);
    else
        bad(d, "processor", &err);
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    good("threads", "%ld", n > 0 ? n : 1);
}

static void check_nvrtc(const Doctor *d)
{
    Err err = {0};
    const Nvrtc *n = nvrtc_open(d->cli->arena, 0, &err);
    if (n)
        good("NVRTC", "%s, %s", nvrtc_path(n), nvrtc_version(n));
    else
        absent("NVRTC", &err);
}

/* Only plans that pin its algorithms need it. */
static void check_blas(const Doctor *d)
{
    Err err = {0};
    const Blas *b = blas_find(d->cli->arena, &err);
    if (b)
        good("cuBLASLt", "%s, %llu", b->path, (unsigned long long)b->version);
    else
        absent("cuBLASLt", &err);
}

static void check_gpu(const CudaApi *api, int ordinal)
{
    Err err = {0};
    CudaDevice gpu;
    const char *what = "GPU", *isa;
    if (!cuda_device(api, ordinal, &gpu, &err) || !(isa = cuda_isa(&gpu, &err)))
        absent(what, &err);
    else
        good(what, "%d: %s, compute capability %d.%d (kernels for %s), %.1f GiB", ordinal, gpu.name,
             gpu.major, gpu.minor, isa, (double)gpu.bytes / (double)(1 << 30));
}

/* A machine without a GPU still compiles for one and runs its kernels on the emulator. */
static void check_gpus(const Doctor *d)
{
    Err err = {0};
    CudaApi api;
    int n = 0;
    if (!cuda_open(d->cli->arena, &api, &err)) {
        absent("CUDA driver", &err);
        return;
    }
    good("CUDA driver", "%s, for CUDA %d.%d", api.path, api.version / 1000,
         api.version % 1000 / 10);
    if (!cuda_count(&api, &n, &err))
        absent("GPU", &err);
    for (int i = 0; i < n; i++)
        check_gpu(&api, i);
}

/* What it compiles for this processor needs the C compiler, which has a line of its own. */
static void check_emulator(void)
{
    Err err = {0};
    RtHere here;
    if (rt_device_here(RT_SIMT, &here, &err))
        good("emulator",
             "--device simt runs kernels of GPUs (%s unless the plan says) on this processor",
             here.isa);
    else
        absent("emulator", &err);
}

static void check_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGE_SIZE);
    if (pages > 0 && size > 0)
        good("memory", "%.1f GiB", (double)pages * (double)size / (double)(1 << 30));
}

/* Can files be made here, and how much room is there? False: none can. advice: what to do then. */
static bool check_folder(Doctor *d, const char *what, const char *path, const char *advice)
{
    Err err = {0};
    struct statvfs fs;
    const char *probe = arena_printf(d->cli->arena, "%s/.mdl-doctor-%ld", path, (long)getpid());
    if (!file_mkdirs(path, &err) || !file_write_atomic(probe, "x", 1, &err)) {
        err_help(&err, "make it writable, or %s", advice);
        bad(d, what, &err);
        return false;
    }
    unlink(probe);
    if (statvfs(path, &fs) != 0) {
        good(what, "%s, writable", path);
        return true;
    }
    double room = (double)fs.f_bavail * (double)fs.f_frsize / (double)(1 << 30);
    good(what, "%s, writable, %.1f GiB free", path, room);
    if (room >= 0.5)
        return true;
    err_set(&err, ERR_DEVICE, "less than 0.5 GiB is free in %s", path);
    bad(d, "disk", &err);
    return true;
}

/* The folders of a variable such as $MDL_DATA, parted by `:`. */
static void check_path_list(Doctor *d, const char *name, const char *what)
{
    const char *list = getenv(name);
    if (!list || !*list) {
        good(what, "$%s is not set: only beside the .mdl file", name);
        return;
    }
    while (*list) {
        size_t n = strcspn(list, ":");
        const char *path = arena_strndup(d->cli->arena, list, n);
        Err err = {0};
        if (n && file_is_dir(path)) {
            good(what, "%s", path);
        } else if (n) {
            err_set(&err, ERR_FILE, "no folder %s, which $%s names", path, name);
            bad(d, what, &err);
        }
        list += n + (list[n] == ':');
    }
}

bool cmd_doctor(Cli *cli, Err *err)
{
    Doctor d = {cli, 0};
    if (cli->words.n)
        return usage_error(err, "`mdl doctor` takes no words");
    good("mdl", "%s", MDL_VERSION);
    check_cpu(&d);
    check_memory();
    check_compiler(
        &d, check_folder(&d, "cache", path_cache(cli->arena), "set MDL_CACHE to another folder"));
    check_nvrtc(&d);
    check_blas(&d);
    check_gpus(&d);
    check_emulator();
    check_folder(&d, "here", ".", "work in another folder");
    check_path_list(&d, "MDL_DATA", "data");
    check_path_list(&d, "MDL_PATH", "imports");
    if (!d.missing)
        return true;
    return err_set(err, ERR_DEVICE, "%u thing%s missing", d.missing,
                   d.missing == 1 ? " is" : "s are");
}
