/* Tiles in bfloat16 (AVX-512 BF16) and in 8-bit integers (AVX-512 VNNI); the table is in bfloat16 for both.
 *
 * Integers: each position's column has a scale of its own (its largest magnitude), each output channel's weights have
 * theirs; sums are exact.
 */
#ifndef VFNET_DEFORMABLE_LOW_PRECISION_H
#define VFNET_DEFORMABLE_LOW_PRECISION_H

#include "deformable_sampling.h"

enum { TILE = 16, ROWS = 8, TILES_PER_CHUNK = 4 };

#define BF16_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define INT8_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))

BASE_TARGET static inline __m512 from_bf16(const uint16_t *values) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_load_si256((const __m256i *)values)), 16));
}

BASE_TARGET static inline __m512 interpolate_bf16(const uint16_t *table, const Sample *sample, int channel) {
    __m512 sum = _mm512_mul_ps(_mm512_set1_ps(sample->weight[0]), from_bf16(table + sample->corner[0] + channel));
    for (int corner = 1; corner < 4; corner++)
        sum = _mm512_fmadd_ps(
            _mm512_set1_ps(sample->weight[corner]), from_bf16(table + sample->corner[corner] + channel), sum);
    return sum;
}

/* ---------------------------------------------------------------------------------------------- bfloat16 */

BF16_TARGET static void multiply_bf16(
    const uint16_t *columns, int depth, const uint16_t *weight, __m512 *out, int vectors) {
    __m512 sums[ROWS][2];
    for (int row = 0; row < ROWS; row++) sums[row][0] = sums[row][1] = _mm512_setzero_ps();
    const uint16_t *second = vectors > 1 ? weight + (size_t)depth * LANES : weight;
    for (int k = 0; k < depth; k += 2) {
        const __m512bh w0 = (__m512bh)_mm512_load_si512(weight + (size_t)k * LANES);
        const __m512bh w1 = (__m512bh)_mm512_load_si512(second + (size_t)k * LANES);
#pragma GCC unroll 8
        for (int row = 0; row < ROWS; row++) {
            int32_t pair;
            memcpy(&pair, columns + (size_t)row * depth + k, 4);
            const __m512bh a = (__m512bh)_mm512_set1_epi32(pair);
            sums[row][0] = _mm512_dpbf16_ps(sums[row][0], a, w0);
            sums[row][1] = _mm512_dpbf16_ps(sums[row][1], a, w1);
        }
    }
    for (int row = 0; row < ROWS; row++) {
        out[row] = sums[row][0];
        out[TILE + row] = sums[row][1];
    }
}

BF16_TARGET static void convolve_tile_bf16(const Task *task, int first, int count) {
    const Convolution *c = task->convolution;
    const int taps = c->kernel_height * c->kernel_width, depth = task->depth;
    uint16_t *columns = tile_buffer.memory;
    memset(columns + (size_t)count * depth, 0, sizeof(uint16_t) * (TILE - count) * depth);
    for (int i = 0; i < count; i++)
        for (int tap = 0; tap < taps; tap++) {
            const Sample sample = locate(task, first + i, tap);
            uint16_t *column = columns + (size_t)i * depth + tap * task->padded;
            for (int channel = 0; channel < task->padded; channel += LANES)
                _mm256_store_si256(
                    (__m256i *)(column + channel), (__m256i)_mm512_cvtneps_pbh(interpolate_bf16(task->table, &sample, channel)));
        }
    const int blocks = (c->out_channels + LANES - 1) / LANES;
    for (int block = 0; block < blocks; block += 2) {
        const int vectors = blocks - block < 2 ? 1 : 2;
        __m512 sums[2 * TILE];
        for (int row = 0; row < TILE; row += ROWS)
            multiply_bf16(columns + (size_t)row * depth, depth,
                          (const uint16_t *)c->weight + (size_t)block * LANES * depth, sums + row, vectors);
        for (int vector = 0; vector < vectors; vector++) store_tile(c, first, count, block + vector, sums + vector * TILE);
    }
}

/* ---------------------------------------------------------------------------------------------- integers */

