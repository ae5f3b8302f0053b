/* planload.c: from the bytes of a plan file to a Plan whose arrays point into them.
 *
 * The file is mapped, not copied: a plan of many megabytes of kernel text opens in the time of one
 * pass of XXH3. Order of checks: magic, version, length, checksum, directory, contents; so each
 * kind of damage has its own message. */
#include "planfile.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* 1234567 as "1,234,567". */
static const char *commas(uint64_t value, char out[32])
{
    char digits[32];
    int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);
    int w = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            out[w++] = ',';
        out[w++] = digits[i];
    }
    out[w] = '\0';
    return out;
}

static bool damaged(Err *err)
{
    return err_help(err, "compile it again");
}

/* Everything that can be said before the contents are trusted. */
static bool check_header(const char *file, size_t n, PlanHeader *head, Err *err)
{
    char have[32], want[32];
    size_t known = n < sizeof(head->magic) ? n : sizeof(head->magic);
    if (!n || memcmp(file, PLAN_MAGIC, known) != 0)
        return err_set(err, ERR_DATA, "this is not a plan: it does not begin with MDLPLAN");
    if (n < sizeof(*head)) {
        err_set(err, ERR_DATA, "the plan is truncated: %s bytes, its header alone needs %s",
                commas(n, have), commas(sizeof(*head), want));
        return damaged(err);
    }
    memcpy(head, file, sizeof(*head));
    if (head->min_reader > PLAN_VERSION) {
        err_set(err, ERR_DATA, "the plan has format %u, this program reads up to %d", head->version,
                PLAN_VERSION);
        return err_help(err, "use the mdl that wrote it, or compile it again");
    }
    if (head->version < PLAN_VERSION) {
        err_set(err, ERR_DATA, "the plan has the old format %u, this program reads %d",
                head->version, PLAN_VERSION);
        return damaged(err);
    }
    if (head->file_bytes != n) {
        err_set(err, ERR_DATA, "the plan is %s: %s bytes, its header says %s",
                n < head->file_bytes ? "truncated" : "too long", commas(n, have),
                commas(head->file_bytes, want));
        return damaged(err);
    }
    if (hash_bytes(file + PLAN_CHECKED_FROM, n - PLAN_CHECKED_FROM) != head->checksum) {
        err_set(err, ERR_DATA, "the plan is damaged: its checksum does not match its contents");
        return damaged(err);
    }
    return true;
}

/* What this program expects of one directory entry. */
typedef struct Expected {
    const char *name;
    uint32_t element;
} Expected;

static const Expected expected[] = {
#define SECTION(name, T) {#name, sizeof(T)},
#include "plan.def"
#undef SECTION
};

/* Sections follow each other without gaps but for alignment, and fill the file. */
static bool check_directory(const PlanHeader *head, const PlanSection *dir, Err *err)
{
    uint64_t at = sizeof(*head) + head->nsection * sizeof(PlanSection);
    for (uint32_t i = 0; i < head->nsection; i++) {
        at = (at + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
        if (!memchr(dir[i].name, 0, sizeof(dir[i].name)) ||
            strcmp(dir[i].name, expected[i].name) != 0)
            return err_set(err, ERR_DATA, "the plan's section %u is not `%s`", i, expected[i].name);
        if (dir[i].element != expected[i].element)
            return err_set(err, ERR_DATA,
                           "the plan's section `%s` has elements of %u bytes, not %u", dir[i].name,
                           dir[i].element, expected[i].element);
        if (dir[i].offset != at || dir[i].count > UINT32_MAX || at > head->file_bytes ||
            dir[i].count * dir[i].element > head->file_bytes - at)
            return err_set(err, ERR_DATA, "the plan's section `%s` lies outside the file",
                           dir[i].name);
        at += dir[i].count * dir[i].element;
    }
    if ((at + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN != head->file_bytes)
        return err_set(err, ERR_DATA, "the plan's sections do not fill the file");
    return true;
}

static bool bind_sections(Plan *plan, const char *file, const PlanHeader *head, Err *err)
{
    if (head->nsection != PLAN_NSECTION ||
        head->file_bytes < sizeof(*head) + PLAN_NSECTION * sizeof(PlanSection))
        return err_set(err, ERR_DATA, "the plan has %u sections, expected %d", head->nsection,
                       PLAN_NSECTION);
    const PlanSection *dir = (const void *)(file + sizeof(*head));
    if (!check_directory(head, dir, err))
        return false;
    const PlanSection *next = dir;
#define SECTION(name, T)                                         \
    plan->name = (const T *)(const void *)(file + next->offset); \
    plan->n##name = (uint32_t)next++->count;
#include "plan.def"
#undef SECTION
    plan->hash = head->checksum;
    return true;
}

static bool open_file(Plan *plan, const char *file, size_t n, Err *err)
{
    PlanHeader head = {0};
    return check_header(file, n, &head, err) && bind_sections(plan, file, &head, err) &&
           plan_verify(plan, err);
}

/* The numbers of a Plan are read in place, so its bytes must be aligned for u64. */
static const char *aligned(Plan *plan, const void *data, size_t n)
{
    if ((uintptr_t)data % sizeof(uint64_t) == 0)
        return data;
    plan->copy = malloc(n ? n : 1);
    if (plan->copy)
        memcpy(plan->copy, data, n);
    return plan->copy;
}

Plan *plan_from_bytes(const void *data, size_t n, Err *err)
{
    Plan *plan = calloc(1, sizeof(*plan));
    const char *file = plan ? aligned(plan, data, n) : NULL;
    if (file ? open_file(plan, file, n, err)
             : err_set(err, ERR_DEVICE, "no memory for a plan of %zu bytes", n))
        return plan;
    plan_free(plan);
    return NULL;
}

static bool map_file(Plan *plan, int fd, Err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_set(err, ERR_FILE, "cannot read the plan: %s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_FILE, "cannot read the plan: not a regular file");
    if (st.st_size == 0)
        return err_set(err, ERR_DATA, "this is not a plan: the file is empty");
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return err_set(err, ERR_FILE, "cannot map the plan: %s", strerror(errno));
    plan->map = map;
    plan->map_bytes = (size_t)st.st_size;
    return true;
}

Plan *plan_load(const char *path, Err *err)
{
    Plan *plan = calloc(1, sizeof(*plan));
    int fd = plan ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    bool ok = fd >= 0;
    if (!ok)
        err_set(err, ERR_FILE, "cannot open the plan: %s", strerror(errno));
    ok = ok && map_file(plan, fd, err) && open_file(plan, plan->map, plan->map_bytes, err);
    if (fd >= 0)
        close(fd);
    if (ok)
        return plan;
    plan_free(plan);
    err_context(err, "%s", path);
    return NULL;
}

void plan_free(Plan *plan)
{
    if (!plan)
        return;
    if (plan->map)
        munmap(plan->map, plan->map_bytes);
    free(plan->copy);
    free(plan);
}
