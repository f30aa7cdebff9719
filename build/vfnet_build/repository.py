"""A checkpoint -> a complete Triton model repository."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import importlib.metadata
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vfnet_build.model_configuration import (
    configure,
    detector_parameters,
    postprocess_parameters,
    preprocess_parameters,
    read_configuration,
    rename_detector_tensors,
    write_configuration,
)
from vfnet_build.photo_canvases import photo_canvases
from vfnet_build.template import copy_folder, template_directory
from vfnet_client.exceptions import VFNetError
from vfnet_client.model_names import MODEL, EnsembleNames
from vfnet_model.manifest import MANIFEST, Manifest, built_models, file_of
from vfnet_model.model_renaming import rename_models
from vfnet_model.served_repository import SERVED_PACKAGES, package_directory
from vfnet_runtime.architecture.config import VFNetConfig

_YOUNG_SECONDS = 60.0
TEMPLATE = EnsembleNames(MODEL)
"""What the models are called in `model_repository/`, and until the last step of a build."""
PYTHON_MODELS = TEMPLATE.steps
ACCURACY = "accuracy.json"
"""What quantizing cost, beside the manifest of a model in int8."""


class RepositoryError(VFNetError):
    """The repository cannot be written there; the message says why."""


class EngineError(RepositoryError):
    """The engine cannot be built here, or what was built is not accepted; the message says what to do."""


def build_versions() -> dict[str, str]:
    """Versions of what turns a checkpoint into a network file."""
    return {name: importlib.metadata.version(name) for name in ("vfnet", "torch", "openvino")}


def write_repository(
    target: Path, config: VFNetConfig, manifest: Manifest, export: Callable[[Path], None], *, model: str = MODEL
) -> None:
    """Write a complete repository beside `target`, then put it in its place.

    Args:
        target: the repository's folder. In one that this function wrote earlier, the model is replaced or added.
        config: of the checkpoint.
        manifest: recorded in the repository.
        export: writes the engine's files into the folder it is given (`vfnet_detector/1`).
        model: its public name.

    Raises:
        RepositoryError: `target` holds something else, or cannot be written.
    """
    target = target.absolute()
    check_replaceable(target)
    try:
        _write_beside(target, config, manifest, export, EnsembleNames(model))
    except OSError as error:
        raise RepositoryError(f"{target} cannot be written: {error.strerror or error}") from error


def _write_beside(
    target: Path, config: VFNetConfig, manifest: Manifest, export: Callable[[Path], None], names: EnsembleNames
) -> None:
    """See `write_repository`. A link at `target` is replaced by the folder, and what it points to is left."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch, _locked(Path(scratch)):
        fresh = Path(scratch) / "repository"
        _copy_template(fresh)
        _configure_models(fresh, config, manifest)
        for model in (TEMPLATE.ensemble, TEMPLATE.postprocess):
            (fresh / model / "labels.txt").write_text("\n".join(config.classes) + "\n", encoding="utf-8")
        export(fresh / TEMPLATE.detector / "1")
        _rename(fresh, names)
        manifest.write(fresh, names.ensemble)
        if target.exists():
            _keep_others(target, fresh, names.ensemble)
            fresh.chmod(target.stat().st_mode & 0o7777)  # whom it was opened for, or closed to
            target.rename(Path(scratch) / "replaced")
        fresh.rename(target)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """While in the context, `_remove_abandoned` leaves it alone; the kernel lets go of it however this process ends."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_abandoned(target: Path) -> None:
    """What builds of `target` that were killed have left beside it."""
    for folder in target.parent.glob(f".{glob.escape(target.name)}.*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and _is_old(status.st_mtime):
                descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)
                finally:
                    os.close(descriptor)


def _is_old(changed: float) -> bool:
    """One that has just been made may not be locked yet."""
    return time.time() - changed > _YOUNG_SECONDS


def check_replaceable(
    target: Path,
    is_ours: Callable[[Path], object] = built_models,
    *,
    what: str = "a repository",
    command: str = "vfnet build",
) -> None:
    """Refuse to put a folder where something else is.

    Args:
        is_ours: whether what is there was written by the command, which may replace it.
        what, command: that is to be written, and by which command.

    Raises:
        RepositoryError: says what is there.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise RepositoryError(f"{target} is a file; {what} is a folder: choose another")
    try:
        is_empty = not any(target.iterdir())
    except OSError as error:
        raise RepositoryError(f"{target} cannot be read: {error.strerror}") from None
    if not is_empty and not is_ours(target):
        raise RepositoryError(f"{target} is not empty and was not written by {command}: choose another folder")


