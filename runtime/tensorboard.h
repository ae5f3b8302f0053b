/* tensorboard.h: scalars of a run as a TensorBoard event file. */
#ifndef MDL_TENSORBOARD_H
#define MDL_TENSORBOARD_H

#include "runlog.h"

typedef struct BoardFile {
    int fd; /* -1: none is written */
    bool failed;
} BoardFile;

/* A new file run_dir/events.out.tfevents.*; readers drop what older files have from `step` on. */
bool board_open(BoardFile *f, const char *run_dir, int64_t step, Err *err);
void board_close(BoardFile *f);
/* One event with the numbers that are finite; a disk that is full ends the file, and not the run. */
void board_step(BoardFile *f, const RunPoint *point);
void board_eval(BoardFile *f, const RunEval *eval);

#endif
