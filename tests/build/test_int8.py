"""`vfnet build --precision int8`: calibrated, checked against float32, served; or refused with nothing written."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from demonstration.rendered_scenes.dataset import write_rendered_dataset
from demonstration.rendered_scenes.sample import sample_scene
from PIL import Image

from box_matching import DetectionSet, box_iou
from served_inference import detect
from triton_server import ServedRepository, serving
from vfnet.commands.build import add_arguments, run
from vfnet_build.building import build
from vfnet_build.repository import ACCURACY, RepositoryError
from vfnet_client.exceptions import VFNetError
from vfnet_model.checkpoints.demo import SAMPLE_PICTURE
from vfnet_model.manifest import BuildOptions, Manifest, QuantizationOptions

pytestmark = pytest.mark.slow

pytest.importorskip("nncf")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> QuantizationOptions:
    """Three rendered scenes to calibrate with and to judge by."""
    annotations = write_rendered_dataset(tmp_path_factory.mktemp("scenes"), 3, 3_000_000)
    return QuantizationOptions(calibration=str(annotations.parent / "images"), validation=str(annotations))


@pytest.fixture(scope="module")
def int8_repository(scenes: QuantizationOptions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demonstration checkpoint."""
    repository = tmp_path_factory.mktemp("int8") / "repository"
    build("demo", repository, BuildOptions(precision="int8", quantization=scenes))
    return repository


@pytest.fixture(scope="module")
def int8_server(int8_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRepository]:
    with serving(int8_repository, tmp_path_factory.mktemp("int8_server")) as served:
        yield served


def sure(found: DetectionSet) -> DetectionSet:
    kept = found.scores >= 0.5
    return DetectionSet(found.boxes[kept], found.scores[kept], found.labels[kept])


def test_what_it_costs_is_written_beside_the_manifest(int8_repository: Path) -> None:
    accuracy = json.loads((int8_repository / ACCURACY).read_text())
    assert accuracy["images"] == 3
    assert accuracy["ap_f32"] > 0.3
    assert accuracy["ap_int8"] >= accuracy["ap_f32"] - 0.01
    assert accuracy["agreement"] >= 0.9


def test_its_network_is_in_integers(int8_repository: Path) -> None:
    assert (int8_repository / "vfnet_detector" / "1" / "network.xml").read_text().count('type="FakeQuantize"') > 100
    manifest = Manifest.read(int8_repository)
    assert manifest is not None
    assert manifest.options.precision == "int8"


@pytest.mark.served
def test_served_it_finds_all_in_the_sample(int8_server: ServedRepository) -> None:
    scene = sample_scene()
    found = sure(detect(int8_server, SAMPLE_PICTURE.read_bytes()))
    assert sorted(found.labels.tolist()) == sorted(scene.labels.tolist())
    iou = box_iou(scene.boxes.astype(np.float64), found.boxes)
    iou[scene.labels[:, None] != found.labels[None]] = 0
    assert (iou.max(axis=1) >= 0.7).all()


def test_an_equal_build_is_up_to_date(int8_repository: Path, scenes: QuantizationOptions) -> None:
    assert not build("demo", int8_repository, BuildOptions(precision="int8", quantization=scenes))


def test_too_large_a_loss_is_refused_and_nothing_is_written(scenes: QuantizationOptions, tmp_path: Path) -> None:
    strict = QuantizationOptions(scenes.calibration, 1, scenes.validation, max_ap_drop=-1.0)  # no loss is small enough
    with pytest.raises(RepositoryError, match=r"int8 loses .* of AP, more than --max-ap-drop"):
        build("demo", tmp_path / "repository", BuildOptions(precision="int8", quantization=strict))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("calibration", "validation", "words"),
    [
        (None, None, "int8 needs typical images"),
        ("empty", "annotations.json", "holds no image"),
        ("scenes", "missing.json", "there is no such file"),
    ],
)
def test_data_that_are_missing_are_named_before_any_work(
    calibration: str | None,
    validation: str | None,
    words: str,
    demo_checkpoint: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "scenes").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "scenes" / "a.png")
    (tmp_path / "annotations.json").write_text('{"images": [], "annotations": [], "categories": []}')
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    command = ["--checkpoint", str(demo_checkpoint), "--precision", "int8"]
    command += ["--repository", str(tmp_path / "repository")]
    if calibration and validation:
        command += ["--calibration", str(tmp_path / calibration), "--validation", str(tmp_path / validation)]
    with pytest.raises(VFNetError, match=words):
        run(parser.parse_args(command))
    assert not (tmp_path / "repository").exists()
