"""Repositories built for tests, whose servers are ready as soon as the network is compiled."""

from __future__ import annotations

from pathlib import Path

from vfnet_build.building import build
from vfnet_build.model_configuration import configure
from vfnet_model.manifest import BuildOptions


def build_unwarmed(checkpoint: Path, repository: Path) -> Path:
    """As `vfnet build` with OpenVINO, but that no server of it runs common sizes first, for three seconds; the folder.

    What `vfnet up` starts in tests is warmed up. A test's first image of a size takes longer instead.
    """
    build(str(checkpoint), repository, BuildOptions())
    for path in (*repository.glob("*_detector/configs/openvino.pbtxt"), *repository.glob("*_detector/config.pbtxt")):
        configure(path, path, {"warm_up_seconds": "0"})
    return repository
