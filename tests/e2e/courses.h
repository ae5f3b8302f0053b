/* courses.h: the tiny models of tests/recorded/zoo/training.mdl as they are trained. */
#ifndef MDL_TEST_COURSES_H
#define MDL_TEST_COURSES_H

#include "machine.h"

typedef struct Course {
    const char *stage, *record; /* tests/recorded/zoo/RECORD.safetensors */
    double lr;
    bool texts; /* it reads nothing but tokens */
} Course;

enum { COURSES = 8 };
extern const Course courses[COURSES];

Lab *course_open(const Course *c);
/* With another attribute `precision`. */
Lab *course_open_as(const Course *c, const char *precision);
/* The recorded weights, and the batch that tests train on. */
World course_world(const Lab *lab, const Course *c);
/* n updates from the recorded weights on; losses: the mean loss before each. Returns all states. */
Value **course_train(const Machine *m, const Course *c, int n, double *losses);

/* Fails where a state has other bits; what: what was done to b. */
void course_same(const Lab *lab, Value *const *a, Value *const *b, const char *what);

#endif
