"""The very modules and parameters of a built repository, used outside Triton."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

import vfnet_build


def template_directory() -> Path:
    """The repository without weights: `model_repository/` of a checkout, or its copy in an installed wheel."""
    package = Path(vfnet_build.__file__).parent
    installed = package / "model_repository"
    return installed if installed.is_dir() else package.parents[1] / "model_repository"


def import_served(repository: Path, model: str, module: str) -> ModuleType:
    """A module that stands beside a model's `model.py`; where that is the template, with `every_model`."""
    return _import_from(module, repository / model / "1", repository / "every_model")


def import_shared(module: str) -> ModuleType:
    """A module that every model has, from here: no bytecode is written into a repository."""
    return _import_from(module, template_directory() / "every_model")


def _import_from(module: str, *folders: Path) -> ModuleType:
    sys.path[:0] = map(str, folders)
    try:
        return import_module(module)
    finally:
        for folder in folders:
            sys.path.remove(str(folder))


def served_parameters(repository: Path, model: str) -> dict[str, str]:
    """The parameters in a model's configuration."""
    text = (repository / model / "config.pbtxt").read_text(encoding="utf-8")
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    return {name: parameter.string_value for name, parameter in config.parameters.items()}


def network_input(repository: Path, image: bytes) -> tuple[Any, Any]:
    """What `vfnet_preprocess` makes of an encoded image.

    Returns:
        pixels uint8 [1, H, W, 3] and valid_shape int32 [1, 2].

    Raises:
        ValueError: it is not an image that can be read.
    """
    parameters = served_parameters(repository, "vfnet_preprocess")
    longest, shortest = (int(side) for side in parameters["img_scale"].split(","))
    decoding = import_served(repository, "vfnet_preprocess", "image_decoding")
    resizing = import_served(repository, "vfnet_preprocess", "resizing")
    decoded = decoding.decode_image(image, int(parameters["max_image_pixels"]))
    resized = resizing.resize_onto_canvas(decoded, (longest, shortest), int(parameters["size_divisor"]))
    return resized.pixels, resized.valid_shape
