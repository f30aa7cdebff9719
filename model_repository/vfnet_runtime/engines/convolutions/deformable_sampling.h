/* What deformable convolutions of any precision share: their input with channels last, where taps land, the output. */
#ifndef VFNET_DEFORMABLE_SAMPLING_H
#define VFNET_DEFORMABLE_SAMPLING_H

#include <immintrin.h>
#include <math.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "processor.h"
#include "thread_buffers.h"

enum { PIXELS_PER_CHUNK = 1024 };
enum { BF16 = 1, INT8 = 2, F32 = 4 }; /* also the bits of vfnet_deform_precisions */

typedef struct {
    const float *input;  /* [channels, height, width] */
    const float *offset; /* [offset_groups * 2 * taps, out_height, out_width], (dy, dx) per tap, in input pixels */
    const float *mask;   /* [offset_groups * taps, out_height, out_width], or NULL for 1 */
    const void *weight;  /* [bundles, out lanes / 16, K / lane width, 16, lane width]: 1 float, 2 bfloat16 or 4 int8 */
    const float *scale;        /* int8: [bundles, out lanes], weight = integer * scale */
    const int32_t *weight_sum; /* int8: [bundles, out lanes], over K, of the integers */
    float *output;             /* [out_channels, out_height, out_width] */
    int32_t channels, height, width, out_channels, out_height, out_width;
    int32_t kernel_height, kernel_width, stride_y, stride_x, pad_y, pad_x, dilation_y, dilation_x;
    int32_t offset_groups;
    /* A bundle is the groups whose products are computed as one, with zeros where one does not see another's channels:
     * what fits into LANES, or a single group. Its channels are runs, each of a single offset group. */
    int32_t bundles, runs; /* of a bundle */
    int32_t run_channels;
    int32_t precision; /* BF16, INT8 or F32 */
    int32_t threads;
} Convolution;

typedef struct {
    size_t corner[4]; /* where in the table */
    float weight[4];
} Sample;

typedef struct Task {
    const Convolution *convolution;
    void (*lay_out)(void *task, int chunk); /* fills `table`, PIXELS_PER_CHUNK at a time */
    /* Some bundles of a tile: samples [count, offset_groups, taps], columns [rows, bundles, depth] to be filled. */
    void (*convolve)(const struct Task *task, int first, int count, int bundle, int bundles, const Sample *, void *);
    void *table;         /* the input, float or bfloat16 [height * width, padded]; zero where a run has no channel */
    size_t columns_size; /* of a tile, in bytes, a multiple of 64 */
    int run_lanes;       /* run_channels, to a multiple of LANES */
    int padded;          /* bundles * runs * run_lanes */
    int depth;           /* K of a bundle: taps * runs * run_lanes */
    int out_lanes;       /* out channels of a bundle, to a multiple of LANES */
    int samples;         /* of a position: offset_groups * taps */
    int tile, tiles;     /* output positions computed together; of these, how many a chunk has */
    int together;        /* bundles whose columns stay in the cache together */
    atomic_int is_negative; /* some input is */
    atomic_int out_of_memory;
} Task;

/* float32 -> bfloat16, to nearest even; NaN stays NaN often enough for our purposes (it never traps). */
BASE_TARGET static inline __m256i to_bf16(__m512 values) {
    __m512i bits = _mm512_castps_si512(values);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    bits = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16));
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
        for (int lane = 0; lane < task->padded; lane += LANES) {
            const int run = lane / task->run_lanes, within = lane % task->run_lanes;
            const float *input = c->input + (size_t)(run * c->run_channels + within) * pixels + pixel;
            __m512 block[LANES];
            for (int i = 0; i < LANES; i++)
                block[i] = within + i < c->run_channels ? _mm512_maskz_loadu_ps(present, input + (size_t)i * pixels)
                                                        : _mm512_setzero_ps();
            for (int i = 0; i < LANES; i++) lowest = _mm512_min_ps(lowest, block[i]);
            transpose16(block);
            for (int i = 0; i < count; i++) {
                const size_t at = (size_t)(pixel + i) * task->padded + lane;
                if (c->precision == F32)
                    _mm512_store_ps((float *)task->table + at, block[i]);
                else
                    _mm256_store_si256((__m256i *)((uint16_t *)task->table + at), to_bf16(block[i]));
            }
        }
    }
    if (_mm512_reduce_min_ps(lowest) < 0) atomic_store(&task->is_negative, 1);
}

