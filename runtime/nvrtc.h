/* nvrtc.h: NVIDIA's compiler of GPU text, a library that is opened when it is needed: neither it nor its
 * headers are needed to build. Needs no GPU and no driver. */
#ifndef MDL_NVRTC_H
#define MDL_NVRTC_H

#include "base.h"

typedef struct Nvrtc Nvrtc;

/* $MDL_NVRTC, else by name, else in the folders of $CUDA_HOME, $CUDA_PATH and /usr/local/cuda*. NULL and
 * ERR_DEVICE with help when there is none that can be used. newest: of CUDA newest.x at
 * most, since an older driver need not know what a newer NVRTC makes; 0: any. It stays loaded until the
 * process ends. */
Nvrtc *nvrtc_open(Arena *arena, int newest, Err *err);
const char *nvrtc_path(const Nvrtc *n);
const char *nvrtc_version(const Nvrtc *n); /* "13.0" */

typedef struct NvrtcText {
    const char *name; /* in messages */
    const char *text;
    const char *arch;                /* "sm_80"; "compute_80": PTX instead of machine code */
    const char *const *header_names; /* what the text may include; both end with NULL */
    const char *const *header_texts;
    const char *const *options; /* beyond nvrtc_options, ends with NULL; may be NULL */
} NvrtcText;

/* What every text is compiled with, beside the architecture; ends with NULL. */
extern const char *const nvrtc_options[];

typedef struct NvrtcResult {
    Bytes cubin;     /* or the PTX, a string */
    const char *log; /* of the compiler, also on failure */
} NvrtcResult;

/* Several threads may compile at once. ERR_DEVICE with the first lines of the log. */
bool nvrtc_compile(const Nvrtc *n, Arena *arena, const NvrtcText *in, NvrtcResult *out, Err *err);

#endif
