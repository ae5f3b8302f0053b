/* target.c: what the machine of this process can do: instruction set from cpuid, cache sizes from
 * sysfs, and rates that the cost model divides by. The rates are one core's share of a busy machine;
 * they order alternatives and are never reported as measurements. */
#include "target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Isa {
    const char *name;
    uint32_t vector, registers;
} Isa;

/* Best first. */
static const Isa isas[] = {{"avx512", 16, 32}, {"avx2", 8, 16}, {"generic", 4, 16}};

static bool has_isa(const char *name)
{
    if (strcmp(name, "generic") == 0)
        return true;
#if defined(__x86_64__)
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (strcmp(name, "avx2") == 0)
        return avx2;
    if (strcmp(name, "avx512") == 0)
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#endif
    return false;
}

/* One short line of a file of sysfs; false when there is none. */
static bool read_fact(unsigned index, const char *fact, char *line, int size)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%u/%s", index, fact);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    bool got = fgets(line, size, f) != NULL;
    fclose(f);
    return got;
}

/* Size of the data or unified cache of a level, or `otherwise`. */
static uint64_t cache_bytes(long level, uint64_t otherwise)
{
    char line[64];
    for (unsigned i = 0; i < 8 && read_fact(i, "level", line, sizeof line); i++) {
        if (strtol(line, NULL, 10) != level || !read_fact(i, "type", line, sizeof line))
            continue;
        if (strncmp(line, "Instruction", 11) == 0 || !read_fact(i, "size", line, sizeof line))
            continue;
        char *unit = NULL;
        uint64_t size = strtoull(line, &unit, 10);
        size <<= *unit == 'K' ? 10 : *unit == 'M' ? 20 : 0;
        return size > 0 ? size : otherwise;
    }
    return otherwise;
}

/* Of the machine, or what its control group allows. */
static uint64_t memory_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t bytes = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_MAX;
    char line[64];
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "r");
    if (!f)
        return bytes;
    uint64_t limit = fgets(line, sizeof line, f) ? strtoull(line, NULL, 10) : 0; /* or "max" */
    fclose(f);
    return limit > 0 && limit < bytes ? limit : bytes;
}

static const Isa *isa_choose(const char *name)
{
    for (size_t i = 0; i < COUNT(isas); i++) {
        if (name ? strcmp(isas[i].name, name) == 0 : has_isa(isas[i].name))
            return &isas[i];
    }
    return NULL;
}

bool target_host(Target *out, const char *isa, Err *err)
{
    const Isa *best = isa_choose(isa);
    if (!best) {
        err_set(err, ERR_USAGE, "unknown instruction set '%s'", isa);
        return err_help(err, "one of avx512, avx2, generic");
    }
    if (!has_isa(best->name))
        return err_set(err, ERR_DEVICE, "this machine has no %s", best->name);
    double clock = 2.5e9, fma_per_cycle = 2;
    *out = (Target){.kind = TK_CPU,
                    .name = "cpu",
                    .isa = best->name,
                    .vector = best->vector,
                    .registers = best->registers,
                    .l1 = cache_bytes(1, 32u << 10),
                    .l2 = cache_bytes(2, 512u << 10),
                    .memory = memory_bytes(),
                    .flops = clock * fma_per_cycle * 2 * best->vector,
                    .bandwidth = 8e9,
                    .launch = 2e-6,
                    .cores = 1};
    return true;
}

/* Rates are what the best kernels reach; of the H100 they were measured: a copy, a product, and the vendor's for f32.
 * They order alternatives, and times are predicted from them. Memory: what nvidia-smi shows (143771, 81559 and 81920 MiB)
 * less what a context takes. The first of an architecture is the one that is compiled for. */
static const Target gpus[] = {{.machine = "h200",
                               .isa = "sm_90a",
                               .chains = true,
                               .l1 = 232448,
                               .l2 = UINT64_C(50) << 20,
                               .memory = UINT64_C(139) << 30,
                               .flops = 60e12,
                               .bandwidth = 4.3e12,
                               .cores = 132,
                               .matrix = 750e12},
                              {.machine = "h100",
                               .isa = "sm_90a",
                               .chains = true,
                               .l1 = 232448,
                               .l2 = UINT64_C(50) << 20,
                               .memory = UINT64_C(79) << 30,
                               .flops = 60e12,
                               .bandwidth = 3.02e12,
                               .cores = 132,
                               .matrix = 739e12},
                              {.machine = "a100",
                               .isa = "sm_80",
                               .l1 = 166912,
                               .l2 = UINT64_C(40) << 20,
                               .memory = UINT64_C(79) << 30,
                               .flops = 17e12,
                               .bandwidth = 1.7e12,
                               .cores = 108,
                               .matrix = 260e12}};

static bool gpu_take(Target *out, const Target *gpu)
{
    *out = *gpu;
    out->kind = TK_CUDA;
    out->name = "cuda";
    out->vector = 4;
    out->registers = 255;
    out->launch = 1e-6; /* in a captured graph */
    return true;
}

bool target_machine(Target *out, const char *machine, Err *err)
{
    for (size_t i = 0; i < COUNT(gpus); i++)
        if (strcmp(gpus[i].machine, machine) == 0)
            return gpu_take(out, &gpus[i]);
    err_set(err, ERR_USAGE, "no figures of a GPU '%s'", machine);
    return err_help(err, "one of h200, h100, a100");
}

bool target_cuda(Target *out, const char *arch, Err *err)
{
    for (size_t i = 0; i < COUNT(gpus); i++)
        if (!arch || strcmp(gpus[i].isa, arch) == 0)
            return gpu_take(out, &gpus[i]);
    err_set(err, ERR_USAGE, "unknown GPU architecture '%s'", arch);
    return err_help(err, "one of sm_80, sm_90a");
}
