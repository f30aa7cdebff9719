/* Tiles in bfloat16 (AVX-512 BF16) and in 8-bit integers (AVX-512 VNNI); the table is in bfloat16 for both.
 *
 * Integers: each position's column, a bundle's part of it, has a scale of its own (its largest magnitude), each output channel's weights have
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

BASE_TARGET static inline __m512 interpolate_bf16(const uint16_t *table, const Sample *sample) {
    __m512 sum = _mm512_mul_ps(_mm512_set1_ps(sample->weight[0]), from_bf16(table + sample->corner[0]));
    for (int corner = 1; corner < 4; corner++)
        sum = _mm512_fmadd_ps(_mm512_set1_ps(sample->weight[corner]), from_bf16(table + sample->corner[corner]), sum);
    return sum;
}

/* ---------------------------------------------------------------------------------------------- bfloat16 */

BF16_TARGET static inline void sample_run_bf16(
    const Task *task, const Sample *sample, int lane, void *columns, size_t at, int each) {
    (void)each;
    const uint16_t *table = (const uint16_t *)task->table + lane;
    for (int i = 0; i < task->run_lanes; i += LANES)
        _mm256_store_si256((__m256i *)((uint16_t *)columns + at + i),
                           (__m256i)_mm512_cvtneps_pbh(interpolate_bf16(table + i, sample)));
}

/* out [vectors, TILE], of which ROWS are written. */
BF16_TARGET static inline __attribute__((always_inline)) void multiply_bf16(
    const uint16_t *columns, size_t stride, int depth, const uint16_t *weight, __m512 *out, int vectors) {
    __m512 sums[ROWS][2];
    for (int row = 0; row < ROWS; row++) sums[row][0] = sums[row][1] = _mm512_setzero_ps();
    const uint16_t *second = vectors > 1 ? weight + (size_t)depth * LANES : weight;
    for (int k = 0; k < depth; k += 2) {
        const __m512bh w0 = (__m512bh)_mm512_load_si512(weight + (size_t)k * LANES);
        const __m512bh w1 = (__m512bh)_mm512_load_si512(second + (size_t)k * LANES);
#pragma GCC unroll 8
        for (int row = 0; row < ROWS; row++) {
            int32_t pair;
            memcpy(&pair, columns + row * stride + k, 4);
            const __m512bh a = (__m512bh)_mm512_set1_epi32(pair);
            sums[row][0] = _mm512_dpbf16_ps(sums[row][0], a, w0);
            if (vectors > 1) sums[row][1] = _mm512_dpbf16_ps(sums[row][1], a, w1);
        }
    }
    for (int row = 0; row < ROWS; row++) {
        out[row] = sums[row][0];
        if (vectors > 1) out[TILE + row] = sums[row][1];
    }
}

BF16_TARGET static void multiply_one_bf16(
    const uint16_t *columns, size_t stride, int depth, const uint16_t *weight, __m512 *out) {
    multiply_bf16(columns, stride, depth, weight, out, 1);
}

BF16_TARGET static void multiply_two_bf16(
    const uint16_t *columns, size_t stride, int depth, const uint16_t *weight, __m512 *out) {
    multiply_bf16(columns, stride, depth, weight, out, 2);
}

BF16_TARGET static void convolve_tile_bf16(
    const Task *task, int first, int count, int bundle, int bundles, const Sample *samples, void *memory) {
    const int depth = task->depth;
    const size_t stride = (size_t)bundles * depth;
    uint16_t *columns = memory;
    memset(columns + count * stride, 0, sizeof(uint16_t) * (TILE - count) * stride);
    for (int i = 0; i < count; i++)
        sample_position(task, samples + i * task->samples, bundle, bundles, sample_run_bf16, columns + i * stride);
    for (int each = 0; each < bundles; each++)
        for (int lane = 0; lane < task->out_lanes; lane += 2 * LANES) {
            const int vectors = task->out_lanes - lane > LANES ? 2 : 1;
            const size_t at = ((size_t)(bundle + each) * task->out_lanes + lane) * depth;
            __m512 sums[2 * TILE];
            for (int row = 0; row < TILE; row += ROWS)
                (vectors > 1 ? multiply_two_bf16 : multiply_one_bf16)(
                    columns + row * stride + (size_t)each * depth, stride, depth,
                    (const uint16_t *)task->convolution->weight + at, sums + row);
            for (int vector = 0; vector < vectors; vector++)
                store_tile(task, first, count, bundle + each, lane + vector * LANES, sums + vector * TILE);
        }
}

/* ---------------------------------------------------------------------------------------------- integers */

/* One position's samples, and the largest magnitude of each bundle's. */
typedef struct {
    __m512 *largest;
    float *values;
} IntegerColumn;

