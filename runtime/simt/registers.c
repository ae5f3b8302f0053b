/* registers.c: registers that warpgroups give back and take (setmaxnreg). A launch shares the 65,536 of a
 * multiprocessor by all threads alike, in eights; groups may move what it got, but get no more: one that asks for
 * it waits for ever on a GPU, so here that is a fault as soon as all have asked. */
#include "engine.h"

enum { ALL = 65536, GROUP_THREADS = 128, MOST = 255 };

static int of_launch(const Simt *s)
{
    int each = ALL / s->block_threads;
    return (each < MOST ? each : MOST) / 8 * 8;
}

static void registers(MdlEngine *e, int n, int line)
{
    Simt *s = simt_of(e);
    int groups = s->block_threads / GROUP_THREADS, total = 0;
    const int *of_block = s->registers + s->face.first / GROUP_THREADS;
    bool all = true;
    s->registers[s->face.thread / GROUP_THREADS] = n;
    for (int i = 0; i < groups; i++) {
        all = all && of_block[i];
        total += of_block[i];
    }
    if (n >= 24 && n <= 256 && n % 8 == 0 && (!all || total <= of_launch(s) * groups))
        return;
    report(s, FAULT_LAUNCH, AT(line),
           "mdl_setmaxnreg for %d registers: groups ask for %d together, and a launch of %d "
           "threads has %d",
           n, total, s->block_threads, of_launch(s) * groups);
    launch_stop(s);
}

void registers_begin_block(Simt *s)
{
    memset(s->registers, 0, sizeof(s->registers));
}

void registers_install(MdlEngine *e)
{
    e->registers = registers;
}
