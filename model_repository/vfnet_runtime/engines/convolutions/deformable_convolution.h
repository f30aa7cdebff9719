/* Deformable convolution, v1 and modulated v2, of one image: bilinear sampling and matrix product in one pass, so that
 * the sampled columns never leave the cache. In float32, in bfloat16 or in 8-bit integers; OpenVINO 2026.4 computes in
 * float32 only, and there more slowly. The Python side is deformable_convolution.py.
 */
#ifndef VFNET_DEFORMABLE_CONVOLUTION_H
#define VFNET_DEFORMABLE_CONVOLUTION_H

#include "deformable_float32.h"
#include "deformable_float32_avx2.h"
#include "deformable_low_precision.h"
#include "deformable_sampling.h"
#include "worker_threads.h"

/* Of bundles that are computed together: a part of the second cache. One alone may be larger. */
enum { COLUMNS_SIZE = 256 * 1024 };

static void convolve_chunk(void *context, int chunk) {
    Task *task = context;
    const Convolution *c = task->convolution;
    const int positions = c->out_height * c->out_width;
    char *memory = room(&tile_buffer, task->columns_size + sizeof(Sample) * task->samples * task->tile);
    if (!memory) {
        atomic_store(&task->out_of_memory, 1);
        return;
    }
    Sample *samples = (Sample *)(memory + task->columns_size);
    for (int i = 0; i < task->tiles; i++) {
        const int first = (chunk * task->tiles + i) * task->tile;
        const int count = positions - first < task->tile ? positions - first : task->tile;
        if (count <= 0) return;
        locate_tile(task, first, count, samples);
        for (int bundle = 0, bundles; bundle < c->bundles; bundle += bundles) {
            bundles = c->bundles - bundle < task->together ? c->bundles - bundle : task->together;
            task->convolve(task, first, count, bundle, bundles, samples, memory);
        }
    }
}

/* Which of BF16, INT8 and F32 this processor computes. */
int vfnet_deform_precisions(void) {
    __builtin_cpu_init();
    if (!has_avx512()) return has_avx2() ? F32 : 0;
    return F32 | (__builtin_cpu_supports("avx512bf16") ? BF16 : 0) | (__builtin_cpu_supports("avx512vnni") ? INT8 : 0);
}

static Task plan(const Convolution *c) {
    const int taps = c->kernel_height * c->kernel_width;
    Task task = {.convolution = c, .run_lanes = (c->run_channels + LANES - 1) / LANES * LANES};
    task.padded = c->bundles * c->runs * task.run_lanes;
    task.depth = taps * c->runs * task.run_lanes;
    task.out_lanes = (c->out_channels / c->bundles + LANES - 1) / LANES * LANES;
    task.samples = c->offset_groups * taps;
    task.tiles = 1;
    task.lay_out = lay_out_input;
    size_t item = sizeof(float), column = 0; /* bytes of a column's value, and what a bundle takes besides */
    if (c->precision == F32) {
        const int is_wide = has_avx512();
        if (!is_wide) task.lay_out = lay_out_input_avx2;
        task.convolve = is_wide ? convolve_tile_f32 : convolve_tile_avx2;
        task.tile = is_wide ? f32_tile(c, task.depth) : AVX2_TILE;
    } else {
        const int is_integer = c->precision == INT8;
        task.convolve = is_integer ? convolve_tile_int8 : convolve_tile_bf16;
        task.tile = TILE;
        task.tiles = TILES_PER_CHUNK;
        item = is_integer ? sizeof(uint8_t) : sizeof(uint16_t);
        column = is_integer ? sizeof(float) * (task.depth + LANES + TILE) : 0;
    }
    const size_t bundle = item * task.depth * task.tile + column;
    const int fit = bundle < COLUMNS_SIZE ? (int)(COLUMNS_SIZE / bundle) : 1;
    task.together = fit < c->bundles ? fit : c->bundles;
    task.columns_size = bundle * task.together;
    return task;
}

/* 0, or -1 where memory is short. */
int vfnet_deform_conv2d(const Convolution *convolution) {
    const int pixels = convolution->height * convolution->width;
    const int positions = convolution->out_height * convolution->out_width;
    const size_t item = convolution->precision == F32 ? sizeof(float) : sizeof(uint16_t);
    Task task = plan(convolution);
    task.table = room(&table_buffer, item * pixels * task.padded);
    if (!task.table) return -1;
    parallel(convolution->threads, (pixels + PIXELS_PER_CHUNK - 1) / PIXELS_PER_CHUNK, task.lay_out, &task);
    const int per_chunk = task.tile * task.tiles;
    parallel(convolution->threads, (positions + per_chunk - 1) / per_chunk, convolve_chunk, &task);
    return task.out_of_memory ? -1 : 0;
}

#endif
