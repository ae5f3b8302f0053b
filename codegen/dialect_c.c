/* dialect_c.c: kernels as C for gcc and clang, over the prelude mdl.h. */
#include "dialect.h"

const Dialect dialect_c = {
    .name = "c",
    .type = {[KT_F32] = "float",
             [KT_F64] = "double",
             [KT_I32] = "int32_t",
             [KT_I64] = "int64_t",
             [KT_BOOL] = "int",
             [KT_VF] = "vf",
             [KT_VI] = "vi",
             [KT_PTR] = "void *"},
    .storage =
        {
#define DTYPE(id, name, bytes, kind, st, c, unit) [DT_##id] = c,
#include "dtype.def"
#undef DTYPE
        },
    .include = "#include \"mdl.h\"\n",
    .head = "MDL_KERNEL void %f(const MdlArgs *a, int64_t task, void *scratch)",
    .head_maps = "",
    .head_cluster = "",
    .open = "",
    .unroll = "#pragma GCC unroll 16\n",
    .rolled = "#pragma GCC unroll 1\n",
    .aligned = " __attribute__((aligned(64)))",
    .restricted = "restrict ",
    .vload = "mdl_load_%n(%p)",
    .vloadn = "mdl_loadn_%n(%p, %l)",
    .vstore = "mdl_store_%n(%p, %v)",
    .vstoren = "mdl_storen_%n(%p, %v, %l)",
    .vload_aligned = "mdl_load_%n(%p)",
    .vstore_aligned = "mdl_store_%n(%p, %v)",
    .widen = "mdl_widen_%n(%v)",
    .narrow = "mdl_narrow_%n(%v)",
    .slot_int = "a->block[%i]",
    .slot_real = "mdl_slot_f64(a, %i)",
    .row = "const MdlRow *row = mdl_row(a, task);\n",
};
