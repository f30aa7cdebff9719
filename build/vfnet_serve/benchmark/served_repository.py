"""The server under load: a built repository, with its network or with a detector that takes a fixed time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vfnet_build.model_configuration import configure
from vfnet_client.free_ports import free_ports
from vfnet_serve.background import StateFolder
from vfnet_serve.starting import start_server
from vfnet_serve.triton_process import Endpoints


@contextmanager
def serving(repository: Path, root: Path, options: Sequence[str]) -> Iterator[Endpoints]:
    """Serve `repository` on free ports with more options of `vfnet serve`; a log goes to the folder `root`.

    Raises:
        ServerError: it did not start.
    """
    folder, endpoints = StateFolder(root), Endpoints("127.0.0.1", *free_ports(3))
    root.mkdir()
    folder.repository.symlink_to(repository.absolute())
    try:
        start_server(folder, endpoints, ["--exit-timeout=10", *options], is_ours=True)
        yield endpoints
    finally:
        folder.server.stop()


def with_fixed_time(repository: Path, target: Path, milliseconds: float) -> Path:
    """A copy whose configuration `noop` takes so long for an image, one after another; the copy."""
    shutil.copytree(repository, target, ignore=shutil.ignore_patterns("network.*"))
    noop = target / "vfnet_detector" / "configs" / "noop.pbtxt"
    configure(noop, noop, {"milliseconds": f"{milliseconds:g}"})
    return target
