"""Image files of every kind that callers send, good and bad, made of one photo."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from served_inference import EVERY_OUTPUT, infer
from triton_server import ServedRepository

WIDTH, HEIGHT = 53, 37


def save(image: Image.Image, format_name: str, **options: Any) -> bytes:
    out = io.BytesIO()
    # A copy each time: Pillow leaves one encoder's settings on the image for the next.
    if "append_images" in options:
        options["append_images"] = [each.copy() for each in options["append_images"]]
    image.copy().save(out, format_name, **options)
    return out.getvalue()


def small_photo() -> Image.Image:
    return Image.fromarray(load_sample_image("flower.jpg")).resize((WIDTH, HEIGHT))


def with_alpha(image: Image.Image) -> Image.Image:
    """Every alpha from 0 on, over colours that compositing would change."""
    result = image.copy()
    result.putalpha(Image.fromarray(np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(np.uint8)))
    return result


def ycck(photo: Image.Image) -> bytes:
    """A CMYK JPEG whose Adobe marker says that its colours are YCCK."""
    data = bytearray(save(photo.convert("CMYK"), "JPEG", quality=95))
    data[data.index(b"Adobe") + 11] = 2
    return bytes(data)


def ppm_text(photo: Image.Image) -> bytes:
    values = " ".join(map(str, np.asarray(photo).ravel().tolist()))
    return f"P3\n# made by hand\n{WIDTH} {HEIGHT}\n255\n{values}\n".encode()


def grey(photo: Image.Image, dtype: type, factor: float) -> Image.Image:
    return Image.fromarray((np.asarray(photo.convert("L")) * np.float64(factor)).astype(dtype))


def moving(photo: Image.Image, format_name: str, **options: Any) -> bytes:
    """Several frames; the photo is the first, its negative the second."""
    negative = Image.fromarray(255 - np.asarray(photo))
    return save(photo, format_name, save_all=True, append_images=[negative], **options)


ENCODINGS: dict[str, Callable[[Image.Image], bytes]] = {
    "jpeg": lambda photo: save(photo, "JPEG", quality=90),
    "jpeg progressive": lambda photo: save(photo, "JPEG", progressive=True),
    "jpeg grey": lambda photo: save(photo.convert("L"), "JPEG"),
    "jpeg 4:4:4": lambda photo: save(photo, "JPEG", subsampling=0),
    "jpeg RGB": lambda photo: save(photo, "JPEG", keep_rgb=True),
    "jpeg CMYK": lambda photo: save(photo.convert("CMYK"), "JPEG", quality=95),
    "jpeg YCCK": ycck,
    "mpo": lambda photo: moving(photo, "MPO"),
    "png": lambda photo: save(photo, "PNG"),
    "png 1 bit": lambda photo: save(photo.convert("1"), "PNG"),
    "png grey 16 bit": lambda photo: save(grey(photo, np.uint16, 256.9), "PNG"),
    "png LA": lambda photo: save(with_alpha(photo.convert("L")), "PNG"),
    "png RGBA": lambda photo: save(with_alpha(photo), "PNG"),
    "png palette transparent": lambda photo: save(photo.quantize(), "PNG", transparency=bytes(range(0, 256, 2))),
    "apng": lambda photo: moving(photo, "PNG"),
    "apng default image": lambda photo: moving(photo, "PNG", default_image=True),
    "gif": lambda photo: save(photo.quantize(), "GIF"),
    "gif transparent": lambda photo: save(photo.quantize(), "GIF", transparency=7),
    "gif animated": lambda photo: moving(photo.quantize(), "GIF"),
    "webp": lambda photo: save(photo, "WEBP"),
    "webp lossless": lambda photo: save(photo, "WEBP", lossless=True),
    "webp alpha": lambda photo: save(with_alpha(photo), "WEBP"),
    "webp lossless alpha": lambda photo: save(with_alpha(photo), "WEBP", lossless=True, exact=True),
    "webp animated": lambda photo: moving(photo, "WEBP"),
    "bmp": lambda photo: save(photo, "BMP"),
    "bmp 1 bit": lambda photo: save(photo.convert("1"), "BMP"),
    "bmp palette": lambda photo: save(photo.quantize(), "BMP"),
    "bmp alpha": lambda photo: save(with_alpha(photo), "BMP"),
    "tiff": lambda photo: save(photo, "TIFF"),
    "tiff LZW": lambda photo: save(photo, "TIFF", compression="tiff_lzw"),
    "tiff deflate": lambda photo: save(photo, "TIFF", compression="tiff_adobe_deflate"),
    "tiff JPEG": lambda photo: save(photo, "TIFF", compression="jpeg"),
    "tiff 1 bit": lambda photo: save(photo.convert("1"), "TIFF"),
    "tiff fax": lambda photo: save(photo.convert("1"), "TIFF", compression="group4"),
    "tiff CMYK": lambda photo: save(photo.convert("CMYK"), "TIFF"),
    "tiff RGBA": lambda photo: save(with_alpha(photo), "TIFF"),
    "tiff grey 16 bit": lambda photo: save(grey(photo, np.uint16, 256.9), "TIFF"),
    "tiff int32": lambda photo: save(grey(photo, np.int32, 256.9), "TIFF"),
    "tiff float 0..1": lambda photo: save(grey(photo, np.float32, 1 / 255), "TIFF"),
    "tiff float 0..255": lambda photo: save(grey(photo, np.float32, 1), "TIFF"),
    "tiff pages": lambda photo: moving(photo, "TIFF"),
    "ppm": lambda photo: save(photo, "PPM"),
    "ppm grey": lambda photo: save(photo.convert("L"), "PPM"),
    "ppm 1 bit": lambda photo: save(photo.convert("1"), "PPM"),
    "ppm grey 16 bit": lambda photo: save(grey(photo, np.uint16, 256.9), "PPM"),
    "ppm text": ppm_text,
    "jpeg 2000": lambda photo: save(photo, "JPEG2000"),
    "jpeg 2000 lossy": lambda photo: save(photo, "JPEG2000", irreversible=True, quality_mode="dB", quality_layers=[40]),
    "jpeg 2000 RGBA": lambda photo: save(with_alpha(photo), "JPEG2000"),
    "jpeg 2000 grey 16 bit": lambda photo: save(grey(photo, np.uint16, 256.9), "JPEG2000"),
    "jpeg 2000 codestream": lambda photo: save(photo, "JPEG2000", no_jp2=True),
}


def png_chunk(kind: bytes, contents: bytes) -> bytes:
    return struct.pack(">I", len(contents)) + kind + contents + struct.pack(">I", zlib.crc32(kind + contents))


def png_claiming(width: int, height: int) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rest = png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + rest


def patched(data: bytes, at: int, layout: str, *values: int) -> bytes:
    """`data` with `values`, packed, in place of what is there."""
    result = bytearray(data)
    struct.pack_into(layout, result, at, *values)
    return bytes(result)


def jpeg_claiming(photo: Image.Image, width: int, height: int) -> bytes:
    data = save(photo, "JPEG")
    return patched(data, data.index(b"\xff\xc0") + 5, ">HH", height, width)


def tiff_claiming(photo: Image.Image, width: int, height: int, **options: Any) -> bytes:
    data = save(photo, "TIFF", **options)
    (directory,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, directory)
    for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
        (tag,) = struct.unpack_from("<H", data, entry)
        if tag in (256, 257, 278):  # ImageWidth, ImageLength, RowsPerStrip
            data = patched(data, entry + 2, "<HII", 4, 1, width if tag == 256 else height)
    return data


def gif_with_huge_frame() -> bytes:
    """One pixel of screen, but a frame of 60000 x 60000 that is to be cleared afterwards."""
    screen = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    cleared = b"\x21\xf9\x04\x08\0\0\0\0"
    frame = b"," + struct.pack("<HHHHB", 0, 0, 60000, 60000, 0) + b"\x02\x02\x44\x01\0"
    return screen + cleared + frame + b";"


def oversized_images(photo: Image.Image) -> dict[str, bytes]:
    lossy, animated = save(photo, "WEBP"), moving(photo, "WEBP")
    # VP8X holds width - 1 and height - 1 in 24 bits each; 16384 is WebP's own limit.
    vp8x = animated.index(b"VP8X") + 12
    return {
        "png": png_claiming(60000, 60000),
        "png of 2**31 - 1": png_claiming(2**31 - 1, 2**31 - 1),
        "jpeg": jpeg_claiming(photo, 60000, 60000),
        "gif": patched(save(photo.quantize(), "GIF"), 6, "<HH", 60000, 60000),
        "gif frame": gif_with_huge_frame(),
        "bmp": patched(save(photo, "BMP"), 18, "<ii", 60000, 60000),
        "webp": patched(lossy, lossy.index(b"\x9d\x01\x2a") + 3, "<HH", 16383, 16383),
        "webp animated": patched(animated, vp8x, "<HBHB", 16382, 0, 16382, 0),
        "tiff": tiff_claiming(photo, 60000, 60000),
        "tiff LZW": tiff_claiming(photo, 60000, 60000, compression="tiff_lzw"),
    }


@pytest.fixture(scope="module", autouse=True)
def _pillows_own_limit() -> Iterator[None]:
    """`decode_image` sets Pillow's limit for its whole process; here others share that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
        yield


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """uint8 [37, 53, 3] RGB: what every one of `encoded_images` shows first."""
    return np.asarray(small_photo())


