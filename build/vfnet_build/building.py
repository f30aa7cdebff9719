"""The steps of a build: open the checkpoint, build the network, export it, write the repository."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from vfnet_build.checkpoints.loading import Checkpoint, build_network
from vfnet_build.checkpoints.resolve import open_checkpoint
from vfnet_build.engines import openvino
from vfnet_build.engines.native_code import compile_deformable_convolution
from vfnet_build.repository import (
    BuildOptions,
    Manifest,
    QuantizationOptions,
    build_versions,
    check_replaceable,
    template_sha256,
    write_repository,
)


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
        CheckpointError, RepositoryError; DatasetError: of the images that int8 is judged by.
    """
    check_replaceable(repository)  # before any long work
    checkpoint = open_checkpoint(
        checkpoint_spec, architecture=architecture, classes=classes, accept_preprocessing=accept_preprocessing
    )
    if checkpoint.untrained:
        _say("WARNING: these weights are UNTRAINED: boxes show that serving works and mean nothing")
    manifest = _manifest(checkpoint, options)
    if not force and Manifest.read(repository) == manifest:
        _say(f"{repository} is up to date with {checkpoint.description}")
        return False
    _say(f"building {checkpoint.description} for {options.engine} ({options.precision})")
    export = _exporter(checkpoint, options)
    write_repository(repository, checkpoint.config, manifest, export)
    _say(f"wrote {repository}")
    return True


def _exporter(checkpoint: Checkpoint, options: BuildOptions) -> Callable[[Path], None]:
    """What fills `vfnet_detector/1`; what it needs is read and checked here, before long work."""
    network = build_network(checkpoint)
    if options.precision == "int8":
        from vfnet_build import quantizing  # pycocotools and NNCF, for this alone

        quantization = options.quantization or QuantizationOptions()
        data = quantizing.read_quantization_data(quantization, checkpoint.path)

    def export(directory: Path) -> None:
        openvino.export(network, directory)
        if options.precision == "f32":
            return
        if reason := compile_deformable_convolution(directory):
            _say(f"WARNING: deformable convolutions stay in f32, which takes longer: {reason}")
        if options.precision == "int8":
            accuracy = quantizing.quantize_checked(checkpoint.config, directory, data, quantization)
            quantizing.write_accuracy(accuracy, directory.parents[1])

    return export


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
