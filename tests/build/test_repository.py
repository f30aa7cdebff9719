"""`vfnet build`: what it writes, and what it leaves alone."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from vfnet_build import building
from vfnet_build import repository as repository_module
from vfnet_build.building import build
from vfnet_build.repository import PYTHON_MODELS, RepositoryError, write_repository
from vfnet_model.checkpoints.demo import DEMO_CLASSES
from vfnet_model.checkpoints.errors import CheckpointError
from vfnet_model.checkpoints.loading import load_checkpoint
from vfnet_model.detection_settings import DetectionSettings
from vfnet_model.manifest import MANIFEST, MAX_MANIFEST, BuildOptions, Manifest
from vfnet_model.served_repository import SERVED_PACKAGES, package_directory, python_files
from vfnet_tiling.tiling import Tiling

MADE_UP = Manifest("0" * 64, "made up", False, DEMO_CLASSES, BuildOptions(), "0" * 64, {})


def configuration(repository: Path, model: str) -> model_config_pb2.ModelConfig:
    text = (repository / model / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_model_is_complete_by_itself(demo_repository: Path) -> None:
    assert {path.name for path in demo_repository.iterdir() if path.is_dir()} == {"vfnet", *PYTHON_MODELS}
    for model in PYTHON_MODELS:
        version = demo_repository / model / "1"
        for package in SERVED_PACKAGES:
            assert python_files(version / package) == python_files(package_directory(package))
        imported = {line.split()[1].partition(".")[0] for path in version.rglob("*.py")
                    for line in path.read_text().splitlines() if line.startswith(("from ", "import "))}  # fmt: skip
        assert {name for name in imported if name.startswith("vfnet")} == set(SERVED_PACKAGES)


def test_class_names_follow_tritons_label_file_convention(demo_repository: Path) -> None:
    for model in ("vfnet", "vfnet_postprocess"):
        labels = {output.name: output.label_filename for output in configuration(demo_repository, model).output}
        assert labels["LABELS"] == "labels.txt"
        assert tuple((demo_repository / model / "labels.txt").read_text().splitlines()) == DEMO_CLASSES


def test_the_checkpoints_settings_reach_the_models(demo_repository: Path) -> None:
    detector = configuration(demo_repository, "vfnet_detector").parameters
    assert detector["score_threshold"].string_value == "0.05"
    assert detector["inference_precision"].string_value == "f32"
    assert configuration(demo_repository, "vfnet_preprocess").parameters["img_scale"].string_value == "1333,800"
    assert configuration(demo_repository, "vfnet_postprocess").parameters["max_per_img"].string_value == "100"


def test_the_default_configuration_is_the_named_engines(demo_repository: Path) -> None:
    detector = demo_repository / "vfnet_detector"
    assert (detector / "config.pbtxt").read_text() == (detector / "configs" / "openvino.pbtxt").read_text()


def test_an_equal_build_changes_nothing_and_another_replaces(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    assert build("demo", repository, BuildOptions())
    before = contents(repository)
    stamps = {path: path.stat().st_mtime_ns for path in repository.rglob("*")}
    assert not build("demo", repository, BuildOptions())
    assert {path: path.stat().st_mtime_ns for path in repository.rglob("*")} == stamps
    assert build("demo", repository, BuildOptions(precision="bf16"))
    assert configuration(repository, "vfnet_detector").parameters["inference_precision"].string_value == "bf16"
    assert json.loads((repository / "vfnet_build.json").read_text())["options"]["precision"] == "bf16"
    assert contents(repository).keys() == before.keys()
    assert list(tmp_path.iterdir()) == [repository]


def test_changed_test_settings_reach_the_models_and_the_manifest(tmp_path: Path) -> None:
    settings, repository = DetectionSettings((320, 240), 0.2, 0.5, 7, 50), tmp_path / "repository"
    assert build("demo", repository, BuildOptions(detection=settings))
    detector, postprocess = (
        configuration(repository, name).parameters for name in ("vfnet_detector", "vfnet_postprocess")
    )
    assert configuration(repository, "vfnet_preprocess").parameters["img_scale"].string_value == "320,240"
    assert (detector["score_threshold"].string_value, detector["nms_pre"].string_value) == ("0.2", "50")
    assert (postprocess["iou_threshold"].string_value, postprocess["max_per_img"].string_value) == ("0.5", "7")
    manifest = Manifest.read(repository)
    assert manifest is not None
    assert manifest.options.detection == settings
    assert not build("demo", repository, BuildOptions(detection=settings))
    with pytest.raises(CheckpointError, match="--nms-pre 0"):
        build("demo", repository, BuildOptions(detection=DetectionSettings(nms_pre=0)))


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RepositoryError, match="not empty"):
        build("demo", tmp_path, BuildOptions())
    assert contents(tmp_path) == {"thesis.txt": b"years of work"}


def test_a_build_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "repository"
    build("demo", repository, BuildOptions())
    before = contents(repository)

    def fail(*_: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(building.openvino, "export", fail)
    with pytest.raises(RuntimeError, match="disk"):
        build("demo", repository, BuildOptions(), force=True)
    assert contents(repository) == before
    assert list(tmp_path.iterdir()) == [repository]


def test_the_umask_and_the_mode_of_the_folder_are_respected(tmp_path: Path, demo_checkpoint: Path) -> None:
    repository, old = tmp_path / "repository", os.umask(0o077)
    try:
        build(str(demo_checkpoint), repository, BuildOptions("torch"))
        assert {path.stat().st_mode & 0o077 for path in (repository, *repository.rglob("*"))} == {0}
        repository.chmod(0o750)
        build(str(demo_checkpoint), repository, BuildOptions("torch"), force=True)
        assert repository.stat().st_mode & 0o777 == 0o750
    finally:
        os.umask(old)


def test_what_a_killed_build_left_is_removed_and_what_another_is_doing_is_not(
    tmp_path: Path,
) -> None:
    target = tmp_path / "repository"
    abandoned, busy, young = (tmp_path / f".repository.{name}" for name in ("abandoned", "busy", "young"))
    for folder in (abandoned, busy, young):
        (folder / "repository").mkdir(parents=True)
    for folder in (abandoned, busy):
        os.utime(folder, (0, 0))
    with repository_module._locked(busy):
        repository_module._remove_abandoned(target)
    assert not abandoned.exists()
    assert busy.exists()
    assert young.exists()


def test_the_tiles_of_the_training_are_recorded_in_manifest_and_model(demo_checkpoint: Path, tmp_path: Path) -> None:
    config, repository = load_checkpoint(demo_checkpoint).config, tmp_path / "repository"
    for tiling, said in (
        (Tiling(tile_grid_size=(6, 5)), '{"tile_grid_size": "6x5", "tile_overlap_ratio": 0.25}'),
        (None, ""),
    ):
        made = replace(MADE_UP, tiling=tiling)
        write_repository(repository, config, made, lambda _: None)
        assert Manifest.read(repository) == made
        parameters = configuration(repository, "vfnet_postprocess").parameters
        assert parameters["trained_tiling"].string_value == said
    document = json.loads((repository / MANIFEST).read_text())
    del document["tiling"]  # as one that was built before
    (repository / MANIFEST).write_text(json.dumps(document))
    assert Manifest.read(repository) == MADE_UP


def test_a_manifest_that_somebody_else_wrote_is_no_manifest(tmp_path: Path) -> None:
    manifest = tmp_path / MANIFEST
    for content in (b"[" * 200_000, b"9" * 5000, b"\xff", b"{}", b'{"options": 1}', b" " * (MAX_MANIFEST + 1)):
        manifest.write_bytes(content)
        assert Manifest.read(tmp_path) is None
    manifest.unlink()
    os.mkfifo(manifest)
    assert Manifest.read(tmp_path) is None


def test_a_repository_that_cannot_be_written_is_an_error_of_one_sentence(demo_checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = load_checkpoint(demo_checkpoint).config
    with pytest.raises(RepositoryError, match=r"repository cannot be written: "):
        write_repository(tmp_path / "file" / "repository", config, MADE_UP, lambda _: None)


def test_a_link_is_replaced_and_what_it_points_to_is_left(demo_checkpoint: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / MANIFEST).write_text("{}")
    link = tmp_path / "repository"
    link.symlink_to(elsewhere)
    write_repository(link, load_checkpoint(demo_checkpoint).config, MADE_UP, lambda _: None)
    assert not link.is_symlink()
    assert [path.name for path in elsewhere.iterdir()] == [MANIFEST]
