"""What a VFNet is made of: the settings of a checkpoint as typed, immutable records.

Field names and meanings are MMDetection 2.28.2's (`configs/vfnet`), except where the detection
field at large has a better-known word: `score_threshold` and `iou_threshold` for `score_thr`
and `nms.iou_threshold`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

INF = 1e8
"""MMDetection's stand-in for infinity in `regress_ranges`."""


@dataclass(frozen=True)
class BackboneConfig:
    """A ResNet or kin of it. `style` says which convolution of a bottleneck strides: `pytorch` 3x3, `caffe` 1x1."""

    depth: int = 50
    base_channels: int = 64
    stem_channels: int = 64
    style: str = "pytorch"
    stage_with_dcn: tuple[bool, ...] = (False, False, False, False)
    """Stages (of four) whose 3x3 convolutions are modulated deformable (DCNv2)."""
    deform_groups: int = 1
    frozen_stages: int = 1
    norm_eval: bool = True
    type: str = "ResNet"
    """`ResNet`, `ResNeXt` or `Res2Net`."""
    groups: int = 1
    """Of ResNeXt's 3x3 convolutions."""
    base_width: int = 4
    """Channels per group (ResNeXt) or per scale (Res2Net) in the first stage, when `base_channels` is 64."""
    scales: int = 4
    """Into how many parts a block of Res2Net splits its channels."""
    deep_stem: bool = False
    """Three 3x3 convolutions in place of the 7x7: with `avg_down`, ResNetV1d."""
    avg_down: bool = False
    """Shortcuts stride by average pooling, not by their 1x1 convolution."""


@dataclass(frozen=True)
class NeckConfig:
    """A feature pyramid. `add_extra_convs` is the source of the levels beyond the backbone's."""

    in_channels: tuple[int, ...] = (256, 512, 1024, 2048)
    out_channels: int = 256
    start_level: int = 1
    num_outs: int = 5
    add_extra_convs: str = "on_output"
    relu_before_extra_convs: bool = True


@dataclass(frozen=True)
class HeadConfig:
    """The VFNet head, shared by all levels but for one learnt scale per level."""

    num_classes: int = 80
    in_channels: int = 256
    feat_channels: int = 256
    stacked_convs: int = 3
    strides: tuple[int, ...] = (8, 16, 32, 64, 128)
    dcn_on_last_conv: bool = False
    bbox_norm_type: str = "reg_denom"
    regress_ranges: tuple[tuple[float, float], ...] = (
        (-1, 64),
        (64, 128),
        (128, 256),
        (256, 512),
        (512, INF),
    )
    gradient_mul: float = 0.1
    num_groups: int = 32
    use_atss: bool = True

    @property
    def reg_denoms(self) -> tuple[float, ...]:
        """What `exp(...)` is multiplied by per level, in input pixels: the upper end of the level's range."""
        upper = [high for _, high in self.regress_ranges]
        return (*upper[:-1], upper[-2] * 2)

    @property
    def point_offset(self) -> float:
        """Where in its cell a point lies, in strides: mmdet's ATSS variant puts it at the corner."""
        return 0.0 if self.use_atss else 0.5


@dataclass(frozen=True)
class PreprocessConfig:
    """The test pipeline: resize keeping the ratio, normalise, pad bottom and right."""

    img_scale: tuple[int, int] = (1333, 800)
    """Longest and shortest side an image is resized to fit, in pixels."""
    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[float, ...] = (58.395, 57.12, 57.375)
    to_rgb: bool = True
    """Whether `mean` and `std` (and the first convolution) are in RGB order; otherwise BGR."""
    size_divisor: int = 32


@dataclass(frozen=True)
class TestConfig:
    """`test_cfg`: which candidates survive."""

    __test__ = False  # not a test case, whatever its name tells pytest

    nms_pre: int = 1000
    score_threshold: float = 0.05
    iou_threshold: float = 0.6
    max_per_img: int = 100


@dataclass(frozen=True)
class VFNetConfig:
    """Everything needed to build a VFNet and to serve it."""

    classes: tuple[str, ...]
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    neck: NeckConfig = field(default_factory=NeckConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    test: TestConfig = field(default_factory=TestConfig)
