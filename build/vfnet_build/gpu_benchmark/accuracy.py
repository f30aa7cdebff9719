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


def parity(conditions: Conditions) -> dict[str, float]:
    """In f32 with TF32 off: the largest differences of the candidates from the CPU's plain network, over pictures."""
    network = build_network(load_checkpoint(conditions.checkpoint))
    plain = Detector(network).eval()
    engine = _engine(conditions, "f32")
    scores_differ = boxes_differ = 0.0
    candidates = 0
    for pixels, valid_shape in picture_arrays(conditions, network.config.preprocess):
        with torch.inference_mode():
            boxes, scores, labels = (
                each[0].numpy() for each in plain(torch.from_numpy(pixels), torch.from_numpy(valid_shape))
            )
        found = _detect(engine, pixels, valid_shape)
        count = int((scores > 0).sum())
        same = labels[:count] == found[2][:count]  # of equal scores, which comes first is left open
        candidates += count
        scores_differ = max(scores_differ, float(np.abs(scores - found[1]).max()))
        if same.any():
            boxes_differ = max(boxes_differ, float(np.abs(boxes[:count][same] - found[0][:count][same]).max()))
    return {
        "candidates": candidates,
        "largest score difference": scores_differ,
        "largest corner difference, px": boxes_differ,
    }


def half_precision(conditions: Conditions) -> dict[str, dict[str, float]]:
    """fp16 and bf16 on annotated images: AP, and the share of boxes above 0.3 matched at IoU 0.95.

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
            "boxes above 0.3 matched": result.agreement,
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
