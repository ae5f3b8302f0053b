/* digits.c: mdl-digits, the data of this example: pictures of digits that it draws itself, in MNIST's
 * file layout, and a look at what a model says about some of them.
 *
 *   mdl-digits make DIR [TRAIN [TEST]]       train-* and t10k-* idx files (another seed for the test)
 *   mdl-digits sample OUT.safetensors N      N held-out pictures as the tensor `image` f32[N, 28, 28]
 *   mdl-digits show Y.safetensors N          the same pictures with the predictions of `out` f32[N, 10] */
#include "base.h"
#include "draw.h"
#include "runtime.h"

enum { TRAIN_SEED = 1, TEST_SEED = 2, TRAIN_COUNT = 20000, TEST_COUNT = 4000, SHOWN_A_ROW = 4 };

static void put_be32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> (24 - 8 * i));
    }
}

/* idx: two zeros, type (8: u8), rank, extents, data (yann.lecun.com/exdb/mnist). */
static bool write_idx(const char *path, const uint8_t *data, const uint32_t *dim, uint32_t rank,
                      Err *err)
{
    size_t n = 1, head = 4 + 4 * rank;
    for (uint32_t i = 0; i < rank; i++) {
        n *= dim[i];
    }
    Arena *arena = arena_new();
    uint8_t *file = arena_alloc(arena, head + n);
    file[2] = 8;
    file[3] = (uint8_t)rank;
    for (uint32_t i = 0; i < rank; i++) {
        put_be32(file + 4 + 4 * i, dim[i]);
    }
    memcpy(file + head, data, n);
    bool ok = file_write_atomic(path, file, head + n, err);
    arena_free(arena);
    return ok;
}

typedef struct Split {
    const char *name;
    uint64_t seed;
    uint32_t n;
} Split;

static bool make_split(Arena *arena, const char *dir, const Split *split, Err *err)
{
    uint32_t n = split->n;
    uint8_t *pixels = arena_alloc(arena, (size_t)n * PIXELS), *label = arena_alloc(arena, n);
    for (uint32_t i = 0; i < n; i++) {
        label[i] = (uint8_t)draw_digit(split->seed, i, pixels + (size_t)i * PIXELS);
    }
    const char *images = arena_printf(arena, "%s/%s-images-idx3-ubyte", dir, split->name);
    const char *labels = arena_printf(arena, "%s/%s-labels-idx1-ubyte", dir, split->name);
    uint32_t dim[3] = {n, SIDE, SIDE};
    return write_idx(images, pixels, dim, 3, err) && write_idx(labels, label, dim, 1, err);
}

static bool make(Arena *arena, char **argv, int argc, Err *err)
{
    long train = argc > 3 ? strtol(argv[3], NULL, 10) : TRAIN_COUNT;
    long test = argc > 4 ? strtol(argv[4], NULL, 10) : TEST_COUNT;
    if (train < 1 || test < 1 || train > 1000000 || test > 1000000) {
        return err_set(err, ERR_USAGE, "counts are 1 to 1,000,000");
    }
    if (!file_mkdirs(argv[2], err) ||
        !make_split(arena, argv[2], &(Split){"train", TRAIN_SEED, (uint32_t)train}, err) ||
        !make_split(arena, argv[2], &(Split){"t10k", TEST_SEED, (uint32_t)test}, err)) {
        return false;
    }
    printf("%ld + %ld pictures of digits in %s\n", train, test, argv[2]);
    return true;
}

static bool count_arg(const char *text, long *n, Err *err)
{
    *n = strtol(text, NULL, 10);
    return (*n >= 1 && *n <= 1000) || err_set(err, ERR_USAGE, "N is 1 to 1000");
}

static bool sample(Arena *arena, char **argv, Err *err)
{
    long n;
    if (!count_arg(argv[3], &n, err)) {
        return false;
    }
    float *image = arena_alloc(arena, (size_t)n * PIXELS * sizeof(float));
    for (long i = 0; i < n; i++) {
        uint8_t pixels[PIXELS];
        draw_digit(TEST_SEED, (uint64_t)i, pixels);
        for (int k = 0; k < PIXELS; k++) {
            image[i * PIXELS + k] = (float)pixels[k] / 255.0f;
        }
    }
    StTensor t = {.name = "image",
                  .dtype = DT_F32,
                  .rank = 3,
                  .dim = {n, SIDE, SIDE},
                  .data = image,
                  .bytes = (size_t)n * PIXELS * sizeof(float)};
    return st_write(argv[2], &t, 1, NULL, err);
}

static int largest(const float *logits)
{
    int best = 0;
    for (int i = 1; i < 10; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    return best;
}

/* One text row of one picture: two pixels high, shaded. */
static void print_row(const uint8_t *pixels, int y)
{
    static const char shade[] = " .:-=+*#%@";
    for (int x = 0; x < SIDE; x++) {
        int v = (pixels[y * SIDE + x] + pixels[(y + 1) * SIDE + x]) / 2;
        putchar(shade[v * 9 / 255]);
    }
}

static void show_pictures(const float *logits, long first, long n)
{
    uint8_t pixels[SHOWN_A_ROW][PIXELS];
    for (long i = 0; i < n; i++) {
        int truth = draw_digit(TEST_SEED, (uint64_t)(first + i), pixels[i]);
        int said = largest(logits + (first + i) * 10);
        printf("  says %d, is %d%-16s", said, truth, said == truth ? "" : "  (wrong)");
    }
    putchar('\n');
    for (int y = 0; y < SIDE; y += 2) {
        for (long i = 0; i < n; i++) {
            printf(" ");
            print_row(pixels[i], y);
        }
        putchar('\n');
    }
}

static bool show(char **argv, Err *err)
{
    long n;
    StFile *f = st_open(argv[2], err);
    if (!f || !count_arg(argv[3], &n, err)) {
        return false;
    }
    const StTensor *out = st_find(f, "out");
    bool ok =
        out && out->dtype == DT_F32 && out->rank == 2 && out->dim[0] >= n && out->dim[1] == 10;
    if (!ok) {
        err_set(err, ERR_DATA, "%s has no tensor `out` of f32[%ld, 10]", argv[2], n);
    }
    for (long i = 0; ok && i < n; i += SHOWN_A_ROW) {
        show_pictures(out->data, i, n - i < SHOWN_A_ROW ? n - i : SHOWN_A_ROW);
    }
    st_close(f);
    return ok;
}

int main(int argc, char **argv)
{
    Err err = {0};
    Arena *arena = arena_new();
    bool ok = argc >= 3 && strcmp(argv[1], "make") == 0     ? make(arena, argv, argc, &err)
              : argc == 4 && strcmp(argv[1], "sample") == 0 ? sample(arena, argv, &err)
              : argc == 4 && strcmp(argv[1], "show") == 0
                  ? show(argv, &err)
                  : err_set(&err, ERR_USAGE,
                            "usage: mdl-digits make DIR [TRAIN [TEST]] | sample OUT N | show Y N");
    arena_free(arena);
    if (!ok) {
        fprintf(stderr, "error: %s\n", err.text);
    }
    return ok ? 0 : (int)err.kind;
}
