"""What a built repository serves with, read and used in this process instead of by Triton."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

import vfnet_images
import vfnet_runtime
from vfnet_client.exceptions import VFNetError
from vfnet_client.model_names import MODEL, EnsembleNames
from vfnet_images.decoding import decode_image
from vfnet_runtime.resizing import resize_onto_canvas

SERVED_PACKAGES = ("vfnet_runtime", "vfnet_images")
"""In the version folder of each Python model: what it computes with, and what decodes images for it."""


class RuntimeMismatchError(VFNetError):
    """A repository was built with other `SERVED_PACKAGES` than those that are installed here."""


def served_parameters(repository: Path, model: str) -> dict[str, str]:
    """The parameters in a model's configuration.

    Raises:
        OSError: there is no such model.
        google.protobuf.text_format.ParseError: the file is no model configuration.
    """
    text = (repository / model / "config.pbtxt").read_text(encoding="utf-8")
    config = text_format.Parse(text, model_config_pb2.ModelConfig())
    return {name: parameter.string_value for name, parameter in config.parameters.items()}


def check_runtime(repository: Path, model: str = MODEL) -> None:
    """Refuse a repository that Triton would serve with other code than this process has.

    Raises:
        RuntimeMismatchError: it was built by another version.
    """
    for package in SERVED_PACKAGES:
        served = repository / EnsembleNames(model).detector / "1" / package
        if python_files(served) != python_files(package_directory(package)):
            raise RuntimeMismatchError(
                f"{repository} was built by another version of vfnet: build it anew to use it here"
            )


def package_directory(name: str) -> Path:
    """Where one of `SERVED_PACKAGES` is installed."""
    return Path({"vfnet_runtime": vfnet_runtime, "vfnet_images": vfnet_images}[name].__path__[0])


def python_files(folder: Path) -> dict[str, bytes]:
    """The contents of all Python files below a folder, by relative path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.py"))}


def network_input(repository: Path, image: bytes) -> tuple[Any, Any]:
    """What `vfnet_preprocess` makes of an encoded image.

    Returns:
        pixels uint8 [1, H, W, 3] and valid_shape int32 [1, 2].

    Raises:
        ValueError: it is not an image that can be read.
    """
    parameters = served_parameters(repository, EnsembleNames(MODEL).preprocess)
    longest, shortest = (int(side) for side in parameters["img_scale"].split(","))
    decoded = decode_image(image, int(parameters["max_image_pixels"]))
    resized = resize_onto_canvas(decoded, (longest, shortest), int(parameters["size_divisor"]))
    return resized.pixels, resized.valid_shape
