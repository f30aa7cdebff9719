"""The sizes that common photos become, for a checkpoint's own scale."""

from __future__ import annotations

from pathlib import Path

from vfnet_build.photo_canvases import PHOTO_SIZES, photo_canvases
from vfnet_runtime.architecture.config import PreprocessConfig


def test_the_usual_scale() -> None:
    canvases = photo_canvases(PreprocessConfig(img_scale=(1333, 800)))
    assert canvases[:4] == [(800, 1088), (800, 1216), (1088, 800), (1216, 800)]
    assert len(set(canvases)) == len(canvases) == len(PHOTO_SIZES)


def test_a_small_scale_and_shapes_that_become_one() -> None:
    assert photo_canvases(PreprocessConfig(img_scale=(416, 320)))[0] == (320, 416)
    assert photo_canvases(PreprocessConfig(img_scale=(32, 32))) == [(32, 32)]


def test_the_repository_carries_them(demo_repository: Path) -> None:
    text = (demo_repository / "vfnet_detector" / "config.pbtxt").read_text()
    assert '"800x1088,800x1216,1088x800,1216x800' in text
