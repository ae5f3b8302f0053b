/* runtime.h: the public library: load a plan, run its entries, train, evaluate. Never sees the
 * compiler. C++-safe. Every call that can fail returns false or NULL and fills *err. */
#ifndef MDL_RUNTIME_H
#define MDL_RUNTIME_H

#include "base.h"
#include "plan.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Runtime Runtime;

/* RT_AUTO: a GPU where one works and the plan has kernels for it, else the CPU. */
typedef enum RtDevice {
    RT_AUTO,
#define DEVICE(id, name, automatic) RT_##id,
#include "devices.def"
#undef DEVICE
} RtDevice;

typedef struct RtOptions {
    RtDevice device;
    int threads;           /* 0: all cores */
    const char *cache_dir; /* NULL: the default cache */
    bool quiet;            /* no progress on stderr */
} RtOptions;

/* ---- devices.c ---- */

const char *rt_device_name(RtDevice device); /* "auto", "cpu" .. */
bool rt_device_find(const char *name, RtDevice *out);
/* Whether a device works on this machine, for RT_AUTO the first one that does; and what plans for it are
 * compiled for. ERR_DEVICE, with what to do. */
typedef struct RtHere {
    RtDevice device;
    PlanTargetKind kind;
    const char *isa;
} RtHere;
bool rt_device_here(RtDevice wish, RtHere *out, Err *err);
/* Of the texts that kernels of a kind include: what a plan remembers (PlanTarget.prelude_hash). */
uint64_t rt_prelude_hash(PlanTargetKind kind);

/* ---- exec.c: one plan on one device ---- */

/* The plan must outlive it. ERR_DEVICE: it has no kernels for the device, or the device does not work. */
Runtime *rt_open(const Plan *plan, const RtOptions *opt, Err *err);
void rt_close(Runtime *rt);
const Plan *rt_plan(const Runtime *rt);
int rt_threads(const Runtime *rt);
uint32_t rt_target(const Runtime *rt); /* of the plan's targets, that its kernels run for */
/* Values of one entry call. inputs[i]: host data of the entry's i-th input binding, in the plan's
 * dtype and row-major; syms[i]: extent of plan symbol i (checked against its range). */
typedef struct RtCall {
    const void *const *inputs;
    const int64_t *syms;
    int64_t step;
    double lr;
    bool first;      /* first micro-batch of an update */
    int64_t seed;    /* of random numbers: rng_seed */
    double progress; /* 0 to 1 over the stage */
    int64_t past;    /* rows that growing states have */
    int64_t row0;    /* where the rows of this pass begin in the batch */
} RtCall;
/* Runs an entry to the end. No allocation. Results stay valid until the next call. */
bool rt_run(Runtime *rt, uint32_t entry, const RtCall *call, Err *err);
/* What rt_run of an entry did last, `times` times more behind one another and without transfers, and the seconds
 * of all by the device's clock. What a device keeps of it for that, it does once before. */
bool rt_repeat(Runtime *rt, uint32_t entry, uint32_t times, double *seconds, Err *err);
/* Called after every launch of rt_run, with its entry and its number in it; NULL: no longer. */
typedef void (*RtWatchFn)(void *user, uint32_t entry, uint32_t launch);
void rt_watch(Runtime *rt, RtWatchFn fn, void *user);
/* The same before every launch. */
void rt_watch_before(Runtime *rt, RtWatchFn fn, void *user);
/* Launches done per kernel since rt_open, by plan kernel index, and the seconds of those that were timed: on
 * the CPU all, on a device with a queue those of watched calls and of one early call of each entry. */
typedef struct RtKernelTime {
    double seconds;
    uint64_t launches, timed;
} RtKernelTime;
const RtKernelTime *rt_kernel_times(const Runtime *rt);

/* ---- loan.c: what lies on the device, in the memory of the host ---- */

/* Row-major, in the plan's dtype. Where the host sees the device's memory it is that memory; else a copy,
 * which RT_READ fills, and which goes back when a loan with RT_WRITE is returned. Every loan is returned,
 * before the next rt_run. */
