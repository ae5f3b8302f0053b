/* datum_text.c: how data-time values read in messages. */
#include "datum.h"

const char *datum_kind_text(DatumKind kind)
{
    static const char *const text[] = {
        [DA_ANY] = "a cell of a row", [DA_ARRAY] = "numbers",  [DA_BOOL] = "a condition",
        [DA_STR] = "a string",        [DA_TEXT] = "turns(..)", [DA_IMAGE] = "an image",
        [DA_AUDIO] = "audio",         [DA_ROW] = "a row",
    };
    return text[kind];
}

const char *datum_text(Elab *e, const DatumType *t)
{
    if (!t->shaped || (t->kind != DA_ARRAY && t->kind != DA_IMAGE)) {
        return datum_kind_text(t->kind);
    }
    if (t->kind == DA_ARRAY && t->rank == 0) {
        return "a number of the row";
    }
    StrBuf sb = sb_new(e->arena);
    sb_printf(&sb, "%s `[", datum_kind_text(t->kind));
    for (uint32_t i = 0; i < t->rank; i++) {
        sb_puts(&sb, i ? ", " : "");
        if (t->dim[i]) {
            dim_print(e->ir, t->dim[i], &sb);
        } else {
            sb_putc(&sb, '?');
        }
    }
    sb_puts(&sb, "]`");
    return sb_text(&sb);
}
