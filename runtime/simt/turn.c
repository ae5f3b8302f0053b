/* turn.c: words of global memory that count who has had the turn. Blocks run one after the other here, so a block
 * that waits for one that has not begun waits for ever, as it may on a GPU that is full. */
#include "engine.h"

static void check_word(Simt *s, const int32_t *turn, const char *call, int line)
{
    const Access a = {.at = turn,
                      .bytes = sizeof(*turn),
                      .align = sizeof(*turn),
                      .kind = ACCESS_ATOMIC,
                      .call = call,
                      .where = AT(line)};
    access_check(s, &a);
    grid_access(s, &a);
}

void turn_changed(Simt *s)
{
    for (int i = 0; i < s->nthread; i++)
        if (s->thread[i].state == THREAD_AT_TURN)
            thread_wake(s, i);
}

static void turn_await(MdlEngine *e, const int32_t *turn, int32_t passed, int line)
{
    Simt *s = simt_of(e);
    check_word(s, turn, "mdl_turn_await", line);
    while (*turn != passed)
        thread_wait(s, THREAD_AT_TURN, "mdl_turn_await", line);
    if (!s->launch->check)
        return;
    blocks_look(s, turn);
    blocks_fence(s);
}

static void turn_pass(MdlEngine *e, int32_t *turn, int line)
{
    Simt *s = simt_of(e);
    tma_told(s, line);
    if (s->launch->check)
        blocks_fence(s);
    check_word(s, turn, "mdl_turn_pass", line);
    if (s->launch->check)
        blocks_atomic(s, turn);
    *turn = (int32_t)((uint32_t)*turn + 1);
    turn_changed(s);
}

void turn_install(MdlEngine *e)
{
    e->turn_await = turn_await;
    e->turn_pass = turn_pass;
}