@pytest.fixture(scope="session")
def encoded_images() -> dict[str, bytes]:
    """The photo in every format and mode that is decoded."""
    return {name: encode(small_photo()) for name, encode in ENCODINGS.items()}


@pytest.fixture(params=ENCODINGS)
def encoding(request: pytest.FixtureRequest) -> str:
    """Each key of `encoded_images`."""
    return str(request.param)


@pytest.fixture
def encoded_image(encoding: str, encoded_images: dict[str, bytes]) -> bytes:
    """Each value of `encoded_images`."""
    return encoded_images[encoding]


@pytest.fixture(scope="session")
def oversized() -> dict[str, bytes]:
    """Small files whose headers claim more than 10**8 pixels."""
    return oversized_images(small_photo())


@pytest.fixture(scope="session")
def without_pixels() -> dict[str, bytes]:
    """Files whose headers claim a width or height of 0."""
    photo = small_photo()
    return {
        "png": png_claiming(0, 5),
        "jpeg": jpeg_claiming(photo, 0, 0),
        "gif": b"GIF89a" + bytes(7) + b"," + bytes(9) + b"\x02\x01\0\0;",
        "bmp": patched(save(photo, "BMP"), 18, "<ii", 0, 0),
        "tiff": tiff_claiming(photo, 0, 37),
    }


