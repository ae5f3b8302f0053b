/* LIBS: mdl_base */
/* test_base.c: arenas, vecs, names, maps, text, files and element types. */
#include "base.h"
#include "dtype.h"
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Random {
    uint64_t state;
} Random;

static uint64_t next(Random *r)
{
    r->state += 0x9e3779b97f4a7c15u;
    return hash_mix(7, r->state);
}

static int arena_setup(void **state)
{
    *state = arena_new();
    return 0;
}

static int arena_teardown(void **state)
{
    arena_free(*state);
    return 0;
}

/* ---- arena, vec ---- */

static void arena_objects_are_zero_aligned_and_apart(void **state)
{
    Arena *arena = *state;
    Random r = {1};
    for (int round = 0; round < 3; round++) {
        unsigned char *last = NULL;
        size_t last_n = 0;
        for (int i = 0; i < 2000; i++) {
            size_t n = next(&r) % (i % 100 == 0 ? 300000 : 70);
            unsigned char *p = arena_alloc(arena, n);
            assert_int_equal((uintptr_t)p % 16, 0);
            assert_true(p != last);
            for (size_t j = 0; j < n; j++)
                assert_int_equal(p[j], 0);
            memset(p, 0xa5, n);
            for (size_t j = 0; j < last_n; j++)
                assert_int_equal(last[j], 0x5a);
            memset(p, 0x5a, n);
            last = p;
            last_n = n;
        }
        assert_true(arena_used(arena) > 2000 * 16);
        arena_reset(arena);
        assert_int_equal(arena_used(arena), 0);
    }
}

typedef struct Link {
    struct Link *next;
    char text[24];
} Link;

static void put_link(Arena *arena, Link **list, const char *text)
{
    Link *link = NEW(arena, Link);
    snprintf(link->text, sizeof link->text, "%s", text);
    link->next = *list;
    *list = link;
}

/* Of objects in several chunks, all of which were written to, and freed ones that come again zeroed. */
static void arena_copies_come_back(void **state)
{
    Arena *arena = *state, *copies = arena_new();
    const ArenaCopy *empty = arena_copy(arena, copies);
    Link **list = NEW(arena, Link *);
    for (int i = 0; i < 3000; i++)
        put_link(arena, list, "old");
    size_t used = arena_used(arena);
    const ArenaCopy *full = arena_copy(arena, copies);
    for (int round = 0; round < 3; round++) {
        for (Link *x = *list; x; x = x->next)
            memset(x->text, 'x', sizeof x->text);
        unsigned char *p = arena_alloc(arena, 5000);
        for (int i = 0; i < 5000; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xa5, 5000);
        for (int i = 0; i < 3000 * round; i++)
            put_link(arena, list, "new");
        arena_restore(arena, full);
        assert_int_equal(arena_used(arena), used);
        int n = 0;
        for (const Link *x = *list; x; x = x->next, n++)
            assert_string_equal(x->text, "old");
        assert_int_equal(n, 3000);
    }
    arena_restore(arena, empty);
    assert_int_equal(arena_used(arena), 0);
    assert_int_equal(*(char *)arena_alloc(arena, 1), 0);
    arena_free(copies);
}

