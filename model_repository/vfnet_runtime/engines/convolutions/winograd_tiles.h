/* The tiles of winograd_convolution.h for one width of registers, which TILE_LANES and what follows it there name. */

#define TILE_GROUP (2 * TILE_LANES) /* output channels computed together */

/* Six values of a row or column of inputs -> one for each point. */
TILE_TARGET static inline __attribute__((always_inline)) void TILE_NAME(transform_input)(TILE_VECTOR d[SIDE]) {
    const TILE_VECTOR a = TILE_SET(POINT_A), b = TILE_SET(POINT_B), minus_a = TILE_SET(-POINT_A), minus_b = TILE_SET(-POINT_B);
    const TILE_VECTOR minus_a2 = TILE_SET(-A2), minus_b2 = TILE_SET(-B2);
    const TILE_VECTOR product = TILE_SET(A2 * B2), minus_sum = TILE_SET(-(A2 + B2));
    const TILE_VECTOR zero = TILE_MULTIPLY_ADD(minus_sum, d[2], TILE_MULTIPLY_ADD(product, d[0], d[4]));
    const TILE_VECTOR infinity = TILE_MULTIPLY_ADD(minus_sum, d[3], TILE_MULTIPLY_ADD(product, d[1], d[5]));
    const TILE_VECTOR even_a = TILE_MULTIPLY_ADD(minus_b2, d[2], d[4]), odd_a = TILE_MULTIPLY_ADD(minus_b2, d[1], d[3]);
    const TILE_VECTOR even_b = TILE_MULTIPLY_ADD(minus_a2, d[2], d[4]), odd_b = TILE_MULTIPLY_ADD(minus_a2, d[1], d[3]);
    d[0] = zero;
    d[1] = TILE_MULTIPLY_ADD(a, odd_a, even_a);
    d[2] = TILE_MULTIPLY_ADD(minus_a, odd_a, even_a);
    d[3] = TILE_MULTIPLY_ADD(b, odd_b, even_b);
    d[4] = TILE_MULTIPLY_ADD(minus_b, odd_b, even_b);
    d[5] = infinity;
}

/* One value for each point -> four of a row or column of outputs. */
TILE_TARGET static inline __attribute__((always_inline)) void TILE_NAME(transform_output)(
    const TILE_VECTOR m[SIDE], TILE_VECTOR y[SPAN]) {
    const TILE_VECTOR even_a = TILE_ADD(m[1], m[2]), odd_a = TILE_SUBTRACT(m[1], m[2]);
    const TILE_VECTOR even_b = TILE_ADD(m[3], m[4]), odd_b = TILE_SUBTRACT(m[3], m[4]);
    y[0] = TILE_ADD(m[0], TILE_ADD(even_a, even_b));
    y[1] = TILE_MULTIPLY_ADD(TILE_SET(POINT_A), odd_a, TILE_MULTIPLY(TILE_SET(POINT_B), odd_b));
    y[2] = TILE_MULTIPLY_ADD(TILE_SET(A2), even_a, TILE_MULTIPLY(TILE_SET(B2), even_b));
    y[3] = TILE_MULTIPLY_ADD(
        TILE_SET(A2 * POINT_A), odd_a, TILE_MULTIPLY_ADD(TILE_SET(B2 * POINT_B), odd_b, m[5]));
}

/* Transforms `count` tiles of a row, the first at (row, column) in tiles, into `columns` [POINTS, block, channels] at
 * `tile`; `seen` has room for SIDE * RUN_COLUMNS vectors. */
