"""A server whose model can be replaced, and what it is replaced with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from replaceable_server import Replaceable
from score_requests import strip_png
from synthetic_checkpoint import write_synthetic_checkpoint
from triton_server import serving
from vfnet_build.building import build
from vfnet_model.manifest import BuildOptions


@pytest.fixture(scope="session")
def other_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `demo_checkpoint`, with other scores."""
    path = tmp_path_factory.mktemp("other_checkpoint") / "other.pth"
    write_synthetic_checkpoint(path, talkative=1.2)
    return path


@pytest.fixture(scope="session")
def other_repository(other_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("other") / "repository"
    build(str(other_checkpoint), repository, BuildOptions())
    return repository


@pytest.fixture(scope="module")
def replaceable(demo_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replaceable]:
    """One server for a file of tests, each of which leaves it with some deployment that serves."""
    folder = tmp_path_factory.mktemp("replaceable")
    repository = folder / "repository"
    shutil.copytree(demo_repository, repository)
    image = strip_png()
    picture = folder / "strip.png"
    picture.write_bytes(image)
    with serving(repository, folder) as served:
        yield Replaceable(served, image, [picture])
