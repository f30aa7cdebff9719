"""The table of published checkpoints is consistent in itself."""

from __future__ import annotations

import re

import pytest

from vfnet_model.checkpoints.stock import COCO_CLASSES, STOCK_CHECKPOINTS, StockCheckpoint, stock_checkpoint_named


@pytest.mark.parametrize("stock", STOCK_CHECKPOINTS.values(), ids=str)
def test_name_hash_and_settings_agree(stock: StockCheckpoint) -> None:
    assert re.fullmatch(rf"{re.escape(stock.stem)}_20201027(pth)?-[0-9a-f]{{8}}\.pth", stock.file_name)
    assert stock.url.endswith(f"/vfnet/{stock.stem}/{stock.file_name}")
    assert stock.file_name.endswith(f"-{stock.sha256_prefix}.pth")
    backbone = stock.config.backbone
    letter = {"ResNet": "r", "ResNeXt": "x"}[backbone.type]
    grouped = f"_{backbone.groups}x{backbone.base_width}d" if backbone.type == "ResNeXt" else ""
    assert stock.stem.startswith(f"vfnet_{letter}{backbone.depth}{grouped}_fpn_")
    deformable = "mdconv_c3-c5" in stock.stem
    assert stock.config.backbone.stage_with_dcn == (False, *(deformable,) * 3)
    assert stock.config.head.dcn_on_last_conv is deformable
    assert stock.config.head.num_classes == len(stock.config.classes) == 80


def test_only_the_exact_name_is_recognised() -> None:
    name = "vfnet_r50_fpn_mdconv_c3-c5_mstrain_2x_coco_20201027pth-6879c318.pth"
    stock = stock_checkpoint_named(name)
    assert stock is not None
    assert stock.sha256_prefix == "6879c318"
    assert stock_checkpoint_named(name.replace("6879c318", "6879c319")) is None


def test_coco_classes_are_eighty_different_ones_in_label_order() -> None:
    assert len(set(COCO_CLASSES)) == len(COCO_CLASSES) == 80
    assert (COCO_CLASSES[0], COCO_CLASSES[39], COCO_CLASSES[79]) == ("person", "bottle", "toothbrush")