/* Where a tap of an output position lands; a neighbour outside the input weighs nothing. */
static inline __attribute__((always_inline)) Sample locate(
    const Task *task, int position, int offset_group, int tap) {
    const Convolution *c = task->convolution;
    const size_t positions = (size_t)c->out_height * c->out_width;
    const size_t plane = (size_t)offset_group * c->kernel_height * c->kernel_width + tap;
    const float y = position / c->out_width * c->stride_y - c->pad_y + tap / c->kernel_width * c->dilation_y +
                    c->offset[2 * plane * positions + position];
    const float x = position % c->out_width * c->stride_x - c->pad_x + tap % c->kernel_width * c->dilation_x +
                    c->offset[(2 * plane + 1) * positions + position];
    Sample sample = {{0, 0, 0, 0}, {0, 0, 0, 0}};
    if (!(y > -1 && y < c->height && x > -1 && x < c->width)) return sample; /* also NaN */
    const int top = (int)floorf(y), left = (int)floorf(x);
    const float down = y - top, right = x - left;
    const float modulation = c->mask ? c->mask[plane * positions + position] : 1.0f;
    for (int corner = 0; corner < 4; corner++) {
        const int row = top + corner / 2, column = left + corner % 2;
        if (row < 0 || row >= c->height || column < 0 || column >= c->width) continue;
        sample.corner[corner] = ((size_t)row * c->width + column) * task->padded;
        sample.weight[corner] = modulation * (corner / 2 ? down : 1 - down) * (corner % 2 ? right : 1 - right);
    }
    return sample;
}

/* Where all taps of some output positions land: [count, offset_groups, taps]. */
static void locate_tile(const Task *task, int first, int count, Sample *samples) {
    const int taps = task->convolution->kernel_height * task->convolution->kernel_width;
    for (int i = 0; i < count; i++)
        for (int group = 0; group < task->convolution->offset_groups; group++)
            for (int tap = 0; tap < taps; tap++) *samples++ = locate(task, first + i, group, tap);
}

/* Calls `sample_run` for every tap and run of some bundles of a position: `samples` [offset_groups, taps] are its, `lane` is
 * the run's first of the table, `at` of the column [bundles, depth], `each` the bundle, counted from the first. */
static inline __attribute__((always_inline)) void sample_position(
    const Task *task, const Sample *samples, int bundle, int bundles,
    void (*sample_run)(const Task *task, const Sample *sample, int lane, void *columns, size_t at, int each),
    void *columns) {
    const Convolution *c = task->convolution;
    const int taps = c->kernel_height * c->kernel_width, lanes = task->run_lanes;
    const int runs_of_group = c->bundles * c->runs / c->offset_groups;
    const int first = bundle * c->runs, last = (bundle + bundles) * c->runs;
    for (int run = first; run < last;) {
        const int group = run / runs_of_group, end = (group + 1) * runs_of_group < last ? (group + 1) * runs_of_group : last;
        for (int tap = 0; tap < taps; tap++) {
            int each = run / c->runs - bundle, within = run % c->runs;
            for (int i = run; i < end; i++) {
                const size_t at = (size_t)each * task->depth + (tap * c->runs + within) * lanes;
                sample_run(task, samples + group * taps + tap, i * lanes, columns, at, each);
                if (++within == c->runs) within = 0, each++;
            }
        }
        run = end;
    }
}

/* Of `values` [LANES positions, LANES channels], those of 16 channels of a bundle. */
BASE_TARGET static void store_tile(const Task *task, int first, int count, int bundle, int lane, __m512 values[LANES]) {
    const Convolution *c = task->convolution;
    const size_t positions = (size_t)c->out_height * c->out_width;
    const __mmask16 present = (__mmask16)((1u << count) - 1);
    const int channels = c->out_channels / c->bundles;
    float *output = c->output + ((size_t)bundle * channels + lane) * positions + first;
    transpose16(values);
    for (int i = 0; i < LANES && lane + i < channels; i++)
        _mm512_mask_storeu_ps(output + i * positions, present, values[i]);
}

#endif
