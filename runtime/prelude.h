/* prelude.h: the text that emitted kernels include, embedded by tools/embed.cmake. */
#ifndef MDL_PRELUDE_TEXT_H
#define MDL_PRELUDE_TEXT_H

/* Paths below runtime/ and contents, in one folder for the compiler; both end with NULL. */
extern const char *const mdl_prelude_c_names[];
extern const char *const mdl_prelude_c_texts[];
extern const char *const mdl_prelude_simt_names[]; /* GPU kernels, for the emulator */
extern const char *const mdl_prelude_simt_texts[];
extern const char *const mdl_prelude_cuda_names[];
extern const char *const mdl_prelude_cuda_texts[];

#endif
