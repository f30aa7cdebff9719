"""An untrained network that finds something: with no candidates, suppression and answers would cost nothing."""

from __future__ import annotations

import math
from typing import Any

import torch

from vfnet_bench.gpu.conditions import Conditions, stock_network
from vfnet_bench.gpu.pictures import UNIFORM, picture_arrays
from vfnet_runtime.architecture.detector import DensePredictor
from vfnet_runtime.architecture.vfnet import VFNet

CANDIDATES = 300
"""Of a photo; a trained network has some hundreds above its threshold."""


def talkative_stock_network(conditions: Conditions) -> VFNet:
    """The stock network, finding `CANDIDATES` in the picture that is sent to the server."""
    network = stock_network(conditions)
    (picture,) = picture_arrays(conditions, network.config.preprocess, UNIFORM)
    make_talkative(network, *picture)
    return network


def make_talkative(network: VFNet, pixels: Any, valid_shape: Any) -> None:
    """Change the last convolution of the classification, in place, so that one picture gives `CANDIDATES`.

    Its logits, which hardly differ where nothing was trained, are spread too: others would give none or all.

    Args:
        pixels: uint8 [1, H, W, 3].
        valid_shape: int32 [1, 2].
    """
    levels = len(network.config.head.strides)
    with torch.inference_mode():
        outputs = DensePredictor(network).eval()(torch.from_numpy(pixels), torch.from_numpy(valid_shape))
    logits = torch.cat([output.flatten() for output in outputs[:levels]])
    threshold = network.config.test.score_threshold
    conv = network.bbox_head.vfnet_cls
    assert conv.bias is not None
    with torch.no_grad():
        spread = 1.0 / logits.std()
        highest = logits.topk(CANDIDATES + 1).values[-1]
        # New logits are spread * logit + shift: the first beyond those wanted lands on the threshold.
        shift = math.log(threshold / (1 - threshold)) - spread * highest
        conv.weight *= spread
        conv.bias.copy_(spread * conv.bias + shift)
