/* rowcode.h: a field's program, shared by rowprog.c (checks it) and rowrun.c (runs it). */
#ifndef MDL_ROWCODE_H
#define MDL_ROWCODE_H

#include "rowprog.h"

enum { ROW_BLOCK_ELEMS = 4096 };

/* A value: `count` elements a row, or one text; `uniform`: one element for all rows. */
typedef struct RowValue {
    double *at;
    RowText *text;
    int64_t count;
    bool uniform;
} RowValue;

typedef struct RowShape {
    bool text;
    uint32_t rank;
    int64_t dim[PLAN_MAX_RANK];
} RowShape;

/* One instruction with its shapes known. */
typedef struct RowInsn {
    uint32_t op, a;
    double num;
    int64_t count; /* elements a row of the result */
    int64_t from;  /* elements a row of the first operand */
} RowInsn;

struct RowProg {
    const Source *source;
    const PlanField *field; /* NULL: a text */
    const char *name;
    RowInsn *code;
    uint32_t ncode;
    int64_t count; /* elements of one row of the field */
    int64_t block; /* rows evaluated at once */
    int64_t widest;
    bool texts;         /* some value is a text */
    bool copies;        /* the field is dense column code[0].a as it is */
    const float *table; /* results by the byte of dense column code[0].a; NULL: no shortcut */
};

/* Operands that an operation takes from the stack. */
extern const uint8_t row_pops[RO_COUNT];

#endif
