/* simtload.c: texts of GPU kernels to functions that the emulator can run.
 *
 * -O1, since tests compile more than they run. A checked kernel is compiled with -fsanitize=thread, which
 * makes a call of every access, and linked without the library that defines these calls: the prelude does
 * (mdl_check.h). So -nodefaultlibs, which is what keeps gcc from linking it. */
#include "simtload.h"
#include "prelude.h"

#define COMMON_FLAGS                                                        \
    "-std=gnu11", "-O1", "-ffp-contract=off", "-fno-math-errno", "-fwrapv", \
        "-fno-stack-protector", "-fPIC", "-shared", "-Wl,-Bsymbolic", "-w"

static const char *const plain_flags[] = {COMMON_FLAGS, NULL};
static const char *const check_flags[] = {COMMON_FLAGS, "-g1", "-fsanitize=thread",
                                          "-nodefaultlibs", NULL};
static const char *const asan_flags[] = {COMMON_FLAGS, "-g1", "-fsanitize=address", NULL};
static const char *const plain_link[] = {NULL};
static const char *const check_link[] = {"-lc", NULL};

static const struct {
    const char *const *flags, *const *link;
} modes[] = {
    [SIMT_PLAIN] = {plain_flags, plain_link},
    [SIMT_CHECK] = {check_flags, check_link},
    [SIMT_ASAN] = {asan_flags, plain_link},
};

/* Vectors of a kernel have the same bits with any instruction set that fuses multiply-adds. */
static const char *isa_flag(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("bmi2"))
        return "-march=x86-64-v3";
#endif
    return NULL;
}

Units *simt_load(const char *const *texts, uint32_t n, SimtMode mode, const DeviceOptions *opt,
                 Err *err)
{
    const UnitFlavour flavour = {.prelude_names = mdl_prelude_simt_names,
                                 .prelude_texts = mdl_prelude_simt_texts,
                                 .flags = modes[mode].flags,
                                 .link = modes[mode].link};
    const UnitTexts list = {.at = texts, .n = n, .flavour = &flavour, .isa_flag = isa_flag()};
    if (mode == SIMT_ASAN && !SIMT_HAS_ASAN) {
        err_set(err, ERR_USAGE, "kernels with ASan need a program built with it");
        return NULL;
    }
    return units_load(&list, opt, err);
}

bool simt_find(const Units *u, uint32_t text, const char *kernel, SimtMode mode, SimtLaunch *out)
{
    void *found = units_symbol(u, text, kernel), *enter = units_symbol(u, text, "mdl_engine_enter");
    char of_cluster[512];
    snprintf(of_cluster, sizeof(of_cluster), "%s_cluster", kernel);
    const int *cluster = units_symbol(u, text, of_cluster);
    if (!found || !enter)
        return false;
    out->name = kernel;
    memcpy(&out->kernel, &found, sizeof(found));
    memcpy(&out->enter, &enter, sizeof(enter));
    out->object = units_object(u, text);
    out->check = mode == SIMT_CHECK;
    out->cluster = cluster ? *cluster : 0;
    return true;
}
