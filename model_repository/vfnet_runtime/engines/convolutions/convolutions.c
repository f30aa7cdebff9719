/* The library of convolutions that OpenVINO 2026.4 computes more slowly: deformable ones, and 3x3 ones in float32.
 * `vfnet build` compiles it to libconvolutions.so; the Python side is library.py and the modules beside it. Nothing but the
 * C library and POSIX threads is needed. One translation unit, so that all share their threads and buffers.
 */
#ifndef __x86_64__
#error these convolutions are written for x86-64 only
#endif

#include "deformable_convolution.h"
#include "winograd_convolution.h"
