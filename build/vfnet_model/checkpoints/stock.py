"""The VFNet checkpoints that OpenMMLab published (mmdet 2.28.2, `configs/vfnet/metafile.yml`)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vfnet_runtime.architecture.config import BackboneConfig, HeadConfig, VFNetConfig

COCO_CLASSES: tuple[str, ...] = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow",
    "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee",
    "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard",
    "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple",
    "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear",
    "hair drier", "toothbrush",
)  # fmt: skip
"""Of COCO 2017, all 80 in label order: mmdet 2.28.2's `CocoDataset.CLASSES`."""
_FOLDER = "https://download.openmmlab.com/mmdetection/v2.0/vfnet"


@dataclass(frozen=True)
class StockCheckpoint:
    """A published file. The eight hex digits before `.pth` in its name begin its SHA-256."""

    stem: str
    file_name: str
    config: VFNetConfig

    @property
    def url(self) -> str:
        """Where OpenMMLab keeps it."""
        return f"{_FOLDER}/{self.stem}/{self.file_name}"

    @property
    def sha256_prefix(self) -> str:
        """What its SHA-256 starts with, 8 hex digits."""
        return self.file_name.removesuffix(".pth").rsplit("-", 1)[1]


_RESNET_50, _RESNET_101 = BackboneConfig(depth=50), BackboneConfig(depth=101)
_RES2NET_101 = BackboneConfig(type="Res2Net", depth=101, base_width=26, scales=4, deep_stem=True, avg_down=True)
_RESNEXT_101_32X4D = BackboneConfig(type="ResNeXt", depth=101, groups=32, base_width=4)
_RESNEXT_101_64X4D = BackboneConfig(type="ResNeXt", depth=101, groups=64, base_width=4)


def _config(backbone: BackboneConfig, deformable: bool = False) -> VFNetConfig:
    return VFNetConfig(
        classes=COCO_CLASSES,
        backbone=replace(backbone, stage_with_dcn=(False, *(deformable,) * 3)),
        head=HeadConfig(dcn_on_last_conv=deformable),
    )


def _published(stem: str, tail: str, backbone: BackboneConfig, deformable: bool = False) -> StockCheckpoint:
    return StockCheckpoint(stem, f"{stem}_{tail}.pth", _config(backbone, deformable))


STOCK_CHECKPOINTS: dict[str, StockCheckpoint] = {
    stock.stem: stock
    for stock in (
        _published("vfnet_r50_fpn_1x_coco", "20201027-38db6f58", _RESNET_50),
        _published("vfnet_r50_fpn_mstrain_2x_coco", "20201027-7cc75bd2", _RESNET_50),
        _published("vfnet_r50_fpn_mdconv_c3-c5_mstrain_2x_coco", "20201027pth-6879c318", _RESNET_50, deformable=True),
        _published("vfnet_r101_fpn_1x_coco", "20201027pth-c831ece7", _RESNET_101),
        _published("vfnet_r101_fpn_mstrain_2x_coco", "20201027pth-4a5d53f1", _RESNET_101),
        _published("vfnet_r101_fpn_mdconv_c3-c5_mstrain_2x_coco", "20201027pth-7729adb5", _RESNET_101, deformable=True),
        _published(
            "vfnet_x101_32x4d_fpn_mdconv_c3-c5_mstrain_2x_coco",
            "20201027pth-d300a6fc",
            _RESNEXT_101_32X4D,
            deformable=True,
        ),
        _published(
            "vfnet_x101_64x4d_fpn_mdconv_c3-c5_mstrain_2x_coco",
            "20201027pth-b5f6da5e",
            _RESNEXT_101_64X4D,
            deformable=True,
        ),
    )
}
"""By stem: the name of the config, and of the file without date and hash."""

ARCHITECTURES: dict[str, VFNetConfig] = {stem: stock.config for stem, stock in STOCK_CHECKPOINTS.items()} | {
    "vfnet_r101_fpn_2x_coco": _config(_RESNET_101),
    "vfnet_x101_32x4d_fpn_mstrain_2x_coco": _config(_RESNEXT_101_32X4D),
    "vfnet_x101_64x4d_fpn_mstrain_2x_coco": _config(_RESNEXT_101_64X4D),
    "vfnet_r2_101_fpn_mstrain_2x_coco": _config(_RES2NET_101),
    "vfnet_r2_101_fpn_mdconv_c3-c5_mstrain_2x_coco": _config(_RES2NET_101, deformable=True),
}
"""Every configuration of mmdet 2.28.2's `configs/vfnet` by stem, published or not."""

DEFAULT_STOCK = STOCK_CHECKPOINTS["vfnet_r50_fpn_mdconv_c3-c5_mstrain_2x_coco"]
"""What `coco` means: 48.0 box AP on COCO."""


def stock_checkpoint_named(file_name: str) -> StockCheckpoint | None:
    """The published checkpoint whose file has exactly this name, or None."""
    return next((stock for stock in STOCK_CHECKPOINTS.values() if stock.file_name == file_name), None)


def architecture_named(name: str) -> VFNetConfig | None:
    """The configuration of that name, in mmdet 2.28.2's or 3.3.0's spelling, AzureML's `mmd-3x-` before it or not."""
    return (ARCHITECTURES | {_modern(stem): config for stem, config in ARCHITECTURES.items()}).get(
        name.removeprefix("mmd-3x-")
    )


def _modern(stem: str) -> str:
    """mmdet 3.3.0's name of a configuration, such as vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco."""
    name = stem.replace("x101_", "x101-").replace("mstrain_2x", "ms-2x")
    if "_mdconv_c3-c5" in name:
        name = name.replace("_mdconv_c3-c5", "").replace("_fpn", "-mdconv-c3-c5_fpn")
        return name.replace("r2_101", "res2net101")
    return name.replace("r2_101", "res2net-101")
