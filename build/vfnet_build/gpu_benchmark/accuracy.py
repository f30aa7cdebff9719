"""The engine on the GPU against the network in float32 on the CPU, and half precision against both, by boxes and AP."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vfnet_build.architecture.detector import Detector
from vfnet_build.architecture.network_file import write_network
from vfnet_build.checkpoints.loading import build_network, load_checkpoint
from vfnet_build.gpu_benchmark.conditions import Conditions, use_served_modules
from vfnet_build.gpu_benchmark.pictures import picture_arrays

_NEARLY_EQUAL = 1e-4
"""Scores within which candidates may change places."""


def parity(conditions: Conditions) -> dict[str, float]:
    """In f32 with TF32 off: the largest differences of the candidates from the CPU's plain network, over pictures."""
    network = build_network(load_checkpoint(conditions.checkpoint))
    plain = Detector(network).eval()
    engine = _engine(conditions, "f32")
    differences = []
    for pixels, valid_shape in picture_arrays(conditions, network.config.preprocess):
        with torch.inference_mode():
            expected = [each[0].numpy() for each in plain(torch.from_numpy(pixels), torch.from_numpy(valid_shape))]
        differences.append(candidate_differences(expected, _detect(engine, pixels, valid_shape)))
    scores, corners = (
        np.concatenate([each[0] for each in differences]),
        np.concatenate([each[1] for each in differences]),
    )
    return {
        "candidates": len(scores),
        "largest score difference": float(scores.max(initial=0)),
        "candidates without a counterpart": int(np.isinf(corners).sum()),
        "largest corner difference, px": float(corners[np.isfinite(corners)].max(initial=0)),
    }


def candidate_differences(expected: Any, found: Any) -> tuple[Any, Any]:
    """How far the expected candidates are from those found; each is boxes [K, 4], scores [K] (0: none), labels [K].

    Returns:
        of each expected candidate: its score's difference from that of the same rank; its corners' largest difference
        from the nearest box of its label and nearly its score (which of two such comes first is left open), infinite
        where there is none.
    """
    (boxes, scores, labels), (found_boxes, found_scores, found_labels) = expected, found
    count = int((scores > 0).sum())
    corners = np.full(count, np.inf)
    for index in range(count):
        alike = (found_labels == labels[index]) & (np.abs(found_scores - scores[index]) < _NEARLY_EQUAL)
        if alike.any():
            corners[index] = np.abs(found_boxes[alike] - boxes[index]).max(axis=1).min()
    return np.abs(scores - found_scores)[:count], corners


def half_precision(conditions: Conditions) -> dict[str, dict[str, float]]:
    """fp16 and bf16 on annotated images: AP, and boxes above 0.3 and 0.1 matched at IoU 0.95.

    Raises:
        ValueError: no annotated images were named.
    """
    if conditions.annotations is None or conditions.images is None:
        raise ValueError("needs --annotations and --images")
    from vfnet_evaluate.acceptance import compare_with_network

    network = build_network(load_checkpoint(conditions.checkpoint)).to(conditions.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    found = {}
    for precision in ("fp16", "bf16"):
        engine = _engine(conditions, precision)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        candidates = partial(_detect, engine)
        result = compare_with_network(network, candidates, conditions.annotations, conditions.images)
        found[precision] = {
            "AP, f32": result.exact,
            "AP": result.found,
            "boxes above 0.3": result.sure.total,
            "of these matched": result.sure.share,
            "boxes above 0.1": result.likely.total,
            "of those matched": result.likely.share,
        }
    return found


def _engine(conditions: Conditions, precision: str) -> Any:
    use_served_modules()
    engines: Any = import_module("torch_engine")
    path = conditions.scratch / "checkpoint.pt"
    write_network(build_network(load_checkpoint(Path(conditions.checkpoint))), path)
    return engines.TorchEngine(path, str(conditions.device), precision, batch_sizes=(1,))


def _detect(engine: Any, pixels: Any, valid_shape: Any) -> tuple[Any, Any, Any]:
    image = import_module("torch_engine").Image(pixels, valid_shape)
    ((_, outcome),) = engine.detect([image])
    if isinstance(outcome, Exception):
        raise outcome
    boxes, scores, labels = outcome
    return boxes[0], scores[0], labels[0]
