"""Kernels in Triton's language: they give what plain torch gives, and compile for a GPU that is not here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

triton = pytest.importorskip("triton", reason="Triton's language is not installed")
HALF = {"x": "*fp16", "sizes": "*i32", "weight": "*fp32", "bias": "*fp32", "residual": "*fp16"}
BLOCKS = {"BLOCK_CELLS": 64, "BLOCK_CHANNELS": 256}


def test_interpreted_kernels_give_what_plain_torch_gives() -> None:
    checks = Path(__file__).with_name("check_kernels.py")
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(checks), "-p", "no:cacheprovider"],
        env=os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout
    assert "skipped" not in finished.stdout


def compiled(kernel: Any, types: dict[str, str], constants: dict[str, Any], **options: int) -> str:
    """PTX for compute capability 9.0. Arguments without a type are int32; pointers are to 16 bytes."""
    names = [name for name in kernel.arg_names if name not in constants]
    signature = {name: types.get(name, "i32") for name in names} | dict.fromkeys(constants, "constexpr")
    aligned = {
        (position,): [["tt.divisibility", 16]]
        for position, name in enumerate(kernel.arg_names)
        if signature[name].startswith("*")
    }
    source = triton.compiler.ASTSource(kernel, signature, constants, aligned)
    target = triton.backends.compiler.GPUTarget("cuda", 90, 32)
    ptx: str = triton.compile(source, target=target, options=options).asm["ptx"]
    return ptx


def test_the_deformable_convolution_uses_the_matrix_units_and_wide_loads() -> None:
    from deformable_kernel import _deform_conv

    types = HALF | {"prediction": "*fp16", "weight": "*fp16", "out": "*fp16"}
    constants = {"CHANNELS": 256, "OUT_CHANNELS": 256, "KERNEL": 3, "PRECISION": "tf32"}
    constants |= dict.fromkeys(("MODULATED", "HAS_BIAS", "RECTIFY", "HAS_SIZES"), True)
    constants |= {"BLOCK_M": 64, "BLOCK_N": 256, "BLOCK_K": 64}
    ptx = compiled(_deform_conv, types, constants, num_warps=8, num_stages=2)
    assert "wgmma.mma_async" in ptx
    assert "cp.async.cg.shared.global" in ptx  # 16 bytes at once


def test_the_other_kernels_compile() -> None:
    from normalisation_kernels import _block_statistics, _group_statistics, _normalise
    from pointwise_kernel import _add_and_rectify

    floats = dict.fromkeys(("counts", "means", "deviations", "group_means", "group_scales"), "*fp32")
    types = HALF | floats | {"eps": "fp32"}
    compiled(_add_and_rectify, types, {"CHANNELS": 256, "HAS_RESIDUAL": True, "HAS_SIZES": True} | BLOCKS)
    compiled(_block_statistics, types, {"CHANNELS": 256} | BLOCKS)
    compiled(_group_statistics, types, {"CHANNELS": 256, "GROUP": 8, "BLOCK": 64, "BLOCK_GROUP": 8})
    compiled(_normalise, types, {"CHANNELS": 256, "GROUP": 8} | BLOCKS)
