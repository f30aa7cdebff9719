/* Tiles in float32 (AVX2 and FMA), for processors without AVX-512: as in deformable_float32.h, with half as many lanes, and
 * 16 output channels at a time. */
#ifndef VFNET_DEFORMABLE_FLOAT32_AVX2_H
#define VFNET_DEFORMABLE_FLOAT32_AVX2_H

#include "deformable_sampling.h"

enum { AVX2_LANES = 8, AVX2_ROWS = 6, AVX2_TILE = 48, AVX2_STEP = 256 };

AVX2_TARGET static void lay_out_input_avx2(void *context, int chunk) {
    Task *task = context;
    const Convolution *c = task->convolution;
    const int pixels = c->height * c->width, first = chunk * PIXELS_PER_CHUNK;
    const int last = first + PIXELS_PER_CHUNK < pixels ? first + PIXELS_PER_CHUNK : pixels;
    for (int pixel = first; pixel < last; pixel += LANES) {
        const int count = last - pixel < LANES ? last - pixel : LANES;
        float *const rows = (float *)task->table + (size_t)pixel * task->padded;
        for (int lane = 0; lane < task->padded; lane++) {
            const int run = lane / task->run_lanes, within = lane % task->run_lanes;
            const float *input = c->input + (size_t)(run * c->run_channels + within) * pixels + pixel;
            for (int i = 0; i < count; i++)
                rows[(size_t)i * task->padded + lane] = within < c->run_channels ? input[i] : 0;
        }
    }
}

AVX2_TARGET static inline void sample_run_avx2(
    const Task *task, const Sample *sample, int lane, void *columns, size_t at, int each) {
    (void)each;
    const float *table = (const float *)task->table + lane;
    for (int i = 0; i < task->run_lanes; i += AVX2_LANES) {
        __m256 sum = _mm256_mul_ps(_mm256_set1_ps(sample->weight[0]), _mm256_load_ps(table + sample->corner[0] + i));
        for (int corner = 1; corner < 4; corner++)
            sum = _mm256_fmadd_ps(
                _mm256_set1_ps(sample->weight[corner]), _mm256_load_ps(table + sample->corner[corner] + i), sum);
        _mm256_store_ps((float *)columns + at + i, sum);
    }
}

/* sums [AVX2_ROWS, LANES] += columns [AVX2_ROWS, steps of a row of `stride`] * weights [steps, LANES]. */
AVX2_TARGET static void multiply_avx2(
    const float *columns, size_t stride, int steps, const float *weight, float *sums) {
    __m256 sum[AVX2_ROWS][2];
#pragma GCC unroll 6
    for (int row = 0; row < AVX2_ROWS; row++) sum[row][0] = sum[row][1] = _mm256_setzero_ps();
    for (int k = 0; k < steps; k++) {
        const __m256 w0 = _mm256_load_ps(weight + (size_t)k * LANES);
        const __m256 w1 = _mm256_load_ps(weight + (size_t)k * LANES + AVX2_LANES);
#pragma GCC unroll 6
        for (int row = 0; row < AVX2_ROWS; row++) {
            const __m256 value = _mm256_broadcast_ss(columns + row * stride + k);
            sum[row][0] = _mm256_fmadd_ps(value, w0, sum[row][0]);
            sum[row][1] = _mm256_fmadd_ps(value, w1, sum[row][1]);
        }
    }
#pragma GCC unroll 6
    for (int row = 0; row < AVX2_ROWS; row++) {
        float *const first = sums + row * LANES, *const last = first + AVX2_LANES;
        _mm256_store_ps(first, _mm256_add_ps(_mm256_load_ps(first), sum[row][0]));
        _mm256_store_ps(last, _mm256_add_ps(_mm256_load_ps(last), sum[row][1]));
    }
}

AVX2_TARGET static void convolve_tile_avx2(
    const Task *task, int first, int count, int bundle, int bundles, const Sample *samples, void *memory) {
    const Convolution *c = task->convolution;
    const int depth = task->depth, rows = (count + AVX2_ROWS - 1) / AVX2_ROWS * AVX2_ROWS;
    const int channels = c->out_channels / c->bundles;
    const size_t stride = (size_t)bundles * depth, positions = (size_t)c->out_height * c->out_width;
    float *columns = memory;
    memset(columns + count * stride, 0, sizeof(float) * (rows - count) * stride);
    for (int i = 0; i < count; i++)
        sample_position(task, samples + i * task->samples, bundle, bundles, sample_run_avx2, columns + i * stride);
    for (int each = 0; each < bundles; each++)
        for (int lane = 0; lane < task->out_lanes; lane += LANES) {
            const float *weight = (const float *)c->weight + ((size_t)(bundle + each) * task->out_lanes + lane) * depth;
            _Alignas(64) float sums[AVX2_TILE * LANES] = {0};
            for (int k = 0; k < depth; k += AVX2_STEP) {
                const int steps = depth - k < AVX2_STEP ? depth - k : AVX2_STEP;
                for (int row = 0; row < rows; row += AVX2_ROWS)
                    multiply_avx2(columns + row * stride + (size_t)each * depth + k, stride, steps,
                                  weight + (size_t)k * LANES, sums + row * LANES);
            }
            float *output = c->output + ((size_t)(bundle + each) * channels + lane) * positions + first;
            for (int i = 0; i < LANES && lane + i < channels; i++)
                for (int row = 0; row < count; row++) output[i * positions + row] = sums[row * LANES + i];
        }
}

#endif
