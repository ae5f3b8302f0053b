/* tool.c: processes, files and data for the tests of the `mdl` program. */
#include "tool.h"
#include "testrand.h"
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { TRAIN_ROWS = 64, TEST_ROWS = 30, PIXELS = 16, CLASSES = 3, TEXT_LIMIT = 1 << 24 };

int tool_setup(void **state)
{
    Arena *arena = arena_new();
    Tool *tool = NEW(arena, Tool);
    tool->arena = arena;
    tool->dir = arena_printf(arena, "%s/cli-%ld", MDL_BINARY_DIR, (long)getpid());
    /* Kernels are kept for the next run of the tests; one thread is enough for them. */
    tool->env[0] = "MDL_CACHE=" MDL_KERNEL_CACHE;
    tool->env[1] = "MDL_DATA";
    tool->env[2] = "CLICOLOR_FORCE";
    tool->env[3] = "NO_COLOR";
    file_remove_tree(tool->dir, NULL);
    if (!file_mkdirs(tool->dir, NULL))
        return -1;
    *state = tool;
    return 0;
}

void tool_find_models(Tool *tool)
{
    size_t n = 0;
    while (tool->env[n])
        n++;
    assert_true(n + 1 < COUNT(tool->env));
    tool->env[n] = "MDL_PATH=" MDL_SOURCE_DIR "/models";
    tool->env[n + 1] = NULL;
}

int tool_teardown(void **state)
{
    Tool *tool = *state;
    file_remove_tree(tool->dir, NULL);
    arena_free(tool->arena);
    return 0;
}

/* ---- running ---- */

static void redirect(const char *path, int to)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || dup2(fd, to) < 0)
        _exit(99);
    close(fd);
}

static void set_environment(const Tool *tool)
{
    for (size_t i = 0; tool->env[i]; i++) {
        const char *eq = strchr(tool->env[i], '=');
        char name[64] = {0};
        memcpy(name, tool->env[i], eq ? (size_t)(eq - tool->env[i]) : strlen(tool->env[i]));
        if (eq ? setenv(name, eq + 1, 1) : unsetenv(name))
            _exit(99);
    }
}

static pid_t start(const Tool *tool, const char *const *args, const char *out, const char *err)
{
    const char *argv[32] = {"mdl"};
    for (size_t i = 0; args[i]; i++) {
        assert_true(i + 2 < COUNT(argv));
        argv[i + 1] = args[i];
    }
    pid_t pid = fork();
    if (pid)
        return pid;
    set_environment(tool);
    redirect(out, STDOUT_FILENO);
    redirect(err, STDERR_FILENO);
    redirect("/dev/null", STDIN_FILENO);
    if (chdir(tool->dir) == 0)
        execv(MDL_BINARY_DIR "/cli/mdl", (char *const *)(uintptr_t)argv);
    _exit(99);
}

static const char *read_text(Tool *tool, const char *path)
{
    Bytes text;
    Err why = {0};
    if (!file_read(tool->arena, path, TEXT_LIMIT, &text, &why))
        fail_msg("%s", why.text);
    unlink(path);
    return text.data;
}

typedef struct Run {
    const char *out, *err;
    pid_t pid;
} Run;

static Run begin(Tool *tool, const char *const *args)
{
    Run r = {.out = arena_printf(tool->arena, "%s.out", tool->dir),
             .err = arena_printf(tool->arena, "%s.err", tool->dir)};
    r.pid = start(tool, args, r.out, r.err);
    assert_true(r.pid > 0);
    return r;
}

static Outcome end(Tool *tool, const Run *r)
{
    int status;
    assert_int_equal(waitpid(r->pid, &status, 0), r->pid);
    Outcome o = {.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status)};
    o.out = read_text(tool, r->out);
    o.err = read_text(tool, r->err);
    return o;
}

