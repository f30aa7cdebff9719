"""Text lists: a path or URL a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vfnet_batch.inputs.finding import find_exactly, line_of
from vfnet_batch.inputs.source import InputSource
from vfnet_client.bounded_files import text_lines

_LONGEST_LINE = 65536
"""Characters; a signed URL has a few hundred."""


def list_source(path: Path, images: Path | None) -> InputSource:
    """The images that the lines name, in their order; blank lines are passed over.

    Relative paths are looked for below `images`, or beside the list and in the working folder.
    """

    def lines() -> Iterator[str]:
        find = find_exactly(list_folders(path, images))
        for line in text_lines(path, _LONGEST_LINE, "surrogateescape"):
            if reference := line.strip():
                yield line_of(reference, find)

    return InputSource("list", str(path.absolute()), lines)


def list_folders(path: Path, images: Path | None) -> list[Path]:
    """Where a list's relative paths lead."""
    return [path.absolute().parent, Path.cwd()] if images is None else [images]