INT8_TARGET static inline void sample_run_int8(
    const Task *task, const Sample *sample, int lane, void *columns, size_t at, int each) {
    const IntegerColumn *column = columns;
    const uint16_t *table = (const uint16_t *)task->table + lane;
    __m512 largest = column->largest[each];
    for (int i = 0; i < task->run_lanes; i += LANES) {
        const __m512 value = interpolate_bf16(table + i, sample);
        largest = _mm512_max_ps(largest, _mm512_abs_ps(value));
        _mm512_store_ps(column->values + at + i, value);
    }
    column->largest[each] = largest;
}

INT8_TARGET static inline __attribute__((always_inline)) void multiply_int8(
    const uint8_t *columns, size_t stride, int depth, const int8_t *weight, __m512i *out, int vectors) {
    __m512i sums[ROWS][2];
    for (int row = 0; row < ROWS; row++) sums[row][0] = sums[row][1] = _mm512_setzero_si512();
    const int8_t *second = vectors > 1 ? weight + (size_t)depth * LANES : weight;
    for (int k = 0; k < depth; k += 4) {
        const __m512i w0 = _mm512_load_si512(weight + (size_t)k * LANES);
        const __m512i w1 = _mm512_load_si512(second + (size_t)k * LANES);
#pragma GCC unroll 8
        for (int row = 0; row < ROWS; row++) {
            int32_t four;
            memcpy(&four, columns + row * stride + k, 4);
            const __m512i a = _mm512_set1_epi32(four);
            sums[row][0] = _mm512_dpbusd_epi32(sums[row][0], a, w0);
            if (vectors > 1) sums[row][1] = _mm512_dpbusd_epi32(sums[row][1], a, w1);
        }
    }
    for (int row = 0; row < ROWS; row++) {
        out[row] = sums[row][0];
        if (vectors > 1) out[TILE + row] = sums[row][1];
    }
}

INT8_TARGET static void multiply_one_int8(
    const uint8_t *columns, size_t stride, int depth, const int8_t *weight, __m512i *out) {
    multiply_int8(columns, stride, depth, weight, out, 1);
}

INT8_TARGET static void multiply_two_int8(
    const uint8_t *columns, size_t stride, int depth, const int8_t *weight, __m512i *out) {
    multiply_int8(columns, stride, depth, weight, out, 2);
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

/* `memory`: values of one position, its bundles' largest, all columns' scales [bundles, TILE], the columns. */
INT8_TARGET static void convolve_tile_int8(
    const Task *task, int first, int count, int bundle, int bundles, const Sample *samples, void *memory) {
    const Convolution *c = task->convolution;
    const int depth = task->depth;
    const size_t stride = (size_t)bundles * depth;
    const IntegerColumn column = {(__m512 *)((float *)memory + stride), memory};
    float *const scales = (float *)(column.largest + bundles);
    uint8_t *columns = (uint8_t *)(scales + (size_t)bundles * TILE);
    /* Unsigned where nothing is negative, as after a ReLU: twice as fine. */
    const int zero = task->is_negative ? 128 : 0;
    memset(scales, 0, sizeof(float) * bundles * TILE);
    memset(columns + count * stride, 0, (TILE - count) * stride);
    for (int i = 0; i < count; i++) {
        for (int each = 0; each < bundles; each++) column.largest[each] = _mm512_setzero_ps();
        sample_position(task, samples + i * task->samples, bundle, bundles, sample_run_int8, (void *)&column);
        for (int each = 0; each < bundles; each++)
            scales[each * TILE + i] = quantize_column(column.values + (size_t)each * depth, depth, column.largest[each],
                                                      zero, columns + i * stride + (size_t)each * depth);
    }
    for (int each = 0; each < bundles; each++)
        for (int lane = 0; lane < task->out_lanes; lane += 2 * LANES) {
            const int vectors = task->out_lanes - lane > LANES ? 2 : 1;
            const size_t channel = (size_t)(bundle + each) * task->out_lanes + lane;
            __m512i sums[2 * TILE];
            for (int row = 0; row < TILE; row += ROWS)
                (vectors > 1 ? multiply_two_int8 : multiply_one_int8)(
                    columns + row * stride + (size_t)each * depth, stride, depth,
                    (const int8_t *)c->weight + channel * depth, sums + row);
            for (int vector = 0; vector < vectors; vector++) {
                const size_t at = channel + vector * LANES;
                const __m512 scale = _mm512_loadu_ps(c->scale + at);
                const __m512i shift = _mm512_mullo_epi32(_mm512_set1_epi32(zero), _mm512_loadu_si512(c->weight_sum + at));
                __m512 results[TILE];
                for (int row = 0; row < TILE; row++)
                    results[row] = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sums[vector * TILE + row], shift)),
                                                 _mm512_mul_ps(scale, _mm512_set1_ps(scales[each * TILE + row])));
                store_tile(task, first, count, bundle + each, lane + vector * LANES, results);
            }
        }
}

#endif
