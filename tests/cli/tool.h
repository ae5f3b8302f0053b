/* tool.h: runs the built `mdl` in a folder of its own, on small programs and data made here. */
#ifndef MDL_TEST_TOOL_H
#define MDL_TEST_TOOL_H

#include "runtime.h"

typedef struct Tool {
    Arena *arena;
    const char *dir;     /* the working folder of the program, empty at first */
    const char *env[16]; /* NAME=VALUE, or NAME to be unset; NULL-terminated */
} Tool;

/* cmocka fixtures: *state is the Tool. The folder goes with it. */
int tool_setup(void **state);
int tool_teardown(void **state);

typedef struct Outcome {
    int code; /* exit code, or -signal */
    const char *out, *err;
} Outcome;

/* From here on `mdl` finds what programs import from models/. */
void tool_find_models(Tool *tool);

/* Runs `mdl` with these arguments, NULL-terminated. */
Outcome tool_run(Tool *tool, const char *const *args);
#define RUN(tool, ...) tool_run((tool), (const char *const[]){__VA_ARGS__, NULL})

/* The same, but interrupts it (SIGINT) as soon as this file has `part` in it. */
Outcome tool_interrupt(Tool *tool, const char *const *args, const char *file, const char *part);

/* Fails with both streams unless the exit code is the expected one. */
void check_code(const Outcome *o, int code);
/* Runs, and fails unless it succeeds; returns stdout. */
#define GOOD(tool, ...) tool_good((tool), (const char *const[]){__VA_ARGS__, NULL})
const char *tool_good(Tool *tool, const char *const *args);
void check_has(const char *text, const char *part);
void check_lacks(const char *text, const char *part);

const char *tool_path(Tool *tool, const char *name);
void tool_write(Tool *tool, const char *name, const char *text);
Bytes tool_read(Tool *tool, const char *name);
/* Keeps the first n bytes of a file. */
void tool_cut(Tool *tool, const char *name, size_t n);

/* small.mdl with `from` replaced by `to` (both NULL: as it is), written under that name: an MLP of
 * 16 inputs and 3 classes on idx files. `from` must occur. */
void tool_program(Tool *tool, const char *name, const char *from, const char *to);
/* train-images, train-labels, test-images, test-labels: 64 and 30 rows that are easy to tell apart. */
void tool_data(Tool *tool);
/* image f32[n, 4, 4], label i64[n]; either may be left out. */
typedef struct BatchSpec {
    int64_t n;
    bool image, label;
    DType label_type; /* F64, the zero: I64 */
} BatchSpec;
void tool_batch(Tool *tool, const char *name, const BatchSpec *spec);
StFile *tool_tensors(Tool *tool, const char *name);
/* The folder that `mdl train` made in runs/. */
const char *tool_only_run(Tool *tool);

#endif
