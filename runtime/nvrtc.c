/* nvrtc.c: finds NVRTC and compiles with it, through pointers to its functions. */
#include "nvrtc.h"
#include <dlfcn.h>
#include <glob.h>
#include <limits.h>

enum { MIN_MAJOR = 12, MAX_OPTIONS = 24, LOG_LINES = 8, LOG_SHOWN = 600 };

/* nvrtc.h of the toolkit, as far as we need it; stable since CUDA 11.2. */
typedef struct Program *NvrtcProgram;

typedef struct Calls {
    int (*version)(int *major, int *minor);
    const char *(*error_text)(int result);
    int (*create)(NvrtcProgram *p, const char *text, const char *name, int headers,
                  const char *const *header_texts, const char *const *header_names);
    int (*compile)(NvrtcProgram p, int noption, const char *const *options);
    int (*destroy)(NvrtcProgram *p);
    int (*log_size)(NvrtcProgram p, size_t *n);
    int (*log)(NvrtcProgram p, char *text);
    int (*cubin_size)(NvrtcProgram p, size_t *n);
    int (*cubin)(NvrtcProgram p, char *bytes);
    int (*ptx_size)(NvrtcProgram p, size_t *n);
    int (*ptx)(NvrtcProgram p, char *bytes);
} Calls;

struct Nvrtc {
    const char *path;
    const char *version;
    int major, minor;
    Calls call;
};

/* Bits depend on the text alone: no contraction, no flushing of subnormals, division and square root
 * rounded right. Functions of the text are the device's. The prelude stores 16 bytes as one number. The report
 * of ptxas goes to the log. */
const char *const nvrtc_options[] = {
    "--std=c++17",
    "--fmad=false",
    "--ftz=false",
    "--prec-div=true",
    "--prec-sqrt=true",
    "--device-as-default-execution-space",
    "--device-int128",
    "--ptxas-options=-v",
    "-w",
    NULL,
};

/* They change no bit and are known since 12.4: no parts of the library that our text does not use, and no
 * change of this process's limits. */
static const char *const options_124[] = {"--minimal", "--modify-stack-limit=false"};

/* ---- finding ---- */

static bool take(void *library, const char *name, void *slot, Err *err)
{
    void *found = dlsym(library, name);
    if (!found)
        return err_set(err, ERR_DEVICE, "NVRTC lacks %s", name);
    memcpy(slot, &found, sizeof(found));
    return true;
}

static bool take_all(void *library, Calls *c, Err *err)
{
    return take(library, "nvrtcVersion", &c->version, err) &&
           take(library, "nvrtcGetErrorString", &c->error_text, err) &&
           take(library, "nvrtcCreateProgram", &c->create, err) &&
           take(library, "nvrtcCompileProgram", &c->compile, err) &&
           take(library, "nvrtcDestroyProgram", &c->destroy, err) &&
           take(library, "nvrtcGetProgramLogSize", &c->log_size, err) &&
           take(library, "nvrtcGetProgramLog", &c->log, err) &&
           take(library, "nvrtcGetCUBINSize", &c->cubin_size, err) &&
           take(library, "nvrtcGetCUBIN", &c->cubin, err) &&
           take(library, "nvrtcGetPTXSize", &c->ptx_size, err) &&
           take(library, "nvrtcGetPTX", &c->ptx, err);
}

/* The file that a function of the library lies in. */
static const char *file_of(Arena *arena, void *library, const char *otherwise)
{
    Dl_info info;
    void *at = dlsym(library, "nvrtcVersion");
    return at && dladdr(at, &info) && info.dli_fname ? arena_strdup(arena, info.dli_fname)
                                                     : otherwise;
}

static Nvrtc *try_open(Arena *arena, const char *path, Err *err)
{
    /* Never unloaded: it has threads and caches of its own. */
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
        const char *why = dlerror();
        err_set(err, ERR_DEVICE, "%s", why ? why : path);
        return NULL;
    }
    Nvrtc *n = NEW(arena, Nvrtc);
    n->path = file_of(arena, library, path);
    if (!take_all(library, &n->call, err))
        return NULL;
    if (n->call.version(&n->major, &n->minor) != 0 || n->major < MIN_MAJOR) {
        err_set(err, ERR_DEVICE, "%s is version %d.%d; 12.0 or later is needed", n->path, n->major,
                n->minor);
        return NULL;
    }
    n->version = arena_printf(arena, "%d.%d", n->major, n->minor);
    return n;
}

typedef struct Name {
    const char *file;
    int major;
} Name;

static const Name names[] = {
    {"libnvrtc.so.13", 13}, {"libnvrtc.so.12", 12}, {"libnvrtc.so.11.2", 11}};

/* The newest that a pattern of folders has. */
static Nvrtc *try_folders(Arena *arena, const char *pattern, int newest, Err *err)
{
    Nvrtc *found = NULL;
    for (size_t i = 0; i < COUNT(names) && !found; i++) {
        glob_t list;
        const char *want = arena_printf(arena, "%s%s", pattern, names[i].file);
        if (names[i].major > newest || glob(want, 0, NULL, &list) != 0)
            continue;
        for (size_t k = list.gl_pathc; k-- > 0 && !found;)
            found = try_open(arena, list.gl_pathv[k], err);
        globfree(&list);
    }
    return found;
}

