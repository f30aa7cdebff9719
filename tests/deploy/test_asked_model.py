"""What `vfnet up` builds, replaces, and leaves as `vfnet deploy` left it, without a server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from vfnet.replacing import AskedModel
from vfnet_model.manifest import BuildOptions, Manifest
from vfnet_serve.background import StateFolder
from vfnet_serve.deployments.wanted import DeployedBuild, DeploymentsFolder, ModelDeployments, Wanted

ONE = Manifest("1" * 64, "one.pth", False, ("can",), BuildOptions(), "0", {"vfnet": "1"})
OTHER, THIRD = replace(ONE, checkpoint_sha256="2" * 64), replace(ONE, checkpoint_sha256="3" * 64)


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    """After `vfnet up` with one."""
    found = StateFolder(tmp_path)
    assert AskedModel(found, ONE).is_new()
    assert AskedModel(found, ONE).build_anew(building(ONE))
    return found


def building(manifest: Manifest) -> Callable[[Path], bool]:
    """As `vfnet build` does it."""

    def build(repository: Path) -> bool:
        if Manifest.read(repository) == manifest:
            return False
        repository.mkdir(exist_ok=True)
        manifest.write(repository)
        return True

    return build


def deployed(folder: StateFolder, manifest: Manifest) -> None:
    """As `vfnet deploy` leaves it."""
    deployments = DeploymentsFolder(folder.repository)
    deployments.build_folder("vfnet", 2).mkdir(parents=True, exist_ok=True)
    manifest.write(deployments.build_folder("vfnet", 2))
    base = deployments.base("vfnet")
    assert base is not None
    build = DeployedBuild(2, "a checkpoint", "openvino", "f32", "2026-11-29T12:00:00+00:00")
    deployments.write(Wanted({"vfnet": ModelDeployments(base, 2, None, (build,), 2)}, None, 1))


def live(folder: StateFolder) -> Manifest | None:
    """What a server that starts serves."""
    deployments = DeploymentsFolder(folder.repository)
    return Manifest.read(deployments.build_folder("vfnet", deployments.read().live("vfnet")))


def test_the_same_again_leaves_what_was_deployed(folder: StateFolder) -> None:
    deployed(folder, OTHER)
    asked = AskedModel(folder, ONE)
    assert not asked.is_new()
    assert not asked.build_anew(building(ONE))
    assert live(folder) == OTHER


def test_what_up_itself_has_deployed_stays_too(folder: StateFolder) -> None:
    AskedModel(folder, OTHER).remember()
    deployed(folder, OTHER)
    assert not AskedModel(folder, OTHER).build_anew(building(OTHER))
    assert live(folder) == OTHER
    deployed(folder, THIRD)  # by vfnet deploy
    assert not AskedModel(folder, OTHER).build_anew(building(OTHER))
    assert live(folder) == THIRD


def test_something_else_takes_the_place_of_what_was_deployed(folder: StateFolder) -> None:
    deployed(folder, OTHER)
    assert AskedModel(folder, THIRD).build_anew(building(THIRD))
    assert live(folder) == THIRD


def test_back_to_what_the_repository_holds(folder: StateFolder) -> None:
    AskedModel(folder, OTHER).remember()
    deployed(folder, OTHER)
    asked = AskedModel(folder, ONE)
    assert asked.is_new()
    assert not asked.build_anew(building(ONE))
    assert live(folder) == ONE


def test_a_deployment_whose_files_are_lost_is_built_anew(folder: StateFolder) -> None:
    AskedModel(folder, OTHER).remember()
    deployed(folder, OTHER)
    (DeploymentsFolder(folder.repository).build_folder("vfnet", 2) / "vfnet_build.json").unlink()
    assert AskedModel(folder, OTHER).build_anew(building(OTHER))
    assert live(folder) == OTHER


def test_a_folder_of_an_older_version_says_by_its_repository_what_was_asked(folder: StateFolder) -> None:
    (folder.root / "asked.json").unlink()
    assert not AskedModel(folder, ONE).is_new()
    assert AskedModel(folder, OTHER).is_new()
