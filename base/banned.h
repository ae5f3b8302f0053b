/* banned.h: library calls that overflow, depend on hidden state or lose errors do not compile. */
#ifndef MDL_BANNED_H
#define MDL_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC poison sprintf vsprintf strcpy strcat strtok gets atoi atol atof rand srand

#endif
