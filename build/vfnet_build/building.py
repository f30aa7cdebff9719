"""The steps of a build: open the checkpoint, build the network, export it, write the repository."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from vfnet_build.checkpoints.loading import Checkpoint, build_network
from vfnet_build.checkpoints.resolve import open_checkpoint
from vfnet_build.engines import openvino, pytorch
from vfnet_build.repository import (
    BuildOptions,
    Manifest,
    RepositoryError,
    build_versions,
    check_replaceable,
    template_sha256,
    write_repository,
)

ENGINES = {"openvino": openvino, "torch": pytorch}
"""By the name of the detector's configuration."""
PRECISIONS = tuple(dict.fromkeys(precision for engine in ENGINES.values() for precision in engine.PRECISIONS))
"""What any engine computes in."""


def build(
    checkpoint_spec: str,
    repository: Path,
    options: BuildOptions,
    *,
    architecture: str | None = None,
    classes: Sequence[str] | None = None,
    accept_preprocessing: bool = False,
    force: bool = False,
) -> bool:
    """Make `repository` serve the checkpoint. Steps are told on stderr.

    Args:
        checkpoint_spec: file, folder, URL, `coco` or `demo`.
        repository: folder; one built earlier is replaced, or left alone if it would come out the same.
        architecture, classes, accept_preprocessing: see `open_checkpoint`.
        force: build even then.

    Returns:
        Whether anything was written.

    Raises:
        CheckpointError, RepositoryError.
    """
    check_replaceable(repository)  # before any long work
    for engine in options.engines:
        if options.precision not in ENGINES[engine].PRECISIONS:
            known = ", ".join(ENGINES[engine].PRECISIONS)
            raise RepositoryError(f"{engine} does not compute in {options.precision}; choose from {known}")
    checkpoint = open_checkpoint(
        checkpoint_spec, architecture=architecture, classes=classes, accept_preprocessing=accept_preprocessing
    )
    if checkpoint.untrained:
        _say("WARNING: these weights are UNTRAINED: boxes show that serving works and mean nothing")
    manifest = _manifest(checkpoint, options)
    if not force and Manifest.read(repository) == manifest:
        _say(f"{repository} is up to date with {checkpoint.description}")
        return False
    _say(f"building {checkpoint.description} for {', '.join(options.engines)} ({options.precision})")
    network = build_network(checkpoint)

    def export(directory: Path) -> None:
        for engine in options.engines:
            ENGINES[engine].export(network, directory)

    write_repository(repository, checkpoint.config, manifest, export)
    _say(f"wrote {repository}")
    return True


def _manifest(checkpoint: Checkpoint, options: BuildOptions) -> Manifest:
    return Manifest(
        checkpoint_sha256=checkpoint.sha256,
        checkpoint=checkpoint.description,
        untrained=checkpoint.untrained,
        classes=checkpoint.config.classes,
        options=options,
        template_sha256=template_sha256(),
        versions=build_versions(),
    )


def _say(message: str) -> None:
    print(f"vfnet build: {message}", file=sys.stderr, flush=True)