TILE_TARGET static void TILE_NAME(transform_run)(
    const WinogradTask *task, const float *image, int row, int column, int count, float *columns, int tile, float *seen) {
    const WinogradConvolution *c = task->convolution;
    const int width = SPAN * count + 2, left = SPAN * column - 1, top = SPAN * row - 1;
    const size_t plane = (size_t)c->height * c->width, point = (size_t)task->block * c->channels;
    for (int channel = 0; channel < c->channels; channel += TILE_LANES) {
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < width; x += TILE_LANES) {
                float *const to = seen + (size_t)(y * RUN_COLUMNS + x) * TILE_LANES;
                const int first = left + x < 0 ? -left - x : 0;
                const int last = c->width - left - x < TILE_LANES ? c->width - left - x : TILE_LANES;
                if (top + y < 0 || top + y >= c->height || last <= first) {
                    memset(to, 0, sizeof(float) * TILE_LANES * TILE_LANES);
                    continue;
                }
                const TILE_MASK mask = TILE_FROM_TO(first, last);
                const float *const from = image + channel * plane + (ptrdiff_t)(top + y) * c->width + left + x;
                TILE_VECTOR values[TILE_LANES];
                for (int i = 0; i < TILE_LANES; i++) values[i] = TILE_LOAD_SOME(mask, from + i * plane);
                TILE_TRANSPOSE(values);
                for (int i = 0; i < TILE_LANES; i++) TILE_STORE(to + i * TILE_LANES, values[i]);
            }
        for (int x = 0; x < width; x++) {
            TILE_VECTOR d[SIDE];
            for (int y = 0; y < SIDE; y++) d[y] = TILE_LOAD(seen + (size_t)(y * RUN_COLUMNS + x) * TILE_LANES);
            TILE_NAME(transform_input)(d);
            for (int y = 0; y < SIDE; y++) TILE_STORE(seen + (size_t)(y * RUN_COLUMNS + x) * TILE_LANES, d[y]);
        }
        for (int i = 0; i < count; i++)
            for (int y = 0; y < SIDE; y++) {
                TILE_VECTOR d[SIDE];
                for (int x = 0; x < SIDE; x++)
                    d[x] = TILE_LOAD(seen + (size_t)(y * RUN_COLUMNS + SPAN * i + x) * TILE_LANES);
                TILE_NAME(transform_input)(d);
                for (int x = 0; x < SIDE; x++)
                    TILE_STORE(columns + (y * SIDE + x) * point + (size_t)(tile + i) * c->channels + channel, d[x]);
            }
    }
}

/* sums [TILE_ROWS, TILE_GROUP] = or += columns [TILE_ROWS, steps of a row of `stride`] * weights [steps, TILE_GROUP]. */
TILE_TARGET static void TILE_NAME(multiply_points)(
    const float *columns, size_t stride, int steps, const float *weight, float *sums, int is_first) {
    TILE_VECTOR sum[TILE_ROWS][2];
#pragma GCC unroll 12
    for (int row = 0; row < TILE_ROWS; row++) sum[row][0] = sum[row][1] = TILE_SET(0);
    for (int k = 0; k < steps; k++) {
        const TILE_VECTOR w0 = TILE_LOAD(weight + (size_t)k * TILE_GROUP);
        const TILE_VECTOR w1 = TILE_LOAD(weight + (size_t)k * TILE_GROUP + TILE_LANES);
#pragma GCC unroll 12
        for (int row = 0; row < TILE_ROWS; row++) {
            const TILE_VECTOR value = TILE_SET(columns[row * stride + k]);
            sum[row][0] = TILE_MULTIPLY_ADD(value, w0, sum[row][0]);
            sum[row][1] = TILE_MULTIPLY_ADD(value, w1, sum[row][1]);
        }
    }
#pragma GCC unroll 12
    for (int row = 0; row < TILE_ROWS; row++) {
        float *const first = sums + row * TILE_GROUP, *const second = first + TILE_LANES;
        TILE_STORE(first, is_first ? sum[row][0] : TILE_ADD(TILE_LOAD(first), sum[row][0]));
        TILE_STORE(second, is_first ? sum[row][1] : TILE_ADD(TILE_LOAD(second), sum[row][1]));
    }
}

/* The outputs of up to TILE_LANES / SPAN neighbours in a row of tiles, of TILE_LANES channels: `sums` are the first's. */
TILE_TARGET static void TILE_NAME(store_tiles)(
    const WinogradTask *task, const float *sums, int row, int column, int count, TILE_VECTOR bias, float *output) {
    const WinogradConvolution *c = task->convolution;
    const size_t plane = (size_t)c->height * c->width, point = (size_t)task->block * TILE_GROUP;
    const int left = SPAN * column, present = c->width - left < SPAN * count ? c->width - left : SPAN * count;
    TILE_VECTOR rows[SPAN][TILE_LANES];
    for (int i = 0; i < TILE_LANES / SPAN; i++) {
        const float *const from = sums + (i < count ? i : 0) * TILE_GROUP;
        TILE_VECTOR halfway[SIDE][SPAN], m[SIDE], y[SPAN];
        for (int x = 0; x < SIDE; x++) {
            for (int k = 0; k < SIDE; k++) m[k] = TILE_LOAD(from + (k * SIDE + x) * point);
            TILE_NAME(transform_output)(m, halfway[x]);
        }
        for (int k = 0; k < SPAN; k++) {
            for (int x = 0; x < SIDE; x++) m[x] = halfway[x][k];
            TILE_NAME(transform_output)(m, y);
            for (int x = 0; x < SPAN; x++) {
                const TILE_VECTOR value = TILE_ADD(y[x], bias);
                rows[k][i * SPAN + x] = c->is_rectified ? TILE_LARGER(value, TILE_SET(0)) : value;
            }
        }
    }
    const TILE_MASK mask = TILE_FROM_TO(0, present);
    for (int k = 0; k < SPAN && SPAN * row + k < c->height; k++) {
        TILE_TRANSPOSE(rows[k]);
        float *const to = output + (size_t)(SPAN * row + k) * c->width + left;
        for (int i = 0; i < TILE_LANES; i++) TILE_STORE_SOME(to + i * plane, mask, rows[k][i]);
    }
}

