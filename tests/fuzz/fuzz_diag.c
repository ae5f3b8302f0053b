/* LIBS: mdl_base */
/* fuzz_diag.c: reports at arbitrary places of arbitrary text. The first 16 bytes choose the spans,
 * the rest is the source; it is also label, note and replacement. */
#include "fuzz.h"

#include "diag.h"

enum { HEAD = 16 };

static Span span_at(uint32_t file, const uint8_t *bytes, size_t n)
{
    uint32_t lo = (uint32_t)(bytes[0] * n / 250);
    uint32_t hi = bytes[1] & 1 ? lo + bytes[1] / 4 : (uint32_t)(bytes[1] * n / 250);
    return (Span){file, lo, hi};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < HEAD)
        return 0;
    Arena *arena = arena_new();
    const char *text = (const char *)data + HEAD;
    size_t len = n - HEAD;
    const char *words = arena_strndup(arena, text, len < 60 ? len : 60);
    Diags *diags = diags_new(arena);
    uint32_t file = diags_source(diags, "f.mdl", text, len);
    uint32_t other = diags_source(diags, words, text, len / 2);
    for (int i = 0; i < 2; i++) {
        const uint8_t *at = data + 8 * i;
        Diag *d =
            diag_at(diags, (DiagCode)(at[0] % DIAG_COUNT), span_at(file, at, len), "%s", words);
        diag_label(d, "%s", words);
        diag_also(d, span_at(at[7] & 1 ? other : file, at + 2, len), "second");
        diag_also(d, span_at(file, at + 4, len), "%s", words);
        diag_note(d, "%s", words);
        diag_fix(d, span_at(file, at + 6, len), words, "write");
    }
    ASSERT(diags_render(diags, arena, DIAG_HUMAN, true));
    ASSERT(diags_render(diags, arena, DIAG_SHORT, false));
    arena_free(arena);
    return 0;
}
