"""Folders and patterns of files."""

from __future__ import annotations

import fnmatch
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


def pattern_source(pattern: str, excluded: Path | None = None) -> InputSource:
    """Images whose paths match a glob pattern, `**` included, called as the pattern finds them.

    Raises:
        BatchError: none does.
    """
    excluded = None if excluded is None else excluded.absolute()
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


def _matches(pattern: str, excluded: Path | None) -> Iterator[str]:
    """Not by `glob`, which follows links in circles, nor by `Path.glob`, which remembers all that it found."""
    path = Path(pattern)
    start = path.anchor
    for found in _walk(start, list(path.parts[1:] if start else path.parts)):
        is_output = excluded is not None and Path(found).absolute().is_relative_to(excluded)
        if is_image_name(found) and not is_output:
            yield found


def _walk(folder: str, parts: list[str]) -> Iterator[str]:
    """Files below `folder` that match the parts; perhaps twice where there are two `**`."""
    head, *rest = parts
    if not glob.has_magic(head):
        path = os.path.join(folder, head)  # noqa: PTH118
        if rest:
            yield from _walk(path, rest)
        elif Path(path).is_file():
            yield path
        return
    if head == "**" and rest:
        yield from _walk(folder, rest)
    try:
        with os.scandir(folder or ".") as found:
            for item in found:
                path = os.path.join(folder, item.name)  # noqa: PTH118
                if item.name.startswith(".") and not head.startswith("."):
                    continue
                if head == "**":
                    if item.is_dir(follow_symlinks=False):
                        yield from _walk(path, parts)
                    elif not rest and item.is_file():
                        yield path
                elif fnmatch.fnmatchcase(item.name, head):
                    if rest and item.is_dir():
                        yield from _walk(path, rest)
                    elif not rest and item.is_file():
                        yield path
    except (FileNotFoundError, NotADirectoryError):
        return
