"""A built repository, used without Triton."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vfnet_build.template import template_directory
from vfnet_model.detectors.repository_detector import RepositoryDetector
from vfnet_model.served_repository import SERVED_PACKAGES, RuntimeMismatchError, network_input, served_parameters


def test_the_networks_input_is_resized_and_padded_as_when_served() -> None:
    encoded = io.BytesIO()
    Image.new("RGB", (640, 427), (200, 100, 50)).save(encoded, "PNG")
    pixels, valid_shape = network_input(template_directory(), encoded.getvalue())
    assert (pixels.dtype, pixels.shape) == (np.uint8, (1, 800, 1216, 3))
    assert valid_shape.tolist() == [[800, 1199]]
    assert pixels[0, 799, 1198].tolist() == [200, 100, 50]
    assert not pixels[0, :, 1199:].any()


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ValueError, match="not an image"):
        network_input(template_directory(), b"no image")


def test_parameters_are_read_from_the_configuration() -> None:
    assert served_parameters(template_directory(), "vfnet_preprocess")["size_divisor"] == "32"


def test_a_repository_of_another_version_is_refused(demo_repository: Path, tmp_path: Path) -> None:
    other = shutil.copytree(demo_repository, tmp_path / "repository")
    with (other / "vfnet_detector" / "1" / SERVED_PACKAGES[0] / "candidates.py").open("a") as module:
        module.write("# another version\n")
    with pytest.raises(RuntimeMismatchError, match="built by another version of vfnet: build it anew"):
        RepositoryDetector(other)
