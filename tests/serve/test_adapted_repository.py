"""What Triton is given of a repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from vfnet_serve.adapted_repository import read_configs, write_adapted
from vfnet_serve.installation import ServerError


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_is_the_same_but_for_the_configurations(demo_repository: Path, tmp_path: Path) -> None:
    before = contents(demo_repository)
    configs = read_configs(demo_repository)
    configs["vfnet_detector"].max_batch_size = 3
    write_adapted(demo_repository, configs, tmp_path / "adapted")
    assert contents(demo_repository) == before
    again = read_configs(tmp_path / "adapted")
    assert again == configs
    assert again["vfnet_detector"].max_batch_size == 3
    for model in configs:
        version, built = tmp_path / "adapted" / model / "1", demo_repository / model / "1"
        found = {path.name for path in version.iterdir()} - {"__pycache__"}
        assert found == {path.name for path in built.iterdir()} - {"__pycache__"}
        assert all((version / name).samefile(built / name) for name in found)
    labels = tmp_path / "adapted" / "vfnet" / "labels.txt"
    assert labels.read_bytes() == (demo_repository / "vfnet" / "labels.txt").read_bytes()
    assert not labels.is_symlink()


def test_a_named_configuration_is_that_models_only_one(demo_repository: Path, tmp_path: Path) -> None:
    configs = read_configs(demo_repository, "noop")
    assert configs["vfnet_detector"].default_model_filename == "noop_model.py"
    assert configs["vfnet_preprocess"] == read_configs(demo_repository)["vfnet_preprocess"]
    write_adapted(demo_repository, configs, tmp_path / "adapted")
    assert read_configs(tmp_path / "adapted") == configs


def test_a_configuration_that_no_model_has_is_refused_with_those_there_are(demo_repository: Path) -> None:
    with pytest.raises(ServerError, match=r"'cuda'.*noop, openvino"):
        read_configs(demo_repository, "cuda")


def test_a_broken_configuration_is_named(demo_repository: Path, tmp_path: Path) -> None:
    write_adapted(demo_repository, read_configs(demo_repository), tmp_path / "adapted")
    (tmp_path / "adapted" / "vfnet_detector" / "config.pbtxt").write_text("max_batch_size: many")
    with pytest.raises(ServerError, match=r"vfnet_detector/config\.pbtxt"):
        read_configs(tmp_path / "adapted")
