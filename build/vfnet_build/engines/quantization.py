"""An exported network -> the same network in 8-bit integers, by NNCF's post-training quantization."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import openvino as ov

from vfnet_build.engines.openvino import NETWORK

KEPT = (r".*bbox_head\.vfnet_(reg|reg_refine|cls)/.*", r".*conv_offset.*")
"""Layers that stay in float32: those that say the final numbers, and those that say where deformable convolutions
look. They are a thirtieth of the work; docs/cpu-precision.md compares."""


def quantize(directory: Path, images: Iterable[tuple[Any, Any]]) -> None:
    """Replace the network in `directory` by its quantized self.

    Deformable convolutions stay as they are in the file: `vfnet_detector` computes them in integers by itself.

    Args:
        directory: with `network.xml` and `network.bin`, see `vfnet_build.engines.openvino.export`.
        images: typical ones, as `pixels` and `valid_shape` of the network's inputs.
    """
    import nncf

    logging.getLogger("nncf").setLevel(logging.ERROR)
    samples = [{"pixels": pixels, "valid_shape": valid_shape} for pixels, valid_shape in images]
    model = ov.Core().read_model(directory / NETWORK)
    quantized = nncf.quantize(
        model,
        nncf.Dataset(samples),
        preset=nncf.QuantizationPreset.MIXED,  # activations that are never negative use all 8 bits
        subset_size=len(samples),
        ignored_scope=nncf.IgnoredScope(patterns=list(KEPT)),
    )
    del model  # it holds the file that is written next
    partial = directory / f"quantized_{NETWORK}"
    ov.save_model(quantized, partial, compress_to_fp16=False)
    for suffix in (".bin", ".xml"):
        partial.with_suffix(suffix).replace((directory / NETWORK).with_suffix(suffix))
