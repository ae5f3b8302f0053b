/* checkpoint.c: the state of a run in a folder per checkpoint, so that a kill at any moment loses
 * no checkpoint that was there.
 *
 *     checkpoints/step-N.tmp-PID/   weights, state, then the manifest; everything is fsynced
 *       -> rename -> step-N/        the moment at which the checkpoint exists
 *       -> fsync of checkpoints/    the moment at which it survives a power cut
 *     LATEST                        its name, for people and scripts; a load looks at the folders
 *     step-M/ -> step-M.tmp-PID/ -> removed: an old one never dies under a valid name
 *
 * A run's state is: step, sample position, seed, parameters, buffers and optimizer states. Gradients
 * and running sums are born anew in every update. The order of the data is a function of position. */
#include "checkpoint.h"
#include "stwrite.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* ---- names ---- */

static const char *parent_of(Arena *arena, const char *run_dir)
{
    return path_join(arena, run_dir, "checkpoints");
}

static const char *step_path(Arena *arena, const char *parent, int64_t step)
{
    return arena_printf(arena, "%s/step-%lld", parent, (long long)step);
}

/* "step-412" and nothing else. */
static bool parse_step(const char *name, int64_t *out)
{
    if (strncmp(name, "step-", 5) != 0 || !name[5])
        return false;
    int64_t step = 0;
    for (const char *p = name + 5; *p; p++)
        if (!isdigit((unsigned char)*p) || __builtin_mul_overflow(step, 10, &step) ||
            __builtin_add_overflow(step, *p - '0', &step))
            return false;
    *out = step;
    return name[5] != '0' || !name[6];
}

typedef struct Listing {
    VEC(int64_t) steps;      /* newest first */
    VEC(const char *) temps; /* paths of what was never finished */
} Listing;

