"""The encoded bytes of an entry, wherever they are."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vfnet_batch.entries import Entry
from vfnet_batch.errors import BatchError
from vfnet_batch.fetch_settings import FetchSettings
from vfnet_client.bounded_files import read_file
from vfnet_client.contract import is_url
from vfnet_client.exceptions import InvalidImageError
from vfnet_client.image_files import why_unreadable
from vfnet_client.images import MAX_DOWNLOAD_BYTES, ImageLoader
from vfnet_client.safe_text import printable_line
from vfnet_client.url_images.url_images import FetchFailedError

_REMOTE_TRIES = 3
_FIRST_PAUSE_S = 0.5
_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_PIXELS = 10**12
"""The server has judged it."""


class ImageReader:
    """Reads several images at once, on threads of its own. To be used by one event loop.

    Args:
        fetching: where URLs may lead; by default to public hosts, over http and https.
    """

    def __init__(self, threads: int, fetching: FetchSettings | None = None) -> None:
        self._threads = ThreadPoolExecutor(threads, "vfnet-batch-reading")
        self._fetching = fetching or FetchSettings()
        self._loader = ImageLoader(self._fetching.policy)

    async def read(self, entry: Entry) -> bytes:
        """The bytes, from a remote place after several tries.

        Raises:
            InvalidImageError: there are none; the reason does not name the image, for the row does.
        """
        if entry.problem is not None:
            raise InvalidImageError(entry.problem)
        if "://" not in entry.location:
            return await asyncio.get_running_loop().run_in_executor(self._threads, _read_file, entry)
        pause = _FIRST_PAUSE_S
        for _ in range(_REMOTE_TRIES - 1):
            try:
                return await self._fetch(entry.location)
            except FetchFailedError:
                await asyncio.sleep(pause)
                pause *= 2
        return await self._fetch(entry.location)

    async def close(self) -> None:
        """Give threads and connections back."""
        self._threads.shutdown(cancel_futures=True)
        await self._loader.close()

    async def _fetch(self, url: str) -> bytes:
        if (refusal := self._fetching.refusal(url)) is not None:
            raise InvalidImageError(refusal)
        if not is_url(url):
            return await asyncio.get_running_loop().run_in_executor(self._threads, _read_url, url)
        return await self._loader.fetch(url)


def stored_size(encoded: bytes) -> tuple[int, int] | None:
    """Width and height of an image that a server could read; None where they cannot be told from its header."""
    if encoded.startswith(_PNG) and len(encoded) >= 24:
        return int.from_bytes(encoded[16:20], "big"), int.from_bytes(encoded[20:24], "big")
    from vfnet_images import decoding

    try:
        return decoding.stored_size(encoded, _MOST_PIXELS)
    except decoding.ImageError:
        return None


def _read_file(entry: Entry) -> bytes:
    path = Path(entry.location)
    try:
        if entry.cell is not None:
            from vfnet_batch.inputs.tables import read_cell

            return read_cell(path, entry.cell)
        return read_file(path, MAX_DOWNLOAD_BYTES)
    except OSError as error:
        raise InvalidImageError(f"it {why_unreadable(path, error)}") from error


def _read_url(url: str) -> bytes:
    from vfnet_batch.inputs.object_stores import open_store

    try:
        store, path = open_store(url)
        content = bytes(store.cat_file(path, 0, MAX_DOWNLOAD_BYTES + 1))
    except FileNotFoundError as error:
        raise InvalidImageError("there is no such file") from error
    except BatchError as error:
        raise InvalidImageError(str(error).replace(url, "it")) from error
    except Exception as error:  # each driver has exceptions of its own
        reason = (str(error) or type(error).__name__).replace(url, "it")
        raise FetchFailedError(printable_line(f"cannot be read: {reason}", 500)) from error
    if len(content) > MAX_DOWNLOAD_BYTES:
        raise InvalidImageError(f"it is larger than {MAX_DOWNLOAD_BYTES // 10**6} MB")
    return content
