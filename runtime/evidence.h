/* evidence.h: what a run that diverged leaves behind for people. */
#ifndef MDL_EVIDENCE_H
#define MDL_EVIDENCE_H

#include "trainer.h"

/* Writes RUN/nan-step-N: batch.safetensors, weights.safetensors and evidence.json, which names the first tensor
 * that was not finite, found by running the passes again. Gives a text that continues "the loss is
 * nan", in the trainer's memory; NULL with *err when it cannot be written. */
const char *evidence_write(Trainer *t, const LoaderBatch *batch, const StepFault *fault, Err *err);

#endif
