/* habits.c: help for those who write what another language has (habits.def). */
#include "elab.h"

typedef struct Habit {
    const char *name, *help;
    bool member;
} Habit;

static const Habit habits[] = {
#define NAME(name, help)   {#name, help, false},
#define MEMBER(name, help) {#name, help, true},
#include "habits.def"
#undef NAME
#undef MEMBER
};

bool habit_help(Diag *d, Sym name, bool member)
{
    for (size_t i = 0; i < COUNT(habits); i++) {
        if (habits[i].member == member && strcmp(habits[i].name, name) == 0) {
            diag_help(d, "%s", habits[i].help);
            return true;
        }
    }
    return false;
}
