/* cc.c: finds, questions and runs the system C compiler.
 *
 * Always posix_spawn with an argument vector: no shell ever sees a path or a flag. */
#include "cc.h"
#include "jitcache.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOG_LIMIT = 1 << 20 };

/* ---- running ---- */

static bool spawn(const char *const *argv, const char *log, pid_t *pid)
{
    posix_spawn_file_actions_t io;
    int failed = posix_spawn_file_actions_init(&io);
    if (failed) {
        errno = failed;
        return false;
    }
    failed = posix_spawn_file_actions_addopen(&io, 0, "/dev/null", O_RDONLY, 0);
    if (!failed)
        failed = posix_spawn_file_actions_addopen(&io, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (!failed)
        failed = posix_spawn_file_actions_adddup2(&io, 1, 2);
    /* The list of arguments is not written to; POSIX only lacks the const. */
    if (!failed)
        failed = posix_spawn(pid, argv[0], &io, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&io);
    errno = failed;
    return !failed;
}

bool cc_start(const char *const *argv, const char *log, pid_t *pid, Err *err)
{
    return spawn(argv, log, pid) ||
           err_set(err, ERR_DEVICE, "cannot start the C compiler %s: %s", argv[0], strerror(errno));
}

bool cc_wait(pid_t pid, char how[64], bool *interrupted)
{
    int status = 0;
    pid_t got;
    do
        got = waitpid(pid, &status, 0);
    while (got < 0 && errno == EINTR);
    *interrupted = false;
    how[0] = '\0';
    if (got != pid) {
        snprintf(how, 64, "lost: %s", strerror(errno));
        return false;
    }
    if (WIFSIGNALED(status)) {
        *interrupted = WTERMSIG(status) == SIGINT || WTERMSIG(status) == SIGTERM;
        snprintf(how, 64, "signal %d", WTERMSIG(status));
        return false;
    }
    snprintf(how, 64, "exit status %d", WEXITSTATUS(status));
    return WEXITSTATUS(status) == 0;
}

/* ---- finding ---- */

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

const char *cc_program(Arena *arena, const char *name)
{
    if (strchr(name, '/'))
        return is_program(name) ? arena_strdup(arena, name) : NULL;
    for (const char *dir = getenv("PATH"); dir && *dir;) {
        size_t n = strcspn(dir, ":");
        const char *path = arena_printf(arena, "%.*s/%s", (int)n, dir, name);
        if (n && is_program(path))
            return path;
        dir += n + (dir[n] == ':');
    }
    return NULL;
}

static const char *no_compiler(Err *err)
{
    err_help(err, "install gcc (Debian, Ubuntu: apt-get install gcc libc6-dev), or set MDL_CC to "
                  "a C compiler");
    return NULL;
}

const char *cc_find(Arena *arena, const char *wanted, Err *err)
{
    static const char *const usual[] = {"cc", "gcc", "clang"};
    const char *name = wanted ? wanted : getenv("MDL_CC");
    if (name && *name) {
        const char *path = cc_program(arena, name);
        if (path)
            return path;
        err_set(err, ERR_DEVICE, "no C compiler: tried %s%s, which is not a program",
                wanted ? "" : "$MDL_CC = ", name);
        return no_compiler(err);
    }
    for (size_t i = 0; i < COUNT(usual); i++) {
        const char *path = cc_program(arena, usual[i]);
        if (path)
            return path;
    }
    err_set(err, ERR_DEVICE, "no C compiler: tried $MDL_CC, and cc, gcc, clang in $PATH");
    return no_compiler(err);
}

/* ---- questions ---- */

/* The first line that argv prints, or NULL when it fails. */
static const char *ask(Arena *arena, const char *const *argv, const char *log)
{
    pid_t pid;
    char how[64];
    bool interrupted;
    Bytes text;
    Err ignored = {0};
    if (!spawn(argv, log, &pid) || !cc_wait(pid, how, &interrupted) ||
        !file_read(arena, log, LOG_LIMIT, &text, &ignored))
        return NULL;
    return arena_strndup(arena, text.data, strcspn(text.data, "\n"));
}

static bool links(Arena *arena, const char *cc, const char *library, const char *log)
{
    const char *out = arena_printf(arena, "%s.so", log);
    const char *const argv[] = {cc,          "-shared", "-x", "c",     "/dev/null",
                                "-nostdlib", "-o",      out,  library, NULL};
    bool ok = ask(arena, argv, log) != NULL;
    unlink(out);
    return ok;
}

/* gcc knows -dumpfullversion; for others the first line of --version is as good. */
static const char *ask_version(Arena *arena, const char *cc, const char *log)
{
    const char *const full[] = {cc, "-dumpfullversion", NULL};
    const char *const machine[] = {cc, "-dumpmachine", NULL};
    const char *const any[] = {cc, "--version", NULL};
    const char *version = ask(arena, any, log), *number = ask(arena, full, log),
               *triple = ask(arena, machine, log);
    if (!version && !number)
        return NULL;
    return arena_printf(arena, "%s %s %s", version ? version : "", number ? number : "",
                        triple ? triple : "");
}

/* The kept answer: version, newline, "mvec" or "none", newline. */
static bool read_answer(Arena *arena, const char *file, Cc *out)
{
    Bytes text;
    Err ignored = {0};
    if (!file_read(arena, file, LOG_LIMIT, &text, &ignored))
        return false;
    size_t n = strcspn(text.data, "\n");
    if (!n || text.n != n + 6 || text.data[text.n - 1] != '\n')
        return false;
    out->version = arena_strndup(arena, text.data, n);
    out->libmvec = memcmp(text.data + n, "\nmvec\n", 6) == 0;
    return out->libmvec || memcmp(text.data + n, "\nnone\n", 6) == 0;
}

bool cc_probe(Arena *arena, const char *path, const char *cache, Cc *out, Err *err)
{
    struct stat st;
    char *real = realpath(path, NULL);
    if (!real || stat(real, &st) != 0) {
        free(real);
        return err_set(err, ERR_DEVICE, "cannot look at the C compiler %s: %s", path,
                       strerror(errno));
    }
    uint64_t key = hash_text(real);
    free(real);
    key = hash_mix(key, (uint64_t)st.st_size);
    key = hash_mix(key, (uint64_t)st.st_mtim.tv_sec);
    key = hash_mix(key, (uint64_t)st.st_mtim.tv_nsec);
    const char *file = arena_printf(arena, "%s/cc-%016llx.txt", cache, (unsigned long long)key);
    out->path = path;
    if (read_answer(arena, file, out))
        return true;
    const char *log = arena_printf(arena, "%s.%ld.log", file, (long)getpid());
    out->version = ask_version(arena, path, log);
    out->libmvec = out->version && links(arena, path, "-lmvec", log);
    unlink(log);
    if (!out->version)
        return err_set(err, ERR_DEVICE, "the C compiler %s does not answer --version", path);
    const char *answer =
        arena_printf(arena, "%s\n%s\n", out->version, out->libmvec ? "mvec" : "none");
    return file_write_atomic(file, answer, strlen(answer), err) || jitcache_help(err);
}
