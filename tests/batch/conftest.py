"""Folders of small images to score."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch_command import run_batch, write_images
from triton_server import ServedRepository

BAD = ("000/broken.jpg", "001/empty.png")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty good images and two bad ones in two folders. Leave them as they are."""
    folder = tmp_path_factory.mktemp("photos")
    write_images(folder, 60, per_folder=30)
    (folder / BAD[0]).write_bytes((folder / "000" / "00001.jpg").read_bytes()[:200])
    (folder / BAD[1]).write_bytes(b"")
    return folder


@pytest.fixture(scope="session")
def scored_photos(photos: Path, quick_server: ServedRepository, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of an undisturbed batch over `photos`."""
    output = tmp_path_factory.mktemp("scored") / "output"
    run_batch(photos, output, quick_server.grpc_url, "--shard-images=25")
    return output
