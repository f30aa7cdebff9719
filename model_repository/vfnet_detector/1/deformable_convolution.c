/* Deformable convolution, v1 and modulated v2, of one image: bilinear sampling and matrix product in one pass, so that
 * the sampled columns never leave the cache. In float32, in bfloat16 or in 8-bit integers; OpenVINO 2026.4 computes in
 * float32 only, and there more slowly. `vfnet build` compiles it to libdeformable_convolution.so; the Python side
 * is deformable_convolution.py. Nothing but the C library and POSIX threads is needed.
 */
#include "deformable_float32.h"
#include "deformable_low_precision.h"
#include "deformable_sampling.h"
#include "worker_threads.h"

typedef void ConvolveTile(const Task *task, int first, int count);

static void convolve_chunk(void *context, int chunk) {
    Task *task = context;
    const Convolution *c = task->convolution;
    const int positions = c->out_height * c->out_width;
    ConvolveTile *const convolve = c->precision == F32    ? convolve_tile_f32
                                   : c->precision == INT8 ? convolve_tile_int8
                                                          : convolve_tile_bf16;
    /* Enough for each of them: columns, and for integers one in float32 besides. */
    const size_t size = c->precision == F32 ? sizeof(float) * task->tile : sizeof(uint16_t) * task->tile + sizeof(float);
    if (!room(&tile_buffer, size * task->depth)) {
        atomic_store(&task->out_of_memory, 1);
        return;
    }
    for (int i = 0; i < task->tiles; i++) {
        const int first = (chunk * task->tiles + i) * task->tile;
        const int count = positions - first < task->tile ? positions - first : task->tile;
        if (count <= 0) return;
        convolve(task, first, count);
    }
}

/* Which of BF16, INT8 and F32 this processor computes. */
int vfnet_deform_precisions(void) {
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")))
        return 0;
    return F32 | (__builtin_cpu_supports("avx512bf16") ? BF16 : 0) | (__builtin_cpu_supports("avx512vnni") ? INT8 : 0);
}

/* 0, or -1 where memory is short. */
int vfnet_deform_conv2d(const Convolution *convolution) {
    const int pixels = convolution->height * convolution->width;
    const int positions = convolution->out_height * convolution->out_width;
    const int is_f32 = convolution->precision == F32;
    Task task = {.convolution = convolution, .padded = (convolution->channels + LANES - 1) / LANES * LANES};
    task.depth = convolution->kernel_height * convolution->kernel_width * task.padded;
    task.tile = is_f32 ? f32_tile(convolution, task.depth) : TILE;
    task.tiles = is_f32 ? 1 : TILES_PER_CHUNK;
    task.table = room(&table_buffer, (is_f32 ? sizeof(float) : sizeof(uint16_t)) * pixels * task.padded);
    if (!task.table) return -1;
    parallel(convolution->threads, (pixels + PIXELS_PER_CHUNK - 1) / PIXELS_PER_CHUNK, lay_out_input, &task);
    const int per_chunk = task.tile * task.tiles;
    parallel(convolution->threads, (positions + per_chunk - 1) / per_chunk, convolve_chunk, &task);
    return task.out_of_memory ? -1 : 0;
}