Outcome tool_run(Tool *tool, const char *const *args)
{
    Run r = begin(tool, args);
    return end(tool, &r);
}

static bool file_has(Tool *tool, const char *file, const char *part)
{
    Bytes text;
    return file_read(tool->arena, tool_path(tool, file), TEXT_LIMIT, &text, NULL) &&
           strstr(text.data, part);
}

Outcome tool_interrupt(Tool *tool, const char *const *args, const char *file, const char *part)
{
    Run r = begin(tool, args);
    const struct timespec pause = {.tv_nsec = 5000000};
    for (int tries = 0; tries < 12000 && !file_has(tool, file, part); tries++)
        nanosleep(&pause, NULL);
    kill(r.pid, SIGINT);
    return end(tool, &r);
}

void check_code(const Outcome *o, int code)
{
    if (o->code != code)
        fail_msg("exit code %d, expected %d\n%s%s", o->code, code, o->out, o->err);
}

const char *tool_good(Tool *tool, const char *const *args)
{
    Outcome o = tool_run(tool, args);
    check_code(&o, 0);
    return o.out;
}

void check_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("`%s` is not in:\n%s", part, text);
}

void check_lacks(const char *text, const char *part)
{
    if (strstr(text, part))
        fail_msg("`%s` is in:\n%s", part, text);
}

/* ---- files ---- */

const char *tool_path(Tool *tool, const char *name)
{
    return path_join(tool->arena, tool->dir, name);
}

static void write_bytes(Tool *tool, const char *name, const void *data, size_t n)
{
    Err why = {0};
    const char *path = tool_path(tool, name);
    if (!file_mkdirs(path_dir(tool->arena, path), &why) || !file_write_atomic(path, data, n, &why))
        fail_msg("%s", why.text);
}

void tool_write(Tool *tool, const char *name, const char *text)
{
    write_bytes(tool, name, text, strlen(text));
}

Bytes tool_read(Tool *tool, const char *name)
{
    Bytes text;
    Err why = {0};
    if (!file_read(tool->arena, tool_path(tool, name), TEXT_LIMIT, &text, &why))
        fail_msg("%s", why.text);
    return text;
}

void tool_cut(Tool *tool, const char *name, size_t n)
{
    Bytes text = tool_read(tool, name);
    assert_true(n < text.n);
    write_bytes(tool, name, text.data, n);
}

const char *tool_only_run(Tool *tool)
{
    const char *found = NULL;
    DIR *dir = opendir(tool_path(tool, "runs"));
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        assert_null(found);
        found = arena_printf(tool->arena, "runs/%s", e->d_name);
    }
    closedir(dir);
    assert_non_null(found);
    return found;
}

/* ---- programs ---- */

static const char small[] =
    "module MLP(In, Hidden, Out) {\n"
    "  fc1: Linear(In, Hidden)\n"
    "  fc2: Linear(Hidden, Out)\n"
    "\n"
    "  fn forward(image: f32[B, 4, 4]) -> [B, Out] =\n"
    "    image as [B, In] |> fc1 |> relu |> fc2\n"
    "  fn twice(image: f32[B, 4, 4]) =\n"
    "    (forward(image), argmax(forward(image)))\n"
    "}\n"
    "\n"
    "model mlp = MLP(16, 8, 3)\n"
    "\n"
    "data digits(split) {\n"
    "  source = idx(images: split + \"-images\", labels: split + \"-labels\")\n"
    "  image: f32[4, 4] = row => row.images / 255\n"
    "  label: i32       = row => row.labels\n"
    "}\n"
    "\n"
    "train mlp {\n"
    "  data      = digits(\"train\")\n"
    "  loss      = b => cross_entropy(mlp(b.image), b.label)\n"
    "  optimizer = adamw(weight_decay: 0.01)\n"
    "  lr        = 0.02\n"
    "  schedule  = cosine(warmup: 5%)\n"
    "  batch     = 8\n"
    "  epochs    = 5\n"
    "}\n"
    "\n"
    "eval test {\n"
    "  data = digits(\"test\")\n"
    "  metric accuracy = b => mean(argmax(mlp(b.image)) == b.label)\n"
    "}\n";

