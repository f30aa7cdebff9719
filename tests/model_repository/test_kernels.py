"""Kernels in Triton's language: they give what plain torch gives, and compile for a GPU that is not here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

triton = pytest.importorskip("triton", reason="Triton's language is not installed")
TYPES = {"f32": "*fp32", "bf16": "*bf16", "fp16": "*fp16"}
FLOATS = ("bias", "counts", "means", "deviations", "group_means", "group_scales")
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


def types_for(precision: str) -> dict[str, str]:
    maps = dict.fromkeys(("x", "residual", "prediction", "weight", "out"), TYPES[precision])
    return maps | dict.fromkeys(FLOATS, "*fp32") | {"sizes": "*i32", "eps": "fp32"}


@pytest.mark.parametrize("precision", ["fp16", "bf16", "f32"])
def test_the_deformable_convolution_uses_the_matrix_units_and_wide_loads(precision: str) -> None:
    from vfnet_runtime.engines.kernels.deformable_kernel import _deform_conv

    exact = precision == "f32"
    constants = {"CHANNELS": 256, "OUT_CHANNELS": 256, "KERNEL": 3, "PRECISION": "ieee" if exact else "tf32"}
    constants |= dict.fromkeys(("MODULATED", "HAS_BIAS", "RECTIFY", "HAS_SIZES"), True)
    constants |= dict(zip(("BLOCK_M", "BLOCK_N", "BLOCK_K"), (32, 64, 32) if exact else (64, 256, 64), strict=True))
    ptx = compiled(_deform_conv, types_for(precision), constants, num_warps=4 if exact else 8, num_stages=2)
    assert ("wgmma.mma_async" in ptx) is not exact  # they round what is multiplied
    assert "cp.async.cg.shared.global" in ptx  # 16 bytes at once


@pytest.mark.parametrize("precision", ["fp16", "bf16", "f32"])
def test_the_other_kernels_compile(precision: str) -> None:
    from vfnet_runtime.engines.kernels.normalisation_kernels import _block_statistics, _normalise
    from vfnet_runtime.engines.kernels.pointwise_kernel import _add_and_rectify

    types = types_for(precision)
    compiled(_add_and_rectify, types, {"CHANNELS": 256, "HAS_RESIDUAL": True, "HAS_SIZES": True} | BLOCKS)
    compiled(_block_statistics, types, {"CHANNELS": 256} | BLOCKS)
    compiled(_normalise, types | {"weight": "*fp32"}, {"CHANNELS": 256, "GROUP": 8} | BLOCKS)


@pytest.mark.parametrize("known", [{}, {"blocks": 1}], ids=["any number of blocks", "one block"])
def test_statistics_of_groups_compile_for(known: dict[str, int]) -> None:
    from vfnet_runtime.engines.kernels.normalisation_kernels import _group_statistics

    constants = {"CHANNELS": 256, "GROUP": 8, "BLOCK": 64, "BLOCK_GROUP": 8} | known
    compiled(_group_statistics, types_for("fp16"), constants)


def test_the_sizes_of_maps_make_no_kernels_of_their_own() -> None:
    from vfnet_runtime.engines.kernels.deformable_kernel import _deform_conv
    from vfnet_runtime.engines.kernels.normalisation_kernels import _block_statistics, _group_statistics, _normalise
    from vfnet_runtime.engines.kernels.pointwise_kernel import _add_and_rectify

    kernels = (_deform_conv, _add_and_rectify, _block_statistics, _group_statistics, _normalise)
    special = {parameter.name for kernel in kernels for parameter in kernel.params if not parameter.do_not_specialize}
    sizes = {"positions", "cells", "blocks", "height", "width", "out_height", "out_width"}
    sizes |= {"stride_n", "stride_c", "stride_y", "stride_x"}
    assert not special & sizes
