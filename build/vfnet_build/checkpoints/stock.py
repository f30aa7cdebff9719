"""The VFNet checkpoints that OpenMMLab published (mmdet 2.28.2, `configs/vfnet/metafile.yml`)."""

from __future__ import annotations

from dataclasses import dataclass

from vfnet_build.architecture.config import BackboneConfig, HeadConfig, VFNetConfig
from vfnet_build.checkpoints.coco import COCO_CLASSES

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


def _published(stem: str, tail: str, depth: int, deformable: bool = False) -> StockCheckpoint:
    config = VFNetConfig(
        classes=COCO_CLASSES,
        backbone=BackboneConfig(depth=depth, stage_with_dcn=(False, *(deformable,) * 3)),
        head=HeadConfig(dcn_on_last_conv=deformable),
    )
    return StockCheckpoint(stem, f"{stem}_{tail}.pth", config)


STOCK_CHECKPOINTS: dict[str, StockCheckpoint] = {
    stock.stem: stock
    for stock in (
        _published("vfnet_r50_fpn_1x_coco", "20201027-38db6f58", 50),
        _published("vfnet_r50_fpn_mstrain_2x_coco", "20201027-7cc75bd2", 50),
        _published("vfnet_r50_fpn_mdconv_c3-c5_mstrain_2x_coco", "20201027pth-6879c318", 50, deformable=True),
        _published("vfnet_r101_fpn_1x_coco", "20201027pth-c831ece7", 101),
        _published("vfnet_r101_fpn_mstrain_2x_coco", "20201027pth-4a5d53f1", 101),
        _published("vfnet_r101_fpn_mdconv_c3-c5_mstrain_2x_coco", "20201027pth-7729adb5", 101, deformable=True),
    )
}
"""By stem: the name of the config, and of the file without date and hash."""

DEFAULT_STOCK = STOCK_CHECKPOINTS["vfnet_r50_fpn_mdconv_c3-c5_mstrain_2x_coco"]
"""What `coco` means: 48.0 box AP on COCO."""


def stock_checkpoint_named(file_name: str) -> StockCheckpoint | None:
    """The published checkpoint whose file has exactly this name, or None."""
    return next((stock for stock in STOCK_CHECKPOINTS.values() if stock.file_name == file_name), None)
