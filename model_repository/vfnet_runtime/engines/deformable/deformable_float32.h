/* Tiles in float32 (AVX-512): the sampled columns of a tile stay in the second cache, the weights of 32 output channels
 * and one step over K in the first.
 */
#ifndef VFNET_DEFORMABLE_FLOAT32_H
#define VFNET_DEFORMABLE_FLOAT32_H

#include <unistd.h>

#include "deformable_sampling.h"

/* Tiles are multiples of F32_ROWS, and of LANES so that what is stored begins at a cache line. */
enum { F32_TILE = 48, F32_LARGE_TILE = 96, F32_ROWS = 12, F32_STEP = 128 };

/* A large tile reads the weights half as often, where it leaves room in the cache and there are enough for all threads. */
static int f32_tile(const Convolution *c, int depth) {
    long cache = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
    cache = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    const int is_large = (long)sizeof(float) * F32_LARGE_TILE * depth <= cache / 2 &&
                         c->out_height * c->out_width >= 4 * F32_LARGE_TILE * c->threads;
    return is_large ? F32_LARGE_TILE : F32_TILE;
}

BASE_TARGET static inline __m512 interpolate_f32(const float *table, const Sample *sample, int channel) {
    __m512 sum = _mm512_mul_ps(_mm512_set1_ps(sample->weight[0]), _mm512_load_ps(table + sample->corner[0] + channel));
    for (int corner = 1; corner < 4; corner++)
        sum = _mm512_fmadd_ps(
            _mm512_set1_ps(sample->weight[corner]), _mm512_load_ps(table + sample->corner[corner] + channel), sum);
    return sum;
}

/* sums [F32_ROWS, 2 * LANES] += columns [F32_ROWS, steps of a row of `depth`] * weights [steps, LANES], twice. A step is
 * summed by itself first: the rounding of thousands of additions to one sum would show in the scores. */
BASE_TARGET static void multiply_f32(
    const float *columns, int depth, int steps, const float *weight, const float *second, float *sums) {
    __m512 sum[F32_ROWS][2];
#pragma GCC unroll 12
    for (int row = 0; row < F32_ROWS; row++) sum[row][0] = sum[row][1] = _mm512_setzero_ps();
    for (int k = 0; k < steps; k++) {
        const __m512 w0 = _mm512_load_ps(weight + (size_t)k * LANES), w1 = _mm512_load_ps(second + (size_t)k * LANES);
#pragma GCC unroll 12
        for (int row = 0; row < F32_ROWS; row++) {
            const __m512 value = _mm512_set1_ps(columns[(size_t)row * depth + k]);
            sum[row][0] = _mm512_fmadd_ps(value, w0, sum[row][0]);
            sum[row][1] = _mm512_fmadd_ps(value, w1, sum[row][1]);
        }
    }
#pragma GCC unroll 12
    for (int row = 0; row < F32_ROWS; row++) {
        float *const first = sums + row * 2 * LANES, *const last = first + LANES;
        _mm512_store_ps(first, _mm512_add_ps(_mm512_load_ps(first), sum[row][0]));
        _mm512_store_ps(last, _mm512_add_ps(_mm512_load_ps(last), sum[row][1]));
    }
}

BASE_TARGET static void convolve_tile_f32(const Task *task, int first, int count) {
    const Convolution *c = task->convolution;
    const int taps = c->kernel_height * c->kernel_width, depth = task->depth;
    float *columns = tile_buffer.memory;
    const int rows = (count + F32_ROWS - 1) / F32_ROWS * F32_ROWS;
    memset(columns + (size_t)count * depth, 0, sizeof(float) * (rows - count) * depth);
    for (int i = 0; i < count; i++)
        for (int tap = 0; tap < taps; tap++) {
            const Sample sample = locate(task, first + i, tap);
            float *column = columns + (size_t)i * depth + tap * task->padded;
            for (int channel = 0; channel < task->padded; channel += LANES)
                _mm512_store_ps(column + channel, interpolate_f32(task->table, &sample, channel));
        }
    const int blocks = (c->out_channels + LANES - 1) / LANES;
    for (int block = 0; block < blocks; block += 2) {
        const int vectors = blocks - block < 2 ? 1 : 2;
        const float *weight = (const float *)c->weight + (size_t)block * LANES * depth;
        const float *second = vectors > 1 ? weight + (size_t)depth * LANES : weight;
        _Alignas(64) float sums[F32_LARGE_TILE * 2 * LANES] = {0};
        for (int k = 0; k < depth; k += F32_STEP) {
            const int steps = depth - k < F32_STEP ? depth - k : F32_STEP;
            for (int row = 0; row < rows; row += F32_ROWS)
                multiply_f32(columns + (size_t)row * depth + k, depth, steps, weight + (size_t)k * LANES,
                             second + (size_t)k * LANES, sums + row * 2 * LANES);
        }
        for (int vector = 0; vector < vectors; vector++)
            for (int row = 0; row < count; row += LANES) {
                __m512 values[LANES];
                for (int i = 0; i < LANES; i++) values[i] = _mm512_load_ps(sums + ((row + i) * 2 + vector) * LANES);
                store_tile(c, first + row, count - row < LANES ? count - row : LANES, block + vector, values);
            }
    }
}

#endif
