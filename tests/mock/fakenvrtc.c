/* fakenvrtc.c: a stand-in for NVRTC where there is none: what it makes has the names of the kernels, and
 * their text for fakecuda.c. It refuses what has the word `refused`, as a compiler refuses a mistake. */
#include "mock.h"
#include <elf.h>

typedef struct Program {
    Arena *arena;
    const char *text, *log;
    StrBuf out;
} Program;

EXPORT int nvrtcVersion(int *major, int *minor);
EXPORT const char *nvrtcGetErrorString(int result);
EXPORT int nvrtcCreateProgram(Program **p, const char *text, const char *name, int headers,
                              const char *const *header_texts, const char *const *header_names);
EXPORT int nvrtcCompileProgram(Program *p, int noption, const char *const *options);
EXPORT int nvrtcDestroyProgram(Program **p);
EXPORT int nvrtcGetProgramLogSize(Program *p, size_t *n);
EXPORT int nvrtcGetProgramLog(Program *p, char *text);
EXPORT int nvrtcGetCUBINSize(Program *p, size_t *n);
EXPORT int nvrtcGetCUBIN(Program *p, char *bytes);
EXPORT int nvrtcGetPTXSize(const Program *p, size_t *n);
EXPORT int nvrtcGetPTX(const Program *p, const char *bytes);

int nvrtcVersion(int *major, int *minor)
{
    *major = 12;
    *minor = 99;
    return 0;
}

const char *nvrtcGetErrorString(int result)
{
    return result ? "the mock refuses" : "no error";
}

/* The arguments are NVIDIA's. NOLINTNEXTLINE(readability-function-size) */
int nvrtcCreateProgram(Program **p, const char *text, const char *name, int headers,
                       const char *const *header_texts, const char *const *header_names)
{
    Arena *arena = arena_new();
    UNUSED(name);
    for (int i = 0; i < headers; i++)
        ASSERT(header_texts[i] && header_names[i]);
    *p = NEW(arena, Program);
    **p = (Program){
        .arena = arena, .text = arena_strdup(arena, text), .log = "", .out = sb_new(arena)};
    return 0;
}

int nvrtcDestroyProgram(Program **p)
{
    arena_free((*p)->arena);
    *p = NULL;
    return 0;
}

/* ---- an ELF file with a section for each kernel ---- */

typedef struct Elf {
    StrBuf names;
    VEC(Elf64_Shdr) sections;
} Elf;

static void add_section(Program *p, Elf *e, const char *name, const char *data, size_t n)
{
    Elf64_Shdr s = {.sh_name = (Elf64_Word)e->names.n, .sh_type = SHT_PROGBITS};
    sb_putn(&e->names, name, strlen(name) + 1);
    s.sh_offset = p->out.n;
    s.sh_size = n;
    sb_putn(&p->out, data, n);
    VEC_PUSH(p->arena, &e->sections, s);
}

static void add_kernels(Program *p, Elf *e, StrBuf *log)
{
    static const char start[] = "MDL_GPU_KERNEL(";
    for (const char *at = p->text; (at = strstr(at, start)) != NULL;) {
        at += sizeof(start) - 1;
        const char *name = arena_strndup(p->arena, at, strcspn(at, ","));
        add_section(p, e, arena_printf(p->arena, ".text.%s", name), name, strlen(name));
        sb_printf(log, "Compiling entry function '%s' for 'mock'\n", name);
    }
}

int nvrtcCompileProgram(Program *p, int noption, const char *const *options)
{
    Elf e = {.names = sb_new(p->arena)};
    StrBuf log = sb_new(p->arena);
    Elf64_Ehdr h = {.e_machine = MOCK_MACHINE, .e_shentsize = sizeof(Elf64_Shdr)};
    if (noption < 1 || strncmp(options[0], "--gpu-architecture=sm_", 22) != 0)
        return 5;
    if (strstr(p->text, "refused")) {
        p->log = "mock: error: it is refused\n";
        return 6;
    }
    memcpy(h.e_ident, ELFMAG, SELFMAG);
    h.e_ident[EI_CLASS] = ELFCLASS64;
    sb_putn(&p->out, (const char *)&h, sizeof(h));
    add_section(p, &e, "", "", 0);
    add_section(p, &e, MOCK_SECTION, p->text, strlen(p->text) + 1);
    add_kernels(p, &e, &log);
    sb_putn(&e.names, ".shstrtab", 10);
    Elf64_Shdr names = {.sh_name = (Elf64_Word)(e.names.n - 10),
                        .sh_type = SHT_STRTAB,
                        .sh_offset = p->out.n,
                        .sh_size = e.names.n};
    sb_putn(&p->out, sb_text(&e.names), e.names.n);
    VEC_PUSH(p->arena, &e.sections, names);
    h.e_shoff = p->out.n;
    h.e_shnum = (Elf64_Half)e.sections.n;
    h.e_shstrndx = (Elf64_Half)(e.sections.n - 1);
    sb_putn(&p->out, (const char *)e.sections.at, e.sections.n * sizeof(Elf64_Shdr));
    memcpy(p->out.text, &h, sizeof(h));
    p->log = sb_text(&log);
    return 0;
}

/* ---- results ---- */

int nvrtcGetProgramLogSize(Program *p, size_t *n)
{
    *n = strlen(p->log) + 1;
    return 0;
}

int nvrtcGetProgramLog(Program *p, char *text)
{
    memcpy(text, p->log, strlen(p->log) + 1);
    return 0;
}

int nvrtcGetCUBINSize(Program *p, size_t *n)
{
    *n = p->out.n;
    return 0;
}

int nvrtcGetCUBIN(Program *p, char *bytes)
{
    memcpy(bytes, p->out.text, p->out.n);
    return 0;
}

/* It has no PTX. */
int nvrtcGetPTXSize(const Program *p, size_t *n)
{
    UNUSED(p);
    *n = 0;
    return 0;
}

int nvrtcGetPTX(const Program *p, const char *bytes)
{
    UNUSED(p);
    UNUSED(bytes);
    return 1;
}
