"""What all measurements of one run have in common."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from vfnet_model.checkpoints.stock import ARCHITECTURES
from vfnet_runtime.architecture.vfnet import VFNet

STOCK = "vfnet_r50_fpn_mdconv_c3-c5_mstrain_2x_coco"
GMACS = 235.0
"""Of the stock network for one image at 800 x 1344."""


@dataclass(frozen=True)
class Conditions:
    """Where and on what is measured."""

    device: torch.device
    scratch: Path
    checkpoint: Path
    """For accuracy: the demonstration checkpoint, unless another is named."""
    canvas: tuple[int, int] = (800, 1344)
    batch_sizes: tuple[int, ...] = (1, 4, 8)
    repetitions: int = 20
    annotations: Path | None = None
    images: Path | None = None
    triton: Path | None = None
    rehearsal: bool = False
    """Everything small and on the CPU: whether it runs, not how fast."""
    deadline: float = float("inf")
    """time.monotonic() at which nothing further is begun."""

    @property
    def on_gpu(self) -> bool:
        """Whether this is a measurement."""
        return self.device.type == "cuda"

    def seconds_left(self) -> float:
        """Until the deadline."""
        return self.deadline - time.monotonic()

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def measure_each(
        self, contestants: Mapping[str, Callable[[], dict[str, float | str]]], seconds: float
    ) -> dict[str, dict[str, float | str]]:
        """What each measured, by name; `failed` -> why not, where one fails or fewer than so many seconds are left."""
        found: dict[str, dict[str, float | str]] = {}
        for name, measure in contestants.items():
            if self.seconds_left() < seconds:
                found[name] = {"failed": "not begun: the time was up"}
                continue
            try:
                found[name] = measure()
            except Exception as error:  # the others are worth having
                found[name] = {"failed": f"{type(error).__name__}: {error}"}
        return found

    def milliseconds(self, work: Callable[[], object]) -> float:
        """Median time of `work` on the device, after three runs that do not count."""
        for _ in range(1 if self.rehearsal else 3):
            work()
        self.synchronize()
        times = []
        for _ in range(self.repetitions):
            started = time.perf_counter()
            work()
            self.synchronize()
            times.append(1e3 * (time.perf_counter() - started))
        return statistics.median(times)


def stock_network(conditions: Conditions) -> VFNet:
    """The full architecture, or a small one in a rehearsal, with made-up weights that move sampling points about.

    Time does not depend on weights, but for where deformable convolutions read.
    """
    config = ARCHITECTURES[STOCK]
    if conditions.rehearsal:
        backbone = dataclasses.replace(config.backbone, base_channels=8, stem_channels=8)
        neck = dataclasses.replace(config.neck, in_channels=(32, 64, 128, 256), out_channels=32)
        head = dataclasses.replace(config.head, in_channels=32, feat_channels=32)
        preprocess = dataclasses.replace(config.preprocess, img_scale=(160, 128))
        config = dataclasses.replace(config, backbone=backbone, neck=neck, head=head, preprocess=preprocess)
    torch.manual_seed(0)
    network = VFNet(config)
    for name, parameter in network.named_parameters():
        if "conv_offset.weight" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    return network.eval()


def allow_tf32(allowed: bool) -> None:
    """Whether float32 matrices and convolutions are multiplied with 10 bits of mantissa."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