INT8_TARGET static void multiply_int8(
    const uint8_t *columns, int depth, const int8_t *weight, __m512i *out, int vectors) {
    __m512i sums[ROWS][2];
    for (int row = 0; row < ROWS; row++) sums[row][0] = sums[row][1] = _mm512_setzero_si512();
    const int8_t *second = vectors > 1 ? weight + (size_t)depth * LANES : weight;
    for (int k = 0; k < depth; k += 4) {
        const __m512i w0 = _mm512_load_si512(weight + (size_t)k * LANES);
        const __m512i w1 = _mm512_load_si512(second + (size_t)k * LANES);
#pragma GCC unroll 8
        for (int row = 0; row < ROWS; row++) {
            int32_t four;
            memcpy(&four, columns + (size_t)row * depth + k, 4);
            const __m512i a = _mm512_set1_epi32(four);
            sums[row][0] = _mm512_dpbusd_epi32(sums[row][0], a, w0);
            sums[row][1] = _mm512_dpbusd_epi32(sums[row][1], a, w1);
        }
    }
    for (int row = 0; row < ROWS; row++) {
        out[row] = sums[row][0];
        out[TILE + row] = sums[row][1];
    }
}

INT8_TARGET static float quantize_column(const float *values, int depth, __m512 largest, int zero, uint8_t *column) {
    const float magnitude = _mm512_reduce_max_ps(largest), steps = zero ? 127.0f : 255.0f;
    const __m512 factor = _mm512_set1_ps(magnitude > 0 ? steps / magnitude : 0);
    for (int k = 0; k < depth; k += LANES) {
        const __m512i whole = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_load_ps(values + k), factor));
        const __m512i shifted = _mm512_max_epi32(_mm512_add_epi32(whole, _mm512_set1_epi32(zero)), _mm512_setzero_si512());
        _mm_store_si128((__m128i *)(column + k), _mm512_cvtusepi32_epi8(shifted));
    }
    return magnitude / steps;
}

INT8_TARGET static void convolve_tile_int8(const Task *task, int first, int count) {
    const Convolution *c = task->convolution;
    const int taps = c->kernel_height * c->kernel_width, depth = task->depth;
    float *values = tile_buffer.memory;
    uint8_t *columns = (uint8_t *)(values + depth);
    /* Unsigned where nothing is negative, as after a ReLU: twice as fine. */
    const int zero = task->is_negative ? 128 : 0;
    float scales[TILE] = {0};
    memset(columns + (size_t)count * depth, 0, (size_t)(TILE - count) * depth);
    for (int i = 0; i < count; i++) {
        __m512 largest = _mm512_setzero_ps();
        for (int tap = 0; tap < taps; tap++) {
            const Sample sample = locate(task, first + i, tap);
            for (int channel = 0; channel < task->padded; channel += LANES) {
                const __m512 value = interpolate_bf16(task->table, &sample, channel);
                largest = _mm512_max_ps(largest, _mm512_abs_ps(value));
                _mm512_store_ps(values + tap * task->padded + channel, value);
            }
        }
        scales[i] = quantize_column(values, depth, largest, zero, columns + (size_t)i * depth);
    }
    const int blocks = (c->out_channels + LANES - 1) / LANES;
    for (int block = 0; block < blocks; block += 2) {
        const int vectors = blocks - block < 2 ? 1 : 2;
        __m512i sums[2 * TILE];
        for (int row = 0; row < TILE; row += ROWS)
            multiply_int8(columns + (size_t)row * depth, depth,
                          (const int8_t *)c->weight + (size_t)block * LANES * depth, sums + row, vectors);
        for (int vector = 0; vector < vectors; vector++) {
            const int at = (block + vector) * LANES;
            const __m512 scale = _mm512_loadu_ps(c->scale + at);
            const __m512i shift = _mm512_mullo_epi32(_mm512_set1_epi32(zero), _mm512_loadu_si512(c->weight_sum + at));
            __m512 results[TILE];
            for (int row = 0; row < TILE; row++)
                results[row] = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sums[vector * TILE + row], shift)),
                                             _mm512_mul_ps(scale, _mm512_set1_ps(scales[row])));
            store_tile(c, first, count, block + vector, results);
        }
    }
}

#endif