void tool_program(Tool *tool, const char *name, const char *from, const char *to)
{
    const char *at = from ? strstr(small, from) : small;
    assert_non_null(at);
    size_t skip = from ? strlen(from) : 0;
    const char *text =
        arena_printf(tool->arena, "%.*s%s%s", (int)(at - small), small, to ? to : "", at + skip);
    tool_write(tool, name, text);
}

/* ---- data ---- */

static void write_idx(Tool *tool, const char *name, const unsigned char *data, const int64_t dim[3])
{
    size_t rank = dim[1] ? 3 : 1, n = (size_t)dim[0] * (rank == 3 ? PIXELS : 1);
    unsigned char *file = arena_alloc(tool->arena, 4 + 4 * rank + n);
    memcpy(file, (const unsigned char[]){0, 0, 8, (unsigned char)rank}, 4);
    for (size_t k = 0; k < rank; k++)
        file[4 + 4 * k + 3] = (unsigned char)dim[k];
    memcpy(file + 4 + 4 * rank, data, n);
    write_bytes(tool, name, file, 4 + 4 * rank + n);
}

static void write_split(Tool *tool, const char *split, uint32_t rows, TestRand *r)
{
    unsigned char images[TRAIN_ROWS * PIXELS], labels[TRAIN_ROWS];
    for (uint32_t i = 0; i < rows; i++) {
        labels[i] = (unsigned char)(i % CLASSES);
        for (uint32_t p = 0; p < PIXELS; p++)
            images[i * PIXELS + p] =
                (unsigned char)((p / 5 == labels[i] ? 180 : 20) + rand_below(r, 60));
    }
    write_idx(tool, arena_printf(tool->arena, "%s-images", split), images,
              (const int64_t[]){rows, 4, 4});
    write_idx(tool, arena_printf(tool->arena, "%s-labels", split), labels,
              (const int64_t[]){rows, 0, 0});
}

void tool_data(Tool *tool)
{
    TestRand r = {7};
    write_split(tool, "train", TRAIN_ROWS, &r);
    write_split(tool, "test", TEST_ROWS, &r);
}

void tool_batch(Tool *tool, const char *name, const BatchSpec *spec)
{
    TestRand r = {11};
    size_t n = (size_t)spec->n, nt = 0;
    DType label = spec->label_type ? spec->label_type : DT_I64;
    float *image = NEW_ARRAY(tool->arena, float, n *PIXELS + 1);
    char *labels = arena_alloc(tool->arena, (n + 1) * 8);
    for (size_t i = 0; i < n * PIXELS; i++)
        image[i] = (float)rand_range(&r, -1, 1);
    for (size_t i = 0; i < n; i++)
        dtype_store(label, labels, i, rand_below(&r, CLASSES));
    StTensor t[2];
    if (spec->image)
        t[nt++] = (StTensor){.name = "image",
                             .dtype = DT_F32,
                             .rank = 3,
                             .dim = {spec->n, 4, 4},
                             .data = image,
                             .bytes = n * PIXELS * sizeof(float)};
    if (spec->label)
        t[nt++] = (StTensor){.name = "label",
                             .dtype = label,
                             .rank = 1,
                             .dim = {spec->n},
                             .data = labels,
                             .bytes = n * dtype_info(label)->bytes};
    Err why = {0};
    if (!st_write(tool_path(tool, name), t, (uint32_t)nt, NULL, &why))
        fail_msg("%s", why.text);
}

StFile *tool_tensors(Tool *tool, const char *name)
{
    Err why = {0};
    StFile *file = st_open(tool_path(tool, name), &why);
    if (!file)
        fail_msg("%s", why.text);
    return file;
}
