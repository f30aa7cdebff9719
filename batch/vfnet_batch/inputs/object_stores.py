"""Folders and patterns of URLs, through fsspec: s3, gs, abfs, http and whatever else it has a driver for."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from typing import Any

from vfnet_batch.entries import to_line
from vfnet_batch.errors import BatchError
from vfnet_batch.inputs.source import InputSource
from vfnet_client.contract import is_url
from vfnet_client.image_files import PassedOver
from vfnet_images.kinds import is_image_name

_RAW: dict[str, Any] = {"client_kwargs": {"auto_decompress": False}, "headers": {"Accept-Encoding": "identity"}}
"""For fsspec's http driver: a page that lists a folder is not decompressed, when a few bytes could become gigabytes."""


def url_source(url: str) -> InputSource:
    """All images below a URL, called by their paths relative to it, or those that a pattern in it matches.

    Credentials are found as the driver finds them: environment, configuration files, the machine's identity.

    Raises:
        BatchError: fsspec has no driver for it, or the driver needs a package.
    """
    store, path = open_store(url)
    # A pattern is relative to what stands before it.
    plain = path.rstrip("/") if not glob.has_magic(path) else path[: path.index(next(filter(glob.has_magic, path)))]
    base = plain if not glob.has_magic(path) else plain.rpartition("/")[0]
    root = f"{base}/" if base else ""
    chain, passed_over = url.partition("::"), PassedOver()

    def lines() -> Iterator[str]:
        passed_over.clear()
        for found in _find(store, path, url):
            if hidden := next((part for part in found.split("/") if part.startswith(".")), None):
                passed_over.add(hidden)
            elif not is_image_name(found):  # its content would have to be fetched
                passed_over.add(found.rpartition("/")[2])
            else:
                yield to_line(found.removeprefix(root), location=f"{store.unstrip_protocol(found)}{chain[1]}{chain[2]}")

    return InputSource("URL", url, lines, is_ordered=False, passed_over=passed_over)


def open_store(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the path in it.

    Raises:
        BatchError: it has none, or lacks a package.
    """
    import fsspec

    try:
        is_web = is_url(url) and "::" not in url
        store, path = fsspec.core.url_to_fs(url, use_listings_cache=False, **(_RAW if is_web else {}))
    except (ImportError, ValueError) as error:
        raise BatchError(f"cannot open {url}: {error}") from error
    return store, str(path)


def _find(store: Any, path: str, url: str) -> Iterator[str]:
    """Files, one folder's listing in memory at a time."""
    try:
        if glob.has_magic(path):
            yield from store.glob(path)
            return
        if store.isfile(path) and is_image_name(path):
            yield path
            return
        for folder, _, names in store.walk(path, on_error="raise"):
            for name in names:
                yield f"{folder.rstrip('/')}/{name}" if folder else name
    except Exception as error:  # each driver has exceptions of its own
        raise BatchError(f"cannot list {url}: {type(error).__name__}: {error}") from error
