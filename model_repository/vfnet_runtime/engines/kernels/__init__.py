"""Kernels for GPUs in Triton's language: deformable convolution, normalisation, pointwise sums."""
