/* LIBS: mdl_test_tool mdl_runtime mdl_plan mdl_base */
/* test_resume.c: runs of the `mdl` program that are killed (SIGKILL) at many steps and in the middle
 * of saving, and go on: the last checkpoint has the bytes of a run that nobody disturbed, whatever
 * the number of threads. */
#include "tool.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { STEPS = 120, KILLS = 6 };

/* Saves often: nearly all the time of the run is spent in that. */
static void make_program(Tool *tool)
{
    tool_program(tool, "p.mdl", "  epochs    = 5\n",
                 "  steps = 120\n  clip = 0.5\n  log = 1\n  every 2 steps: save(keep: 2)\n");
    tool_data(tool);
}

/* ---- a child to be killed ---- */

static pid_t start_training(const Tool *tool, const char *threads)
{
    const char *const argv[] = {"mdl",     "train",     "p.mdl", "--run", "killed",
                                "--quiet", "--threads", threads, NULL};
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid)
        return pid;
    int null = open("/dev/null", O_RDWR);
    bool ready = null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1 && dup2(null, 2) == 2 &&
                 setenv("MDL_CACHE", strchr(tool->env[0], '=') + 1, 1) == 0 &&
                 chdir(tool->dir) == 0;
    if (ready)
        execv(MDL_BINARY_DIR "/cli/mdl", (char *const *)(uintptr_t)argv);
    _exit(99);
}

/* What the run looks like from outside. */
typedef struct Sight {
    bool saving;  /* an unfinished checkpoint is there */
    int64_t step; /* of the newest checkpoint */
} Sight;

static Sight look(Tool *tool)
{
    Sight s = {0};
    DIR *dir = opendir(tool_path(tool, "killed/checkpoints"));
    for (const struct dirent *e; dir && (e = readdir(dir));) {
        char *end;
        long long step = strncmp(e->d_name, "step-", 5) == 0 ? strtoll(e->d_name + 5, &end, 10) : 0;
        if (step && *end)
            s.saving = true;
        else if (step > s.step)
            s.step = step;
    }
    if (dir)
        closedir(dir);
    return s;
}

/* Kills a training when the newest checkpoint has that step, or as soon as it saves behind it.
 * False when the training ended first. */
static bool kill_at(Tool *tool, int64_t step, bool saving, const char *threads)
{
    pid_t pid = start_training(tool, threads);
    const struct timespec pause = {.tv_nsec = 50000};
    int status = 0;
    pid_t ended = 0;
    Sight s = look(tool);
    while (!(s.step >= step && (!saving || s.saving)) && !ended) {
        nanosleep(&pause, NULL);
        ended = waitpid(pid, &status, WNOHANG);
        s = look(tool);
    }
    if (!ended) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        fail_msg("training failed with %d", WEXITSTATUS(status));
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

/* ---- comparing ---- */

static void check_same(Tool *tool, const char *name)
{
    Bytes whole =
        tool_read(tool, arena_printf(tool->arena, "whole/checkpoints/step-%d/%s", STEPS, name));
    Bytes killed =
        tool_read(tool, arena_printf(tool->arena, "killed/checkpoints/step-%d/%s", STEPS, name));
    assert_true(whole.n > 0);
    assert_int_equal(whole.n, killed.n);
    if (memcmp(whole.data, killed.data, whole.n) != 0)
        fail_msg("%s has other bytes after kills", name);
}

static void finish_and_compare(Tool *tool, const char *threads)
{
    GOOD(tool, "train", "p.mdl", "--run", "killed", "--threads", threads, "--quiet");
    Sight s = look(tool);
    assert_int_equal(s.step, STEPS);
    assert_false(s.saving); /* what kills left is gone */
    check_same(tool, "weights.safetensors");
    check_same(tool, "state.safetensors");
}

static void test_killed_at_steps(void **state)
{
    Tool *tool = *state;
    make_program(tool);
    GOOD(tool, "train", "p.mdl", "--run", "whole", "--threads", "1", "--quiet");
    int killed = 0;
    for (int i = 0; i < KILLS; i++)
        killed += kill_at(tool, 2 + i * 17, false, i % 2 ? "2" : "1");
    assert_true(killed >= KILLS - 1);
    finish_and_compare(tool, "2");
}

static void test_killed_while_saving(void **state)
{
    Tool *tool = *state;
    make_program(tool);
    GOOD(tool, "train", "p.mdl", "--run", "whole", "--threads", "1", "--quiet");
    int torn = 0; /* kills that left half a checkpoint */
    for (int i = 0; i < 2 * KILLS; i++)
        torn += kill_at(tool, i * 8, true, "1") && look(tool).saving;
    assert_true(torn >= 2);
    finish_and_compare(tool, "1");
}

/* Packed texts, averages of the weights, two threads that make batches: saved at every second step. */
static void make_texts(Tool *tool)
{
    StrBuf sb = sb_new(tool->arena);
    for (int i = 0; i < 50; i++)
        sb_printf(&sb, "{\"t\": \"%.*s%d\"}\n", i * 7 % 23, "to be or not to be, that is", i);
    tool_write(tool, "d.jsonl", sb_text(&sb));
    tool_write(tool, "p.mdl",
               "module Net(V, D) {\n  wte: Embedding(V, D)\n  head: Linear(D, V)\n"
               "  fn forward(tokens: i32[B, T], pos: i32[B, T]) -> [B, T, V] {\n"
               "    x = wte(tokens) as [B, T, 1, D]\n"
               "    attention(x, x, x, mask: causal(pos)) as [B, T, D] |> head\n  }\n}\n"
               "model net = Net(257, 8)\n"
               "data d {\n  source = jsonl(\"d.jsonl\"); length = 32; workers = 2\n"
               "  tokenizer = bytes(special: [\"<eos>\"])\n  said: text = row => row.t\n}\n"
               "train net {\n  data = d; lr = 0.01; batch = 7; steps = 120; ema = 0.9\n"
               "  loss = b => cross_entropy(net(b.said.tokens, b.said.pos), b.said.targets, mask: "
               "b.said.learn)\n  every 2 steps: save(keep: 2)\n}\n");
}

static void test_killed_on_texts(void **state)
{
    Tool *tool = *state;
    make_texts(tool);
    GOOD(tool, "train", "p.mdl", "--run", "whole", "--threads", "1", "--quiet");
    int killed = 0;
    for (int i = 0; i < KILLS; i++)
        killed += kill_at(tool, 2 + i * 17, i % 2, i % 2 ? "2" : "1");
    assert_true(killed >= KILLS - 1);
    finish_and_compare(tool, "2");
}

/* Killed before anything was saved: while it reads, compiles, starts. */
static void test_killed_at_the_start(void **state)
{
    Tool *tool = *state;
    make_program(tool);
    GOOD(tool, "train", "p.mdl", "--run", "whole", "--threads", "1", "--quiet");
    tool->env[0] = arena_printf(tool->arena, "MDL_CACHE=%s", tool_path(tool, "cache"));
    for (int i = 1; i <= KILLS; i++) {
        pid_t pid = start_training(tool, "1");
        const struct timespec pause = {.tv_nsec = 15000000L * i * i};
        nanosleep(&pause, NULL);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    finish_and_compare(tool, "1");
}

#define WITH_TOOL(test) cmocka_unit_test_setup_teardown(test, tool_setup, tool_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TOOL(test_killed_at_steps),
        WITH_TOOL(test_killed_while_saving),
        WITH_TOOL(test_killed_on_texts),
        WITH_TOOL(test_killed_at_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
