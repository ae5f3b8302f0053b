/* cubin.c: a cubin is an ELF file for machine 190: a kernel's code lies in .text.NAME; .nv.info and
 * .nv.info.NAME are lists of attributes (format, attribute, length, bytes) with registers, local memory and
 * the launch bounds. The layout is not published; what is unknown is skipped. Spills and static shared
 * memory are in the log of ptxas (.nv.shared.NAME counts 1 KiB of the system's since sm_90). */
#include "cubin.h"
#include <ctype.h>
#include <elf.h>

enum {
    MACHINE_CUDA = 190,
    /* Formats and attributes of .nv.info. */
    FORMAT_SIZED = 4,
    ATTR_MAX_THREADS = 0x05,
    ATTR_FRAME_SIZE = 0x11,
    ATTR_REGISTERS = 0x2f
};

typedef struct Elf {
    const char *data;
    size_t n;
    uint32_t nsection;
    uint64_t sections; /* offset of the headers */
    Elf64_Shdr names, symbols, symbol_names;
} Elf;

/* ---- parts, all within the file ---- */

static bool part_ok(const Elf *e, const Elf64_Shdr *s)
{
    return s->sh_offset <= e->n && s->sh_size <= e->n - s->sh_offset;
}

static Elf64_Shdr section_at(const Elf *e, uint32_t i)
{
    Elf64_Shdr s;
    memcpy(&s, e->data + e->sections + i * sizeof(s), sizeof(s));
    return s;
}

/* The text at `at` of a table of names, NULL when it does not end in it. */
static const char *name_at(const Elf *e, const Elf64_Shdr *table, uint64_t at)
{
    if (!part_ok(e, table) || at >= table->sh_size)
        return NULL;
    const char *text = e->data + table->sh_offset + at;
    return memchr(text, '\0', table->sh_size - at) ? text : NULL;
}

static const char *symbol_name(const Elf *e, uint32_t i)
{
    Elf64_Sym sym;
    if (!part_ok(e, &e->symbols) || i >= e->symbols.sh_size / sizeof(sym))
        return NULL;
    memcpy(&sym, e->data + e->symbols.sh_offset + i * sizeof(sym), sizeof(sym));
    return name_at(e, &e->symbol_names, sym.st_name);
}

static bool open_elf(Elf *e, Err *err)
{
    Elf64_Ehdr h;
    if (e->n < sizeof(h))
        return err_set(err, ERR_DATA, "no cubin: %zu bytes", e->n);
    memcpy(&h, e->data, sizeof(h));
    if (memcmp(h.e_ident, ELFMAG, SELFMAG) != 0 || h.e_ident[EI_CLASS] != ELFCLASS64 ||
        h.e_machine != MACHINE_CUDA)
        return err_set(err, ERR_DATA, "no cubin: not an ELF file for GPUs");
    if (h.e_shentsize != sizeof(Elf64_Shdr) || h.e_shoff > e->n ||
        h.e_shnum > (e->n - h.e_shoff) / sizeof(Elf64_Shdr) || h.e_shstrndx >= h.e_shnum)
        return err_set(err, ERR_DATA, "damaged cubin: its table of sections lies outside");
    e->nsection = h.e_shnum;
    e->sections = h.e_shoff;
    e->names = section_at(e, h.e_shstrndx);
    for (uint32_t i = 0; i < e->nsection; i++) {
        Elf64_Shdr s = section_at(e, i);
        if (s.sh_type != SHT_SYMTAB || s.sh_link >= e->nsection)
            continue;
        e->symbols = s;
        e->symbol_names = section_at(e, s.sh_link);
    }
    return true;
}

/* ---- kernels ---- */

static CubinKernel *find(const Cubin *c, const char *name)
{
    return name ? map_get(c->by_name, hash_text(name)) : NULL;
}

const CubinKernel *cubin_kernel(const Cubin *c, const char *name)
{
    return find(c, name);
}

