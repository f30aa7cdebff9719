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
from vfnet_client.image_files import PassedOver, is_folder, is_image_file, why_unreadable
from vfnet_images.kinds import NAMES, is_image_name

_A_FOLDER = "it is a folder"


def folder_source(folder: Path, excluded: Path) -> InputSource:
    """All images below a folder, called by their paths relative to it.

    What begins with a dot is passed over, links to folders are not followed, and `excluded` is not entered. A link that
    leads nowhere, a folder that may not be read and one that is called like an image have a line each.
    """
    root, excluded, passed_over = folder.resolve(), excluded.resolve(), PassedOver()

    start = len(os.path.join(root, ""))  # noqa: PTH118

    def lines() -> Iterator[str]:
        passed_over.clear()
        waiting = [str(root)]
        while waiting:
            place = waiting.pop()
            try:
                with os.scandir(place) as found:
                    for item in found:
                        if item.name.startswith("."):
                            passed_over.add(item.name)
                        elif _is_folder(item):
                            if item.path != str(excluded):
                                waiting.append(item.path)
                                if is_image_name(item.name):
                                    yield to_line(os.path.relpath(item.path, root), problem=_A_FOLDER)
                        elif is_image_file(item.path, item.name):
                            yield to_line(item.path[start:])
                        else:
                            passed_over.add(item.name, is_folder=item.is_symlink() and is_folder(Path(item.path)))
            except OSError as error:
                if place == str(root):
                    raise
                yield to_line(os.path.relpath(place, root), problem=f"it is a folder that {_why(place, error)}")

    return InputSource("folder", str(root), lines, root=f"{root}{os.sep}", is_ordered=False, passed_over=passed_over)


def pattern_source(pattern: str, excluded: Path | None = None) -> InputSource:
    """Images whose paths match a glob pattern, `**` included, called as the pattern finds them.

    Raises:
        BatchError: none does.
    """
    excluded, passed_over = None if excluded is None else excluded.absolute(), PassedOver()
    if next(_matches(pattern, excluded, passed_over), None) is None:
        told = f"; {passed_over}" if passed_over else ""
        raise BatchError(f"no image matches {pattern} ({NAMES} are read){told}")
    root = f"{Path.cwd()}{os.sep}"

    def lines() -> Iterator[str]:
        passed_over.clear()
        for path, problem in _matches(pattern, excluded, passed_over):
            yield to_line(path, location=path if Path(path).is_absolute() else None, problem=problem)

    place = os.path.join(root, pattern)  # noqa: PTH118
    return InputSource("pattern", place, lines, root=root, is_ordered=False, passed_over=passed_over)


def _matches(pattern: str, excluded: Path | None, passed_over: PassedOver) -> Iterator[tuple[str, str | None]]:
    """Paths of images, and why there is none. Not by `glob`, which follows links in circles, nor by `Path.glob`, which
    remembers all that it found."""
    path = Path(pattern)
    start = path.anchor
    for found, problem in _walk(start, list(path.parts[1:] if start else path.parts)):
        name = os.path.basename(found)  # noqa: PTH119
        if excluded is not None and Path(found).absolute().is_relative_to(excluded):
            continue
        if (
            (problem is not None and problem is not _A_FOLDER)
            or is_image_name(name)
            or (problem is None and is_image_file(found, name))
        ):
            yield found, problem
        else:
            passed_over.add(name, is_folder=problem == _A_FOLDER)


def _walk(folder: str, parts: list[str]) -> Iterator[tuple[str, str | None]]:
    """What below `folder` matches the parts, and why it is no file; perhaps twice where there are two `**`."""
    head, *rest = parts
    if not glob.has_magic(head):
        path = os.path.join(folder, head)  # noqa: PTH118
        if rest:
            yield from _walk(path, rest)
        elif Path(path).is_file() or os.path.islink(path):  # noqa: PTH114
            yield path, None
        return
    if head == "**" and rest:
        yield from _walk(folder, rest)
    try:
        with os.scandir(folder or ".") as found:
            for item in found:
                path = os.path.join(folder, item.name)  # noqa: PTH118
                if item.name.startswith(".") and not head.startswith("."):
                    continue
                is_real_folder = _is_folder(item)
                if head == "**":
                    if is_real_folder:
                        yield from _walk(path, parts)
                    elif not rest:
                        yield path, None
                elif fnmatch.fnmatchcase(item.name, head):
                    leads_on = is_real_folder or (item.is_symlink() and is_folder(Path(path)))
                    if not rest:
                        yield path, _A_FOLDER if leads_on else None
                    elif leads_on:
                        yield from _walk(path, rest)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        yield folder, f"it is a folder that {_why(folder, error)}"


def _is_folder(item: os.DirEntry[str]) -> bool:
    """Itself, not what it links to."""
    try:
        return item.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _why(folder: str, error: OSError) -> str:
    return why_unreadable(Path(folder), error)