def _copy_template(fresh: Path) -> None:
    copy_folder(template_directory(), fresh, ("__pycache__", *SERVED_PACKAGES))
    # A server that reads from an object store sees one model's folder at a time: each is complete.
    for model in PYTHON_MODELS:
        for package in SERVED_PACKAGES:
            copy_folder(package_directory(package), fresh / model / "1" / package)
    (fresh / TEMPLATE.ensemble / "1").mkdir(exist_ok=True)  # Triton wants a version folder even of an ensemble


def _configure_models(repository: Path, config: VFNetConfig, manifest: Manifest) -> None:
    path, options = repository / TEMPLATE.postprocess / "config.pbtxt", manifest.options
    configure(path, path, postprocess_parameters(config, manifest.checkpoint_sha256, manifest.tiling))
    configs = repository / TEMPLATE.detector / "configs"
    for path in configs.glob("*.pbtxt"):
        if path.stem not in (*options.engines, "noop"):
            path.unlink()  # there is no network for it here
    noop = configs / "noop.pbtxt"
    configure(noop, noop, detector_parameters("noop", config, options.precision))
    for engine in options.engines:
        _configure_for(engine, repository, config, options.precision)
    for model in (TEMPLATE.ensemble, TEMPLATE.preprocess, TEMPLATE.detector):
        shutil.copyfile(repository / model / "configs" / f"{options.engine}.pbtxt", repository / model / "config.pbtxt")


def _configure_for(engine: str, repository: Path, config: VFNetConfig, precision: str) -> None:
    """Write the configurations that --model-config-name chooses with the engine's name."""
    for model in (TEMPLATE.ensemble, TEMPLATE.preprocess):
        (repository / model / "configs").mkdir(exist_ok=True)
    name = f"configs/{engine}.pbtxt"
    preprocess, detector = repository / TEMPLATE.preprocess, repository / TEMPLATE.detector
    own = repository / TEMPLATE.ensemble
    configure(preprocess / "config.pbtxt", preprocess / name, preprocess_parameters(engine, config))
    parameters = detector_parameters(engine, config, precision)
    if engine == "openvino":
        canvases = photo_canvases(config.preprocess)
        parameters["warm_up_canvases"] = ",".join(f"{height}x{width}" for height, width in canvases)
    configure(detector / name, detector / name, parameters)
    ensemble, served = read_configuration(own / "config.pbtxt"), read_configuration(detector / name)
    # TorchScript has no names: Triton's libtorch backend wants NAME__NUMBER.
    numbered = [{tensor.name.partition("__")[0]: tensor.name for tensor in tensors} for tensors in
                (served.input, served.output)]  # fmt: skip
    rename_detector_tensors(ensemble, *numbered)
    write_configuration(ensemble, own / name)


def _rename(repository: Path, names: EnsembleNames) -> None:
    """From the template's names to those of the model, in folders and configurations."""
    if names == TEMPLATE:
        return
    renamed = dict(zip(TEMPLATE.all, names.all, strict=True))
    for old, new in renamed.items():
        for path in (repository / old).rglob("*.pbtxt"):
            config = read_configuration(path)
            rename_models(config, renamed)
            write_configuration(config, path)
        (repository / old).rename(repository / new)
    accuracy = repository / ACCURACY
    if accuracy.exists():
        accuracy.rename(repository / file_of(ACCURACY, names.ensemble))


def _keep_others(old: Path, fresh: Path, model: str) -> None:
    """Have all that is another model's in both folders: links to the same files, which nobody writes again."""
    replaced = {*EnsembleNames(model).all, file_of(MANIFEST, model), file_of(ACCURACY, model)}
    for other in built_models(old):
        kept = {*EnsembleNames(other).all, file_of(MANIFEST, other), file_of(ACCURACY, other)} - replaced
        for path in (old / name for name in sorted(kept)):
            if path.is_dir():
                shutil.copytree(path, fresh / path.name, copy_function=_link_or_copy)
            elif path.is_file():
                _link_or_copy(path, fresh / path.name)


def _link_or_copy(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links, or a file of another account
        shutil.copyfile(source, target)