/* What follows the prefix, NULL when it is not there. */
static const char *behind(const char *text, const char *prefix)
{
    size_t n = strlen(prefix);
    return text && strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

/* Kernels are functions of C; what else a name may be is not ours, and would not go through the notes. */
static bool is_identifier(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    return *name && strspn(name, letters) == strlen(name);
}

static void list_kernels(Arena *arena, const Elf *e, Cubin *c)
{
    c->kernels = NEW_ARRAY(arena, CubinKernel, e->nsection + (size_t)1);
    c->by_name = map_new(arena);
    for (uint32_t i = 0; i < e->nsection; i++) {
        Elf64_Shdr s = section_at(e, i);
        const char *name = behind(name_at(e, &e->names, s.sh_name), ".text.");
        if (!name || !is_identifier(name) || find(c, name))
            continue;
        CubinKernel *k = &c->kernels[c->nkernel++];
        k->name = arena_strdup(arena, name);
        map_put(c->by_name, hash_text(name), k);
    }
}

static uint32_t word_at(const char *data)
{
    uint32_t x;
    memcpy(&x, data, sizeof(x));
    return x;
}

/* One attribute with bytes; `of` is the kernel whose list it is in, NULL in the list of all. */
static void read_attribute(const Elf *e, const Cubin *c, CubinKernel *of, const char *at, size_t n)
{
    unsigned what = (unsigned char)at[1];
    const char *data = at + 4;
    if (of && what == ATTR_MAX_THREADS && n >= 12)
        of->threads = word_at(data);
    if ((what != ATTR_REGISTERS && what != ATTR_FRAME_SIZE) || n < 8)
        return;
    CubinKernel *k = find(c, symbol_name(e, word_at(data)));
    if (k && what == ATTR_REGISTERS)
        k->registers = word_at(data + 4);
    else if (k)
        k->frame = word_at(data + 4);
}

static void read_info(const Elf *e, const Cubin *c, const Elf64_Shdr *s, CubinKernel *of)
{
    if (!part_ok(e, s))
        return;
    const char *p = e->data + s->sh_offset, *end = p + s->sh_size;
    while (end - p >= 4) {
        bool sized = (unsigned char)p[0] == FORMAT_SIZED;
        size_t n = sized ? (size_t)(unsigned char)p[2] | (size_t)(unsigned char)p[3] << 8 : 0;
        if (n > (size_t)(end - p) - 4)
            return;
        if (sized)
            read_attribute(e, c, of, p, n);
        p += 4 + n;
    }
}

bool cubin_parse(Arena *arena, const void *data, size_t n, Cubin *out, Err *err)
{
    Elf e = {.data = data, .n = n};
    *out = (Cubin){.warnings = ""};
    if (!open_elf(&e, err))
        return false;
    out->image = (Bytes){(char *)(uintptr_t)data, n};
    list_kernels(arena, &e, out);
    for (uint32_t i = 0; i < e.nsection; i++) {
        Elf64_Shdr s = section_at(&e, i);
        const char *of = behind(name_at(&e, &e.names, s.sh_name), ".nv.info");
        if (of && (!*of || *of == '.'))
            read_info(&e, out, &s, *of ? find(out, of + 1) : NULL);
    }
    return true;
}

/* ---- the log ---- */

static bool has(const char *line, size_t n, const char *part)
{
    return memmem(line, n, part, strlen(part)) != NULL;
}

/* The number in front of `unit`, 0 when the line has none. */
static uint32_t number_before(const char *line, size_t n, const char *unit)
{
    const char *end = memmem(line, n, unit, strlen(unit)), *p = end;
    while (p && p > line && isdigit((unsigned char)p[-1]))
        p--;
    uint64_t value = 0;
    for (; p && p < end && value <= UINT32_MAX; p++)
        value = value * 10 + (uint64_t)(*p - '0');
    return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

/* The kernel that the lines from here on are about: "Compiling entry function 'k' for 'sm_80'". */
static CubinKernel *entry_of(Arena *arena, const Cubin *c, const char *line, size_t n)
{
    static const char start[] = "Compiling entry function '";
    const char *name = memmem(line, n, start, sizeof(start) - 1);
    if (!name)
        return NULL;
    name += sizeof(start) - 1;
    return find(c, arena_strndup(arena, name, strcspn(name, "'\n")));
}

void cubin_add_log(Arena *arena, const char *log, Cubin *c)
{
    StrBuf warnings = sb_new(arena);
    CubinKernel *k = NULL;
    sb_puts(&warnings, c->warnings);
    while (*log) {
        size_t n = strcspn(log, "\n");
        if (has(log, n, "Compiling entry function"))
            k = entry_of(arena, c, log, n);
        if (k && has(log, n, " bytes spill stores")) {
            k->spill_stores = number_before(log, n, " bytes spill stores");
            k->spill_loads = number_before(log, n, " bytes spill loads");
        }
        if (k && has(log, n, " bytes smem"))
            k->shared = number_before(log, n, " bytes smem");
        if (has(log, n, "(C75") || has(log, n, "ptxas warning")) {
            sb_putn(&warnings, log, n);
            sb_putc(&warnings, '\n');
        }
        log += n + (log[n] == '\n');
    }
    c->warnings = sb_text(&warnings);
}

/* ---- one block of bytes: this head, the image, and what of the log is kept, as text ---- */

typedef struct Head {
    char magic[8];
    uint64_t image, notes; /* bytes */
} Head;

static const char magic[8] = "MDLCUB1";

/* In the words of the log, so that one reader is enough. */
Bytes cubin_pack(Arena *arena, const Cubin *c)
{
    StrBuf notes = sb_new(arena), all = sb_new(arena);
    for (uint32_t i = 0; i < c->nkernel; i++) {
        const CubinKernel *k = &c->kernels[i];
        sb_printf(&notes, "Compiling entry function '%s'\n", k->name);
        sb_printf(&notes, "%u bytes spill stores, %u bytes spill loads\n%u bytes smem\n",
                  k->spill_stores, k->spill_loads, k->shared);
    }
    sb_puts(&notes, c->warnings);
    Head h = {.image = c->image.n, .notes = notes.n};
    memcpy(h.magic, magic, sizeof(magic));
    sb_putn(&all, (const char *)&h, sizeof(h));
    sb_putn(&all, c->image.data, c->image.n);
    sb_putn(&all, sb_text(&notes), notes.n);
    return (Bytes){all.text, all.n};
}

bool cubin_unpack(Arena *arena, const void *data, size_t n, Cubin *out, Err *err)
{
    Head h;
    const char *bytes = data;
    if (n < sizeof(h))
        return err_set(err, ERR_DATA, "damaged cubin in the cache: %zu bytes", n);
    memcpy(&h, bytes, sizeof(h));
    n -= sizeof(h);
    if (memcmp(h.magic, magic, sizeof(magic)) != 0 || h.image > n || h.notes != n - h.image)
        return err_set(err, ERR_DATA, "damaged cubin in the cache: its head is wrong");
    if (!cubin_parse(arena, bytes + sizeof(h), h.image, out, err))
        return false;
    cubin_add_log(arena, arena_strndup(arena, bytes + sizeof(h) + h.image, h.notes), out);
    return true;
}
