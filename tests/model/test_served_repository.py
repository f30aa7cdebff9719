"""The modules and parameters of a repository, used outside Triton."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image

from vfnet_model.served_repository import import_served, network_input, served_parameters, template_directory


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


def test_a_served_modules_folder_does_not_stay_on_the_path() -> None:
    before = list(sys.path)
    assert import_served(template_directory(), "vfnet_preprocess", "resizing").resized_size(640, 427, (1333, 800))
    assert sys.path == before


def test_parameters_are_read_from_the_configuration() -> None:
    assert served_parameters(template_directory(), "vfnet_preprocess")["size_divisor"] == "32"
