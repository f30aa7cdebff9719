"""A training with tiles: what it trains on, evaluates in, and takes for another training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tiny_training import finetune_arguments
from vfnet_client.cli import main
from vfnet_data.reading import read_dataset
from vfnet_data.tiled_images import tile_images
from vfnet_model.checkpoints.converting import write_checkpoint_file
from vfnet_model.checkpoints.loading import load_checkpoint
from vfnet_tiling.tiling import Tiling
from vfnet_train.augmentation import augment, decode_image_file
from vfnet_train.settings import AugmentationSettings

pytestmark = pytest.mark.training

TILES = ("--tile-grid-size", "2x1", "--tile-overlap-ratio", "0.2")


def test_a_sample_of_a_tile_is_its_part_of_the_image(tiny_checkpoint: Path, scenes: Path) -> None:
    dataset = read_dataset(scenes)
    tiling = Tiling(tile_grid_size=(2, 1), tile_overlap_ratio=0.2)
    tile = next(each for each in tile_images(dataset.images, tiling, smallest_side=32).images if each.tile is not None)
    preprocess = load_checkpoint(tiny_checkpoint).config.preprocess
    settings = AugmentationSettings(scales=((tile.height, tile.width),), flip_probability=0)
    sample = augment(tile, settings, preprocess, np.random.default_rng(0))
    stored = decode_image_file(tile.path)
    assert tile.tile is not None
    part = stored[tile.tile.top : tile.tile.bottom, tile.tile.left : tile.tile.right]
    pixels = part if preprocess.to_rgb else part[:, :, ::-1]
    expected = (pixels.astype(np.float32) - np.array(preprocess.mean, np.float32)) / np.array(
        preprocess.std, np.float32
    )
    np.testing.assert_allclose(sample.pixels, expected, atol=1e-5)
    np.testing.assert_allclose(sample.boxes, tile.boxes)


def test_images_and_tiles_are_trained_on_and_evaluated_in(
    tiny_checkpoint: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = finetune_arguments(scenes, tiny_checkpoint, tmp_path / "run", "--epochs", "1", *TILES)
    assert main(arguments) == 0
    told = capsys.readouterr().err
    document = json.loads((tmp_path / "run" / "metrics.json").read_text())
    tiles = document["training_images"] - 8
    assert 0 < tiles <= 16
    assert f"8 images are trained on with {tiles} tiles of them (tile-grid-size 2x1, tile-overlap-ratio 0.2)" in told
    assert "AP" in document["last"]

    checkpoint = load_checkpoint(tmp_path / "run" / "last.pth")
    assert checkpoint.tiling == Tiling(tile_grid_size=(2, 1), tile_overlap_ratio=0.2)
    assert "trained in tiles (tile-grid-size 2x1, tile-overlap-ratio 0.2)" in checkpoint.description
    for name in ("again.safetensors", "again.pth"):
        write_checkpoint_file(checkpoint, tmp_path / name)
        assert load_checkpoint(tmp_path / name).tiling == checkpoint.tiling

    evaluate = ["evaluate", "--annotations", str(scenes), "--device", "cpu", "--checkpoint", str(checkpoint.path)]
    said = "trained in tiles, and nothing is tiled here: --tile-grid-size 2x1 --tile-overlap-ratio 0.2 detects"
    for tiles, told in (((), True), (TILES, False)):
        assert main([*evaluate, *tiles]) == 0
        assert (said in capsys.readouterr().err) == told

    assert main(arguments) == 0  # it is finished, and this very training
    assert main(finetune_arguments(scenes, tiny_checkpoint, tmp_path / "run", "--epochs", "1")) == 1
    assert "holds another training: tiling was" in capsys.readouterr().err


def test_tiles_larger_than_every_image_are_refused(
    tiny_checkpoint: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = finetune_arguments(scenes, tiny_checkpoint, tmp_path / "run", "--tile-size", "640")
    assert main(arguments) == 1
    assert "no image is large enough for such tiles" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