static int by_newest(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

static void list_entry(Arena *arena, const char *parent, const char *name, Listing *out)
{
    int64_t step;
    if (parse_step(name, &step))
        VEC_PUSH(arena, &out->steps, step);
    else if (strstr(name, ".tmp-"))
        VEC_PUSH(arena, &out->temps, path_join(arena, parent, name));
}

/* An absent folder is an empty one; one that cannot be read is not: a run would begin anew. */
static bool list_parent(Arena *arena, const char *parent, Listing *out, Err *err)
{
    *out = (Listing){0};
    DIR *dir = opendir(parent);
    if (!dir && errno == ENOENT)
        return true;
    if (!dir)
        return err_set(err, ERR_FILE, "cannot read the folder %s: %s", parent, strerror(errno));
    struct dirent *entry;
    for (errno = 0; (entry = readdir(dir)); errno = 0)
        list_entry(arena, parent, entry->d_name, out);
    int why = errno;
    closedir(dir);
    if (why)
        return err_set(err, ERR_FILE, "cannot read the folder %s: %s", parent, strerror(why));
    if (out->steps.n)
        qsort(out->steps.at, out->steps.n, sizeof *out->steps.at, by_newest);
    return true;
}

/* ---- states as tensors ---- */

/* Which of the two files a state belongs to, or -1. */
static int file_of(const PlanState *state)
{
    switch ((PlanStateKind)state->kind) {
    case PS_PARAM:
    case PS_BUFFER:
        return 0;
    case PS_OPT:
    case PS_MASTER:
        return 1;
    case PS_GRAD:
    case PS_LOOP:
    case PS_KV:
    case PS_CODES:
    case PS_SCALE:
        break;
    }
    return -1;
}

/* A state while it is written. */
typedef struct Borrowed {
    Runtime *rt;
    uint32_t state;
    RtLoan loan;
} Borrowed;

static const void *borrow(void *user, Err *err)
{
    Borrowed *b = user;
    return rt_lend_state(b->rt, b->state, RT_READ, &b->loan, err) ? b->loan.data : NULL;
}

static bool give_back(void *user, Err *err)
{
    Borrowed *b = user;
    return rt_return(b->rt, &b->loan, err);
}

static StTensor as_tensor(Arena *arena, Runtime *rt, uint32_t s)
{
    Borrowed *b = NEW(arena, Borrowed);
    *b = (Borrowed){.rt = rt, .state = s};
    const Plan *plan = rt_plan(rt);
    const PlanState *state = &plan->states[s];
    const PlanTensor *tensor = &plan->tensors[state->tensor];
    const char *key = plan_text(plan, state->key);
    StTensor out = {.name = *key ? key : plan_text(plan, tensor->path),
                    .dtype = (DType)tensor->dtype,
                    .rank = tensor->rank,
                    .bytes = rt_state_bytes(rt, s),
                    .lend = borrow,
                    .give_back = give_back,
                    .user = b};
    for (uint32_t i = 0; i < tensor->rank; i++)
        out.dim[i] = plan_dim_hi(plan, tensor->dim[i]);
    return out;
}

static CkptTensors list_tensors(Arena *arena, Runtime *rt, int file)
{
    const Plan *plan = rt_plan(rt);
    CkptTensors out = {.at = NEW_ARRAY(arena, StTensor, plan->nstates),
                       .state = NEW_ARRAY(arena, uint32_t, plan->nstates)};
    for (uint32_t s = 0; s < plan->nstates; s++) {
        if (file_of(&plan->states[s]) != file)
            continue;
        out.at[out.n] = as_tensor(arena, rt, s);
        out.state[out.n++] = s;
    }
    return out;
}

CkptTensors ckpt_weights(Arena *arena, Runtime *rt)
{
    return list_tensors(arena, rt, 0);
}

/* ---- saving ---- */

typedef struct Saving {
    Arena *arena;
    const char *parent, *temp, *final;
    Manifest manifest;
} Saving;

static bool write_temp(Saving *s, Runtime *rt, Err *err)
{
    if (!file_remove_tree(s->temp, err) || !file_mkdirs(s->temp, err))
        return false;
    for (int i = 0; i < MANIFEST_FILES; i++) {
        CkptTensors t = list_tensors(s->arena, rt, i);
        StDigest digest;
        if (!st_write_digest(path_join(s->arena, s->temp, manifest_names[i]), t.at, t.n, &digest,
                             err))
            return false;
        ManifestFile *f = &s->manifest.files[i];
        *f = (ManifestFile){.name = manifest_names[i], .bytes = digest.bytes};
        memcpy(f->hash, digest.hash, sizeof f->hash);
    }
    return manifest_write(&s->manifest, s->temp, err) && file_fsync_dir(s->temp, err);
}

/* Whether the folder already is this checkpoint: a run that ended and is started again. */
static bool is_same(const Saving *s)
{
    Manifest old;
    Err ignored = {0};
    if (!manifest_read(&old, s->final, &ignored) || !manifest_verify(&old, s->final, &ignored))
        return false;
    bool same = old.plan == s->manifest.plan && old.pos.step == s->manifest.pos.step &&
                old.pos.sample == s->manifest.pos.sample && old.pos.seed == s->manifest.pos.seed;
    for (int i = 0; i < MANIFEST_FILES; i++)
        same = same && strcmp(old.files[i].hash, s->manifest.files[i].hash) == 0;
    return same;
}

static bool rename_folder(const char *from, const char *to, Err *err)
{
    return rename(from, to) == 0 ||
           err_set(err, ERR_FILE, "cannot rename %s to %s: %s", from, to, strerror(errno));
}

/* Gives the folder a name that is not a checkpoint's, then removes it. */
static bool remove_old(Arena *arena, const char *path, Err *err)
{
    const char *doomed = arena_printf(arena, "%s.tmp-old-%ld", path, (long)getpid());
    return file_remove_tree(doomed, err) && rename_folder(path, doomed, err) &&
           file_remove_tree(doomed, err);
}

static bool commit(const Saving *s, Err *err)
{
    if (file_exists(s->final)) {
        if (is_same(s))
            return file_remove_tree(s->temp, err);
        if (!remove_old(s->arena, s->final, err))
            return false;
    }
    if (!rename_folder(s->temp, s->final, err) || !file_fsync_dir(s->parent, err))
        return false;
    const char *line = arena_printf(s->arena, "%s\n", path_base(s->final));
    return file_write_atomic(path_join(s->arena, s->parent, "LATEST"), line, strlen(line), err);
}

/* Newer ones than this can only be broken ones that a resume fell back behind: they stay for people
 * to look at until the run reaches them again. */
static bool remove_older(const Saving *s, int64_t step, const CkptKeep *keep, Err *err)
{
    Listing all;
    if (!list_parent(s->arena, s->parent, &all, err))
        return false;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < all.steps.n; i++) {
        int64_t at = all.steps.at[i];
        bool old =
            at <= step && kept++ >= keep->newest && at != keep->best[0] && at != keep->best[1];
        if (old && !remove_old(s->arena, step_path(s->arena, s->parent, at), err))
            return false;
    }
    return true;
}

