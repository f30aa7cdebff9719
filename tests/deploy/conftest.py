"""A server whose model can be replaced, and what it is replaced with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from built_repository import build_unwarmed
from replaceable_server import Replaceable
from score_requests import strip_png
from synthetic_checkpoint import THIN_CONFIG_TEXT, write_synthetic_checkpoint
from triton_server import serving


@pytest.fixture(scope="session")
def demo_checkpoint(thin_checkpoint: Path) -> Path:
    """In place of the usual one: these tests build and load it again and again."""
    return thin_checkpoint


@pytest.fixture(scope="session")
def demo_repository(demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_unwarmed(demo_checkpoint, tmp_path_factory.mktemp("thin") / "repository")


@pytest.fixture(scope="session")
def other_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `demo_checkpoint`, with other scores."""
    path = tmp_path_factory.mktemp("other_checkpoint") / "other.pth"
    write_synthetic_checkpoint(path, THIN_CONFIG_TEXT, talkative=3.0)
    return path


@pytest.fixture(scope="session")
def other_repository(other_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_unwarmed(other_checkpoint, tmp_path_factory.mktemp("other") / "repository")


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
