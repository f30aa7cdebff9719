/* What the processor has, and what all code for AVX-512 shares. */
#ifndef VFNET_PROCESSOR_H
#define VFNET_PROCESSOR_H

#include <immintrin.h>

enum { LANES = 16 }; /* floats of a register of AVX-512 */

#define BASE_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define AVX2_TARGET __attribute__((target("avx2,fma")))

static int has_avx512(void) {
#ifdef VFNET_WITHOUT_AVX512 /* for tests of the rest, where there is */
    return 0;
#else
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#endif
}

static int has_avx2(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

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

#endif
