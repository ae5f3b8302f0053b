/* fibre.c: one thread of the system runs many stacks, and changes between them only where it asks to.
 *
 * On x86-64 a switch saves the six registers that a call keeps and exchanges stack pointers; elsewhere
 * the C library's contexts do it. ASan is told of every switch: it has to know which stack it is on. */
#include "fibre.h"
#include <errno.h>
#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

enum { GUARD = 4096, STAGGER = 128, STAGGERS = 31 };

/* ---- what ASan has to know ---- */

#if defined(__SANITIZE_ADDRESS__)
static void before_switch(Fibre *from, const Fibre *to)
{
    __sanitizer_start_switch_fiber(&from->fake, to->stack, to->bytes);
}

/* On the stack of `self` again; whose stack was left is known now. */
static void after_switch(Fibre *self)
{
    const void *bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(self->fake, &bottom, &bytes);
    if (!self->from->bytes) {
        self->from->stack = (void *)(uintptr_t)bottom;
        self->from->bytes = bytes;
    }
}

static void forget_stack(const Fibre *f)
{
    __asan_unpoison_memory_region(f->stack, f->bytes);
}
#else
static void before_switch(const Fibre *from, const Fibre *to)
{
    UNUSED(from);
    UNUSED(to);
}

static void after_switch(const Fibre *self)
{
    UNUSED(self);
}

static void forget_stack(const Fibre *f)
{
    UNUSED(f);
}
#endif

static void begin(Fibre *f)
{
    after_switch(f);
    f->run(f->arg);
    BUG("a fibre returned");
}

/* ---- the switch ---- */

#if defined(__x86_64__)
/* Pushes what a call keeps, stores the stack pointer, takes the other one, pops. */
#define IN_REGISTER __attribute__((unused))
__attribute__((naked, noinline)) static void exchange(void **save IN_REGISTER,
                                                      void *load IN_REGISTER)
{
    __asm__("pushq %rbp\n\tpushq %rbx\n\tpushq %r12\n\tpushq %r13\n\tpushq %r14\n\tpushq %r15\n\t"
            "movq %rsp, (%rdi)\n\tmovq %rsi, %rsp\n\t"
            "popq %r15\n\tpopq %r14\n\tpopq %r13\n\tpopq %r12\n\tpopq %rbx\n\tpopq %rbp\n\tret\n");
}

/* Where a new stack begins: rbx holds its fibre. */
__attribute__((naked, noinline, used)) static void entry(void)
{
    __asm__("movq %rbx, %rdi\n\tcall *%r12\n\tud2\n");
}

/* Starts are staggered: stacks whose frames lie at equal offsets share sets of the caches. */
static void prepare(Fibre *f)
{
    uintptr_t top = (uintptr_t)f->stack + f->bytes;
    top -= (uintptr_t)f->stack / f->bytes % STAGGERS * STAGGER + 64;
    void **sp = (void **)(top & ~(uintptr_t)63);
    void (*const first)(void) = entry;
    void (*const second)(Fibre *) = begin;
    *--sp = NULL;
    *--sp = NULL; /* 16-byte aligned where `entry` calls */
    memcpy(--sp, &first, sizeof(first));
    *--sp = NULL; /* rbp */
    *--sp = f;    /* rbx */
    memcpy(--sp, &second, sizeof(second));
    for (int i = 13; i <= 15; i++)
        *--sp = NULL;
    f->sp = sp;
}
#else
static void enter_context(unsigned high, unsigned low)
{
    begin((Fibre *)(((uintptr_t)high << 16 << 16) | low));
}

static void prepare(Fibre *f)
{
    ucontext_t *context = f->stack; /* at the far end of the stack, which it does not reach */
    uintptr_t self = (uintptr_t)f;
    getcontext(context);
    context->uc_stack.ss_sp = (char *)f->stack + sizeof(*context);
    context->uc_stack.ss_size = f->bytes - sizeof(*context);
    context->uc_link = NULL;
    makecontext(context, (void (*)(void))enter_context, 2, (unsigned)(self >> 16 >> 16),
                (unsigned)self);
    f->sp = context;
}

static void exchange(void **save, void *load)
{
    ucontext_t here;
    *save = &here;
    swapcontext(&here, load);
}
#endif

void fibre_make(Fibre *f, void (*run)(void *), void *arg)
{
    ASSERT(f->stack && f->bytes);
    f->run = run;
    f->arg = arg;
    f->fake = NULL;
    forget_stack(f);
    prepare(f);
}

void fibre_switch(Fibre *from, Fibre *to)
{
    to->from = from;
    before_switch(from, to);
    exchange(&from->sp, to->sp);
    after_switch(from);
}

/* ---- stacks ---- */

bool fibre_stacks_map(FibreStacks *s, uint32_t n, size_t bytes, Err *err)
{
    size_t pitch = bytes + GUARD;
    void *p = mmap(NULL, pitch * n + bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return err_set(err, ERR_DEVICE, "no memory for %u stacks: %s", n, strerror(errno));
    *s = (FibreStacks){.base = p, .bytes = bytes, .mapped = pitch * n + bytes};
    for (uint32_t i = 0; i < n; i++)
        mprotect(s->base + i * pitch, GUARD, PROT_NONE); /* refusal costs only a clear fault */
    mprotect(s->base + n * pitch, bytes, PROT_NONE);     /* nothing lies close above a stack */
    return true;
}

void fibre_stacks_unmap(FibreStacks *s)
{
    if (s->base)
        munmap(s->base, s->mapped);
    s->base = NULL;
}

void *fibre_stack(const FibreStacks *s, uint32_t i)
{
    return s->base + i * (s->bytes + GUARD) + GUARD;
}
