/* Deformable convolution, v1 and modulated v2, of one image: bilinear sampling and matrix product in one pass, so that
 * the sampled columns never leave the cache. In bfloat16 (AVX-512 BF16) or in 8-bit integers (AVX-512 VNNI), where
 * OpenVINO 2026.4 computes in float32 only. `vfnet build` compiles it to libdeformable_convolution.so; the Python side
 * is deformable_convolution.py. Nothing but the C library and POSIX threads is needed.
 *
 * The input is kept as bfloat16 with channels last. Integers: each position's column has a scale of its own (its
 * largest magnitude), each output channel's weights have theirs; sums are exact.
 */
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "worker_threads.h"

enum { LANES = 16, TILE = 16, ROWS = 8, TILES_PER_CHUNK = 4, PIXELS_PER_CHUNK = 1024 };
enum { BF16 = 1, INT8 = 2 }; /* also the bits of vfnet_deform_precisions */

#define BF16_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define INT8_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))
#define BASE_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))

typedef struct {
    const float *input;  /* [channels, height, width] */
    const float *offset; /* [2 * taps, out_height, out_width], (dy, dx) per tap, in input pixels */
    const float *mask;   /* [taps, out_height, out_width], or NULL for 1 */
    const void *weight;  /* [padded out channels / 16, K / lane width, 16, lane width]: 2 bfloat16 or 4 int8 */
    const float *scale;        /* int8: [padded out channels], weight = integer * scale */
    const int32_t *weight_sum; /* int8: [padded out channels], over K, of the integers */
    float *output;             /* [out_channels, out_height, out_width] */
    int32_t channels, height, width, out_channels, out_height, out_width;
    int32_t kernel_height, kernel_width, stride_y, stride_x, pad_y, pad_x, dilation_y, dilation_x;
    int32_t precision; /* BF16 or INT8 */
    int32_t threads;
} Convolution;

/* A buffer that grows and stays with its thread: these are needed 33 times an image. */
typedef struct {
    void *memory;
    size_t size;
} Buffer;

static void *room(Buffer *buffer, size_t size) {
    if (buffer->size < size) {
        free(buffer->memory);
        buffer->size = 0;
        if (posix_memalign(&buffer->memory, 64, size) != 0) {
            buffer->memory = NULL;
            return NULL;
        }
        buffer->size = size;
    }
    return buffer->memory;
}

static __thread Buffer table_buffer, tile_buffer;

/* ---------------------------------------------------------------------------------------------- input */

typedef struct {
    const Convolution *convolution;
    uint16_t *table; /* bfloat16 [height * width, padded]; rows beyond `channels` are zero */
    int padded;
    atomic_int is_negative; /* some input is */
    atomic_int out_of_memory;
} Task;

BASE_TARGET static inline void transpose16(__m512 r[16]) {
    __m512 t[16];
    for (int i = 0; i < 16; i += 4) {
        __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(r[i], r[i + 1]));
        __m512d b = _mm512_castps_pd(_mm512_unpackhi_ps(r[i], r[i + 1]));
        __m512d c = _mm512_castps_pd(_mm512_unpacklo_ps(r[i + 2], r[i + 3]));
        __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(r[i + 2], r[i + 3]));
        t[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        t[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        t[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        t[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    for (int i = 0; i < 4; i++) {
        __m512 low = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88), high = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd);
        __m512 low2 = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88);
        __m512 high2 = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
        r[i] = _mm512_shuffle_f32x4(low, low2, 0x88);
        r[i + 4] = _mm512_shuffle_f32x4(high, high2, 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(low, low2, 0xdd);
        r[i + 12] = _mm512_shuffle_f32x4(high, high2, 0xdd);
    }
}

/* float32 -> bfloat16, to nearest even; NaN stays NaN often enough for our purposes (it never traps). */
BASE_TARGET static inline __m256i to_bf16(__m512 values) {
    __m512i bits = _mm512_castps_si512(values);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    bits = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16));
}

BASE_TARGET static inline __m512 from_bf16(const uint16_t *values) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_load_si256((const __m256i *)values)), 16));
}

BASE_TARGET static void lay_out_input(void *context, int chunk) {
    Task *task = context;
    const Convolution *c = task->convolution;
    const int pixels = c->height * c->width, first = chunk * PIXELS_PER_CHUNK;
    const int last = first + PIXELS_PER_CHUNK < pixels ? first + PIXELS_PER_CHUNK : pixels;
    __m512 lowest = _mm512_setzero_ps();
    for (int pixel = first; pixel < last; pixel += LANES) {
        const int count = last - pixel < LANES ? last - pixel : LANES;
        const __mmask16 present = (__mmask16)((1u << count) - 1);
        for (int channel = 0; channel < task->padded; channel += LANES) {
            __m512 block[LANES];
            for (int i = 0; i < LANES; i++)
                block[i] = channel + i < c->channels
                               ? _mm512_maskz_loadu_ps(present, c->input + (size_t)(channel + i) * pixels + pixel)
                               : _mm512_setzero_ps();
            for (int i = 0; i < LANES; i++) lowest = _mm512_min_ps(lowest, block[i]);
            transpose16(block);
            for (int i = 0; i < count; i++)
                _mm256_store_si256(
                    (__m256i *)(task->table + (size_t)(pixel + i) * task->padded + channel), to_bf16(block[i]));
        }
    }
    if (_mm512_reduce_min_ps(lowest) < 0) atomic_store(&task->is_negative, 1);
}

/* ---------------------------------------------------------------------------------------------- sampling */

