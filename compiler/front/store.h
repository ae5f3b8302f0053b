/* store.h: weights kept in few bits, private to front. */
#ifndef MDL_STORE_H
#define MDL_STORE_H

#include "blocks.h"

/* `store` of a chat or generate block: the entries of the program from `first` on are the only ones that read
 * weights. False after E0802, E0814 or E0815. */
bool store_weights(Elab *e, Env *env, const Ast *block, uint32_t first);

#endif
