/* fibre.h: stacks to switch between; private to the emulator. */
#ifndef MDL_FIBRE_H
#define MDL_FIBRE_H

#include "base.h"

typedef struct Fibre Fibre;
struct Fibre {
    void *sp;     /* or the saved context, where there is no assembly */
    void *stack;  /* lowest byte */
    size_t bytes; /* 0: the stack of a system thread, until it is known */
    void *fake;   /* what ASan keeps for a fibre that sleeps */
    Fibre *from;  /* who switched to it last */
    Fibre *next;  /* in a list of its owner's */
    void (*run)(void *);
    void *arg;
};

/* A stack of `bytes` (whole pages) on which run(arg) begins at the first switch; it must never return. */
void fibre_make(Fibre *f, void (*run)(void *), void *arg);
/* Saves what runs now in `from` and goes on with `to`. */
void fibre_switch(Fibre *from, Fibre *to);

/* n stacks in one mapping, with guard pages between; only what is touched takes memory. */
typedef struct FibreStacks {
    char *base;
    size_t bytes;  /* of one stack */
    size_t mapped; /* of all */
} FibreStacks;

bool fibre_stacks_map(FibreStacks *s, uint32_t n, size_t bytes, Err *err);
void fibre_stacks_unmap(FibreStacks *s);
void *fibre_stack(const FibreStacks *s, uint32_t i);

#endif
