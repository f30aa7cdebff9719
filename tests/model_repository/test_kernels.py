"""Kernels in Triton's language: they give what plain torch gives, and compile for a GPU that is not here."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

pytest.importorskip("triton", reason="Triton's language is not installed")


def test_interpreted_kernels_give_what_plain_torch_gives() -> None:
    checks = Path(__file__).with_name("check_kernels.py")
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(checks), "-p", "no:cacheprovider"],
        env=os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout
    assert "skipped" not in finished.stdout


MOST_SHARED = {(7, 5): 64, (8, 0): 163, (8, 6): 99, (8, 9): 99, (9, 0): 227, (10, 0): 227, (12, 0): 99}
"""KiB a block may have: CUDA C++ Programming Guide 13, "Technical Specifications per Compute Capability"."""
INSTRUCTIONS = {7: "", 8: "mma.sync", 9: "wgmma.mma_async", 10: "tcgen05.mma", 12: "mma.sync"}


@pytest.mark.parametrize("capability", MOST_SHARED, ids=lambda capability: "{}.{}".format(*capability))
def test_every_kernel_fits_every_architecture(capability: tuple[int, int]) -> None:
    from vfnet_bench.gpu.compiled_kernels import cases, compile_case, resources

    # In another precision it is the same code but for the types: one of each is enough.
    chosen = [*cases(capability, "fp16"), *list(cases(capability, "bf16"))[:1], *list(cases(capability, "f32"))[:1]]
    multiplying = 0
    for case in chosen:
        compiled = compile_case(case, capability)
        found = resources(compiled)
        assert found.stack == 0, (case.name, case.precision, found)  # nothing is spilled
        assert found.registers <= 255
        assert found.registers * 32 * found.warps <= 65536, (case.name, found)  # of a multiprocessor
        assert found.shared <= MOST_SHARED[capability] * 1024, (case.name, found)
        if case.multiplies:
            multiplying += 1
            assert found.matrix_instruction == INSTRUCTIONS[capability[0]], (case.name, found)
            # 16 bytes at once, into registers or past them.
            wide = r"ld\.global[a-z0-9.:_]*\.v4\.b32|cp\.async\.c[ag]\.shared\.global \[[^]]+\], \[[^]]+\], 0x10"
            assert re.search(wide, compiled.asm["ptx"]), case.name
            assert 0 < found.matrix_instructions <= 64, (case.name, found)  # more is unrolled code that thrashes
        else:
            assert found.matrix_instructions == 0  # f32 is exact
    assert bool(multiplying) == (capability >= (8, 0))


def test_below_8_0_samples_are_multiplied_by_cublas() -> None:
    import torch

    from vfnet_runtime.engines.kernels.deformable_tiles import multiplies_in_kernel

    assert not multiplies_in_kernel((7, 5), torch.float16)
    assert multiplies_in_kernel((7, 5), torch.float32)
    assert multiplies_in_kernel((8, 0), torch.float16)


@pytest.mark.parametrize("known", [{}, {"blocks": 1}], ids=["any number of blocks", "one block"])
def test_statistics_of_groups_compile_for(known: dict[str, int]) -> None:
    from vfnet_bench.gpu.compiled_kernels import cases, compile_case

    (case,) = (case for case in cases((9, 0), "fp16") if case.name == "group statistics")
    compile_case(dataclasses.replace(case, constants=case.constants | known), (9, 0))


def test_the_sizes_of_maps_make_no_kernels_of_their_own() -> None:
    from vfnet_runtime.engines.kernels.convolve_1x1_kernel import _convolve_1x1
    from vfnet_runtime.engines.kernels.deformable_kernel import _deform_conv, _sample_columns
    from vfnet_runtime.engines.kernels.deformable_levels_kernel import _deform_levels
    from vfnet_runtime.engines.kernels.kernel_maps import LEVELS
    from vfnet_runtime.engines.kernels.normalisation_kernels import _block_statistics, _group_statistics, _normalise
    from vfnet_runtime.engines.kernels.pointwise_kernel import _add_and_rectify

    kernels = (_deform_conv, _sample_columns, _add_and_rectify, _block_statistics, _group_statistics, _normalise)
    kernels += (_convolve_1x1, _deform_levels)
    special = {parameter.name for kernel in kernels for parameter in kernel.params if not parameter.do_not_specialize}
    sizes = {"positions", "cells", "blocks", "height", "width", "out_height", "out_width"}
    sizes |= {"stride_n", "stride_c", "stride_y", "stride_x"}
    sizes |= {f"{side}_{level}" for side in ("height", "width", "cells") for level in range(LEVELS)} | {
        "images",
        "pitch",
    }
    assert not special & sizes
