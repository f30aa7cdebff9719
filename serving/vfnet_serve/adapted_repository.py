"""A repository as Triton is given it: the built one, which is left alone, with the settings of this machine.

It holds links to the models' files, beside configurations of its own: what Triton reads is what it serves with, also
when it loads a model again. Python's bytecode is here, too: Triton's processes do not heed PYTHONDONTWRITEBYTECODE. It
is written beforehand, because a file that appears in a model's folder later is a reason for Triton to load the model
anew when it loads an ensemble of it. A repository that is built anew is served after a restart.
"""

from __future__ import annotations

import contextlib
import py_compile
import shutil
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from vfnet_client.atomic_files import write_whole
from vfnet_client.model_names import EnsembleNames, check_model_name
from vfnet_model.manifest import MANIFEST, file_of
from vfnet_serve.installation import ServerError

_CONFIG = "config.pbtxt"


def read_configs(repository: Path, config_name: str | None = None) -> dict[str, ModelConfig]:
    """The models' configurations, by name; `configs/<config_name>.pbtxt` of those that have one.

    Raises:
        ServerError: it is not a built model repository, or no model has a configuration of that name.
    """
    if not repository.is_dir():
        raise ServerError(f"{repository} is not a folder: build a repository first, with vfnet build")
    files = {path.parent.name: path for path in sorted(repository.glob(f"*/{_CONFIG}"))}
    if not any(is_complete(name, files) for name in files):
        raise ServerError(
            f"{repository} is not a complete model repository (models found: {', '.join(files) or 'none'}): "
            "build one with vfnet build"
        )
    if config_name is not None:
        named = {model: path.parent / "configs" / f"{config_name}.pbtxt" for model, path in files.items()}
        if not any(path.is_file() for path in named.values()):
            known = sorted(path.stem for path in repository.glob("*/configs/*.pbtxt"))
            raise ServerError(f"no model has a configuration {config_name!r}; there are {', '.join(known) or 'none'}")
        files |= {model: path for model, path in named.items() if path.is_file()}
    return {model: _read(path) for model, path in files.items()}


def is_complete(name: str, models: Container[str]) -> bool:
    """Whether a model of that public name and all its steps are among `models`."""
    try:
        return all(each in models for each in EnsembleNames(check_model_name(name)).all)
    except ValueError:
        return False


def write_adapted(
    repository: Path, configs: Mapping[str, ModelConfig], target: Path, built_as: Mapping[str, str] | None = None
) -> None:
    """Lay the models out in the folder `target` with these configurations, in place of what is there of their names.

    Args:
        built_as: what a model is called in the repository, where that is not its name in `configs`.
    """
    for model, config in configs.items():
        folder = target / model
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path in (repository / (built_as or {}).get(model, model)).iterdir():
            if path.is_dir() and path.name.isdecimal():
                _link_contents(path, folder / path.name)
            elif path.is_file() and path.name != _CONFIG:
                shutil.copyfile(path, folder / path.name)  # labels: newer servers want them inside the folder
        write_config(folder, config)


def write_config(folder: Path, config: ModelConfig) -> None:
    """Have the model in this folder served with another configuration, when it is loaded next."""
    write_whole(folder / _CONFIG, text_format.MessageToString(config).encode())


class ServedBuild:
    """A built repository's models as they are when this is made."""

    def __init__(self, repository: Path, models: Sequence[str]) -> None:
        self.repository = repository
        self._files = [repository / file_of(MANIFEST, model) for model in models]
        self._manifest = self._read()

    def is_replaced(self) -> bool:
        """Whether `vfnet build` has since put another into its place; no, while there is none."""
        manifest = self._read()
        return manifest is not None and manifest != self._manifest

    def _read(self) -> bytes | None:
        try:
            return b"".join(file.read_bytes() for file in self._files)
        except OSError:
            return None


def _link_contents(source: Path, target: Path) -> None:
    target.mkdir()
    for path in source.iterdir():
        if path.name != "__pycache__":
            (target / path.name).symlink_to(path)
        if path.suffix == ".py":
            with contextlib.suppress(OSError, py_compile.PyCompileError):  # Triton says what is wrong with it
                py_compile.compile(str(target / path.name), doraise=True)


def _read(path: Path) -> ModelConfig:
    try:
        config: ModelConfig = text_format.Parse(path.read_text(encoding="utf-8"), ModelConfig())
        return config
    except text_format.ParseError as error:
        raise ServerError(f"{path} is not a model configuration: {error}") from error
