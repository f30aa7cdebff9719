"""Bad and unusual images sent to the real server: an answer or a clear error each, and no harm done."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
from PIL import Image
from sklearn.datasets import load_sample_image
from tritonclient.utils import InferenceServerException

from served_inference import EVERY_OUTPUT, infer
from shared_data import SHARED, needs_shared
from triton_server import ServedRepository

pytestmark = pytest.mark.served

MODELS = ("vfnet_preprocess", "vfnet_detector", "vfnet_postprocess")
Answer = dict[str, np.ndarray]


def encoded(image: Image.Image, format_name: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format_name, **options)
    return out.getvalue()


def assert_same(found: Answer, expected: Answer) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


def processes(served: ServedRepository) -> dict[str, set[int]]:
    return {model: {process.pid for process in served.model_processes(model)} for model in MODELS}


@pytest.fixture(scope="module")
def processes_at_first(server: ServedRepository) -> dict[str, set[int]]:
    found = processes(server)
    assert {model: len(pids) for model, pids in found.items()} == dict(zip(MODELS, (2, 1, 2), strict=True))
    return found


@pytest.fixture
def unharmed(
    server: ServedRepository, good_image: bytes, good_answer: Answer, processes_at_first: dict[str, set[int]]
) -> Iterator[None]:
    """After the test the server answers as before, by the same processes."""
    yield
    assert_same(infer(server, good_image, EVERY_OUTPUT), good_answer)
    assert processes(server) == processes_at_first


@pytest.mark.usefixtures("unharmed")
def test_what_is_no_image_is_the_callers_error_with_a_reason(
    server: ServedRepository, good_image: bytes, encoded_images: dict[str, bytes]
) -> None:
    jpeg = encoded_images["jpeg"]
    assert_refused(server, b"this is no image", "not an image in a known format")
    assert_refused(server, b"<html><body>404 Not Found</body></html>", "not an image in a known format")
    assert_refused(server, b"", r"the image is empty \(0 bytes\)")
    assert_refused(server, jpeg[: len(jpeg) - 100], "the JPEG image is truncated or damaged")
    assert_refused(server, good_image[: len(good_image) // 2], "the PNG image is truncated or damaged")
    assert_refused(server, good_image[:20], "the PNG file cannot be opened: it is truncated")


@pytest.mark.usefixtures("unharmed")
def test_headers_that_lie_about_the_size_are_the_callers_error(
    server: ServedRepository, oversized: dict[str, bytes], without_pixels: dict[str, bytes]
) -> None:
    for data in oversized.values():
        assert_refused(server, data, "the image is too large: ")
    for data in without_pixels.values():
        assert_refused(server, data, r"the \w+ file cannot be opened: .*claims no pixels")


def assert_refused(served: ServedRepository, image: bytes, reason: str) -> None:
    for protocol, status in (("grpc", "StatusCode.INVALID_ARGUMENT"), ("http", "400")):
        with pytest.raises(InferenceServerException) as caught:
            infer(served, image, protocol=protocol)
        assert caught.value.status() == status
        # Triton itself says which ensemble it was.
        assert re.match(rf"(in ensemble 'vfnet', )?{reason}", caught.value.message())
        assert not re.search(r"Traceback| at 0x|\.py", caught.value.message())


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize("size", [(1, 1), (60, 1000), (1000, 60), (20000, 1), (1, 20000)])
def test_any_size_is_answered(server: ServedRepository, size: tuple[int, int]) -> None:
    image = encoded(Image.fromarray(load_sample_image("flower.jpg")).resize(size), "PNG")
    answer = infer(server, image, EVERY_OUTPUT)
    width, height = size
    assert (answer["BOXES"] >= 0).all()
    # mmdet clips to the resized image; back in the stored frame that is exact but for the last bits
    assert (answer["BOXES"] <= np.array([width, height, width, height]) * (1 + 1e-6)).all()


@pytest.mark.usefixtures("unharmed")
def test_unusual_encodings_get_the_answer_of_the_pixels_they_hold(
    server: ServedRepository, good_image: bytes, good_answer: Answer
) -> None:
    image = Image.open(io.BytesIO(good_image)).convert("RGB")
    palette, grey = image.quantize(), np.asarray(image.convert("L"))
    transparent = image.convert("RGBA")
    transparent.putalpha(0)
    same = [
        encoded(transparent, "PNG"),
        encoded(image.convert("CMYK"), "TIFF"),
        encoded(image, "PNG", save_all=True, append_images=[image.rotate(180)]),
        encoded(image, "WEBP", lossless=True, save_all=True, append_images=[image.rotate(180)]),
    ]
    pairs = [
        (encoded(palette, "GIF", save_all=True, append_images=[palette.rotate(180)]), encoded(palette, "PNG")),
        (encoded(Image.fromarray(grey.astype(np.uint16) * 257), "PNG"), encoded(Image.fromarray(grey), "PNG")),
    ]
    for each in same:
        assert_same(infer(server, each, EVERY_OUTPUT), good_answer)
    for each, plain in pairs:
        expected = infer(server, plain, EVERY_OUTPUT)
        assert len(expected["SCORES"]) > 0
        assert_same(infer(server, each, EVERY_OUTPUT), expected)


@pytest.mark.usefixtures("unharmed")
def test_cmyk_jpegs_are_answered(server: ServedRepository, encoded_images: dict[str, bytes]) -> None:
    for name in ("jpeg CMYK", "jpeg YCCK"):
        assert infer(server, encoded_images[name], EVERY_OUTPUT).keys() == set(EVERY_OUTPUT)


def preprocess(client: Any, image: bytes) -> tuple[np.ndarray, np.ndarray]:
    """PIXELS and GEOMETRY of `vfnet_preprocess` alone; asked for everything it would take a place in the ensemble."""
    tensor = tritonclient.grpc.InferInput("IMAGE", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([image], np.object_))
    outputs = [tritonclient.grpc.InferRequestedOutput(name) for name in ("PIXELS", "GEOMETRY")]
    result = client.infer("vfnet_preprocess", [tensor], outputs=outputs)
    return result.as_numpy("PIXELS"), result.as_numpy("GEOMETRY")


@needs_shared
@pytest.mark.usefixtures("unharmed")
def test_the_whole_of_pngsuite_is_decoded_or_refused_with_a_reason(server: ServedRepository) -> None:
    paths = sorted((SHARED / "data" / "pngsuite").glob("*.png"))
    assert len(paths) == 175
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        for path in paths:
            if path.name.startswith("x"):
                with pytest.raises(InferenceServerException, match=r"PNG|not an image in a known format") as caught:
                    preprocess(client, path.read_bytes())
                assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
            else:
                _, geometry = preprocess(client, path.read_bytes())
                with Image.open(path) as image:
                    assert geometry[0, :2].tolist() == [image.width, image.height], path.name


@needs_shared
@pytest.mark.usefixtures("unharmed")
def test_the_whole_of_exif_orient_is_seen_as_it_is_stored(server: ServedRepository) -> None:
    paths = sorted((SHARED / "data" / "exif_orient").glob("*.jpg"))
    assert len(paths) == 18
    turned = 0
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        for path in paths:
            _, geometry = preprocess(client, path.read_bytes())
            with Image.open(path) as image:
                assert geometry[0, :2].tolist() == [image.width, image.height]
                turned += image.getexif().get(0x0112, 1) >= 5
    assert turned == 8


@pytest.mark.usefixtures("unharmed")
def test_a_rotated_photo_gets_the_answer_of_its_stored_pixels(server: ServedRepository, good_image: bytes) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(io.BytesIO(good_image)).convert("RGB")
    plain, rotated = encoded(image, "JPEG"), encoded(image, "JPEG", exif=exif)
    assert plain != rotated
    assert_same(infer(server, rotated, EVERY_OUTPUT), infer(server, plain, EVERY_OUTPUT))


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize("count", [0, 2])
def test_one_request_holds_one_image(server: ServedRepository, good_image: bytes, count: int) -> None:
    images = [good_image] * count
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        tensor = tritonclient.grpc.InferInput("IMAGE", [count], "BYTES")
        tensor.set_data_from_numpy(np.array(images, np.object_))
        with pytest.raises(InferenceServerException, match="IMAGE") as caught:
            client.infer("vfnet", [tensor])
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
