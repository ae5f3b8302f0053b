/* faults.h: system calls that fail once. A test program is linked with --wrap for the calls below, so that
 * whatever the libraries under test ask of the system goes through faults.c, which counts it, and at the
 * call chosen beforehand fails it, shortens it or ends the process. The product has no hook for this. */
#ifndef MDL_TEST_FAULTS_H
#define MDL_TEST_FAULTS_H

#include <stdint.h>

typedef enum FaultKind {
    FAULT_NONE,   /* only counts */
    FAULT_EIO,    /* the call fails and has no effect */
    FAULT_ENOSPC, /* the same with another errno; calls that never need space say EIO */
    FAULT_SHORT,  /* a write does half of its work; other calls do all of it */
    FAULT_KILL_BEFORE,
    FAULT_KILL_AFTER
} FaultKind;

/* From now on call number `at` (from 1) has the fault. */
void faults_begin(FaultKind kind, uint32_t at);
/* Back to normal; the number of calls since. */
uint32_t faults_end(void);
/* The name of the call that had the fault, or NULL when there were fewer. */
const char *faults_hit(void);

#endif
