/* records.h: tuning records: for kernel problems and targets the configuration that was the fastest when it was
 * measured. A file of JSON, one record a line, newest last:
 *
 *     {"mdl.tuning":1,"problem":"59ac73a4f473a1b2","class":"gemm","isa":"sm_90a","config":[128,256,64,4,8,1,1],
 *      "seconds":1.8e-4,"usual":2.1e-4,"device":"NVIDIA H100 80GB HBM3"}
 *
 * "library":{"cublaslt":130000,"workspace":0,"algorithm":"..128 digits.."} says that cuBLASLt of that version computes it,
 * by that cublasLtMatmulAlgo_t.
 *
 * problem: of the group's Def and class (pick.h). A line of another version is left out and counted; a line that is
 * no such record is an error with its number. What a record says is taken only if it is one of the configurations
 * that `pick` would consider, so a file cannot make kernels that nobody has tried to compile. */
#ifndef MDL_RECORDS_H
#define MDL_RECORDS_H

#include "library.h"

enum {
    RECORDS_VERSION = 1, /* raised when a configuration of the same numbers means something else */
    RECORDS_MOST = 1 << 17,
    RECORDS_BYTES = 64 << 20,
    RECORD_INTS = 64
};

typedef struct TuningRecord {
    uint64_t problem;
    const char *cls, *isa, *device; /* device: ""; or the name of the one that it was measured on */
    const int64_t *config;
    uint32_t n;
    bool by_library; /* cuBLASLt computes it; the kernel of `config` does where there is none */
    LibraryChoice library;
    double seconds,
        usual; /* of a launch: with this configuration, and with that of the cost model; 0: not known */
    uint32_t line;
} TuningRecord;

struct Records {
    const char *path;
    VEC(TuningRecord) at;
    Map *newest;    /* of problem and isa: number in `at` + 1 */
    uint32_t other; /* lines of another version */
};
typedef struct Records Records;

/* In arena. NULL: ERR_FILE; ERR_DATA, which says the line and what is wrong with it. */
Records *records_read(Arena *arena, const char *path, Err *err);
/* The same of n bytes; path is for messages. */
Records *records_parse(Arena *arena, const char *path, const void *data, size_t n, Err *err);
/* The newest one; NULL: none. */
const TuningRecord *records_find(const Records *r, uint64_t problem, const char *isa);
/* Puts a record behind the others, in memory. */
void records_add(Arena *arena, Records *r, const TuningRecord *record);
/* The line, without its end. */
const char *record_text(Arena *arena, const TuningRecord *record);
/* Adds the line to a file, which is made when there is none, in one write that is on disk when it returns. ERR_FILE. */
bool record_append(const char *path, const TuningRecord *record, Err *err);

#endif
