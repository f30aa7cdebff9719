"""From names, arrays and URLs to encoded bytes."""

from __future__ import annotations

import asyncio
import base64
import io
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vfnet_client import images
from vfnet_client.contract import ImageURL
from vfnet_client.exceptions import CommandError, InvalidImageError
from vfnet_client.images import ImageLoader, encode_png, expand


class QuietServer(ThreadingHTTPServer):
    """Says nothing of clients that leave before their answer: that is what some tests are about."""

    def handle_error(self, *_: object) -> None:
        pass


class Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/image.png")
        elif self.path == "/loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
        else:
            self.send_response({"/image.png": 200, "/large": 200, "/slow": 200}.get(self.path, 404))
        self.end_headers()
        if self.path == "/slow":
            time.sleep(1)
        self.wfile.write(b"x" * 3000 if self.path == "/large" else b"the image")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = QuietServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def load(image: Any) -> bytes:
    async def once() -> bytes:
        loader = ImageLoader()
        try:
            return await loader.load(image)
        finally:
            await loader.close()

    return asyncio.run(once())


def test_a_folder_is_its_images_by_name_without_hidden_files_and_subfolders(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "c.tiff", "notes.txt", "._a.png", "d.webp.part"):
        (tmp_path / name).touch()
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "e.png").touch()
    assert [source.location for source in expand([str(tmp_path)])] == [
        tmp_path / name for name in ("a.png", "b.JPG", "c.tiff")
    ]


def test_arguments_keep_their_order(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    sources = expand(["HTTP://host/x.jpg?y=z", str(tmp_path), "missing.png"])
    assert [source.location for source in sources] == [
        ImageURL("HTTP://host/x.jpg?y=z"),
        tmp_path / "a.png",
        Path("missing.png"),
    ]
    assert [source.stem for source in sources] == ["x", "a", "missing"]


@pytest.mark.parametrize(
    ("url", "stem"), [("http://host", "image"), ("http://host/a%20b.jpg", "a b"), ("http://host/%2e%2e%2fetc", "etc")]
)
def test_a_url_lends_a_file_name_that_leads_nowhere_else(url: str, stem: str) -> None:
    assert expand([url])[0].stem == stem


def test_a_folder_without_images_is_said_to_hold_none(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="holds no image"):
        expand([str(tmp_path)])


def test_bytes_paths_and_urls_are_loaded_as_they_are(tmp_path: Path, site: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"the image")
    url = f"{site}/image.png"
    for image in (b"the image", bytearray(b"the image"), memoryview(b"the image"), path, str(path), url, ImageURL(url)):
        assert load(image) == b"the image"


def test_redirects_are_followed(site: str) -> None:
    assert load(f"{site}/moved") == b"the image"


@pytest.mark.parametrize(
    ("path", "reason"), [("/gone", "answered with status 404"), ("/loop", "redirects more than 5 times")]
)
def test_a_url_that_gives_no_image_says_what_it_gave(site: str, path: str, reason: str) -> None:
    with pytest.raises(InvalidImageError, match=reason):
        load(site + path)


def test_a_download_stops_at_the_size_cap(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_DOWNLOAD_BYTES", 2999)
    with pytest.raises(InvalidImageError, match="is larger than"):
        load(f"{site}/large")
    monkeypatch.setattr(images, "MAX_DOWNLOAD_BYTES", 3000)
    assert len(load(f"{site}/large")) == 3000


def test_a_download_ends_at_its_time_out(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "DOWNLOAD_TIMEOUT_S", 0.2)
    with pytest.raises(InvalidImageError, match=r"did not arrive from its URL within 0\.2 s"):
        load(f"{site}/slow")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1/a.png", r"no connection to 127\.0\.0\.1"),
        ("http://", "has no host"),
        ("http://a b/", "is not valid"),
        ("http://[::1", "is not valid"),
        ("http://x:y/", "is not valid"),
    ],
)
def test_a_url_nobody_answers_at_is_an_invalid_image(url: str, reason: str) -> None:
    with pytest.raises(InvalidImageError, match=reason):
        load(url)


def test_a_file_that_cannot_be_read_is_an_invalid_image(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.png", tmp_path, "null\0byte"):
        with pytest.raises(InvalidImageError, match="cannot read"):
            load(path)


@pytest.mark.parametrize("begins", ["", "data:image/png;base64,"])
@pytest.mark.parametrize("size", [(8, 8), (900, 700)])
def test_a_picture_in_base64_is_no_path_and_said_to_be_none(begins: str, size: tuple[int, int]) -> None:
    text = begins + base64.encodebytes(encode_png(Image.new("RGB", size))).decode()
    with pytest.raises(InvalidImageError, match=r"^this text is a picture in base64 and no path: decode it first"):
        load(text)
    with pytest.raises(InvalidImageError, match="cannot read cGhvdG8="):  # base64, and of no picture
        load("cGhvdG8=")


def test_arrays_and_pil_images_become_png_without_loss() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (17, 31, 3), dtype=np.uint8)
    for image in (pixels, pixels[:, ::-1][:, ::-1], Image.fromarray(pixels)):
        with Image.open(io.BytesIO(load(image))) as decoded:
            assert (decoded.format, decoded.mode) == ("PNG", "RGB")
            assert np.array_equal(np.asarray(decoded), pixels)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV", "I", "I;16", "F"])
def test_pil_images_of_every_mode_are_encoded(mode: str) -> None:
    with Image.open(io.BytesIO(encode_png(Image.new(mode, (3, 2))))) as decoded:
        assert decoded.size == (3, 2)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        3,
        None,
    ],
)
def test_what_is_no_rgb_image_is_refused(image: Any) -> None:
    with pytest.raises(InvalidImageError, match=r"expected a uint8 array|cannot make an image"):
        load(image)