typedef enum RtAccess { RT_READ = 1, RT_WRITE = 2 } RtAccess;
typedef struct RtLoan {
    void *data;
    size_t bytes;
    void *device; /* private */
    bool writes;
} RtLoan;
bool rt_lend_state(Runtime *rt, uint32_t state, unsigned access, RtLoan *out, Err *err);
/* Result i of the entry that ran last, to be read. */
bool rt_lend_result(Runtime *rt, uint32_t entry, uint32_t i, RtLoan *out, Err *err);
/* Any tensor of the entry that runs or ran last, with the extents of that call, to be read. */
bool rt_lend_tensor(Runtime *rt, uint32_t entry, uint32_t tensor, RtLoan *out, Err *err);
/* All states, or all temporaries, which hold nothing between calls. For who looks at all of it. */
bool rt_lend_arena(Runtime *rt, PlanArena arena, unsigned access, RtLoan *out, Err *err);
bool rt_return(Runtime *rt, RtLoan *loan, Err *err);
size_t rt_state_bytes(const Runtime *rt, uint32_t state);
void rt_clear_state(Runtime *rt, uint32_t state); /* zeros */
/* The first, or only, element. */
bool rt_state_number(Runtime *rt, uint32_t state, double *out, Err *err);
bool rt_result_number(Runtime *rt, uint32_t entry, uint32_t i, double *out, Err *err);

/* ---- init.c ---- */

/* Fills all states: parameters and buffers by their initialisers (Philox 4x32-10 keyed by seed and
 * path, in f64), everything else with zeros. */
bool rt_init(Runtime *rt, uint64_t seed, Err *err);
/* The same, then weights from a file; so every state has a value. */
bool rt_init_from(Runtime *rt, uint64_t seed, const char *weights, Err *err);

/* ---- safetensors.c, sttype.c ---- */

typedef struct StTensor {
    const char *name;
    DType dtype;      /* DT_COUNT: a type of the format that the language has not */
    const char *type; /* as the file calls it; files that were read */
    uint32_t rank;
    int64_t dim[PLAN_MAX_RANK];
    const void *data; /* in the mapped file, or the caller's memory when writing */
    size_t bytes;
    /* Writing, instead of `data`, of what is in memory only while it is written; or NULL. lend: NULL after
     * an error. */
    const void *(*lend)(void *user, Err *err);
    bool (*give_back)(void *user, Err *err);
    void *user;
} StTensor;

typedef struct StFile {
    StTensor *tensors;
    uint32_t n;
    void *map;
    size_t map_bytes;
    Arena *arena;
} StFile;

/* Maps and checks a file: header limits, JSON, dtypes, shapes, offsets without gaps or overlaps
 * (the rules of the safetensors format). ERR_FILE / ERR_DATA. */
StFile *st_open(const char *path, Err *err);
/* The same for bytes in memory (kept by the caller; any alignment). */
StFile *st_from_bytes(const void *data, size_t n, Err *err);
/* Weights under one of the usual names: a file; an index (NAME.index.json, whose `weight_map` gives
 * the file of each tensor, beside it); or a folder with model.safetensors, model.safetensors.index.json
 * or weights.safetensors, or with one safetensors file. */
StFile *st_open_weights(const char *path, Err *err);
void st_close(StFile *f);
const StTensor *st_find(const StFile *f, const char *name); /* NULL when absent */
/* What its elements are called in messages: "f32", "U32". */
const char *st_type_name(const StTensor *t);
/* What kind of numbers they are; false when they cannot be read: complex, less than 8 bits ... */
bool st_kind(const StTensor *t, DKind *kind);
/* Element i of a tensor that can be read; the data may have any alignment. */
size_t st_count(const StTensor *t);
double st_load(const StTensor *t, size_t i);
/* Of whole numbers, exactly; false when it is more than an int64_t holds. */
bool st_load_int(const StTensor *t, size_t i, int64_t *out);
/* Writes atomically (temp + fsync + rename). metadata: key, value, .., NULL; or NULL. */
bool st_write(const char *path, const StTensor *tensors, uint32_t n, const char *const *metadata,
              Err *err);

/* Parameters (and buffers) by key from weights (st_open_weights); ERR_DATA when one is missing or has
 * another shape. Extras are ignored. */
bool rt_load_weights(Runtime *rt, const char *path, Err *err);

/* ---- dataset.c ---- */

typedef struct Dataset Dataset;

/* Opens the arrays of plan data d: relative paths beside the .mdl, then in each folder of $MDL_DATA.
 * Checks shapes against the fields. ERR_FILE (help: where it looked) / ERR_DATA. */
Dataset *data_open(const Plan *plan, uint32_t d, Err *err);
void data_close(Dataset *ds);
int64_t data_rows(const Dataset *ds);
/* Fills out[f] (row-major, field dtype, room for n rows) with the rows listed. Gives how many rows of the
 * batch they are: n, or fewer where texts share rows; 0 after an error. */
