/* banned.h: library calls that overflow, depend on hidden state or lose errors do not compile.
 *
 * In our own code only (the build defines MDL_BUILD): whoever embeds the library decides alone. */
#ifndef MDL_BANNED_H
#define MDL_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef MDL_BUILD
#pragma GCC poison sprintf vsprintf strcpy strcat strtok gets atoi atol atof rand srand
#endif

#endif
