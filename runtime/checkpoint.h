/* checkpoint.h: what the trainer needs of checkpoints beyond runtime.h. */
#ifndef MDL_CHECKPOINT_H
#define MDL_CHECKPOINT_H

#include "runtime.h"

/* Removes what killed processes left half written. Only while no other process trains here. */
bool ckpt_clean(const char *run_dir, Err *err);
/* Whether the disk has room for the checkpoints that a run of `keep` has at a time, beyond those that are
 * there: one more than it keeps, as old ones go last. ERR_DEVICE with what is lacking. */
bool ckpt_preflight(Runtime *rt, const char *run_dir, uint32_t keep, Err *err);

/* ckpt_save that leaves more alone than the newest ones: -1 for nothing. */
typedef struct CkptKeep {
    uint32_t newest; /* 0: all */
    int64_t best[2];
} CkptKeep;
bool ckpt_save_keep(Runtime *rt, const char *run_dir, const CkptPosition *pos, const CkptKeep *keep,
                    Err *err);
/* The path of the newest checkpoint that is intact, and where it stood; NULL: ERR_FILE without any. */
const char *ckpt_find(Arena *arena, const char *run_dir, CkptPosition *pos, Err *err);

/* States as tensors of a file. */
typedef struct CkptTensors {
    StTensor *at;
    uint32_t *state; /* the plan's number of each */
    uint32_t n;
} CkptTensors;
/* Parameters and buffers: what weights.safetensors has. */
CkptTensors ckpt_weights(Arena *arena, Runtime *rt);

/* ---- manifest.c ---- */

/* The manifest of a checkpoint: where the run stood, and what its files must be. */
enum { MANIFEST_FILES = 2 };

typedef struct ManifestFile {
    const char *name;
    uint64_t bytes;
    char hash[33]; /* XXH3-128, hexadecimal */
} ManifestFile;

typedef struct Manifest {
    uint64_t plan; /* plan_hash */
    CkptPosition pos;
    ManifestFile files[MANIFEST_FILES]; /* in the order of manifest_names */
} Manifest;

/* "weights.safetensors", "state.safetensors". */
extern const char *const manifest_names[MANIFEST_FILES];

bool manifest_write(const Manifest *m, const char *dir, Err *err);
/* Reads dir/manifest.json. ERR_FILE when absent, ERR_DATA when anything in it is wrong. */
bool manifest_read(Manifest *m, const char *dir, Err *err);
/* Whether the files of the folder are what the manifest says. ERR_FILE, ERR_DATA. */
bool manifest_verify(const Manifest *m, const char *dir, Err *err);

#endif
