"""A slow server without a network, and a small gateway before it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway_process import running_gateway
from locust_process import SmallServer
from triton_server import serving
from vfnet_build.model_configuration import configure

_MILLISECONDS_PER_IMAGE = 100
"""Of the detector, one image after another: it serves ten a second."""


@pytest.fixture(scope="session")
def small_server(demo_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallServer]:
    """Serves ten images a second; the gateway keeps four images in Triton and lets two requests wait."""
    folder = tmp_path_factory.mktemp("small_server")
    repository = folder / "repository"
    shutil.copytree(demo_repository, repository)
    config = repository / "vfnet_detector" / "configs" / "noop.pbtxt"
    configure(config, config, {"milliseconds": str(_MILLISECONDS_PER_IMAGE)})
    with (
        serving(repository, folder, "--model-config-name=noop") as triton,
        running_gateway(triton.grpc_url, folder, "--max-in-flight=4", "--max-waiting=2") as gateway,
    ):
        yield SmallServer(triton, gateway)
