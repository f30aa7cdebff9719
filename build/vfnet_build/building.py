"""The steps of a build: open the checkpoint, build the network, export it, write the repository."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from vfnet_build.engines import libtorch, openvino, pytorch, tensorrt, torch_aoti
from vfnet_build.engines.native_code import compile_convolutions
from vfnet_build.repository import EngineError, RepositoryError, build_versions, check_replaceable, write_repository
from vfnet_build.template import template_sha256
from vfnet_client.json_log import say
from vfnet_client.model_names import MODEL, check_model_name
from vfnet_model import full_disk
from vfnet_model.checkpoints.loading import Checkpoint, build_network
from vfnet_model.checkpoints.resolve import open_checkpoint
from vfnet_model.manifest import BuildOptions, Manifest, QuantizationOptions
from vfnet_runtime.architecture.config import VFNetConfig
from vfnet_runtime.architecture.vfnet import VFNet

ENGINES = {
    "openvino": openvino,
    "torch": pytorch,
    "libtorch": libtorch,
    "torch_aoti": torch_aoti,
    "tensorrt": tensorrt,
}
"""By the name of the detector's configuration."""


def build(
    checkpoint_spec: str,
    repository: Path,
    options: BuildOptions,
    *,
    architecture: str | None = None,
    classes: Sequence[str] | None = None,
    accept_preprocessing: bool = False,
    validation: tuple[Path, Path] | None = None,
    force: bool = False,
    model: str = MODEL,
) -> bool:
    """Make `repository` serve the checkpoint. Steps are told on stderr.

    Args:
        checkpoint_spec: file, folder, URL, `coco` or `demo`.
        repository: folder. In one built earlier the model is replaced, or left alone if it would come out the same;
            other models in there stay.
        architecture, classes, accept_preprocessing: see `open_checkpoint`.
        validation: annotations and the folder of their images, for engines that must prove their accuracy.
        force: build even then.
        model: its public name.

    Returns:
        Whether anything was written.

    Raises:
        CheckpointError, RepositoryError; DatasetError: of the images that int8 is judged by.
    """
    _check_name(model)
    shown = str(repository) if model == MODEL else f"{model} in {repository}"
    check_replaceable(repository)  # before any long work
    _check_options(options)
    if "tensorrt" in options.engines:
        tensorrt.check_available()
        if validation is None:
            raise EngineError("a TensorRT plan is accepted by its AP: give --validation and --validation-images")
    checkpoint = _open(checkpoint_spec, options, architecture, classes, accept_preprocessing)
    manifest = _manifest(checkpoint, options)
    if not force and Manifest.read(repository, model) == manifest:
        _say(f"{shown} is up to date with {checkpoint.description}")
        return False
    _say_what(checkpoint, options)
    export = _exporter(checkpoint, options, validation)
    write_repository(repository, checkpoint.config, manifest, export, model=model)
    _say(f"wrote {shown}")
    return True


def export_network(
    checkpoint_spec: str,
    directory: Path,
    options: BuildOptions,
    *,
    architecture: str | None = None,
    classes: Sequence[str] | None = None,
    accept_preprocessing: bool = False,
) -> tuple[VFNetConfig, Manifest]:
    """Write what `build` puts into `vfnet_detector/1` and nothing else. Steps are told on stderr.

    Args:
        directory: is made. Of int8, what it cost is written two folders above it.
        checkpoint_spec, options, architecture, classes, accept_preprocessing: see `build`.

    Returns:
        What the checkpoint and the options say of detecting, and what the network is made of.

    Raises:
        CheckpointError, RepositoryError; DatasetError: of the images that int8 is judged by.
    """
    _check_options(options)
    checkpoint = _open(checkpoint_spec, options, architecture, classes, accept_preprocessing)
    _say_what(checkpoint, options)
    export = _exporter(checkpoint, options, None)
    directory.mkdir(parents=True)
    export(directory)
    return checkpoint.config, _manifest(checkpoint, options)


def planned(
    checkpoint_spec: str,
    options: BuildOptions,
    *,
    architecture: str | None = None,
    classes: Sequence[str] | None = None,
    accept_preprocessing: bool = False,
) -> Manifest:
    """What `build` would write with these: where it is there already, nothing is left to do.

    Raises:
        CheckpointError, RepositoryError.
    """
    _check_options(options)
    checkpoint = open_checkpoint(
        checkpoint_spec, architecture=architecture, classes=classes, accept_preprocessing=accept_preprocessing
    )
    return _manifest(checkpoint, options)


