/* dialect.h: what differs between the languages kernels are printed in; private to codegen. */
#ifndef MDL_DIALECT_H
#define MDL_DIALECT_H

#include "kernel.h"

typedef struct Dialect {
    const char *name;
    const char *type[KT_PTR + 1];  /* register types by KType */
    const char *storage[DT_COUNT]; /* element types of buffers */
    const char *include;           /* first line of every source */
    const char *head;              /* function head; %f is the name, %t threads, %b blocks */
    const char *head_maps;         /* of one with maps, %m of them */
    const char *head_cluster;      /* .. and in clusters of %c blocks */
    const char *open;              /* first line of a body */
    const char *wait;              /* line that waits for the launch before */
    const char *launch;            /* .. that lets the next one begin */
    const char *unroll;            /* line before a loop to unroll */
    const char *rolled;            /* .. to leave as it is */
    const char *aligned;           /* behind a local array */
    bool casts;                    /* pointers do not convert by themselves */
    const char *restricted;        /* qualifier of pointers to memory nobody else sees */
    /* Loads and stores; %n is the storage type's name, %p the address, %l lanes, %v the value. */
    const char *vload, *vloadn, *vstore, *vstoren;
    const char *vload_aligned, *vstore_aligned;
    /* Reading and writing narrow floats; %n the type's name, %v the element or value. */
    const char *widen, *narrow;
    const char *slot_int, *slot_real; /* argument block; %i the slot number */
    const char *row;                  /* statement that finds the table row of a task */
} Dialect;

extern const Dialect dialect_c, dialect_cuda;

#endif