int64_t data_batch(Dataset *ds, const int64_t *rows, int64_t n, void *const *out, Err *err);
/* The row of sample p of a run, O(1). Data have epochs of data_rows samples; each is a permutation that
 * the seed and the epoch choose, or the rows as they are when the data do not shuffle or seed is NULL. */
int64_t data_sample(const Dataset *ds, const uint64_t *seed, int64_t p);

/* ---- checkpoint.c ---- */

typedef struct CkptPosition {
    int64_t step;   /* updates done */
    int64_t sample; /* samples consumed since the start */
    uint64_t seed;
} CkptPosition;

/* Writes run_dir/checkpoints/step-N: weights.safetensors, state.safetensors, manifest.json (with
 * sizes and XXH3-128 of both), through a temp folder, fsync, rename, fsync of the parent; then
 * removes older ones beyond `keep` (0: keeps all). A kill at any moment leaves the previous one. */
bool ckpt_save(Runtime *rt, const char *run_dir, const CkptPosition *pos, uint32_t keep, Err *err);
/* Loads the newest checkpoint that verifies (a broken one is reported on stderr and skipped).
 * *found = false and true returned when there is none; ERR_DATA when all that exist are broken. */
bool ckpt_load(Runtime *rt, const char *run_dir, CkptPosition *pos, bool *found, Err *err);
/* The path of the newest checkpoint folder, or NULL. */
const char *ckpt_newest(Arena *arena, const char *run_dir);

/* ---- train.c, eval.c ---- */

/* A stage that this one is `after`: where it was trained, and the weights that are taken from it. */
typedef struct RtSource {
    const char *run_dir;
    const Map *keys; /* hash_text of their keys; NULL: all that both stages have */
} RtSource;

typedef struct TrainOptions {
    const char *run_dir; /* checkpoints, run.jsonl */
    int64_t max_steps;   /* stop after this many updates in total (0: as the plan says) */
    bool quiet;
    int64_t trace_from, trace_to; /* steps that trace.json shows; 0: none */
    const RtSource *sources;      /* what a run begins with, in order: later ones win */
    uint32_t nsource;             /* 0: with initial values */
    bool new_data;                /* go on even if the data is not what it was */
} TrainOptions;

typedef struct TrainResult {
    int64_t steps;
    double loss;      /* of the last logged window; NaN when no update was left to do */
    double seconds;   /* in this process */
    bool interrupted; /* SIGINT or SIGTERM: state saved */
    bool complete;    /* the last step of the plan was made, now or before */
} TrainResult;

/* Trains (or resumes) to the end: data order, schedule, micro + update, evals, checkpoints,
 * run.jsonl, a progress line. ERR_DIVERGED on a non-finite loss. */
bool rt_train(Runtime *rt, const TrainOptions *opt, TrainResult *out, Err *err);

typedef struct EvalMetric {
    const char *name;
    double value;
} EvalMetric;

/* Runs plan eval e over its data. metrics has nmetric of the eval entries. */
bool rt_eval(Runtime *rt, uint32_t eval, EvalMetric *metrics, int64_t *rows, Err *err);
/* Learning-rate factor of update `step` (1-based) of `total`. */
double schedule_factor(const Plan *plan, const PlanRun *run, int64_t step, int64_t total,
                       double steps_per_epoch);

/* ---- generate.c ---- */

typedef struct GenerateOptions {
    const char *prompt; /* empty: from the beginning of a text */
    size_t nprompt;
    int64_t max_tokens; /* 0: as the plan says */
    int64_t seed;       /* -1: as the plan says */
    /* Gets the text as it is written, without the prompt; false with *err filled stops. */
    bool (*write)(void *user, const char *text, size_t n, Err *err);
    void *user;
} GenerateOptions;

typedef struct GenerateResult {
    int64_t tokens;
    bool ended; /* the model ended the text, by the tokenizer's `<eos>` */
} GenerateResult;

/* Writes a text with plan generate g; its parameters have values (rt_init_from). */
bool rt_generate(Runtime *rt, uint32_t generate, const GenerateOptions *opt, GenerateResult *out,
                 Err *err);

/* ---- bench.c ---- */

typedef struct BenchResult {
    int64_t updates;       /* that were measured */
    double least, median;  /* seconds of one update */
    double cpu;            /* of processors, all threads together; the least */
    RtKernelTime *kernels; /* in one update, by plan kernel: the least seconds; launches */
} BenchResult;

/* Repeats an update of the plan's run on its first batch for about so many seconds. States end up
 * as new. */
bool rt_bench(Runtime *rt, double seconds, Arena *arena, BenchResult *out, Err *err);

#ifdef __cplusplus
}
#endif

#endif