static void arena_texts(void **state)
{
    Arena *arena = *state;
    assert_string_equal(arena_strdup(arena, "abc"), "abc");
    assert_string_equal(arena_strndup(arena, "abcdef", 3), "abc");
    assert_string_equal(arena_strndup(arena, "ab", 9), "ab");
    assert_string_equal(arena_printf(arena, "%d-%s", 7, "x"), "7-x");
    char long_text[5000];
    memset(long_text, 'q', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    assert_string_equal(arena_printf(arena, "%s", long_text), long_text);
    int data[] = {3, 4};
    int *copy = COPY_ARRAY(arena, int, data, 2);
    assert_memory_equal(copy, data, sizeof data);
    assert_non_null(arena_memdup(arena, NULL, 0));
    arena_free(NULL);
}

static void vec_grows_and_keeps(void **state)
{
    VEC(uint64_t) v = {0};
    for (uint64_t i = 0; i < 10000; i++)
        VEC_PUSH(*state, &v, i * i);
    assert_int_equal(v.n, 10000);
    for (uint64_t i = 0; i < 10000; i++)
        assert_int_equal(v.at[i], i * i);
    assert_int_equal(VEC_LAST(&v), 9999 * 9999);
    VEC_RESERVE(*state, &v, 50000);
    assert_true(v.cap >= 50000);
    assert_int_equal(v.at[77], 77 * 77);
}

/* ---- bug, err ---- */

/* Runs f in a child and returns how it died; what it wrote to stderr goes to `text`. */
static int status_of_child(void (*f)(Arena *), Arena *arena, char *text, size_t size)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(fds[1], 2);
        f(arena);
        _exit(0);
    }
    close(fds[1]);
    size_t n = 0;
    for (ssize_t got; n + 1 < size && (got = read(fds[0], text + n, size - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = '\0';
    close(fds[0]);
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

static void die_in_context(Arena *arena)
{
    UNUSED(arena);
    bug_push("pass fuse");
    bug_push("node 3");
    bug_pop();
    for (int i = 0; i < 40; i++)
        bug_push("deep");
    for (int i = 0; i < 40; i++)
        bug_pop();
    bug_push("node 17");
    int seven = 7;
    ASSERT(seven == 8);
}

static void bug_prints_context_and_aborts(void **state)
{
    char text[4096];
    int status = status_of_child(die_in_context, *state, text, sizeof text);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "assertion failed: seven == 8"));
    assert_non_null(strstr(text, "test_base.c:"));
    assert_non_null(strstr(text, "  while in node 17\n  while in pass fuse\n"));
    assert_null(strstr(text, "node 3"));
}

static void want_too_much(Arena *arena)
{
    arena_alloc(arena, SIZE_MAX / 2);
}

static void restore_after_reset(Arena *arena)
{
    NEW(arena, int);
    const ArenaCopy *copy = arena_copy(arena, arena_new());
    arena_reset(arena);
    arena_restore(arena, copy);
}

static void a_reset_ends_copies(void **state)
{
    char text[4096];
    assert_int_not_equal(status_of_child(restore_after_reset, *state, text, sizeof text), 0);
    assert_non_null(strstr(text, "assertion failed"));
}

static void out_of_memory_is_exit_code_5(void **state)
{
    char text[4096];
    int status = status_of_child(want_too_much, *state, text, sizeof text);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), ERR_DEVICE);
    assert_non_null(strstr(text, "out of memory"));
}

#if defined(__SANITIZE_ADDRESS__)
static void use_after_reset(Arena *arena)
{
    volatile int *p = NEW(arena, int);
    arena_reset(arena);
    int *q = NEW(arena, int);
    *p = *q + 1;
}

static void use_after_restore(Arena *arena)
{
    NEW(arena, int);
    Arena *copies = arena_new();
    const ArenaCopy *copy = arena_copy(arena, copies);
    volatile int *p = NEW(arena, int);
    arena_restore(arena, copy);
    *p = 1;
}

static void write_behind_object(Arena *arena)
{
    volatile char *p = arena_alloc(arena, 5);
    arena_alloc(arena, 5);
    p[5] = 1;
}

static void asan_catches_stale_and_wild_pointers(void **state)
{
    char text[4096];
    assert_int_not_equal(status_of_child(use_after_reset, *state, text, sizeof text), 0);
    assert_non_null(strstr(text, "AddressSanitizer"));
    assert_int_not_equal(status_of_child(use_after_restore, *state, text, sizeof text), 0);
    assert_non_null(strstr(text, "AddressSanitizer"));
    assert_int_not_equal(status_of_child(write_behind_object, *state, text, sizeof text), 0);
    assert_non_null(strstr(text, "AddressSanitizer"));
}
#else
static void asan_catches_stale_and_wild_pointers(void **state)
{
    UNUSED(state);
    skip();
}
#endif

