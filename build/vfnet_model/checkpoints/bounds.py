"""The least and most that a config may ask for: one table, held against every setting that sizes something."""

from __future__ import annotations

from typing import NamedTuple


class Limit(NamedTuple):
    """Inclusive."""

    minimum: int
    maximum: int

    def __contains__(self, value: object) -> bool:
        return type(value) in (int, float) and self.minimum <= value <= self.maximum  # type: ignore[operator]

    def __str__(self) -> str:
        return f"{self.minimum:,} to {self.maximum:,}"


LIMITS = {
    # backbone: MMDetection's widest has 64 channels, 64 groups, a base width of 26
    "base_channels": Limit(1, 256),
    "stem_channels": Limit(1, 1024),
    "groups": Limit(1, 256),
    "base_width": Limit(1, 256),
    "scales": Limit(2, 16),
    "deform_groups": Limit(1, 64),
    "deformable_groups": Limit(1, 64),
    "frozen_stages": Limit(-1, 4),
    # neck
    "out_channels": Limit(1, 2048),
    "num_outs": Limit(1, 8),
    # head
    "num_classes": Limit(1, 5_000),
    "feat_channels": Limit(1, 2048),
    "stacked_convs": Limit(1, 16),
    "num_groups": Limit(1, 2048),
    "strides": Limit(1, 1024),
    "regress_ranges": Limit(-1, 10**8),
    # test_cfg: five levels of nms_pre candidates go through suppression
    "nms_pre": Limit(1, 10_000),
    "max_per_img": Limit(1, 5_000),
    # pipeline, in pixels; sides of 1333 and 800 take the network a gigabyte
    "img_scale": Limit(32, 4096),
    "scale": Limit(32, 4096),
    "size_divisor": Limit(1, 1024),
    "pad_size_divisor": Limit(1, 1024),
    "pad_height_divisor": Limit(1, 1024),
    "pad_width_divisor": Limit(1, 1024),
    "mean": Limit(-100_000, 100_000),
    "std": Limit(0, 100_000),
}
"""By setting. What exceeds one of them is refused with a sentence that names it."""

MAX_PARAMETERS = 500_000_000
"""Of a network, 2 GB: the largest of MMDetection's VFNets has 110 million."""