def _open(
    checkpoint_spec: str,
    options: BuildOptions,
    architecture: str | None,
    classes: Sequence[str] | None,
    accept_preprocessing: bool,
) -> Checkpoint:
    """The checkpoint, its config as the options change it."""
    checkpoint = open_checkpoint(
        checkpoint_spec, architecture=architecture, classes=classes, accept_preprocessing=accept_preprocessing
    )
    if checkpoint.untrained:
        _say("WARNING: these weights are UNTRAINED: boxes show that serving works and mean nothing")
    return replace(checkpoint, config=options.detection.applied_to(checkpoint.config))


def _check_options(options: BuildOptions) -> None:
    options.detection.check()
    for engine in options.engines:
        if options.precision not in ENGINES[engine].PRECISIONS:
            known = ", ".join(ENGINES[engine].PRECISIONS)
            raise RepositoryError(f"{engine} does not compute in {options.precision}; choose from {known}")


def _check_name(model: str) -> None:
    try:
        check_model_name(model)
    except ValueError as error:
        raise RepositoryError(str(error)) from None


def _exporter(
    checkpoint: Checkpoint, options: BuildOptions, validation: tuple[Path, Path] | None
) -> Callable[[Path], None]:
    """What fills `vfnet_detector/1`; what it needs is read and checked here, before long work."""
    network = build_network(checkpoint)
    if options.precision == "int8":
        from vfnet_build import quantizing  # pycocotools and NNCF, for this alone

        quantization = options.quantization or QuantizationOptions()
        data = quantizing.read_quantization_data(quantization, checkpoint.path)

    def export_openvino(directory: Path) -> None:
        openvino.export(network, directory)
        if reason := compile_convolutions(directory):
            _say(f"WARNING: OpenVINO's own convolutions will take longer: {reason}")
        if options.precision == "int8":
            accuracy = quantizing.quantize_checked(checkpoint.config, directory, data, quantization)
            quantizing.write_accuracy(accuracy, directory.parents[1])

    def export_tensorrt(directory: Path) -> None:
        tensorrt.export(network, directory, options.precision)
        if validation is not None:
            _accept_plan(network, directory, *validation)

    exporters: dict[str, Callable[[Path], None]] = {
        "openvino": export_openvino,
        "torch": lambda directory: pytorch.export(network, directory),
        "libtorch": lambda directory: libtorch.export(network, directory, options.precision),
        "torch_aoti": lambda directory: torch_aoti.export(network, directory),
        "tensorrt": export_tensorrt,
    }

    def export(directory: Path) -> None:
        with full_disk.told_as_oserror(directory):
            for engine in options.engines:
                exporters[engine](directory)

    return export


def _accept_plan(network: VFNet, directory: Path, annotations: Path, images: Path) -> None:
    """Refuse a plan that detects worse than the network in float32."""
    from vfnet_evaluate.acceptance import MAX_LOSS, compare_with_network

    plan = tensorrt.Plan((directory / "model.plan").read_bytes(), tensorrt.canvases_of(network))
    result = compare_with_network(network.cuda(), plan.candidates, annotations, images)
    _say(f"AP of the TensorRT plan {result.found:.4f}, of the network in float32 {result.exact:.4f}")
    if not result.accepted:
        raise EngineError(f"the plan loses more than {MAX_LOSS} AP; build it with --precision f32")


def _manifest(checkpoint: Checkpoint, options: BuildOptions) -> Manifest:
    return Manifest(
        checkpoint_sha256=checkpoint.sha256,
        checkpoint=checkpoint.description,
        untrained=checkpoint.untrained,
        classes=checkpoint.config.classes,
        options=options,
        template_sha256=template_sha256(),
        versions=build_versions(),
        tiling=checkpoint.tiling,
    )


def _say_what(checkpoint: Checkpoint, options: BuildOptions) -> None:
    changed = f", {options.detection}" if options.detection else ""
    _say(f"building {checkpoint.description} for {', '.join(options.engines)} ({options.precision}{changed})")


def _say(message: str) -> None:
    is_warning = message.startswith("WARNING: ")
    say("vfnet build", message, "WARNING" if is_warning else "INFO")
