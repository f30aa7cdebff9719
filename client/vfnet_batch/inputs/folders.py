"""Folders and patterns of files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path

from vfnet_batch.entries import to_line
from vfnet_batch.errors import BatchError
from vfnet_batch.inputs.source import InputSource
from vfnet_client.images import EXTENSIONS


def folder_source(folder: Path, excluded: Path) -> InputSource:
    """All images below a folder, called by their paths relative to it.

    What begins with a dot is passed over, links to folders are not followed, and `excluded` is not entered.
    """
    root, excluded = folder.resolve(), excluded.resolve()

    def lines() -> Iterator[str]:
        waiting = [str(root)]
        while waiting:
            with os.scandir(waiting.pop()) as found:
                for item in found:
                    if item.name.startswith("."):
                        continue
                    if item.is_dir(follow_symlinks=False):
                        if item.path != str(excluded):
                            waiting.append(item.path)
                    elif is_image_name(item.name) and item.is_file():
                        yield to_line(os.path.relpath(item.path, root))

    return InputSource("folder", str(root), lines, root=f"{root}{os.sep}", is_ordered=False)


def pattern_source(pattern: str, excluded: Path) -> InputSource:
    """Images whose paths match a glob pattern, `**` included, called as the pattern finds them.

    Raises:
        BatchError: none does.
    """
    excluded = excluded.resolve()
    if next(_matches(pattern, excluded), None) is None:
        raise BatchError(f"no image matches {pattern} ({', '.join(sorted(EXTENSIONS))})")
    root = f"{Path.cwd()}{os.sep}"

    def lines() -> Iterator[str]:
        for path in _matches(pattern, excluded):
            yield to_line(path, location=path if Path(path).is_absolute() else None)

    return InputSource("pattern", os.path.join(root, pattern), lines, root=root, is_ordered=False)  # noqa: PTH118


def is_image_name(name: str) -> bool:
    """Whether a file's name ends as an image's."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS  # noqa: PTH122 (a Path each would be most of the listing)


def _matches(pattern: str, excluded: Path) -> Iterator[str]:
    inside = f"{excluded}{os.sep}"
    for path in glob.iglob(pattern, recursive=True):  # noqa: PTH207 (a pattern may be absolute)
        if is_image_name(path) and Path(path).is_file() and not str(Path(path).absolute()).startswith(inside):
            yield path