@pytest.fixture(scope="session")
def png_with_metadata() -> dict[str, bytes]:
    """The photo as PNG with metadata that unpacks to 50 MB, or is long as it is."""
    data, packed = save(small_photo(), "PNG"), zlib.compress(bytes(50 * 2**20))
    chunks = {
        "zTXt": png_chunk(b"zTXt", b"key\0\0" + packed),
        "iTXt": png_chunk(b"iTXt", b"key\0\1\0\0\0" + packed),
        "iCCP": png_chunk(b"iCCP", b"profile\0\0" + packed),
        "tEXt": png_chunk(b"tEXt", b"key\0" + bytes(65 * 2**20)),
    }
    # after the signature and IHDR
    return {name: data[:33] + chunk + data[33:] for name, chunk in chunks.items()}


@pytest.fixture(scope="session")
def good_image(server: ServedRepository) -> bytes:
    """Part of a photo as PNG: as little as it takes for the demonstration checkpoint to see several boxes."""
    pixels = load_sample_image("flower.jpg")
    for width in (100, 150, 250, 400):
        image = save(Image.fromarray(pixels[:, 275 - width // 2 : 275 + width // 2]), "PNG")
        if len(infer(server, image)["SCORES"]) > 3:
            break
    return image


@pytest.fixture(scope="session")
def good_answer(server: ServedRepository, good_image: bytes) -> dict[str, np.ndarray]:
    """All outputs for `good_image`, as it was answered alone."""
    answer = infer(server, good_image, EVERY_OUTPUT)
    assert len(answer["SCORES"]) > 3
    return answer
