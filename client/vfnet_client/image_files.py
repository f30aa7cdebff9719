"""Image files of folders: which they are, what else was there, and why one cannot be read, in words for people."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from vfnet_client.bounded_files import FileRefusedError, open_regular
from vfnet_client.safe_text import printable_line
from vfnet_client.similar_names import SimilarNames
from vfnet_images.kinds import HEAD_BYTES, ending_of, is_image_name, is_in_doubt, kind_of

_LONGEST_ENDING = 12
_MOST_ENDINGS = 8
"""That are named one by one."""
_SIMILAR = SimilarNames()
"""Of this process: each folder is listed once."""


class PassedOver:
    """What of a folder is no image, counted by what it is."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: str, *, is_folder: bool = False) -> None:
        """Count one. Its ending stands for what it is."""
        kind = "hidden" if name.startswith(".") else "folder" if is_folder else ending_of(name)[:_LONGEST_ENDING]
        self._counts[kind] = self._counts.get(kind, 0) + 1

    def clear(self) -> None:
        """Begin anew."""
        self._counts.clear()

    def __bool__(self) -> bool:
        return bool(self._counts)

    def to_json(self) -> dict[str, int]:
        """Counts by what they are."""
        return {_kind_in_words(kind): number for kind, number in self._counts.most_common()}

    def __str__(self) -> str:
        named = self._counts.most_common(_MOST_ENDINGS)
        rest = self._counts.total() - sum(number for _, number in named)
        parts = [f"{number} {_kind_in_words(kind)}" for kind, number in named] + ([f"{rest} others"] if rest else [])
        return f"passed over {self._counts.total()} that are no images: {', '.join(parts)}"


def _kind_in_words(kind: str) -> str:
    return printable_line(kind) or "without an ending"


def is_image_file(path: str, name: str) -> bool:
    """Whether a file is an image: by its name, and by its content where the name does not tell.

    What cannot be opened to be looked at is none, and neither is a pipe; nothing is waited for.
    """
    if is_image_name(name):
        return True
    if not is_in_doubt(name):
        return False
    with suppress(OSError), open_regular(Path(path)) as file:
        return kind_of(file.read(HEAD_BYTES)) is not None
    return False


def is_folder(path: Path) -> bool:
    """Whether it is a folder; False too where that cannot be found out, such as of a name that no file can have."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def why_unreadable(path: Path, error: OSError) -> str:
    """Why an image file cannot be read, as part of a sentence after its name, and which file may have been meant."""
    if isinstance(error, FileRefusedError):
        return str(error.strerror)
    if error.errno == errno.ELOOP:
        return "is a link in a circle"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        if _is_link(path):
            return "is a link that leads nowhere"
        return f"is not there{_SIMILAR.hint([path])}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "may not be read (permission denied)"
    return f"cannot be read ({error.strerror or error})"


def _is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except (OSError, ValueError):
        return False


def images_in(folder: Path, passed_over: PassedOver) -> Iterator[Path]:
    """The images of a folder, not of those in it, in no order: whatever is called like one, or is one by content.

    A link that leads nowhere, or a folder that is called like an image, is among them: whoever reads it will say so.

    Raises:
        OSError: the folder cannot be listed.
    """
    with os.scandir(folder) as found:
        for item in found:
            # A leading dot also marks what macOS leaves beside every file on a foreign disk.
            if not item.name.startswith(".") and is_image_file(item.path, item.name):
                yield folder / item.name
            else:
                passed_over.add(item.name, is_folder=is_folder(folder / item.name))