static void err_first_wins_and_is_cut(void **state)
{
    UNUSED(state);
    Err err = {0};
    assert_false(err_help(&err, "nothing to help"));
    assert_string_equal(err.help, "");
    assert_false(err_set(&err, ERR_DATA, "bad %s", "header"));
    assert_false(err_set(&err, ERR_FILE, "later"));
    assert_int_equal(err.kind, ERR_DATA);
    assert_string_equal(err.text, "bad header");
    err_help(&err, "try %d", 1);
    err_help(&err, "try 2");
    assert_string_equal(err.help, "try 1");
    err_context(&err, "a.npz: %s", "image");
    assert_string_equal(err.text, "a.npz: image: bad header");
    char big[4000];
    memset(big, 'z', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    err_context(&err, "%s", big);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    Err other = {0};
    err_set(&other, ERR_FILE, "%s", big);
    err_context(&other, "start");
    assert_int_equal(strlen(other.text), sizeof other.text - 1);
    assert_memory_equal(other.text, "start: zz", 9);
    assert_false(err_set(NULL, ERR_FILE, "nobody listens"));
    assert_false(err_context(NULL, "x"));
}

/* ---- sym, map ---- */

static void syms_are_unique_pointers(void **state)
{
    Syms *syms = syms_new(*state);
    Sym first[3000];
    for (int i = 0; i < 3000; i++)
        first[i] = sym_printf(syms, "name%d", i);
    for (int i = 0; i < 3000; i++) {
        char text[32];
        snprintf(text, sizeof text, "name%d", i);
        assert_ptr_equal(sym(syms, text), first[i]);
        assert_string_equal(first[i], text);
    }
    assert_ptr_equal(sym_n(syms, "name12345", 5), first[1]);
    assert_ptr_not_equal(sym_n(syms, "name12345", 4), first[1]);
    assert_ptr_equal(sym_n(syms, "name1\0tail", 10), first[1]);
    assert_ptr_equal(sym(syms, ""), sym_n(syms, "x", 0));
    char big[1000];
    memset(big, 'b', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_ptr_equal(sym_printf(syms, "%s", big), sym(syms, big));
}

static void nearest_finds_typing_mistakes(void **state)
{
    UNUSED(state);
    Sym names[] = {"weight", "bias", "lm_head", "lr", "steps", "epochs"};
    assert_string_equal(sym_nearest("bais", names, COUNT(names)), "bias");
    assert_string_equal(sym_nearest("lm_haed", names, COUNT(names)), "lm_head");
    assert_string_equal(sym_nearest("weigth", names, COUNT(names)), "weight");
    assert_string_equal(sym_nearest("wieghts", names, COUNT(names)), "weight");
    assert_string_equal(sym_nearest("step", names, COUNT(names)), "steps");
    assert_null(sym_nearest("learning_rate", names, COUNT(names)));
    assert_null(sym_nearest("bxxs", names, COUNT(names)));
    assert_null(sym_nearest("x", NULL, 0));
    Sym ties[] = {"cat", "car", "cap"};
    assert_string_equal(sym_nearest("caz", ties, 3), "cat");
    char big[200];
    memset(big, 'b', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_null(sym_nearest(big, (Sym[]){big}, 1));
}

static void map_finds_what_was_put(void **state)
{
    Map *map = map_new(*state);
    static int values[5000];
    Random r = {3};
    uint64_t keys[5000];
    for (uint32_t i = 0; i < 5000; i++) {
        keys[i] = i < 2500 ? i : next(&r);
        assert_null(map_get(map, keys[i]));
        map_put(map, keys[i], &values[i]);
    }
    map_put(map, keys[10], &values[4999]);
    assert_int_equal(map_count(map), 5000);
    for (uint32_t i = 0; i < 5000; i++) {
        int *want = &values[i == 10 ? 4999 : i];
        assert_ptr_equal(map_get(map, keys[i]), want);
        assert_int_equal(map_key_at(map, i), keys[i]);
        assert_ptr_equal(map_value_at(map, i), want);
    }
    assert_int_not_equal(hash_mix(1, 2), hash_mix(2, 1));
    assert_int_equal(hash_text("abc"), hash_bytes("abcd", 3));
    assert_int_equal(hash_bytes(NULL, 0), hash_text(""));
}

/* ---- strbuf ---- */

static void strbuf_builds_text(void **state)
{
    StrBuf sb = sb_new(*state);
    assert_string_equal(sb_text(&sb), "");
    sb_puts(&sb, "ab");
    sb_pad(&sb, 5, 0);
    sb_printf(&sb, "%03d", 7);
    sb_putc(&sb, '\n');
    size_t start = sb.n;
    sb_pad(&sb, 2, start);
    sb_pad(&sb, 1, start);
    sb_putn(&sb, "xyz", 2);
    assert_string_equal(sb_text(&sb), "ab   007\n  xy");
    for (int i = 0; i < 3000; i++)
        sb_printf(&sb, "%d,", i);
    assert_int_equal(strlen(sb_text(&sb)), sb.n);
    assert_memory_equal(sb.text + sb.n - 5, "2999,", 5);
}

static const char *print_double(Arena *arena, double x)
{
    StrBuf sb = sb_new(arena);
    sb_double(&sb, x);
    return sb_text(&sb);
}

static void doubles_round_trip_shortly(void **state)
{
    assert_string_equal(print_double(*state, 0.1), "0.1");
    assert_string_equal(print_double(*state, 1e-5), "1e-05");
    assert_string_equal(print_double(*state, 3), "3");
    assert_string_equal(print_double(*state, -0.0), "-0");
    assert_string_equal(print_double(*state, 1.0 / 3), "0.3333333333333333");
    assert_string_equal(print_double(*state, (double)INFINITY), "inf");
    assert_string_equal(print_double(*state, -(double)INFINITY), "-inf");
    assert_string_equal(print_double(*state, -(double)NAN), "nan");
    Random r = {9};
    for (int i = 0; i < 3000; i++) {
        uint64_t bits = next(&r);
        double x;
        memcpy(&x, &bits, sizeof x);
        if (isnan(x))
            continue;
        double back = strtod(print_double(*state, x), NULL);
        assert_memory_equal(&x, &back, sizeof x);
    }
}

/* ---- files ---- */

static const char *temp_dir(Arena *arena)
{
    char *dir = arena_printf(arena, "/tmp/mdl-test-base-%ld", (long)getpid());
    assert_true(file_remove_tree(dir, NULL));
    assert_true(file_mkdirs(dir, NULL));
    return dir;
}

static void files_are_written_whole(void **state)
{
    Arena *arena = *state;
    Err err = {0};
    const char *dir = temp_dir(arena);
    const char *path = path_join(arena, dir, "a.bin");
    assert_true(file_write_atomic(path, "one\0two", 7, &err));
    assert_true(file_write_atomic(path, "three", 5, &err));
    Bytes got;
    assert_true(file_read(arena, path, 5, &got, &err));
    assert_int_equal(got.n, 5);
    assert_string_equal(got.data, "three");
    assert_true(file_write_atomic(path, NULL, 0, &err));
    assert_true(file_read(arena, path, 0, &got, &err));
    assert_int_equal(got.n, 0);
    assert_string_equal(got.data, "");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(st.st_mode & 0777, 0666 & ~mask);
    assert_true(file_fsync_dir(dir, &err));
    assert_true(file_remove_tree(dir, &err));
    assert_false(file_exists(dir));
}

static void files_fail_with_a_reason(void **state)
{
    Arena *arena = *state;
    const char *dir = temp_dir(arena);
    Bytes got;
    Err err = {0};
    assert_false(file_read(arena, path_join(arena, dir, "none"), 10, &got, &err));
    assert_int_equal(err.kind, ERR_FILE);
    assert_non_null(strstr(err.text, "No such file"));
    err = (Err){0};
    assert_false(file_read(arena, dir, 10, &got, &err));
    assert_non_null(strstr(err.text, "not a regular file"));
    const char *fifo = path_join(arena, dir, "fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    err = (Err){0};
    assert_false(file_read(arena, fifo, 10, &got, &err));
    assert_non_null(strstr(err.text, "not a regular file"));
    const char *path = path_join(arena, dir, "big");
    assert_true(file_write_atomic(path, "123456", 6, NULL));
    err = (Err){0};
    assert_false(file_read(arena, path, 5, &got, &err));
    assert_non_null(strstr(err.text, "6 bytes"));
    err = (Err){0};
    assert_false(file_write_atomic(path_join(arena, dir, "no/such/x"), "1", 1, &err));
    assert_int_equal(err.kind, ERR_FILE);
    err = (Err){0};
    assert_false(file_mkdirs(path_join(arena, path, "under/file"), &err));
    assert_int_equal(err.kind, ERR_FILE);
    err = (Err){0};
    assert_false(file_fsync_dir(path_join(arena, dir, "none"), &err));
    assert_false(file_mkdirs("", NULL));
    assert_true(file_remove_tree(dir, NULL));
}

static void trees_are_made_and_removed(void **state)
{
    Arena *arena = *state;
    const char *dir = temp_dir(arena);
    Err err = {0};
    assert_true(file_mkdirs(path_join(arena, dir, "a/b//c/"), &err));
    assert_true(file_is_dir(path_join(arena, dir, "a/b/c")));
    assert_true(file_mkdirs(path_join(arena, dir, "a/b/c"), &err));
    const char *outside = path_join(arena, dir, "outside");
    assert_true(file_write_atomic(outside, "x", 1, &err));
    assert_int_equal(symlink("../outside", path_join(arena, dir, "a/link")), 0);
    assert_true(file_remove_tree(path_join(arena, dir, "a"), &err));
    assert_false(file_exists(path_join(arena, dir, "a")));
    assert_true(file_exists(outside));
    assert_true(file_remove_tree(dir, &err));
}

static void paths_are_text(void **state)
{
    Arena *arena = *state;
    assert_string_equal(path_join(arena, "a", "b"), "a/b");
    assert_string_equal(path_join(arena, "a/", "b"), "a/b");
    assert_string_equal(path_join(arena, "a", "/b"), "/b");
    assert_string_equal(path_join(arena, ".", "b"), "b");
    assert_string_equal(path_join(arena, "", "b"), "b");
    assert_string_equal(path_join(arena, "/", "b"), "/b");
    assert_string_equal(path_dir(arena, "a/b/c"), "a/b");
    assert_string_equal(path_dir(arena, "/c"), "/");
    assert_string_equal(path_dir(arena, "c"), ".");
    assert_string_equal(path_base("a/b.c"), "b.c");
    assert_string_equal(path_base("b"), "b");
    assert_string_equal(path_stem(arena, "a.x/b.tar.gz"), "b.tar");
    assert_string_equal(path_stem(arena, "a/.rc"), ".rc");
    assert_string_equal(path_stem(arena, "a.x/b"), "b");
    setenv("MDL_CACHE", "/c/m", 1);
    assert_string_equal(path_cache(arena), "/c/m");
    setenv("MDL_CACHE", "", 1);
    setenv("XDG_CACHE_HOME", "/x", 1);
    assert_string_equal(path_cache(arena), "/x/mdl");
    setenv("XDG_CACHE_HOME", "relative", 1);
    setenv("HOME", "/home/me", 1);
    assert_string_equal(path_cache(arena), "/home/me/.cache/mdl");
    unsetenv("HOME");
    assert_memory_equal(path_cache(arena), "/tmp/mdl-cache-", 15);
}

/* ---- dtype ---- */

static void dtypes_are_found_by_name(void **state)
{
    UNUSED(state);
    for (int i = 0; i < DT_COUNT; i++) {
        DType dt = (DType)i, found;
        assert_true(dtype_find(dtype_info(dt)->name, &found) && found == dt);
        assert_true(dtype_find_safetensors(dtype_info(dt)->safetensors, &found) && found == dt);
    }
    DType dt;
    assert_false(dtype_find("f33", &dt));
    assert_false(dtype_find_safetensors("f32", &dt));
    assert_true(dtype_is_float(DT_BF16) && !dtype_is_float(DT_I8) && !dtype_is_float(DT_BOOL));
    assert_true(dtype_is_int(DT_U8) && !dtype_is_int(DT_BOOL) && !dtype_is_int(DT_F64));
}

/* Every 16-bit pattern survives; every midpoint goes to the even neighbour, and just off it to the
 * nearer one. */
static void half_formats_round_to_nearest_even(void **state)
{
    UNUSED(state);
    DType types[] = {DT_F16, DT_BF16};
    uint16_t infinity[] = {0x7c00, 0x7f80};
    for (int t = 0; t < 2; t++) {
        for (uint32_t bits = 0; bits < 0x10000; bits++) {
            uint16_t in = (uint16_t)bits, out = 0xdead;
            double x = dtype_load(types[t], &in, 0);
            dtype_store(types[t], &out, 0, x);
            if (isnan(x))
                assert_true((out & infinity[t]) == infinity[t] && (out & 0x7fff) != infinity[t]);
            else
                assert_int_equal(in, out);
        }
        for (uint32_t bits = 0; bits + 1 < infinity[t]; bits++) {
            uint16_t lo = (uint16_t)bits, hi = (uint16_t)(bits + 1), out;
            double a = dtype_load(types[t], &lo, 0), b = dtype_load(types[t], &hi, 0);
            double mid = (a + b) / 2;
            dtype_store(types[t], &out, 0, mid);
            assert_int_equal(out, bits % 2 ? hi : lo);
            dtype_store(types[t], &out, 0, nextafter(mid, a));
            assert_int_equal(out, lo);
            dtype_store(types[t], &out, 0, -nextafter(mid, b));
            assert_int_equal(out, hi | 0x8000);
        }
        uint16_t out;
        dtype_store(types[t], &out, 0, 1e300);
        assert_int_equal(out, infinity[t]);
        dtype_store(types[t], &out, 0, -1e-320);
        assert_int_equal(out, 0x8000);
    }
    uint16_t one = 0x3c00, bone = 0x3f80, largest = 0x7bff, out;
    assert_true(dtype_load(DT_F16, &one, 0) == 1 && dtype_load(DT_BF16, &bone, 0) == 1);
    assert_true(dtype_load(DT_F16, &largest, 0) == 65504);
    dtype_store(DT_F16, &out, 0, 65519.99);
    assert_int_equal(out, 0x7bff);
    dtype_store(DT_F16, &out, 0, 65520);
    assert_int_equal(out, 0x7c00);
}

static double through(DType dt, double x)
{
    unsigned char data[32];
    memset(data, 0xee, sizeof data);
    dtype_store(dt, data, 1, x);
    size_t width = dtype_info(dt)->bytes;
    assert_int_equal(data[width - 1], 0xee);
    assert_int_equal(data[2 * width], 0xee);
    return dtype_load(dt, data, 1);
}

static void ints_round_and_saturate(void **state)
{
    UNUSED(state);
    assert_true(through(DT_I8, 2.5) == 2 && through(DT_I8, 3.5) == 4 && through(DT_I8, -2.5) == -2);
    assert_true(through(DT_I8, 200) == 127 && through(DT_I8, -200) == -128);
    assert_true(through(DT_U8, 255.4) == 255 && through(DT_U8, 300) == 255);
    assert_true(through(DT_U8, -3) == 0);
    assert_true(through(DT_I16, 1e9) == 32767 && through(DT_I32, -1e300) == INT32_MIN);
    assert_true(through(DT_I32, 2147483646) == 2147483646);
    assert_true(through(DT_I64, 1e300) == (double)INT64_MAX);
    assert_true(through(DT_I64, -(double)INFINITY) == (double)INT64_MIN);
    assert_true(through(DT_I64, 4503599627370497.0) == 4503599627370497.0);
    assert_true(through(DT_I32, (double)NAN) == 0);
    assert_true(through(DT_BOOL, 0.25) == 1 && through(DT_BOOL, 0) == 0);
    assert_true(through(DT_F32, 0.1) == (double)0.1f && through(DT_F64, 0.1) == 0.1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_objects_are_zero_aligned_and_apart),
        cmocka_unit_test(arena_copies_come_back),
        cmocka_unit_test(arena_texts),
        cmocka_unit_test(vec_grows_and_keeps),
        cmocka_unit_test(bug_prints_context_and_aborts),
        cmocka_unit_test(a_reset_ends_copies),
        cmocka_unit_test(out_of_memory_is_exit_code_5),
        cmocka_unit_test(asan_catches_stale_and_wild_pointers),
        cmocka_unit_test(err_first_wins_and_is_cut),
        cmocka_unit_test(syms_are_unique_pointers),
        cmocka_unit_test(nearest_finds_typing_mistakes),
        cmocka_unit_test(map_finds_what_was_put),
        cmocka_unit_test(strbuf_builds_text),
        cmocka_unit_test(doubles_round_trip_shortly),
        cmocka_unit_test(files_are_written_whole),
        cmocka_unit_test(files_fail_with_a_reason),
        cmocka_unit_test(trees_are_made_and_removed),
        cmocka_unit_test(paths_are_text),
        cmocka_unit_test(dtypes_are_found_by_name),
        cmocka_unit_test(half_formats_round_to_nearest_even),
        cmocka_unit_test(ints_round_and_saturate),
    };
    return cmocka_run_group_tests(tests, arena_setup, arena_teardown);
}
