/* pick_record.c: configurations that were measured. Only those that the cost model chooses from are taken, so a record
 * that is old or was written by hand can make a kernel slow, but not wrong. */
#include "library.h"
#include "pick.h"

#include <string.h>

uint64_t pick_problem(const Def *def, const char *class_name)
{
    return hash_mix(def->hash, hash_text(class_name));
}

static bool same(const PickConfig *a, const int64_t *ints, uint32_t n)
{
    return a->n == n && memcmp(a->ints, ints, n * sizeof *ints) == 0;
}

uint32_t pick_candidates(PassCx *cx, const Def *def, const char *class_name, PickConfig *out)
{
    KernelClass cls;
    PickConfig tiles[PICK_MOST];
    uint32_t n = 1, ntile = 0;
    if (!class_find(class_name, &cls))
        BUG("no kernel class '%s'", class_name);
    pick_class(cx, cls, def->body, &out[0]);
    if (cls == KC_GEMM && cx->target->kind == TK_CUDA)
        ntile = pick_gpu_gemm_candidates(cx, def->body, tiles);
    else if (cls == KC_ATTENTION_BWD && cx->target->kind == TK_CUDA)
        ntile = pick_gpu_attention_bwd_candidates(cx, def->body, tiles);
    else if (cls == KC_GEMM)
        ntile = pick_gemm_candidates(cx, def->body, tiles);
    for (uint32_t i = 0; i < ntile && n < PICK_MOST; i++) {
        bool known = false;
        for (uint32_t k = 0; k < n; k++)
            known = known || same(&out[k], tiles[i].ints, tiles[i].n);
        if (!known)
            out[n++] = tiles[i];
    }
    return n;
}

static const char *describe(PassCx *cx, const TuningRecord *r)
{
    StrBuf sb = sb_new(cx->arena);
    for (uint32_t i = 0; i < r->n; i++)
        sb_printf(&sb, "%s%lld", i ? "," : "", (long long)r->config[i]);
    if (r->by_library)
        sb_printf(&sb, " or cuBLASLt %llu", (unsigned long long)r->library.version);
    if (r->seconds > 0)
        sb_printf(&sb, ", %.1f us", r->seconds * 1e6);
    if (r->seconds > 0 && r->usual > 0)
        sb_printf(&sb, " where the usual one took %.1f us", r->usual * 1e6);
    if (*r->device)
        sb_printf(&sb, " on %s", r->device);
    return sb_text(&sb);
}

bool pick_record(PassCx *cx, const Def *def, const char *class_name, PickConfig *out,
                 const char **why)
{
    *why = NULL;
    const TuningRecord *r =
        records_find(cx->records, pick_problem(def, class_name), cx->target->isa);
    if (!r)
        return false;
    PickConfig all[PICK_MOST];
    LibraryGemm gemm;
    bool fits =
        strcmp(r->cls, class_name) == 0 &&
        (!r->by_library || (cx->target->kind == TK_CUDA && library_gemm(cx->ir, def->body, &gemm)));
    uint32_t n = fits ? pick_candidates(cx, def, class_name, all) : 0;
    for (uint32_t i = 0; i < n; i++)
        if (same(&all[i], r->config, r->n)) {
            *out = all[i];
            if (r->by_library)
                out->ints = library_join(cx->arena, all[i].ints, all[i].n, &r->library, &out->n);
            *why = arena_printf(cx->arena, "configuration %s: %s:%u", describe(cx, r),
                                cx->records->path, r->line);
            return true;
        }
    *why = arena_printf(cx->arena, "%s:%u is left out: %s is no configuration of this %s now",
                        cx->records->path, r->line, describe(cx, r), class_name);
    return false;
}
