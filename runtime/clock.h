/* clock.h: elapsed time. */
#ifndef MDL_CLOCK_H
#define MDL_CLOCK_H

/* Seconds since some fixed moment; never goes back. */
double clock_now(void);

#endif
