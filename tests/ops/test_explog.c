/* LIBS: mdl_base dl m */
/* test_explog.c: exp2, expm1, log2 and log1p of the kernels' prelude against libm in f64, over all
 * exponents and signs, in units in the last place; and their special values. */
#include "../support/testrand.h"
#include "base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void (*RunFn)(const float *x, float *y, long n);

typedef struct Function {
    const char *name;
    double (*exact)(double x);
    double ulp;
} Function;

static const Function functions[] = {
    {"exp2", exp2, 2}, {"expm1", expm1, 3}, {"log2", log2, 2}, {"log1p", log1p, 3}};

static const char *const flags[] = {"-DMDL_W=4", "-DMDL_W=8 -march=x86-64-v3",
                                    "-DMDL_W=16 -march=x86-64-v4"};

enum { COUNT_X = 1 << 16 };

/* One shared object with a function run_NAME each; NULL when this machine cannot run it. */
static void *compile(const char *dir, const char *how)
{
    char path[64], so[64], command[512];
    snprintf(path, sizeof path, "%s/k.c", dir);
    snprintf(so, sizeof so, "%s/k%c.so", dir, how[7]);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("#include \"mdl.h\"\n", f);
    for (size_t i = 0; i < COUNT(functions); i++)
        fprintf(f,
                "__attribute__((visibility(\"default\")))\n"
                "void run_%s(const float *x, float *y, long n)\n"
                "{ for (long i = 0; i < n; i++) y[i] = mdl_%s_f32(x[i]); }\n",
                functions[i].name, functions[i].name);
    fclose(f);
    const char *cc = getenv("MDL_CC");
    snprintf(command, sizeof command,
             "%s -std=gnu11 -O2 -w -fno-math-errno -ffp-contract=off -fwrapv %s -shared -fPIC "
             "-I%s/runtime/prelude/c -I%s/runtime/prelude/common %s -o %s -lm",
             cc ? cc : "gcc", how, MDL_SOURCE_DIR, MDL_SOURCE_DIR, path, so);
    if (system(command) != 0)
        fail_msg("compiler failed: %s", command);
    void *dl = dlopen(so, RTLD_NOW | RTLD_LOCAL);
    if (!dl)
        fail_msg("%s", dlerror());
    return dl;
}

static bool runs_here(size_t isa)
{
    return isa == 0 ||
           (isa == 1 ? __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
                     : __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                           __builtin_cpu_supports("avx512vl"));
}

/* Of one rounding of `want` to f32; subnormals have the spacing of the smallest normal number. */
static double ulps(float got, double want)
{
    int e;
    frexp(want, &e);
    return fabs((double)got - want) / ldexp(1, (e < -125 ? -125 : e) - 24);
}

static void check(const Function *f, float x, float got)
{
    double want = f->exact((double)x);
    float rounded = (float)want;
    bool same =
        isnan(want) ? isnan(got) != 0 : got == rounded && !signbit(got) == !signbit(rounded);
    bool exact = want == floor(want) && fabs(want) <= 150; /* powers of two, zeros */
    if (same || (!exact && isfinite(got) && isfinite(want) && ulps(got, want) <= f->ulp))
        return;
    if (isinf(got) && fabs(want) > 3.4028234e38) /* rounds to infinity or nearly */
        return;
    fail_msg("%s(%.9g) is %.9g, expected %.9g", f->name, (double)x, (double)got, want);
}

static void fill(TestRand *r, float *x)
{
    static const float special[] = {0.0F, -0.0F, 1.0F,       -1.0F,       0.5F,   1e-30F, -1e-30F,
                                    NAN,  88.7F, INFINITY,   -INFINITY,   1e-45F, 128.0F, -149.0F,
                                    2.0F, 4.0F,  3.4028e38F, -3.4028e38F, -1.5F,  88.8F,  -150.5F};
    for (int i = 0; i < COUNT_X; i++) {
        if (i < (int)COUNT(special)) {
            x[i] = special[i];
        } else if (i % 2) {
            uint32_t bits = (uint32_t)rand_below(r, 1 << 16) << 16 | rand_below(r, 1 << 16);
            memcpy(&x[i], &bits, sizeof bits);
        } else {
            x[i] = (float)rand_range(r, -2, i % 4 ? 2 : 100);
        }
    }
}

static void test_errors(void **state)
{
    UNUSED(state);
    static float x[COUNT_X], y[COUNT_X];
    char dir[] = "/tmp/mdl-explog-XXXXXX";
    assert_non_null(mkdtemp(dir));
    TestRand r = {20240607};
    for (size_t isa = 0; isa < COUNT(flags); isa++) {
        if (!runs_here(isa))
            continue;
        void *dl = compile(dir, flags[isa]);
        fill(&r, x);
        for (size_t i = 0; i < COUNT(functions); i++) {
            char name[16];
            snprintf(name, sizeof name, "run_%s", functions[i].name);
            RunFn run;
            void *symbol = dlsym(dl, name);
            assert_non_null(symbol);
            memcpy(&run, &symbol, sizeof run);
            run(x, y, COUNT_X);
            for (int k = 0; k < COUNT_X; k++)
                check(&functions[i], x[k], y[k]);
        }
        dlclose(dl);
    }
    Err err = {0};
    assert_true(file_remove_tree(dir, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
