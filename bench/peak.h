/* peak.h: the multiply-adds that one thread of this machine can do, as benches measure them. */
#ifndef MDL_BENCH_PEAK_H
#define MDL_BENCH_PEAK_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef double (*PeakFn)(long steps); /* the number of operations of a step */

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the peak: independent multiply-adds in registers, compiled for this machine ---- */

static const char peak_text[] =
    "#if defined(__AVX512F__)\n"
    "#define W 16\n"
    "#define FMA(a, b, c) __builtin_ia32_vfmaddps512_mask(a, b, c, (unsigned short)-1, 4)\n"
    "#elif defined(__FMA__)\n"
    "#define W 8\n"
    "#define FMA(a, b, c) __builtin_ia32_vfmaddps256(a, b, c)\n"
    "#else\n"
    "#define W 4\n"
    "#define FMA(a, b, c) ((a) * (b) + (c))\n"
    "#endif\n"
    "#define N 12\n"
    "typedef float V __attribute__((vector_size(4 * W)));\n"
    "double peak(long steps) {\n"
    "    V c[N], a = (V){0} + 0.999f, b = (V){0} + 0.001f;\n"
    "    for (int i = 0; i < N; i++) c[i] = (V){0} + (float)i;\n"
    "    for (long s = 0; s < steps; s++) {\n"
    "        _Pragma(\"GCC unroll 12\") for (int i = 0; i < N; i++) c[i] = FMA(c[i], a, b);\n"
    "    }\n"
    "    float sum = 0;\n"
    "    for (int i = 0; i < N; i++) sum += c[i][0];\n"
    "    return sum == 0.5f ? 0 : 2.0 * W * N;\n"
    "}\n";

static bool write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    bool ok = f && fputs(text, f) >= 0;
    return f && fclose(f) == 0 && ok;
}

/* NULL after a message. */
static PeakFn open_peak(const char *folder)
{
    char source[128], library[128], command[512];
    const char *cc = getenv("MDL_CC");
    snprintf(source, sizeof source, "%s/peak.c", folder);
    snprintf(library, sizeof library, "%s/peak.so", folder);
    snprintf(command, sizeof command, "%s -O2 -march=native -shared -fPIC %s -o %s", cc ? cc : "cc",
             source, library);
    PeakFn fn = NULL;
    if (write_file(source, peak_text) && system(command) == 0) {
        void *handle = dlopen(library, RTLD_NOW);
        void *symbol = handle ? dlsym(handle, "peak") : NULL;
        memcpy(&fn, &symbol, sizeof fn);
    }
    unlink(source);
    unlink(library);
    if (!fn)
        fprintf(stderr, "the loop of multiply-adds does not compile\n");
    return fn;
}

#endif
