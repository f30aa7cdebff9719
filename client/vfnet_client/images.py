"""From what a person names or holds to encoded image bytes."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote, urlsplit

from vfnet_client.contract import ImageURL, is_url
from vfnet_client.exceptions import CommandError, InvalidImageError

if TYPE_CHECKING:
    import httpx
    import numpy as np
    import PIL.Image

ImageLike: TypeAlias = (
    "bytes | bytearray | memoryview | str | os.PathLike[str] | ImageURL | PIL.Image.Image | np.ndarray[Any, Any]"
)
"""Encoded bytes, a path, an http(s) URL, a PIL image, or uint8 [H, W, 3] in RGB order."""

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
MAX_DOWNLOAD_BYTES = 100 * 10**6
CONNECT_TIMEOUT_S, DOWNLOAD_TIMEOUT_S = 10.0, 60.0


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


def expand(arguments: Iterable[str]) -> list[Source]:
    """Files and URLs as they are, a folder as its images sorted by name (not its subfolders').

    Whether a file exists is found out when it is read.

    Raises:
        CommandError: a folder holds no image.
    """
    sources = []
    for argument in arguments:
        if is_url(argument):
            sources.append(Source(argument, ImageURL(argument)))
        elif Path(argument).is_dir():
            sources.extend(Source(_printable(str(path)), path) for path in _images_in(Path(argument)))
        else:
            sources.append(Source(_printable(argument), Path(argument)))
    return sources


def _printable(name: str) -> str:
    """A file name may hold bytes that are no text."""
    return name.encode(errors="backslashreplace").decode()


def _images_in(folder: Path) -> list[Path]:
    # A leading dot also marks what macOS leaves beside every file on a foreign disk.
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in EXTENSIONS and not p.name.startswith("."))
    if not found:
        raise CommandError(f"{folder} holds no image ({', '.join(sorted(EXTENSIONS))})")
    return found


class ImageLoader:
    """Reads files, encodes arrays and fetches URLs. To be used by one event loop."""

    def __init__(self) -> None:
        self._http: httpx.AsyncClient | None = None

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
            return await asyncio.to_thread(_read, Path(image))
        return await asyncio.to_thread(encode_png, image)

    async def fetch(self, url: str) -> bytes:
        """Download an image: redirects are followed, any host is good. For URLs a person named, not a stranger's.

        Raises:
            InvalidImageError: no answer in time, not a 2xx, or over `MAX_DOWNLOAD_BYTES`.
        """
        import httpx

        if self._http is None:
            timeout = httpx.Timeout(DOWNLOAD_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
            self._http = httpx.AsyncClient(follow_redirects=True, max_redirects=5, timeout=timeout)
        try:
            async with asyncio.timeout(DOWNLOAD_TIMEOUT_S):
                return await self._download(self._http, url)
        except (httpx.TimeoutException, TimeoutError) as error:
            raise InvalidImageError(f"{url} did not arrive in time") from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
            raise InvalidImageError(f"cannot fetch {url}: {str(error) or type(error).__name__}") from error

    async def _download(self, http: httpx.AsyncClient, url: str) -> bytes:
        async with http.stream("GET", url) as answer:
            if not answer.is_success:
                raise InvalidImageError(f"{url} answered {answer.status_code} {answer.reason_phrase}".rstrip())
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_DOWNLOAD_BYTES:
                    raise InvalidImageError(f"{url} is larger than {MAX_DOWNLOAD_BYTES // 10**6} MB")
            return bytes(body)

    async def close(self) -> None:
        """Give the connections back."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None


def encode_png(image: PIL.Image.Image | np.ndarray[Any, Any]) -> bytes:
    """A PIL image, or a uint8 array [H, W, 3] in RGB order, as PNG.

    Lossless but for modes that PNG has no word for, which become RGB.

    Raises:
        InvalidImageError: it is neither.
    """
    import numpy as np
    from PIL import Image

    from vfnet_client.rgb import as_rgb

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


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidImageError(f"cannot read {path}: {reason}") from error
