"""Where the images are that a list or annotations refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from vfnet_batch.entries import Cell, to_line
from vfnet_batch.errors import BatchError
from vfnet_client.bounded_files import is_regular
from vfnet_client.safe_text import printable_line
from vfnet_client.similar_names import SimilarNames

Find = Callable[[str], Path | None]
_LONGEST_SHOWN = 200
_QUOTES = ('"', "'")


class References:
    """Makes lines of `inputs.jsonl` of what a list or annotations call images, and notices where none is there."""

    def __init__(self, folders: Sequence[Path], find: Find) -> None:
        self._folders, self._find = folders, find
        self._similar = SimilarNames()
        self._listed = self._missing = 0
        self._first = ""

    @classmethod
    def exact(cls, folders: Sequence[Path]) -> References:
        """For paths as they are written, below the first of the folders that has them.

        Quotes around a path, as Explorer copies it, go where no file is called so; a backslash then parts folders.
        """

        def find(reference: str) -> Path | None:
            for name in _spellings(reference):
                for folder in folders:
                    if is_regular(folder / name):
                        return folder / name
            return None

        return cls(folders, find)

    @classmethod
    def moved(cls, folders: Sequence[Path]) -> References:
        """For annotations: data sets move, so ever shorter ends of a path are looked for, as `evaluate` does."""
        from vfnet_data.image_files import ImageFinder

        finder = ImageFinder(folders)
        return cls(folders, lambda reference: finder.find((reference,)))

    def find(self, reference: str) -> Path | None:
        """The file, if it is there."""
        return self._find(reference)

    def line(self, reference: str, image_id: int | None = None) -> str:
        """Of a file that is there, else of the URL itself, else of what is not there."""
        self._listed += 1
        found = self._find(reference)
        if found is not None:
            return to_line(reference, location=str(found.absolute()), image_id=image_id)
        plain = _unquoted(reference)
        scheme, separator, _ = plain.partition("://")
        if separator and scheme.lower() != "file":
            return to_line(plain, location=plain, image_id=image_id)
        self._miss(reference)
        places = (folder / name for name in _spellings(reference) for folder in self._folders)
        return to_line(reference, image_id=image_id, problem=f"there is no such file{self._similar.hint(places)}")

    def cell(self, name: str, location: str, cell: Cell) -> str:
        """Of an image that stands in a table."""
        self._listed += 1
        return to_line(name, location=location, cell=cell)

    def blank(self, name: str, problem: str) -> str:
        """Of a row that names no image."""
        self._listed += 1
        self._miss("")
        return to_line(name, problem=problem)

    def check(self, place: Path, understood: str) -> None:
        """At the end: one error where not a single image is there, instead of a row each.

        Args:
            understood: how the list was read.

        Raises:
            BatchError: none is.
        """
        if not self._listed or self._missing < self._listed:
            return
        where = " and ".join(dict.fromkeys(map(str, self._folders)))
        rows = "its only row" if self._listed == 1 else f"not one of its {self._listed:,} rows"
        leads = "leads to no image" if self._listed == 1 else "leads to an image"
        raise BatchError(
            f"{place}: {rows} {leads}. {understood} The first is {printable_line(self._first, _LONGEST_SHOWN)!r}, "
            f"looked for in {where}: --images names another folder"
        )

    def _miss(self, reference: str) -> None:
        if not self._missing:
            self._first = reference
        self._missing += 1


def _spellings(reference: str) -> Iterator[str]:
    """As written, then without the quotes around it, then with the folders of Windows parted by slashes, then with
    `%20` and such resolved, as a URL has them; of a file's URL its path.
    """
    yield reference
    plain = _unquoted(reference)
    if plain[:7].lower() == "file://":
        plain = plain[7:].removeprefix("localhost")
    if plain != reference:
        yield plain
    if "\\" in plain:
        yield plain.replace("\\", "/")
    if "%" in plain:
        yield unquote(plain)


def _unquoted(reference: str) -> str:
    is_quoted = len(reference) > 1 and reference[0] == reference[-1] and reference[0] in _QUOTES
    return reference[1:-1] if is_quoted else reference