static Nvrtc *search(Arena *arena, int newest, Err *err)
{
    static const char *const homes[] = {"CUDA_HOME", "CUDA_PATH"};
    static const char *const below[] = {"lib64", "lib", "targets/x86_64-linux/lib"};
    Nvrtc *n = NULL;
    for (size_t i = 0; i < COUNT(names) && !n; i++) {
        Err absent = {0};
        if (names[i].major <= newest)
            n = try_open(arena, names[i].file, &absent);
    }
    for (size_t i = 0; i < COUNT(homes) && !n; i++) {
        const char *home = getenv(homes[i]);
        for (size_t k = 0; home && *home && k < COUNT(below) && !n; k++)
            n = try_folders(arena, arena_printf(arena, "%s/%s/", home, below[k]), newest, err);
    }
    for (size_t k = 0; k < COUNT(below) && !n; k++)
        n = try_folders(arena, arena_printf(arena, "/usr/local/cuda*/%s/", below[k]), newest, err);
    return n;
}

Nvrtc *nvrtc_open(Arena *arena, int newest, Err *err)
{
    const char *wanted = getenv("MDL_NVRTC");
    Err why = {0};
    Nvrtc *n = wanted && *wanted ? try_open(arena, wanted, &why)
                                 : search(arena, newest ? newest : INT_MAX, &why);
    if (n)
        return n;
    if (wanted && *wanted)
        err_set(err, ERR_DEVICE, "no NVRTC: $MDL_NVRTC is %s: %s", wanted, why.text);
    else
        err_set(err, ERR_DEVICE,
                "no NVRTC: tried libnvrtc.so.13 and .12 by name, in $CUDA_HOME, $CUDA_PATH and "
                "/usr/local/cuda*%s%s",
                why.text[0] ? ": " : "", why.text);
    err_help(err, "install NVIDIA's NVRTC (in the CUDA toolkit, or `pip install "
                  "nvidia-cuda-nvrtc-cu12`) and set MDL_NVRTC to its libnvrtc.so.12 or .13");
    return NULL;
}

const char *nvrtc_path(const Nvrtc *n)
{
    return n->path;
}

const char *nvrtc_version(const Nvrtc *n)
{
    return n->version;
}

/* ---- compiling ---- */

/* The first lines of a log that say something. */
static const char *first_lines(Arena *arena, const char *log)
{
    StrBuf out = sb_new(arena);
    for (int lines = 0; *log && lines < LOG_LINES && out.n < LOG_SHOWN;) {
        size_t n = strcspn(log, "\n");
        if (strspn(log, " \t") < n) {
            sb_putn(&out, log, n < LOG_SHOWN - out.n ? n : LOG_SHOWN - out.n);
            sb_putc(&out, '\n');
            lines++;
        }
        log += n + (log[n] == '\n');
    }
    while (out.n && out.text[out.n - 1] == '\n')
        out.text[--out.n] = '\0';
    return sb_text(&out);
}

static bool failed(const Nvrtc *n, const char *call, int result, Err *err)
{
    const char *why = n->call.error_text(result);
    return err_set(err, ERR_DEVICE, "NVRTC %s (%s): %s: %s", n->version, n->path, call,
                   why ? why : "unknown error");
}

static const char *log_of(const Nvrtc *n, Arena *arena, NvrtcProgram p)
{
    size_t size = 0;
    if (n->call.log_size(p, &size) != 0 || size < 2)
        return "";
    char *text = arena_alloc(arena, size + 1);
    return n->call.log(p, text) == 0 ? text : "";
}

static int list_options(const Nvrtc *n, Arena *arena, const NvrtcText *in, const char **options)
{
    int count = 0;
    options[count++] = arena_printf(arena, "--gpu-architecture=%s", in->arch);
    for (int i = 0; nvrtc_options[i]; i++)
        options[count++] = nvrtc_options[i];
    for (size_t i = 0; i < COUNT(options_124) && (n->major > 12 || n->minor >= 4); i++)
        options[count++] = options_124[i];
    for (int i = 0; in->options && in->options[i]; i++)
        options[count++] = in->options[i];
    ASSERT(count <= MAX_OPTIONS);
    return count;
}

/* The PTX of an architecture that has no machine code, the text's end with it. */
static bool take_code(const Nvrtc *n, Arena *arena, NvrtcProgram p, bool ptx, Bytes *out, Err *err)
{
    int result = (ptx ? n->call.ptx_size : n->call.cubin_size)(p, &out->n);
    if (result != 0 || !out->n)
        return failed(n, ptx ? "nvrtcGetPTXSize" : "nvrtcGetCUBINSize", result, err);
    out->data = arena_alloc(arena, out->n + 1);
    result = (ptx ? n->call.ptx : n->call.cubin)(p, out->data);
    return result == 0 || failed(n, ptx ? "nvrtcGetPTX" : "nvrtcGetCUBIN", result, err);
}

bool nvrtc_compile(const Nvrtc *n, Arena *arena, const NvrtcText *in, NvrtcResult *out, Err *err)
{
    const char *options[MAX_OPTIONS];
    NvrtcProgram p = NULL;
    int noption = list_options(n, arena, in, options), headers = 0;
    while (in->header_names[headers])
        headers++;
    *out = (NvrtcResult){.log = ""};
    int result =
        n->call.create(&p, in->text, in->name, headers, in->header_texts, in->header_names);
    if (result != 0)
        return failed(n, "nvrtcCreateProgram", result, err);
    result = n->call.compile(p, noption, options);
    out->log = log_of(n, arena, p);
    bool ok = result == 0;
    if (ok)
        ok = take_code(n, arena, p, strncmp(in->arch, "compute_", 8) == 0, &out->cubin, err);
    else
        err_set(err, ERR_DEVICE, "NVRTC %s refused %s for %s:\n%s", n->version, in->name, in->arch,
                *out->log ? first_lines(arena, out->log) : n->call.error_text(result));
    n->call.destroy(&p);
    return ok;
}
