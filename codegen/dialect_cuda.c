/* dialect_cuda.c: kernels as the common subset of C and CUDA C++, over the preludes of the GPU and of the
 * emulator. A phase is one launch; a->buf and the rest are passed by value. */
#include "dialect.h"

const Dialect dialect_cuda = {
    .name = "cuda",
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
    .head = "MDL_GPU_KERNEL(%f, %t, %b)",
    .head_maps = "MDL_GPU_KERNEL_MAPS(%f, %t, %b, %m)",
    .head_cluster = "MDL_GPU_KERNEL_CLUSTER(%f, %t, %b, %m, %c)",
    .open = "    const MdlArgs *a = MDL_ARGS;\n",
    .wait = "    mdl_grid_wait();\n",
    .launch = "    mdl_grid_launch();\n",
    .unroll = "MDL_UNROLL\n",
    .rolled = "MDL_ROLLED\n",
    .aligned = "",
    .casts = true,
    .restricted = "",
    .vload = "mdl_load_%n(%p)",
    .vloadn = "mdl_loadn_%n(%p, %l)",
    .vstore = "mdl_store_%n(%p, %v)",
    .vstoren = "mdl_storen_%n(%p, %v, %l)",
    .vload_aligned = "mdl_loada_%n(%p)",
    .vstore_aligned = "mdl_storea_%n(%p, %v)",
    .widen = "mdl_widen_%n(%v)",
    .narrow = "mdl_narrow_%n(%v)",
    .slot_int = "a->block[%i]",
    .slot_real = "mdl_slot_f64(a, %i)",
    .row = "const MdlRow *row = mdl_row(a, task);\n",
};
