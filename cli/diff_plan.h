/* diff_plan.h: what differs between two finished plans. */
#ifndef MDL_DIFF_PLAN_H
#define MDL_DIFF_PLAN_H

#include "cli.h"

bool path_is_plan(const char *path); /* ends in .plan */
/* Prints the differences; ERR_REQUIRE when there are some. */
bool diff_plans(Cli *cli, const char *a, const char *b, Err *err);

#endif