bool ckpt_save(Runtime *rt, const char *run_dir, const CkptPosition *pos, uint32_t keep, Err *err)
{
    return ckpt_save_keep(rt, run_dir, pos, &(CkptKeep){keep, {-1, -1}}, err);
}

bool ckpt_save_keep(Runtime *rt, const char *run_dir, const CkptPosition *pos, const CkptKeep *keep,
                    Err *err)
{
    Arena *arena = arena_new();
    Saving s = {.arena = arena, .parent = parent_of(arena, run_dir)};
    s.final = step_path(arena, s.parent, pos->step);
    s.temp = arena_printf(arena, "%s.tmp-%ld", s.final, (long)getpid());
    s.manifest = (Manifest){.plan = plan_hash(rt_plan(rt)), .pos = *pos};
    bool ok = file_mkdirs(s.parent, err) && write_temp(&s, rt, err) && commit(&s, err);
    if (!ok) {
        file_remove_tree(s.temp, NULL);
        err_context(err, "checkpoint of step %lld", (long long)pos->step);
        err_help(err, "checkpoints that were there before are intact");
    }
    ok = ok && (keep->newest == 0 || remove_older(&s, pos->step, keep, err));
    arena_free(arena);
    return ok;
}

/* Files, too: what an atomic write left beside its target. */
static bool clean_folder(Arena *arena, const char *dir, Err *err)
{
    Listing all;
    if (!list_parent(arena, dir, &all, err))
        return false;
    for (uint32_t i = 0; i < all.temps.n; i++)
        if (!file_remove_tree(all.temps.at[i], err))
            return false;
    return true;
}

bool ckpt_clean(const char *run_dir, Err *err)
{
    Arena *arena = arena_new();
    bool ok =
        clean_folder(arena, parent_of(arena, run_dir), err) && clean_folder(arena, run_dir, err);
    arena_free(arena);
    return ok;
}

/* ---- room ---- */

/* CkptTensors, headers and the manifest, generously. */
static uint64_t checkpoint_bytes(Arena *arena, Runtime *rt)
{
    uint64_t bytes = 1 << 16;
    for (int i = 0; i < MANIFEST_FILES; i++) {
        CkptTensors t = list_tensors(arena, rt, i);
        for (uint32_t k = 0; k < t.n; k++)
            bytes += t.at[k].bytes + strlen(t.at[k].name) + 256;
    }
    return bytes;
}

bool ckpt_preflight(Runtime *rt, const char *run_dir, uint32_t keep, Err *err)
{
    Arena *arena = arena_new();
    Listing all;
    struct statvfs disk;
    bool ok = list_parent(arena, parent_of(arena, run_dir), &all, err);
    if (ok && statvfs(run_dir, &disk) == 0 && disk.f_blocks > 0) {
        uint64_t each = checkpoint_bytes(arena, rt), there = all.steps.n;
        uint64_t lacking = (uint64_t)keep + 1 > there ? (uint64_t)keep + 1 - there : 1;
        double need = (double)each * (double)(keep ? lacking : 1);
        double room = (double)disk.f_bavail * (double)disk.f_frsize;
        if (need > room) {
            ok = err_set(err, ERR_DEVICE,
                         "%s has room for %.1f MB, and checkpoints need %.1f MB more: %.1f MB each",
                         run_dir, room / 1e6, need / 1e6, (double)each / 1e6);
            err_help(err, "free some space, choose another folder (--run), or keep fewer: "
                          "`every 1 epoch: save(keep: 1)`");
        }
    }
    arena_free(arena);
    return ok;
}

/* ---- loading ---- */

static bool fail_other(Err *err)
{
    return err_help(err, "the checkpoint belongs to another program or other settings: use another "
                         "run folder (--run), or remove this one");
}

