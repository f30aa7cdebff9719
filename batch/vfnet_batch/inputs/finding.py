"""Where the images are that a list or annotations refer to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from vfnet_batch.entries import to_line
from vfnet_client.bounded_files import is_regular

Find = Callable[[str], Path | None]


def find_exactly(folders: Sequence[Path]) -> Find:
    """A finder of paths as they are written, below the first of the folders that has them."""

    def find(reference: str) -> Path | None:
        name = reference.removeprefix("file://")
        return next((folder / name for folder in folders if is_regular(folder / name)), None)

    return find


def find_moved(folders: Sequence[Path]) -> Find:
    """A finder for annotations: data sets move, so ever shorter ends of a path are looked for, as `evaluate` does."""
    from vfnet_data.image_files import ImageFinder

    finder = ImageFinder(folders)
    return lambda reference: finder.find((reference,))


def line_of(reference: str, find: Find, image_id: int | None = None) -> str:
    """The line of `inputs.jsonl`: of a file that is there, else of the URL itself, else of what is not there."""
    scheme, separator, _ = reference.partition("://")
    is_url = bool(separator) and scheme.lower() != "file"
    found = find(reference)
    if found is not None:
        return to_line(reference, location=str(found.absolute()), image_id=image_id)
    if is_url:
        return to_line(reference, location=reference, image_id=image_id)
    return to_line(reference, image_id=image_id, problem="there is no such file")
