/* Tiles in float32 (AVX2 and FMA), for processors without AVX-512: as in deformable_float32.h, with half as many lanes, and
 * 16 output channels at a time. */
#ifndef VFNET_DEFORMABLE_FLOAT32_AVX2_H
#define VFNET_DEFORMABLE_FLOAT32_AVX2_H

#include "deformable_sampling.h"

#define AVX2_TARGET __attribute__((target("avx2,fma")))

enum { AVX2_LANES = 8, AVX2_ROWS = 6, AVX2_TILE = 48, AVX2_STEP = 256 };

AVX2_TARGET static void lay_out_input_avx2(void *context, int chunk) {
    Task *task = context;
    const Convolution *c = task->convolution;
    const int pixels = c->height * c->width, first = chunk * PIXELS_PER_CHUNK;
    const int last = first + PIXELS_PER_CHUNK < pixels ? first + PIXELS_PER_CHUNK : pixels;
    for (int pixel = first; pixel < last; pixel += LANES) {
        const int count = last - pixel < LANES ? last - pixel : LANES;
        float *const rows = (float *)task->table + (size_t)pixel * task->padded;
        for (int channel = 0; channel < task->padded; channel++)
            for (int i = 0; i < count; i++)
                rows[(size_t)i * task->padded + channel] =
                    channel < c->channels ? c->input[(size_t)channel * pixels + pixel + i] : 0;
    }
}

AVX2_TARGET static inline __m256 interpolate_avx2(const float *table, const Sample *sample, int channel) {
    __m256 sum = _mm256_mul_ps(_mm256_set1_ps(sample->weight[0]), _mm256_load_ps(table + sample->corner[0] + channel));
    for (int corner = 1; corner < 4; corner++)
        sum = _mm256_fmadd_ps(
            _mm256_set1_ps(sample->weight[corner]), _mm256_load_ps(table + sample->corner[corner] + channel), sum);
    return sum;
}

/* sums [AVX2_ROWS, LANES] += columns [AVX2_ROWS, steps of a row of `depth`] * weights [steps, LANES]. */
AVX2_TARGET static void multiply_avx2(const float *columns, int depth, int steps, const float *weight, float *sums) {
    __m256 sum[AVX2_ROWS][2];
#pragma GCC unroll 6
    for (int row = 0; row < AVX2_ROWS; row++) sum[row][0] = sum[row][1] = _mm256_setzero_ps();
    for (int k = 0; k < steps; k++) {
        const __m256 w0 = _mm256_load_ps(weight + (size_t)k * LANES);
        const __m256 w1 = _mm256_load_ps(weight + (size_t)k * LANES + AVX2_LANES);
#pragma GCC unroll 6
        for (int row = 0; row < AVX2_ROWS; row++) {
            const __m256 value = _mm256_broadcast_ss(columns + (size_t)row * depth + k);
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

AVX2_TARGET static void convolve_tile_avx2(const Task *task, int first, int count) {
    const Convolution *c = task->convolution;
    const int taps = c->kernel_height * c->kernel_width, depth = task->depth;
    const size_t positions = (size_t)c->out_height * c->out_width;
    float *columns = tile_buffer.memory;
    const int rows = (count + AVX2_ROWS - 1) / AVX2_ROWS * AVX2_ROWS;
    memset(columns + (size_t)count * depth, 0, sizeof(float) * (rows - count) * depth);
    for (int i = 0; i < count; i++)
        for (int tap = 0; tap < taps; tap++) {
            const Sample sample = locate(task, first + i, tap);
            float *column = columns + (size_t)i * depth + tap * task->padded;
            for (int channel = 0; channel < task->padded; channel += AVX2_LANES)
                _mm256_store_ps(column + channel, interpolate_avx2(task->table, &sample, channel));
        }
    for (int block = 0; block * LANES < c->out_channels; block++) {
        const float *weight = (const float *)c->weight + (size_t)block * LANES * depth;
        _Alignas(64) float sums[AVX2_TILE * LANES] = {0};
        for (int k = 0; k < depth; k += AVX2_STEP) {
            const int steps = depth - k < AVX2_STEP ? depth - k : AVX2_STEP;
            for (int row = 0; row < rows; row += AVX2_ROWS)
                multiply_avx2(columns + (size_t)row * depth + k, depth, steps, weight + (size_t)k * LANES,
                              sums + row * LANES);
        }
        for (int i = 0; i < LANES && block * LANES + i < c->out_channels; i++)
            for (int row = 0; row < count; row++)
                c->output[(block * LANES + i) * positions + first + row] = sums[row * LANES + i];
    }
}

#endif