TILE_TARGET static void TILE_NAME(convolve_block)(void *context, int chunk) {
    WinogradTask *task = context;
    const WinogradConvolution *c = task->convolution;
    const int part = chunk % task->parts, block = chunk / task->parts % task->blocks;
    const int image = chunk / task->parts / task->blocks, groups = c->out_channels / TILE_GROUP;
    const int begin = block * task->block, end = begin + task->block < task->tiles ? begin + task->block : task->tiles;
    const int rows = (end - begin + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    const size_t plane = (size_t)c->height * c->width, point = (size_t)task->block * c->channels;
    const size_t sums_size = (size_t)POINTS * task->block * TILE_GROUP;
    float *const columns =
        room(&tile_buffer, sizeof(float) * (POINTS * point + sums_size + (size_t)SIDE * RUN_COLUMNS * TILE_LANES));
    if (!columns) {
        atomic_store(&task->out_of_memory, 1);
        return;
    }
    float *const sums = columns + POINTS * point;
    for (int i = 0; i < POINTS; i++)
        memset(columns + i * point + (size_t)(end - begin) * c->channels, 0,
               sizeof(float) * (rows - (end - begin)) * c->channels);
    for (int tile = begin, count; tile < end; tile += count) {
        count = count_in_row(task, tile, end, RUN);
        TILE_NAME(transform_run)(task, c->input + image * c->channels * plane, tile / task->tile_columns,
                                 tile % task->tile_columns, count, columns, tile - begin, sums + sums_size);
    }
    for (int group = groups * part / task->parts; group < groups * (part + 1) / task->parts; group++) {
        const float *weight = c->weight + (size_t)group * POINTS * c->channels * TILE_GROUP;
        for (int i = 0; i < POINTS; i++, weight += (size_t)c->channels * TILE_GROUP)
            for (int k = 0; k < c->channels; k += WINOGRAD_STEP) {
                const int steps = c->channels - k < WINOGRAD_STEP ? c->channels - k : WINOGRAD_STEP;
                for (int row = 0; row < rows; row += TILE_ROWS)
                    TILE_NAME(multiply_points)(
                        columns + i * point + (size_t)row * c->channels + k, c->channels, steps,
                        weight + (size_t)k * TILE_GROUP, sums + ((size_t)i * task->block + row) * TILE_GROUP, k == 0);
            }
        for (int lane = 0; lane < TILE_GROUP; lane += TILE_LANES) {
            const int channel = group * TILE_GROUP + lane;
            TILE_VECTOR bias = TILE_SET(0);
            if (c->bias) memcpy(&bias, c->bias + channel, sizeof bias);
            float *const output = c->output + ((size_t)image * c->out_channels + channel) * plane;
            for (int tile = begin, count; tile < end; tile += count) {
                count = count_in_row(task, tile, end, TILE_LANES / SPAN);
                TILE_NAME(store_tiles)(task, sums + (size_t)(tile - begin) * TILE_GROUP + lane,
                                       tile / task->tile_columns, tile % task->tile_columns, count, bias, output);
            }
        }
    }
}

#undef TILE_GROUP
#undef TILE_LANES
#undef TILE_ROWS
#undef TILE_VECTOR
#undef TILE_TARGET
#undef TILE_NAME
#undef TILE_SET
#undef TILE_LOAD
#undef TILE_STORE
#undef TILE_ADD
#undef TILE_SUBTRACT
#undef TILE_MULTIPLY
#undef TILE_MULTIPLY_ADD
#undef TILE_LARGER
#undef TILE_TRANSPOSE
#undef TILE_MASK
#undef TILE_FROM_TO
#undef TILE_LOAD_SOME
#undef TILE_STORE_SOME
