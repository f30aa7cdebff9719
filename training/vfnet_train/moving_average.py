"""An exponential moving average of a network's weights: what is evaluated and kept, while the network goes on."""

from __future__ import annotations

import copy

import torch

from vfnet_runtime.architecture.vfnet import VFNet


class MovingAverage:
    """`network` holds the averaged weights."""

    def __init__(self, network: VFNet, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: VFNet, step: int) -> None:
        """After a step, counted from 0. The decay starts low, so that the initial weights are soon forgotten."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averaged, current = self.network.state_dict(), network.state_dict()
        for key, value in averaged.items():
            if value.is_floating_point():
                value.lerp_(current[key], 1 - decay)
            else:
                value.copy_(current[key])
