/* LIBS: mdl_base */
/* test_lanes.c: the structs that GPU kernels have for vectors give the bits of gcc's vectors, lane by lane,
 * and of the scalar form: in all functions and element types, on all kinds of numbers. */
#include "base.h"
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

enum { N = 1 << 14, ELEMENTS = 9 /* the first of `others` */ };

typedef void (*RunFn)(const void *from, void *to, long n);

typedef struct Lanes {
    Arena *arena;
    char dir[64];
    uint32_t *in, *out[4];
} Lanes;

static const char *const functions[] = {"abs",     "sign",  "exp",   "log",  "tanh",  "erf",
                                        "sigmoid", "trunc", "floor", "ceil", "round", "sqrt",
                                        "rsqrt",   "exp2",  "expm1", "log2", "log1p"};
static const char *const others[] = {"f32",    "i32",    "u8",     "i8",   "i16",  "bf16",
                                     "f16",    "f8e4m3", "f8e5m2", "sums", "bits", "order",
                                     "divide", "choose", "swap",   "cast", "fit",  "transpose"};

/* Numbers of all exponents, and the special ones. */
static void fill(uint32_t *in)
{
    static const uint32_t special[] = {0,          0x80000000, 0x3f800000, 0xbf800000, 0x7f800000,
                                       0xff800000, 0x7fc00000, 1,          0x80000001, 0x007fffff,
                                       0x7f7fffff, 0xff7fffff, 0x4b000000, 0x42b17218, 0xc2cff1b5};
    uint64_t x = 1;
    for (uint32_t i = 0; i < N; i++) {
        x = hash_mix(x, i);
        in[i] = i < COUNT(special) ? special[i]
                : i % 2            ? (uint32_t)x
                                   : ((uint32_t)x & 0x83ffffff) | 0x3c000000; /* near 1 */
    }
}

static int setup(void **state)
{
    Arena *arena = arena_new();
    Lanes *l = NEW(arena, Lanes);
    l->arena = arena;
    memcpy(l->dir, "/tmp/mdl-test-lanes-XXXXXX", 27);
    *state = l;
    if (!mkdtemp(l->dir) || posix_memalign((void **)&l->in, 64, N * 4) != 0)
        return -1;
    for (int i = 0; i < 4; i++)
        if (posix_memalign((void **)&l->out[i], 64, N * 4) != 0)
            return -1;
    fill(l->in);
    return 0;
}

static int teardown(void **state)
{
    Lanes *l = *state;
    Err err = {0};
    bool ok = file_remove_tree(l->dir, &err);
    free(l->in);
    for (int i = 0; i < 4; i++)
        free(l->out[i]);
    arena_free(l->arena);
    return ok ? 0 : -1;
}

/* text/lanes.txt as an object; `structs`: as C++. NULL when there is no such compiler. */
static void *compile(Lanes *l, int width, bool structs)
{
    const char *so = arena_printf(l->arena, "%s/w%d%d.so", l->dir, width, structs);
    const char *cc = structs ? "g++ -std=c++17 -x c++" : "gcc -std=gnu11 -x c";
    const char *in = structs ? "tests/gpu/host" : "runtime/prelude/c";
    const char *march = width == 8 ? "-march=x86-64-v3" : "-mfma -msse4.1";
    const char *flags = "-O2 -w -fno-math-errno -ffp-contract=off -fwrapv -shared -fPIC";
    if (structs && system("g++ --version >/dev/null 2>&1") != 0)
        return NULL;
    const char *cmd = arena_printf(
        l->arena,
        "cd %s && %s %s %s -DMDL_W=%d -I%s -Iruntime/prelude/cuda -Iruntime/prelude/common "
        "tests/gpu/text/lanes.txt -o %s -lm",
        MDL_SOURCE_DIR, cc, flags, march, width, in, so);
    if (system(cmd) != 0)
        fail_msg("compiler failed: %s", cmd);
    void *dl = dlopen(so, RTLD_NOW | RTLD_LOCAL);
    if (!dl)
        fail_msg("%s", dlerror());
    return dl;
}

static void run(Lanes *l, void *dl, const char *how, const char *name, uint32_t *out)
{
    RunFn fn;
    const char *symbol = arena_printf(l->arena, "%s_%s", how, name);
    void *found = dlsym(dl, symbol);
    if (!found)
        fail_msg("no %s", symbol);
    memcpy(&fn, &found, sizeof(fn));
    memset(out, 0xa5, N * 4);
    fn(l->in, out, N);
}

/* The signs of NaNs are the machine's. */
static bool same(uint32_t a, uint32_t b)
{
    return a == b || ((a & 0x7fffffff) > 0x7f800000 && (b & 0x7fffffff) > 0x7f800000);
}

static void compare(const Lanes *l, const char *name, const uint32_t *got, const uint32_t *want)
{
    for (uint32_t i = 0; i < N; i++)
        if (!same(got[i], want[i]))
            fail_msg("%s: element %u of %08x is %08x instead of %08x", name, i, l->in[i], got[i],
                     want[i]);
}

static void check_width(Lanes *l, int width)
{
    void *vectors = compile(l, width, false), *structs = compile(l, width, true);
    if (!structs)
        skip();
    for (size_t i = 0; i < COUNT(functions); i++) {
        run(l, vectors, "vector", functions[i], l->out[0]);
        run(l, vectors, "scalar", functions[i], l->out[1]);
        run(l, structs, "vector", functions[i], l->out[2]);
        run(l, structs, "scalar", functions[i], l->out[3]);
        for (int k = 1; k < 4; k++)
            compare(l, functions[i], l->out[k], l->out[0]);
    }
    for (size_t i = 0; i < COUNT(others); i++) {
        run(l, vectors, "vector", others[i], l->out[0]);
        run(l, structs, "vector", others[i], l->out[1]);
        compare(l, others[i], l->out[1], l->out[0]);
    }
    for (size_t i = 0; i < ELEMENTS; i++) {
        run(l, vectors, "scalar", others[i], l->out[0]);
        run(l, structs, "scalar", others[i], l->out[1]);
        compare(l, others[i], l->out[1], l->out[0]);
    }
    dlclose(vectors);
    dlclose(structs);
}

static void structs_of_4_are_vectors(void **state)
{
    if (!__builtin_cpu_supports("fma"))
        skip();
    check_width(*state, 4);
}

static void structs_of_8_are_vectors(void **state)
{
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        skip();
    check_width(*state, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(structs_of_4_are_vectors, setup, teardown),
        cmocka_unit_test_setup_teardown(structs_of_8_are_vectors, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
