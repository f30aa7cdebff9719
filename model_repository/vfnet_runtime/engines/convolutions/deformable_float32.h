/* Tiles in float32 (AVX-512): the sampled columns of a tile stay in the second cache, the weights of 32 output channels
 * and one step over K in the first.
 */
#ifndef VFNET_DEFORMABLE_FLOAT32_H
#define VFNET_DEFORMABLE_FLOAT32_H

#include <unistd.h>

#include "deformable_sampling.h"

/* Tiles are multiples of F32_ROWS, and of LANES so that what is stored begins at a cache line. */
enum { F32_TILE = 48, F32_LARGE_TILE = 96, F32_ROWS = 12, F32_STEP = 128, F32_LONGEST_STEP = 160 };

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

BASE_TARGET static inline void sample_run_f32(
    const Task *task, const Sample *sample, int lane, void *columns, size_t at, int each) {
    (void)each;
    const float *table = (const float *)task->table + lane;
    for (int i = 0; i < task->run_lanes; i += LANES) {
        __m512 sum = _mm512_mul_ps(_mm512_set1_ps(sample->weight[0]), _mm512_load_ps(table + sample->corner[0] + i));
        for (int corner = 1; corner < 4; corner++)
            sum = _mm512_fmadd_ps(
                _mm512_set1_ps(sample->weight[corner]), _mm512_load_ps(table + sample->corner[corner] + i), sum);
        _mm512_store_ps((float *)columns + at + i, sum);
    }
}

/* sums [F32_ROWS, 2 * LANES] += columns [F32_ROWS, steps of a row of `stride`] * weights [steps, LANES], of one or two
 * `vectors` of output channels. A step is summed by itself first: the rounding of thousands of additions to one sum would
 * show in the scores. */
BASE_TARGET static inline __attribute__((always_inline)) void multiply_f32(
    const float *columns, size_t stride, int steps, const float *weight, const float *second, float *sums, int vectors) {
    __m512 sum[F32_ROWS][2];
#pragma GCC unroll 12
    for (int row = 0; row < F32_ROWS; row++) sum[row][0] = sum[row][1] = _mm512_setzero_ps();
    for (int k = 0; k < steps; k++) {
        const __m512 w0 = _mm512_load_ps(weight + (size_t)k * LANES), w1 = _mm512_load_ps(second + (size_t)k * LANES);
#pragma GCC unroll 12
        for (int row = 0; row < F32_ROWS; row++) {
            const __m512 value = _mm512_set1_ps(columns[row * stride + k]);
            sum[row][0] = _mm512_fmadd_ps(value, w0, sum[row][0]);
            if (vectors > 1) sum[row][1] = _mm512_fmadd_ps(value, w1, sum[row][1]);
        }
    }
#pragma GCC unroll 12
    for (int row = 0; row < F32_ROWS; row++) {
        float *const first = sums + row * 2 * LANES, *const last = first + LANES;
        _mm512_store_ps(first, _mm512_add_ps(_mm512_load_ps(first), sum[row][0]));
        if (vectors > 1) _mm512_store_ps(last, _mm512_add_ps(_mm512_load_ps(last), sum[row][1]));
    }
}

BASE_TARGET static void multiply_one_f32(
    const float *columns, size_t stride, int steps, const float *weight, const float *second, float *sums) {
    multiply_f32(columns, stride, steps, weight, second, sums, 1);
}

BASE_TARGET static void multiply_two_f32(
    const float *columns, size_t stride, int steps, const float *weight, const float *second, float *sums) {
    multiply_f32(columns, stride, steps, weight, second, sums, 2);
}

BASE_TARGET static void convolve_tile_f32(
    const Task *task, int first, int count, int bundle, int bundles, const Sample *samples, void *memory) {
    const Convolution *c = task->convolution;
    const int depth = task->depth, rows = (count + F32_ROWS - 1) / F32_ROWS * F32_ROWS;
    const size_t stride = (size_t)bundles * depth;
    float *columns = memory;
    memset(columns + count * stride, 0, sizeof(float) * (rows - count) * stride);
    for (int i = 0; i < count; i++)
        sample_position(task, samples + i * task->samples, bundle, bundles, sample_run_f32, columns + i * stride);
    for (int each = 0; each < bundles; each++)
        for (int lane = 0; lane < task->out_lanes; lane += 2 * LANES) {
            const int vectors = task->out_lanes - lane > LANES ? 2 : 1;
            const float *weight = (const float *)c->weight + ((size_t)(bundle + each) * task->out_lanes + lane) * depth;
            const float *second = vectors > 1 ? weight + (size_t)depth * LANES : weight;
            _Alignas(64) float sums[F32_LARGE_TILE * 2 * LANES] = {0};
            for (int k = 0, steps; k < depth; k += steps) {
                steps = depth - k <= F32_LONGEST_STEP ? depth - k : F32_STEP;
                for (int row = 0; row < rows; row += F32_ROWS)
                    (vectors > 1 ? multiply_two_f32 : multiply_one_f32)(
                        columns + row * stride + (size_t)each * depth + k, stride, steps, weight + (size_t)k * LANES,
                        second + (size_t)k * LANES, sums + row * 2 * LANES);
            }
            for (int vector = 0; vector < vectors; vector++)
                for (int row = 0; row < count; row += LANES) {
                    __m512 values[LANES];
                    for (int i = 0; i < LANES; i++) values[i] = _mm512_load_ps(sums + ((row + i) * 2 + vector) * LANES);
                    store_tile(task, first + row, count - row < LANES ? count - row : LANES, bundle + each,
                               lane + vector * LANES, values);
                }
        }
}

#endif