typedef struct {
    const uint16_t *corner[4];
    float weight[4];
} Sample;

/* Where a tap of an output position lands; a neighbour outside the input weighs nothing. */
BASE_TARGET static inline Sample locate(const Task *task, int position, int tap) {
    const Convolution *c = task->convolution;
    const size_t positions = (size_t)c->out_height * c->out_width;
    const float y = position / c->out_width * c->stride_y - c->pad_y + tap / c->kernel_width * c->dilation_y +
                    c->offset[2 * tap * positions + position];
    const float x = position % c->out_width * c->stride_x - c->pad_x + tap % c->kernel_width * c->dilation_x +
                    c->offset[(2 * tap + 1) * positions + position];
    Sample sample = {{task->table, task->table, task->table, task->table}, {0, 0, 0, 0}};
    if (!(y > -1 && y < c->height && x > -1 && x < c->width)) return sample; /* also NaN */
    const int top = (int)floorf(y), left = (int)floorf(x);
    const float down = y - top, right = x - left;
    const float modulation = c->mask ? c->mask[tap * positions + position] : 1.0f;
    for (int corner = 0; corner < 4; corner++) {
        const int row = top + corner / 2, column = left + corner % 2;
        if (row < 0 || row >= c->height || column < 0 || column >= c->width) continue;
        sample.corner[corner] = task->table + ((size_t)row * c->width + column) * task->padded;
        sample.weight[corner] = modulation * (corner / 2 ? down : 1 - down) * (corner % 2 ? right : 1 - right);
    }
    return sample;
}

BASE_TARGET static inline __m512 interpolate(const Sample *sample, int channel) {
    __m512 sum = _mm512_mul_ps(_mm512_set1_ps(sample->weight[0]), from_bf16(sample->corner[0] + channel));
    for (int corner = 1; corner < 4; corner++)
        sum = _mm512_fmadd_ps(_mm512_set1_ps(sample->weight[corner]), from_bf16(sample->corner[corner] + channel), sum);
    return sum;
}

BASE_TARGET static void store_tile(const Convolution *c, int first, int count, int block, __m512 values[TILE]) {
    const size_t positions = (size_t)c->out_height * c->out_width;
    const __mmask16 present = (__mmask16)((1u << count) - 1);
    transpose16(values);
    for (int i = 0; i < LANES && block * LANES + i < c->out_channels; i++)
        _mm512_mask_storeu_ps(c->output + (block * LANES + i) * positions + first, present, values[i]);
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
    const int taps = c->kernel_height * c->kernel_width, depth = taps * task->padded;
    uint16_t *columns = room(&tile_buffer, sizeof(uint16_t) * TILE * depth);
    if (!columns) return;
    memset(columns + (size_t)count * depth, 0, sizeof(uint16_t) * (TILE - count) * depth);
    for (int i = 0; i < count; i++)
        for (int tap = 0; tap < taps; tap++) {
            const Sample sample = locate(task, first + i, tap);
            uint16_t *column = columns + (size_t)i * depth + tap * task->padded;
            for (int channel = 0; channel < task->padded; channel += LANES)
                _mm256_store_si256(
                    (__m256i *)(column + channel), (__m256i)_mm512_cvtneps_pbh(interpolate(&sample, channel)));
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
    const int taps = c->kernel_height * c->kernel_width, depth = taps * task->padded;
    float *values = room(&tile_buffer, sizeof(float) * depth + (size_t)TILE * depth);
    if (!values) return;
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
                const __m512 value = interpolate(&sample, channel);
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

/* ---------------------------------------------------------------------------------------------- entry points */

static void convolve_chunk(void *context, int chunk) {
    Task *task = context;
    const Convolution *c = task->convolution;
    const int positions = c->out_height * c->out_width;
    const int taps = c->kernel_height * c->kernel_width;
    if (!room(&tile_buffer, (size_t)taps * task->padded * (sizeof(float) + TILE * sizeof(uint16_t)))) {
        atomic_store(&task->out_of_memory, 1);
        return;
    }
    for (int i = 0; i < TILES_PER_CHUNK; i++) {
        const int first = (chunk * TILES_PER_CHUNK + i) * TILE;
        const int count = positions - first < TILE ? positions - first : TILE;
        if (count <= 0) return;
        if (c->precision == INT8)
            convolve_tile_int8(task, first, count);
        else
            convolve_tile_bf16(task, first, count);
    }
}

/* Which of BF16 and INT8 this processor computes. */
int vfnet_deform_precisions(void) {
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")))
        return 0;
    return (__builtin_cpu_supports("avx512bf16") ? BF16 : 0) | (__builtin_cpu_supports("avx512vnni") ? INT8 : 0);
}

/* 0, or -1 where memory is short. */
int vfnet_deform_conv2d(const Convolution *convolution) {
    const int pixels = convolution->height * convolution->width;
    const int positions = convolution->out_height * convolution->out_width;
    Task task = {.convolution = convolution, .padded = (convolution->channels + LANES - 1) / LANES * LANES};
    task.table = room(&table_buffer, sizeof(uint16_t) * (size_t)pixels * task.padded);
    if (!task.table) return -1;
    parallel(convolution->threads, (pixels + PIXELS_PER_CHUNK - 1) / PIXELS_PER_CHUNK, lay_out_input, &task);
    const int per_chunk = TILE * TILES_PER_CHUNK;
    parallel(convolution->threads, (positions + per_chunk - 1) / per_chunk, convolve_chunk, &task);
    return task.out_of_memory ? -1 : 0;
}
