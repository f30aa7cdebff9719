"""Text lists: a path or URL a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vfnet_batch.inputs.finding import References
from vfnet_batch.inputs.source import InputSource
from vfnet_client.bounded_files import text_lines
from vfnet_client.bounded_tables import DELIMITERS

_LONGEST_LINE = 65536
"""Characters; a signed URL has a few hundred."""


def list_source(path: Path, images: Path | None) -> InputSource:
    """The images that the lines name, in their order; blank lines are passed over.

    Relative paths are looked for below `images`, or beside the list and in the working folder.
    """

    def lines() -> Iterator[str]:
        references = References.exact(list_folders(path, images))
        first = ""
        for line in text_lines(path, _LONGEST_LINE, "surrogateescape"):
            if reference := line.strip():
                first = first or reference
                yield references.line(reference)
        separated = next((words for delimiter, words in DELIMITERS.items() if delimiter in first), None)
        hint = f" Its first line holds {separated}: --column NAME reads it as a table." if separated else ""
        references.check(path, f"It was read as a list, a path or URL a line.{hint}")

    return InputSource("list", str(path.absolute()), lines)


def list_folders(path: Path, images: Path | None) -> list[Path]:
    """Where a list's relative paths lead."""
    return [path.absolute().parent, Path.cwd()] if images is None else [images]