static bool match(const StTensor *want, const StTensor *have, Err *err)
{
    if (!have) {
        err_set(err, ERR_DATA, "it lacks `%s`", want->name);
        return fail_other(err);
    }
    if (have->dtype != want->dtype || have->rank != want->rank || have->bytes != want->bytes ||
        memcmp(have->dim, want->dim, sizeof *want->dim * want->rank) != 0) {
        err_set(err, ERR_DATA, "`%s` has another shape or type than in this program", want->name);
        return fail_other(err);
    }
    return true;
}

static bool match_all(const CkptTensors *want, const StFile *file, Err *err)
{
    for (uint32_t i = 0; i < want->n; i++)
        if (!match(&want->at[i], st_find(file, want->at[i].name), err))
            return false;
    return true;
}

static bool copy_all(Runtime *rt, const CkptTensors *want, const StFile *file, Err *err)
{
    for (uint32_t i = 0; i < want->n; i++) {
        RtLoan to;
        if (!rt_lend_state(rt, want->state[i], RT_WRITE, &to, err))
            return false;
        if (to.bytes)
            memcpy(to.data, st_find(file, want->at[i].name)->data, to.bytes);
        if (!rt_return(rt, &to, err))
            return false;
    }
    return true;
}

/* All or nothing: no state changes before everything matches. */
static bool load_folder(Arena *arena, Runtime *rt, const char *dir, Err *err)
{
    StFile *files[MANIFEST_FILES] = {0};
    CkptTensors want[MANIFEST_FILES];
    bool ok = true;
    for (int i = 0; ok && i < MANIFEST_FILES; i++) {
        files[i] = st_open(path_join(arena, dir, manifest_names[i]), err);
        want[i] = list_tensors(arena, rt, i);
        ok = files[i] && match_all(&want[i], files[i], err);
    }
    for (int i = 0; ok && i < MANIFEST_FILES; i++)
        ok = copy_all(rt, &want[i], files[i], err);
    for (int i = 0; i < MANIFEST_FILES; i++)
        if (files[i])
            st_close(files[i]);
    return ok || err_context(err, "%s", dir);
}

static bool verify_folder(const char *dir, int64_t step, Manifest *m, Err *err)
{
    if (!manifest_read(m, dir, err) || !manifest_verify(m, dir, err))
        return false;
    return m->pos.step == step ||
           err_set(err, ERR_DATA, "%s: its manifest is of step %lld", dir, (long long)m->pos.step);
}

/* The newest folder that is what its manifest says. */
static const char *find_newest(Arena *arena, const char *parent, Manifest *m, Err *err)
{
    Listing all;
    if (!list_parent(arena, parent, &all, err))
        return NULL;
    for (uint32_t i = 0; i < all.steps.n; i++) {
        const char *dir = step_path(arena, parent, all.steps.at[i]);
        Err why = {0};
        if (verify_folder(dir, all.steps.at[i], m, &why))
            return dir;
        fprintf(stderr, "warning: skipped a broken checkpoint: %s\n", why.text);
    }
    if (!all.steps.n) {
        err_set(err, ERR_FILE, "there is no checkpoint in %s", parent);
        return NULL;
    }
    err_set(err, ERR_DATA, "none of the %u checkpoints in %s is intact", all.steps.n, parent);
    err_help(err, "remove the folder to start the run again");
    return NULL;
}

const char *ckpt_find(Arena *arena, const char *run_dir, CkptPosition *pos, Err *err)
{
    Manifest m;
    const char *dir = find_newest(arena, parent_of(arena, run_dir), &m, err);
    if (dir)
        *pos = m.pos;
    return dir;
}

bool ckpt_load(Runtime *rt, const char *run_dir, CkptPosition *pos, bool *found, Err *err)
{
    Arena *arena = arena_new();
    const char *parent = parent_of(arena, run_dir);
    Listing all;
    Manifest m;
    bool ok = list_parent(arena, parent, &all, err);
    *found = ok && all.steps.n;
    const char *dir = *found ? find_newest(arena, parent, &m, err) : NULL;
    ok = ok && (!*found || (dir && load_folder(arena, rt, dir, err)));
    *found = *found && ok;
    if (*found)
        *pos = m.pos;
    arena_free(arena);
    return ok;
}

const char *ckpt_newest(Arena *arena, const char *run_dir)
{
    Listing all;
    const char *parent = parent_of(arena, run_dir);
    bool read = list_parent(arena, parent, &all, NULL);
    return read && all.steps.n ? step_path(arena, parent, all.steps.at[0]) : NULL;
}
