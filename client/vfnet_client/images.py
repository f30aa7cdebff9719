"""Images: from what a person names or holds to encoded bytes, and any of PIL's as 8-bit RGB."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote, urlsplit

from vfnet_client.bounded_files import read_file
from vfnet_client.contract import ImageURL, decode_image_item, is_url
from vfnet_client.exceptions import CommandError, InvalidImageError
from vfnet_client.image_files import PassedOver, images_in, is_folder, why_unreadable
from vfnet_client.safe_text import printable_line, shown_reference
from vfnet_images.kinds import HEAD_BYTES, NAMES, kind_of

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image

    from vfnet_client.url_images.address_policy import AddressPolicy
    from vfnet_client.url_images.url_images import URLImageFetcher

ImageLike: TypeAlias = (
    "bytes | bytearray | memoryview | str | os.PathLike[str] | ImageURL | PIL.Image.Image | np.ndarray[Any, Any]"
)
"""Encoded bytes, a path, an http(s) URL, a PIL image, or uint8 [H, W, 3] in RGB order."""

MAX_DOWNLOAD_BYTES = 100 * 10**6
"""Of an image from a URL."""
MAX_FILE_BYTES = 1 << 30
"""Of an image in a file."""
CONNECT_TIMEOUT_S, DOWNLOAD_TIMEOUT_S = 10.0, 60.0
_CONNECTIONS = 64
_LONGEST_NAME = 4096
"""Characters, of a path."""


@dataclass(frozen=True)
class Source:
    """An image a person named: a file or a URL, and what to call it in an answer."""

    name: str
    location: Path | ImageURL

    @property
    def stem(self) -> str:
        """The name without folders, query and extension, never empty."""
        path = self.location if isinstance(self.location, Path) else Path(unquote(urlsplit(self.location.url).path))
        return _printable(path.stem).replace("\\", "_") or "image"


def expand(arguments: Iterable[str], passed_over: PassedOver | None = None) -> list[Source]:
    """Files and URLs as they are, a folder as its images sorted by name (not its subfolders').

    Whether a file exists is found out when it is read, and so is why a folder cannot be listed, or holds no image.

    Args:
        passed_over: counts what of the folders is no image.

    Raises:
        CommandError: nothing is named but folders without images.
    """
    passed_over = PassedOver() if passed_over is None else passed_over
    sources, empty = list[Source](), list[str]()
    for argument in arguments:
        if is_url(argument):
            sources.append(Source(_printable(shown_reference(argument)), ImageURL(argument)))
            continue
        found = _images_in(Path(argument), passed_over) if is_folder(Path(argument)) else [Path(argument)]
        sources.extend(Source(_printable(str(path)), path) for path in found or [Path(argument)])
        empty += [] if found else [argument]
    if len(empty) == len(sources):
        told = f"; {passed_over}" if passed_over else ""
        raise CommandError(f"{', '.join(empty)} holds no image ({NAMES} are read){told}")
    return sources


def _printable(name: str) -> str:
    """A file name may hold bytes that are no text, and commands for a terminal."""
    return printable_line(name, _LONGEST_NAME)


def _images_in(folder: Path, passed_over: PassedOver) -> list[Path]:
    """Sorted by name; the folder itself where it cannot be listed."""
    try:
        return sorted(images_in(folder, passed_over))
    except OSError:
        return [folder]


class ImageLoader:
    """Reads files, encodes arrays and fetches URLs. To be used by one event loop.

    Args:
        policy: where URLs may lead. None is for URLs that the person named whose program this is: anywhere.
    """

    def __init__(self, policy: AddressPolicy | None = None) -> None:
        self._policy = policy
        self._fetcher: URLImageFetcher | None = None

    async def load(self, image: ImageLike) -> bytes:
        """The encoded bytes of an image.

        Raises:
            InvalidImageError: it cannot be read, fetched or encoded.
        """
        if isinstance(image, bytes | bytearray | memoryview):
            return bytes(image)
        if isinstance(image, ImageURL):
            return await self.fetch(image.url)
        if isinstance(image, str) and is_url(image):
            return await self.fetch(image)
        if isinstance(image, str | os.PathLike):
            return await asyncio.to_thread(_read, image)
        return await asyncio.to_thread(encode_png, image)

    async def fetch(self, url: str) -> bytes:
        """Download an image, see `URLImageFetcher`: redirects are followed, compressed answers refused.

        Raises:
            InvalidImageError: there is none: no answer in time, not a 2xx, over `MAX_DOWNLOAD_BYTES`, or the policy
                does not permit the address.
        """
        if self._fetcher is None:
            # Here and not at the top: opening certificates takes time, and most callers hold bytes or files.
            from vfnet_client.url_images.address_policy import AddressPolicy
            from vfnet_client.url_images.url_images import FetchLimits, URLImageFetcher

            limits = FetchLimits(
                MAX_DOWNLOAD_BYTES, CONNECT_TIMEOUT_S, DOWNLOAD_TIMEOUT_S, max_connections=_CONNECTIONS
            )
            self._fetcher = URLImageFetcher(
                self._policy or AddressPolicy.of_own_urls(),
                limits,
                own_urls=self._policy is None,
                user_agent="vfnet-client",
            )
        return await self._fetcher.fetch(url)

    async def close(self) -> None:
        """Give the connections back."""
        fetcher, self._fetcher = self._fetcher, None
        if fetcher is not None:
            await fetcher.close()


def encode_png(image: PIL.Image.Image | np.ndarray[Any, Any]) -> bytes:
    """A PIL image, or a uint8 array [H, W, 3] in RGB order, as PNG.

    Lossless but for modes that PNG has no word for, which become RGB.

    Raises:
        InvalidImageError: it is neither.
    """
    import numpy as np
    from PIL import Image

    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise InvalidImageError(f"expected a uint8 array [H, W, 3], got {image.dtype} {list(image.shape)}")
        picture = Image.fromarray(image)
    elif isinstance(image, Image.Image):
        picture = image
    else:
        raise InvalidImageError(f"cannot make an image of {type(image).__name__}")
    encoded = io.BytesIO()
    try:
        storable = picture.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
        (picture if storable else as_rgb(picture)).save(encoded, "PNG", compress_level=1)
    except (OSError, ValueError, SyntaxError) as error:  # PIL reads lazily, so a broken file shows here
        raise InvalidImageError(f"cannot read the PIL image: {error}") from error
    return encoded.getvalue()


def as_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """A new RGB picture of any mode: alpha dropped without compositing, deep samples scaled to 8 bits."""
    from PIL import Image

    image.load()
    if image.mode[0] in "IF":  # convert() would clip these at 255
        import numpy as np

        samples = np.nan_to_num(np.asarray(image, dtype=np.float64))
        top = 65535.0 if image.mode.startswith("I;16") else max(float(samples.max()), 1e-9)
        image = Image.fromarray((samples / top * 255).clip(0, 255).astype(np.uint8))
    if image.mode == "La":  # premultiplied grey, which goes nowhere but to LA
        image = image.convert("LA")
    canvas = Image.new("RGB", image.size)
    canvas.paste(image.convert("RGB"))
    return canvas


def _read(named: str | os.PathLike[str]) -> bytes:
    path = Path(named)
    try:
        return read_file(path, MAX_FILE_BYTES)
    except OSError as error:
        if isinstance(named, str) and _is_picture_in_base64(named):
            raise InvalidImageError(
                "this text is a picture in base64 and no path: decode it first, with base64.b64decode, or send it as a "
                "request to score()"
            ) from error
        why = why_unreadable(path, error)
        raise InvalidImageError(f"cannot read {printable_line(str(path), _LONGEST_NAME)}: it {why}") from error


def _is_picture_in_base64(text: str) -> bool:
    """As requests to `/score` hold pictures, also as a data URI."""
    try:
        found = decode_image_item(text)
    except InvalidImageError:
        return False
    return isinstance(found, bytes) and kind_of(found[:HEAD_BYTES]) is not None
