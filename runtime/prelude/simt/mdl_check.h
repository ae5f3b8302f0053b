/* mdl_check.h: what gcc calls in kernels compiled with -fsanitize=thread. libtsan is not linked: these
 * functions hand each access to the emulator, which knows of barriers, blocks and asynchronous units. An
 * access to the stack, close above the caller's frame, is nobody else's. */
#ifndef MDL_CHECK_H
#define MDL_CHECK_H

#include "mdl_simt.h"

#if defined(__SANITIZE_THREAD__)

enum { MDL_STACK_BYTES = 1 << 17 };

#define MDL_CHECK_FN __attribute__((noinline, used, no_sanitize("thread"))) void

MDL_SIMT_FN void mdl_access(void *p, int64_t bytes, int write, void *from)
{
    mdl_engine->access(mdl_engine, p, bytes, write, from);
}

#define MDL_CHECKED(p, bytes, write)                                               \
    if ((uintptr_t)(p) - (uintptr_t)__builtin_frame_address(0) >= MDL_STACK_BYTES) \
    mdl_access((p), (int64_t)(bytes), (write), __builtin_return_address(0))
#define MDL_CHECK_SIZE(n)                           \
    MDL_CHECK_FN __tsan_read##n(void *p)            \
    {                                               \
        MDL_CHECKED(p, n, 0);                       \
    }                                               \
    MDL_CHECK_FN __tsan_write##n(void *p)           \
    {                                               \
        MDL_CHECKED(p, n, 1);                       \
    }                                               \
    MDL_CHECK_FN __tsan_unaligned_read##n(void *p)  \
    {                                               \
        MDL_CHECKED(p, n, 0);                       \
    }                                               \
    MDL_CHECK_FN __tsan_unaligned_write##n(void *p) \
    {                                               \
        MDL_CHECKED(p, n, 1);                       \
    }
MDL_CHECK_SIZE(1)
MDL_CHECK_SIZE(2)
MDL_CHECK_SIZE(4)
MDL_CHECK_SIZE(8)
MDL_CHECK_SIZE(16)
#undef MDL_CHECK_SIZE

MDL_CHECK_FN __tsan_read_range(void *p, __SIZE_TYPE__ n)
{
    MDL_CHECKED(p, n, 0);
}

MDL_CHECK_FN __tsan_write_range(void *p, __SIZE_TYPE__ n)
{
    MDL_CHECKED(p, n, 1);
}

MDL_CHECK_FN __tsan_func_entry(void *from)
{
    (void)from;
}

MDL_CHECK_FN __tsan_func_exit(void)
{
}

MDL_CHECK_FN __tsan_init(void)
{
}

#endif
#endif
