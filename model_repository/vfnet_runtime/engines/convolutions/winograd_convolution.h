/* 3x3 convolutions of stride 1, padded by 1, as F(4x4, 3x3) of Winograd's minimal filtering (Lavin and Gray, 2015): 36
 * products for 16 outputs instead of 144.
 *
 * A tile is 6x6 inputs of a channel and the 4x4 outputs they give, of which tiles overlap by two rows and columns. Both
 * transformations are products of matrices with small ones for the points 0, a, -a, b, -b and infinity, written out below
 * with what is common computed once. The points 5/8 and 3/2 are oneDNN's (jit_avx512_core_f32_wino_conv_4x3): they lose
 * less to rounding than 1 and 2, which are usual.
 */
#ifndef VFNET_WINOGRAD_CONVOLUTION_H
#define VFNET_WINOGRAD_CONVOLUTION_H

#include <immintrin.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "processor.h"
#include "thread_buffers.h"
#include "worker_threads.h"

enum { SIDE = 6, SPAN = 4, POINTS = SIDE * SIDE };
/* Tiles of a row that are transformed at once, the columns they see, to whole registers, and how many floats of
 * transformed input stay in the second cache: POINTS times as many. */
enum { RUN = 24, RUN_COLUMNS = (SPAN * RUN + 2 + LANES - 1) / LANES * LANES, COLUMNS_IN_CACHE = 6144, WINOGRAD_STEP = 128 };

typedef struct {
    const float *input;  /* [batch, channels, height, width] */
    const float *weight; /* [out_channels / group, POINTS, channels, group], transformed */
    const float *bias;   /* [out_channels], or NULL for 0 */
    float *output;       /* [batch, out_channels, height, width] */
    int32_t batch, channels, height, width, out_channels, is_rectified, threads;
} WinogradConvolution;

typedef struct {
    const WinogradConvolution *convolution;
    int tile_columns, tiles; /* of an image */
    int block, blocks;       /* tiles computed together; of these, how many an image has */
    int parts;               /* into which the output channels of a block are divided, for more threads */
    atomic_int out_of_memory;
} WinogradTask;

/* How many tiles from `tile` on, before `end`, are in one row of tiles, and at most `most`. */
static inline int count_in_row(const WinogradTask *task, int tile, int end, int most) {
    const int in_row = task->tile_columns - tile % task->tile_columns, left = end - tile;
    const int count = in_row < left ? in_row : left;
    return count < most ? count : most;
}

#define POINT_A 0.625f
#define POINT_B 1.5f
#define A2 (POINT_A * POINT_A)
#define B2 (POINT_B * POINT_B)

#define TILE_LANES 16
#define TILE_ROWS 12
#define TILE_VECTOR __m512
#define TILE_TARGET BASE_TARGET
#define TILE_NAME(name) name##_avx512
#define TILE_SET _mm512_set1_ps
#define TILE_LOAD _mm512_load_ps
#define TILE_STORE _mm512_store_ps
#define TILE_ADD _mm512_add_ps
#define TILE_SUBTRACT _mm512_sub_ps
#define TILE_MULTIPLY _mm512_mul_ps
#define TILE_MULTIPLY_ADD _mm512_fmadd_ps
#define TILE_LARGER _mm512_max_ps
#define TILE_TRANSPOSE transpose16
#define TILE_MASK __mmask16
#define TILE_FROM_TO(first, last) ((__mmask16)(((1u << (last)) - 1) & ~((1u << (first)) - 1)))
#define TILE_LOAD_SOME(mask, from) _mm512_maskz_loadu_ps(mask, from)
#define TILE_STORE_SOME(to, mask, values) _mm512_mask_storeu_ps(to, mask, values)
#include "winograd_tiles.h"

AVX2_TARGET static inline void transpose8(__m256 r[8]) {
    __m256 t[8];
    for (int i = 0; i < 8; i += 4) {
        const __m256 a = _mm256_unpacklo_ps(r[i], r[i + 1]), b = _mm256_unpackhi_ps(r[i], r[i + 1]);
        const __m256 c = _mm256_unpacklo_ps(r[i + 2], r[i + 3]), d = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
        t[i] = _mm256_shuffle_ps(a, c, 0x44);
        t[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
        t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
        t[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
}

AVX2_TARGET static inline __m256i lanes_from_to(int first, int last) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_andnot_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(first), lane),
                               _mm256_cmpgt_epi32(_mm256_set1_epi32(last), lane));
}

#define TILE_LANES 8
#define TILE_ROWS 6
#define TILE_VECTOR __m256
#define TILE_TARGET AVX2_TARGET
#define TILE_NAME(name) name##_avx2
#define TILE_SET _mm256_set1_ps
#define TILE_LOAD _mm256_load_ps
#define TILE_STORE _mm256_store_ps
#define TILE_ADD _mm256_add_ps
#define TILE_SUBTRACT _mm256_sub_ps
#define TILE_MULTIPLY _mm256_mul_ps
#define TILE_MULTIPLY_ADD _mm256_fmadd_ps
#define TILE_LARGER _mm256_max_ps
#define TILE_TRANSPOSE transpose8
#define TILE_MASK __m256i
#define TILE_FROM_TO lanes_from_to
#define TILE_LOAD_SOME(mask, from) _mm256_maskload_ps(from, mask)
#define TILE_STORE_SOME(to, mask, values) _mm256_maskstore_ps(to, mask, values)
#include "winograd_tiles.h"

/* Output channels that are computed together, of which `weight` is made and `out_channels` a multiple; 0 where this
 * processor cannot. `channels` have to be a multiple of a register's lanes, half of it. */
int vfnet_winograd_group(void) { return has_avx512() ? 32 : has_avx2() ? 16 : 0; }

static int divide_up(int number, int by) { return (number + by - 1) / by; }

/* 0, or -1 where memory is short. What an output is does not depend on which tiles are computed together, nor by whom. */
int vfnet_winograd_conv2d(const WinogradConvolution *convolution) {
    const int is_wide = has_avx512(), rows = is_wide ? 12 : 6;
    WinogradTask task = {.convolution = convolution, .tile_columns = divide_up(convolution->width, SPAN)};
    task.tiles = task.tile_columns * divide_up(convolution->height, SPAN);
    if (task.tiles == 0) return 0; /* a map without pixels */
    const int fit = COLUMNS_IN_CACHE / convolution->channels / rows * rows, most = fit > rows ? fit : rows;
    task.block = divide_up(divide_up(task.tiles, divide_up(task.tiles, most)), rows) * rows; /* all nearly as large */
    task.blocks = divide_up(task.tiles, task.block);
    task.parts = task.blocks * convolution->batch < 4 * convolution->threads ? convolution->threads : 1;
    parallel(convolution->threads, convolution->batch * task.blocks * task.parts,
             is_wide ? convolve_block_avx512 : convolve_block_avx2, &task);
    return task.out_of_memory ? -1 : 0;
}

#endif
