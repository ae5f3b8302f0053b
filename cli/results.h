/* results.h: results on stdout, for people or as JSON. */
#ifndef MDL_RESULTS_H
#define MDL_RESULTS_H

#include "cli.h"
#include "runtime.h"
#include <jansson.h>

/* Runs eval number `eval` of the runtime's plan and prints a line per metric. `named`: with the
 * eval's name in front. */
bool print_eval(const Cli *cli, Runtime *rt, uint32_t eval, bool named, Err *err);

/* One line on stdout, numbers with so many digits. Takes root; false when it or memory is missing. */
bool print_json(json_t *root, int digits);

#endif
