"""The engine on the GPU against the network in float32 on the CPU, and half precision against both, by boxes and AP."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from vfnet_bench.gpu.bare_engine import checked, make_engine
from vfnet_bench.gpu.conditions import Conditions, allow_tf32
from vfnet_bench.gpu.pictures import photo_paths, picture_arrays
from vfnet_bench.gpu.talkative import talkative_stock_network
from vfnet_model.checkpoints.loading import build_network, load_checkpoint
from vfnet_runtime.architecture.detector import Detector
from vfnet_runtime.architecture.padding import default_canvases
from vfnet_runtime.engines.torch_engine import Image, TorchEngine

_NEARLY_EQUAL = 1e-4
"""Scores within which candidates may change places."""
_PARITY = ((640, 480), (427, 640), (640, 200))
_COMPANY = 3 * ((640, 480), (640, 360), (480, 640), (360, 640))
"""Batches of four have a place left, and take a picture that has another canvas alone."""


def parity(conditions: Conditions) -> dict[str, float]:
    """In f32 with TF32 off: the largest differences of the candidates from the CPU's plain network, over pictures."""
    network = build_network(load_checkpoint(conditions.checkpoint))
    plain = Detector(network).eval()
    engine = _engine(conditions, "f32")
    differences = []
    sizes = _PARITY[:1] if conditions.rehearsal else _PARITY
    for pixels, valid_shape in picture_arrays(conditions, network.config.preprocess, sizes):
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
    from vfnet_evaluate.acceptance import compare_on_photos, compare_with_network

    network = build_network(load_checkpoint(conditions.checkpoint)).to(conditions.device)
    found = {}
    for precision in ("fp16", "bf16"):
        engine = _engine(conditions, precision)
        allow_tf32(False)  # for the network in f32; the engine's graphs are captured
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
        if not conditions.rehearsal:
            more = compare_on_photos(network, candidates, photo_paths(conditions.images))
            found[precision] |= {"above 0.3 in all photos": more.total, "of all these matched": more.share}
    return found


def company(conditions: Conditions) -> dict[str, dict[str, float]]:
    """Per precision: the largest difference of an image's scores in a mixed batch from those alone."""
    if conditions.rehearsal:
        network = talkative_stock_network(conditions)
    else:
        network = build_network(load_checkpoint(conditions.checkpoint))
    pictures = [Image(*each) for each in picture_arrays(conditions, network.config.preprocess, _COMPANY)]
    canvases = default_canvases(network.config.preprocess.img_scale)
    found = {}
    for precision in ("f32",) if conditions.rehearsal else ("fp16", "bf16", "f32"):
        engine = make_engine(conditions, network, precision, canvases, (1, 2, 4, 8))
        alone = [_only(engine.detect([picture])) for picture in pictures]
        together = dict(engine.detect(pictures))
        scores = [(one[1], checked(together[index])[1]) for index, one in enumerate(alone)]
        found[precision] = {
            "images": len(pictures),
            "candidates": sum(int((one[1] > 0).sum()) for one in alone),
            # One of them may be just below the threshold.
            "largest score difference": max(float(np.abs(a - b)[(a > 0) & (b > 0)].max(initial=0)) for a, b in scores),
        }
        del engine
    return found


def _engine(conditions: Conditions, precision: str) -> TorchEngine:
    return make_engine(conditions, build_network(load_checkpoint(conditions.checkpoint)), precision, "auto", (1,))


def _detect(engine: TorchEngine, pixels: Any, valid_shape: Any) -> tuple[Any, Any, Any]:
    boxes, scores, labels = _only(engine.detect([Image(pixels, valid_shape)]))
    return boxes[0], scores[0], labels[0]


def _only(outcomes: Iterator[tuple[int, Any]]) -> Any:
    ((_, outcome),) = outcomes
    return checked(outcome)
