"""What the compiler makes of every GPU kernel on every architecture, without a GPU: registers, spills, shared memory.

Triton's language brings all of it: its compiler, NVIDIA's `ptxas` and `cuobjdump`.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton

from vfnet_runtime.engines.kernels import (
    convolve_1x1_kernel,
    deformable_kernel,
    deformable_levels_kernel,
    normalisation_kernels,
    normalise_pixels_kernel,
    pointwise_kernel,
    resize_kernel,
)
from vfnet_runtime.engines.kernels.deformable_tiles import (
    FIRST_WITH_BFLOAT16,
    Tile,
    multiplies_in_kernel,
    tile_for,
)
from vfnet_runtime.engines.kernels.gpu_facts import Capability

ARCHITECTURES: dict[Capability, str] = {
    (7, 5): "T4, RTX 20",
    (8, 0): "A100, A30",
    (8, 6): "A10, RTX 30",
    (8, 9): "L4, L40, RTX 40",
    (9, 0): "H100, H200",
    (10, 0): "B200",
    (12, 0): "RTX 50, RTX PRO",
}
"""Compute capability -> some cards that have it."""
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}
_POINTERS = {"fp16": "*fp16", "bf16": "*bf16", "f32": "*fp32"}
_MATRIX_INSTRUCTIONS = ("mma.sync", "wgmma.mma_async", "tcgen05.mma")
"""Of PTX: on 8.x and 12.0, on 9.0, on 10.0."""
_FLOAT32 = ("bias", "mean", "std", "counts", "means", "deviations", "group_means", "group_scales")
_STAR = {"MODULATED": False, "STAR": 8}
"""Of a pyramid level of stride 8."""
_MULTIPROCESSORS = 132
"""Of an H100; they decide between two tiles, both of which are compiled here."""
_POSITIONS = {"large maps": 16 * 100 * 168, "small maps": 25 * 42}
"""Of the output: stride 8 of sixteen images of 800 x 1344, stride 32 of one."""


@dataclass(frozen=True)
class Case:
    """A kernel with what it is compiled for."""

    name: str
    kernel: Any
    precision: str
    constants: dict[str, Any]
    options: dict[str, int]
    types: dict[str, str] | None = None
    """Of arguments that elsewhere have another type."""
    multiplies: bool = False
    """Matrix instructions are wanted: half precision, and a product in it."""


@dataclass(frozen=True)
class Resources:
    """What a thread and a block of a compiled kernel take."""

    registers: int
    stack: int
    """Bytes of memory a thread needs for what does not fit into registers: what is spilled."""
    shared: int
    """Bytes a block needs."""
    warps: int
    matrix_instructions: int
    """In the code, not how often they run."""
    matrix_instruction: str
    """Which kind; empty where there is none."""


def cases(capability: Capability, precision: str) -> Iterator[Case]:
    """Every kernel that serves in this precision there, in each form that the stock networks need."""
    if precision == "bf16" and capability < FIRST_WITH_BFLOAT16:
        return
    yield from _deformable_cases(capability, precision)
    cells = {"BLOCK_CELLS": 16, "BLOCK_CHANNELS": 128}
    constants = {"CHANNELS": 256, "HAS_BIAS": True, "HAS_RESIDUAL": True, "RECTIFY": True, "HAS_SIZES": True} | cells
    yield Case("bias, residual, ReLU", pointwise_kernel._add_and_rectify, precision, constants, {"num_warps": 4})
    blocks = {"CHANNELS": 256, "BLOCK_CELLS": 64, "BLOCK_CHANNELS": 256}
    eight = {"num_warps": 8}
    yield Case("block statistics", normalisation_kernels._block_statistics, precision, blocks, eight)
    yield Case(
        "normalisation", normalisation_kernels._normalise, precision, blocks | {"GROUP": 8}, eight, {"weight": "*fp32"}
    )
    yield from _levels_cases(capability, precision)
    yield from _convolution_cases(capability, precision)
    groups = {"CHANNELS": 256, "GROUP": 8, "BLOCK": 64, "BLOCK_GROUP": 8, "BLOCK_CELLS": 64}
    pixels = {"FLIP": True, "BLOCK": 1024}
    kernel = normalise_pixels_kernel._normalise_pixels
    yield Case("normalised pixels", kernel, precision, pixels, {"num_warps": 4})
    enlarged = {"HALVES": False, "BLOCK_ROWS": 4, "BLOCK_COLUMNS": 128}
    bytes_and_weights = {"source": "*u8", "out": "*u8", "rows": "*i32", "columns": "*i32"}
    if precision == "fp16":  # it is of bytes whatever the precision
        yield Case("enlarged pixels", resize_kernel._resize, precision, enlarged, {"num_warps": 4}, bytes_and_weights)
    yield Case("group statistics", normalisation_kernels._group_statistics, precision, groups, {"num_warps": 4})


def _deformable_cases(capability: Capability, precision: str) -> Iterator[Case]:
    dtype = DTYPES[precision]
    constants: dict[str, Any] = {"KERNEL": 3, "MODULATED": True, "STAR": 0}
    if not multiplies_in_kernel(capability, dtype):
        tile = deformable_kernel._SAMPLED
        constants |= {"BLOCK_M": tile.positions, "BLOCK_K": tile.channels}
        kernel, options = deformable_kernel._sample_columns, _options(tile)
        one = {"CHANNELS": 256, "GROUPS": 1, "OFFSET_GROUPS": 1}
        yield Case("samples", kernel, precision, constants | one, options)
        yield Case("samples, star", kernel, precision, constants | one | _STAR, options, {"prediction": "*fp32"})
        yield Case("samples, 4 groups", kernel, precision, constants | one | {"GROUPS": 4}, options)
        return
    constants |= dict.fromkeys(("HAS_BIAS", "RECTIFY", "HAS_SIZES"), True)
    constants |= {"PRECISION": "ieee" if precision == "f32" else "tf32"}
    forms: dict[str, tuple[str, int, int, bool]] = {
        "256 to 256, large maps": ("large maps", 256, 1, True),
        "256 to 256, small maps": ("small maps", 256, 1, True),
        "star, large maps": ("large maps", 256, 1, False),
        "128 to 128": ("large maps", 128, 1, True),
        "4 groups of 64": ("large maps", 256, 4, True),
        "104 to 104": ("large maps", 104, 1, True),
    }
    seen = set[tuple[Any, ...]]()
    for name, (size, channels, groups, modulated) in forms.items():
        each = channels // groups
        tile = tile_for(capability, dtype, each, each, _POSITIONS[size], _MULTIPROCESSORS)
        if (tile, channels, groups, modulated) in seen:
            continue
        seen.add((tile, channels, groups, modulated))
        form = {"CHANNELS": channels, "OUT_CHANNELS": channels, "GROUPS": groups, "OFFSET_GROUPS": 1}
        form |= {} if modulated else _STAR | {"HAS_BIAS": False}
        form |= {"BLOCK_M": tile.positions, "BLOCK_N": tile.outputs, "BLOCK_K": tile.channels}
        # The star's offsets come of boxes in float32, those of bf16 are predicted in it.
        prediction = {} if modulated and precision == "fp16" else {"prediction": "*fp32"}
        prediction |= {} if modulated else {"out": "*fp32"}
        yield Case(
            f"deformable, {name}",
            deformable_kernel._deform_conv,
            precision,
            constants | form,
            _options(tile),
            prediction,
            precision != "f32",
        )


def _levels_cases(capability: Capability, precision: str) -> Iterator[Case]:
    dtype = DTYPES[precision]
    if not multiplies_in_kernel(capability, dtype):
        return
    for star, name in enumerate(("five levels, large maps", "star, five levels, large maps")):
        tile = tile_for(capability, dtype, 256, 256, _POSITIONS["large maps"], _MULTIPROCESSORS)
        constants: dict[str, Any] = {"CHANNELS": 256, "OUT_CHANNELS": 256, "STAR": star}
        constants |= {"PRECISION": "ieee" if precision == "f32" else "tf32"}
        constants |= {"BLOCK_M": tile.positions, "BLOCK_N": tile.outputs, "BLOCK_K": tile.channels}
        types = {"cells": "fp32"} | ({"out": "*fp32"} if star else {})
        types |= {} if precision == "fp16" and not star else {"predicted": "*fp32"}
        kernel, multiplies = deformable_levels_kernel._deform_levels, precision != "f32"
        yield Case(f"deformable, {name}", kernel, precision, constants, _options(tile), types, multiplies)


def _convolution_cases(capability: Capability, precision: str) -> Iterator[Case]:
    if precision == "f32" or not multiplies_in_kernel(capability, DTYPES[precision]):
        return
    forms = {"1x1, large maps": ("large maps", 64, 256, 1), "1x1, small maps": ("small maps", 1024, 512, 2)}
    for name, (size, channels, outputs, stride) in forms.items():
        tile = convolve_1x1_kernel.tile_for(outputs, _POSITIONS[size], _MULTIPROCESSORS)
        constants = {"CHANNELS": channels, "OUT_CHANNELS": outputs, "STRIDE": stride}
        constants |= {"HAS_RESIDUAL": stride == 1, "HAS_SIZES": stride > 1}
        constants |= {"BLOCK_M": tile.positions, "BLOCK_N": tile.outputs, "BLOCK_K": tile.channels}
        kernel = convolve_1x1_kernel._convolve_1x1
        yield Case(name, kernel, precision, constants, _options(tile), multiplies=True)


def _options(tile: Tile) -> dict[str, int]:
    return {"num_warps": tile.warps, "num_stages": tile.stages}


def compile_case(case: Case, capability: Capability) -> Any:
    """A kernel as Triton's language compiles it: sizes int32, pointers to 16 bytes."""
    maps = ("x", "residual", "prediction", "predicted", "weight", "out", "columns")
    types = dict.fromkeys(maps, _POINTERS[case.precision]) | dict.fromkeys(_FLOAT32, "*fp32")
    types |= {"sizes": "*i32", "valid_shape": "*i32", "pixels": "*u8", "eps": "fp32"}
    types |= dict.fromkeys(case.constants, "constexpr") | (case.types or {})
    # Of a kernel for several levels each argument has a number.
    signature = {name: types.get(re.sub(r"_\d$", "", name), "i32") for name in case.kernel.arg_names}
    aligned = {
        (position,): [["tt.divisibility", 16]]
        for position, name in enumerate(case.kernel.arg_names)
        if signature[name].startswith("*")
    }
    source = triton.compiler.ASTSource(case.kernel, signature, case.constants, aligned)
    target = triton.backends.compiler.GPUTarget("cuda", 10 * capability[0] + capability[1], 32)
    return triton.compile(source, target=target, options=case.options)


def resources(compiled: Any) -> Resources:
    """Of what `compile_case` returned.

    Raises:
        subprocess.CalledProcessError: cuobjdump does not read it.
    """
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        text = subprocess.run(
            [tools / "cuobjdump", "-res-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)", text)
    assert found is not None, text
    registers, stack, fixed, local = map(int, found.groups())
    counts = {name: compiled.asm["ptx"].count(name) for name in _MATRIX_INSTRUCTIONS}
    kind = max(counts, key=lambda name: counts[name])
    return Resources(
        registers,
        stack + local,
        # 1 KiB of it, where there is some, is the system's.
        compiled.metadata.shared + fixed,
        compiled.metadata.num_warps,
        counts[kind],
        kind if counts[kind] else "",
    )
