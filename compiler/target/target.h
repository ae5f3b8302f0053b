/* target.h: facts about the device a plan is compiled for, and the kernel classes it offers. */
#ifndef MDL_TARGET_H
#define MDL_TARGET_H

#include "ir.h"

typedef enum TargetKind { TK_CPU, TK_CUDA, TK_COUNT } TargetKind;

typedef struct Target {
    TargetKind kind;
    const char *name;   /* "cpu", "cuda" */
    const char *isa;    /* "avx512", "avx2", "generic"; "sm_80", "sm_90a": named in the plan */
    uint32_t vector;    /* f32 lanes: 16, 8, 4; of one thread of a GPU: 4 */
    uint32_t registers; /* vector registers: 32 or 16; of one thread of a GPU: 255 */
    uint64_t l1, l2;    /* bytes per core; of a GPU: shared memory of one block, and the whole L2 */
    uint64_t memory;    /* bytes that this process may have; of a GPU: its memory */
    double flops;       /* f32 FLOP/s of one core, of the whole GPU: for the cost model */
    double bandwidth;   /* bytes/s from memory, of the same */
    double launch;      /* seconds per kernel launch */
    uint32_t cores;     /* multiprocessors of a GPU; CPU: 1, the unit of the rates above */
    double matrix;      /* FLOP/s of 16-bit products; CPU: 0, they are widened */
    bool chains; /* kernels may begin before the one before them has ended (griddepcontrol) */
    const char *machine; /* of a GPU: whose rates these are, "h200"; CPU: NULL */
} Target;

/* The machine this process runs on. `isa` NULL: the best it has; else "avx2", "avx512", "generic".
 * False when the machine lacks it. */
bool target_host(Target *out, const char *isa, Err *err);

/* A GPU of an architecture, whether one is there or not: "sm_80" (facts of an A100), "sm_90a" (of an H200,
 * and of an H100 but for its memory). NULL: sm_90a. */
bool target_cuda(Target *out, const char *arch, Err *err);

/* A GPU by name, for predicted times: "h100", "h200", "a100". What is compiled follows from its architecture alone. */
bool target_machine(Target *out, const char *machine, Err *err);

/* Whether kernels for operations of this class can be made; the interpreter runs all of them. */
bool target_runs(const Target *t, OpClass cls);

/* Kernel classes (classes.def). Each layer expands its own columns. */
typedef enum KernelClass {
#define CLASS(id, ...) KC_##id,
#include "classes.def"
#undef CLASS
    KC_COUNT
} KernelClass;

/* Whether the class has a kernel for this body of the composite, in which no calls are left: an op of the
 * user's may have the same name, so the body decides. */
typedef bool (*ClaimFn)(const Target *t, const Graph *body);

/* The config tuple of a class on one kind of target. */
typedef struct ClassConfig {
    const char *members; /* their names: "mr nr kc mc"; NULL: the class has no kernels there */
    uint32_t n;
} ClassConfig;

/* Of the rates of a GPU, what kernels of a class reach (costs.h). */
typedef struct ClassReach {
    double matrix, products, memory;
} ClassReach;

typedef struct ClassInfo {
    const char *name; /* the `class` attribute of a group */
    const char *doc;
    ClassConfig config[TK_COUNT];
    const char *composite; /* whose calls it runs whole, if claims() agrees; NULL: none */
    ClaimFn claims;
    ClassReach reach;
} ClassInfo;

/* How a class makes one kernel: the numbers that its row in classes.def names. */
typedef struct KernelConfig {
    const int64_t *ints;
    uint32_t n;
    bool loose;             /* operands may begin anywhere: slices of a loop's tensors */
    const int64_t *library; /* LIBRARY_INTS (library.h): what may run in its place; NULL: nothing */
} KernelConfig;

const ClassInfo *class_info(KernelClass c);
bool class_find(const char *name, KernelClass *out);
/* The first class that claims a composite. body NULL: that might, by the name alone. */
bool class_claims(const Target *t, Sym composite, const Graph *body, KernelClass *out);

#endif
