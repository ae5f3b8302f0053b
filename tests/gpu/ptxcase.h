/* ptxcase.h: whether a kernel puts numbers of 16 bits together that were rounded one by one.
 *
 * ptxas of CUDA 13.0 makes wrong machine code of some such texts, for sm_80 and sm_90a: of four numbers that were
 * rounded, widened and rounded again, both pairs went to one register, and two of the four were stored twice. PTX has
 * them as `cvt.rn.bf16.f32`, `cvt.u64.u16` and `bfi.b64`. Pairs of cvt.rn.bf16x2 have no halves to put together.
 * Integers and numbers of 8 bits are no matter: they are parts of registers of 32 bits from the start. */
#ifndef MDL_PTXCASE_H
#define MDL_PTXCASE_H

#include "nvrtccase.h"
#include "prelude.h"
#include <stdlib.h>

enum { PTX_REGISTERS = 1 << 16 };

/* Which registers of a function hold a rounded number alone, by kind: %rs, %r, %rd. */
typedef struct PtxMarks {
    bool at[3][PTX_REGISTERS];
} PtxMarks;

/* reg: at its `%`; NULL for registers of other kinds. */
static bool *ptx_mark(PtxMarks *m, const char *reg)
{
    static const char *const kinds[] = {"rs", "r", "rd"};
    size_t n = strspn(reg + 1, "abcdefghijklmnopqrstuvwxyz");
    for (size_t i = 0; i < COUNT(kinds); i++)
        if (n == strlen(kinds[i]) && strncmp(reg + 1, kinds[i], n) == 0)
            return &m->at[i][strtoul(reg + 1 + n, NULL, 10) % PTX_REGISTERS];
    return NULL;
}

static bool ptx_is(const char *op, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strncmp(op, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* Whether the instruction puts a marked number beside something; marks what it writes. */
static bool ptx_packs(PtxMarks *m, const char *op, const char *args)
{
    static const char *const rounds[] = {"cvt.rn.bf16.f32", "cvt.rn.f16.f32", "cvt.u16.u32"};
    static const char *const keeps[] = {"cvt.u32.u16", "cvt.u64.u16", "cvt.u64.u32",
                                        "mov.",        "selp.",       "and."};
    static const char *const joins[] = {"bfi.", "prmt.", "or.b32", "or.b64"};
    const char *to = strchr(args, '%');
    bool marked = false;
    if (!to)
        return false;
    for (const char *reg = strchr(to + 1, '%'); reg; reg = strchr(reg + 1, '%')) {
        const bool *mark = ptx_mark(m, reg);
        marked = marked || (mark && *mark);
    }
    bool *mark = ptx_mark(m, to);
    if (mark)
        *mark = ptx_is(op, rounds, COUNT(rounds)) || (marked && ptx_is(op, keeps, COUNT(keeps)));
    bool list = *args != '{' && strchr(args, '{');
    return marked && (list || ptx_is(op, joins, COUNT(joins)));
}

/* The first line that does, NULL: none. */
static const char *ptx_pack_of_16(Arena *arena, const char *ptx)
{
    PtxMarks *m = NEW(arena, PtxMarks);
    for (const char *at = ptx; *at; at += strcspn(at, "\n"), at += *at == '\n') {
        const char *line = arena_strndup(arena, at, strcspn(at, "\n"));
        const char *op = line + strspn(line, " \t");
        if (strstr(line, ".entry"))
            *m = (PtxMarks){0};
        if (*op == '@')
            op += strcspn(op, " \t"), op += strspn(op, " \t");
        const char *args = op + strcspn(op, " \t");
        args += strspn(args, " \t");
        if (*op != '.' && *op != '/' && ptx_packs(m, op, args))
            return line;
    }
    return NULL;
}

/* PTX of a text with the prelude. arch: sm_80. */
static const char *ptx_of(GpuCase *g, const Nvrtc *n, const char *arch, GpuText text)
{
    NvrtcResult made;
    Err err = {0};
    size_t headers = 0;
    const char *names[64] = {0};
    for (; mdl_prelude_cuda_names[headers]; headers++)
        names[headers] = path_base(mdl_prelude_cuda_names[headers]);
    const NvrtcText in = {.name = text.name,
                          .text = text.text,
                          .arch = arena_printf(g->arena, "compute_%s", arch + 3),
                          .header_names = names,
                          .header_texts = mdl_prelude_cuda_texts};
    if (!nvrtc_compile(n, g->arena, &in, &made, &err))
        fail_msg("%s", err.text);
    return made.cubin.data;
}

static void ptx_check(GpuCase *g, const Nvrtc *n, const char *arch, GpuText text)
{
    const char *bad = ptx_pack_of_16(g->arena, ptx_of(g, n, arch, text));
    if (bad)
        fail_msg("%s, %s: numbers rounded one by one are put together:%s", arch, text.name, bad);
}

#endif
