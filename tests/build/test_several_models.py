"""A repository that holds several models."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from vfnet.commands import build as build_command
from vfnet_build.building import build
from vfnet_build.repository import ACCURACY, RepositoryError, write_repository
from vfnet_client.model_names import MODEL, EnsembleNames
from vfnet_model.checkpoints.loading import load_checkpoint
from vfnet_model.manifest import BuildOptions, Manifest, built_models, file_of
from vfnet_runtime.architecture.config import VFNetConfig

MADE_UP = Manifest("0" * 64, "made up", False, ("cup",), BuildOptions("torch"), "0" * 64, {})


@pytest.fixture(scope="module")
def config(demo_checkpoint: Path) -> VFNetConfig:
    return load_checkpoint(demo_checkpoint).config


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write(target: Path, config: VFNetConfig, model: str, content: str = "") -> None:
    def export(directory: Path) -> None:
        (directory / "network.pt").write_text(content)

    write_repository(target, config, replace(MADE_UP, checkpoint=f"{model} {content}"), export, model=model)


def test_a_model_is_added_or_replaced_and_the_others_stay(tmp_path: Path, config: VFNetConfig) -> None:
    target = tmp_path / "models"
    write(target, config, MODEL, "first")
    (target / ACCURACY).write_text("{}")
    before = files(target)
    write(target, config, "small", "one")
    assert built_models(target) == ["small", MODEL]
    assert {path.name for path in target.iterdir() if path.is_dir()} == {
        *EnsembleNames(MODEL).all, *EnsembleNames("small").all
    }  # fmt: skip
    assert {name: content for name, content in files(target).items() if name in before} == before
    write(target, config, "small", "two")
    found = files(target)
    assert found["small_detector/1/network.pt"] == b"two"
    assert {name: content for name, content in found.items() if name in before} == before
    write(target, config, MODEL, "second")
    found = files(target)
    assert (found["vfnet_detector/1/network.pt"], found["small_detector/1/network.pt"]) == (b"second", b"two")
    assert ACCURACY not in found  # of the build that was replaced
    for model in (MODEL, "small"):
        manifest = Manifest.read(target, model)
        assert manifest is not None
        assert manifest.checkpoint.startswith(model)


def test_every_configuration_has_the_models_own_names(tmp_path: Path, config: VFNetConfig) -> None:
    write(tmp_path / "models", config, "small")
    names = EnsembleNames("small")
    paths = list((tmp_path / "models").rglob("*.pbtxt"))
    assert len(paths) > 6
    for path in paths:
        read = text_format.Parse(path.read_text(), ModelConfig())
        assert read.name == path.relative_to(tmp_path / "models").parts[0]
        steps = [step.model_name for step in read.ensemble_scheduling.step]
        assert steps == ([] if read.name != "small" else list(names.steps))


def test_manifests_are_told_apart_by_name(tmp_path: Path) -> None:
    assert file_of("vfnet_build.json", MODEL) == "vfnet_build.json"
    MADE_UP.write(tmp_path, "small")
    assert built_models(tmp_path) == ["small"]
    assert Manifest.read(tmp_path) is None
    assert Manifest.read(tmp_path, "small") == MADE_UP


@pytest.mark.parametrize("name", ["a.2", "small_detector", "", "../x"])
def test_names_that_triton_or_another_models_step_has_are_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RepositoryError, match="a letter, then letters, digits"):
        build("demo", tmp_path / "models", BuildOptions(), model=name)
    parser = argparse.ArgumentParser()
    build_command.add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args([f"--repository={tmp_path}", f"--name={name}"])
    assert "a letter, then letters, digits" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
