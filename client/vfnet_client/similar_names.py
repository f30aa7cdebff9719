"""Which file is meant by a name that no file has: names differ between systems in case and in Unicode's forms."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from vfnet_client.safe_text import printable_line

_MOST_FILES = 200_000
"""Of a folder that is looked through."""
_MOST_FOLDERS = 64
"""That are looked through: a list may lead to more."""
_LONGEST_SHOWN = 200


class SimilarNames:
    """Finds files whose names differ only so; each folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, str]] = {}

    def hint(self, paths: Iterable[Path]) -> str:
        """What to add to "there is no such file": which file looks alike, and how the names differ; else nothing.

        Args:
            paths: where the file was looked for.
        """
        for path in paths:
            found = self._names(path.parent).get(_plain(path.name))
            if found is not None and found != path.name:
                same = unicodedata.normalize("NFC", found) == unicodedata.normalize("NFC", path.name)
                how = "another form of Unicode's accents (NFC, NFD)" if same else "other capitals"
                return f"; {printable_line(found, _LONGEST_SHOWN)} is there, whose name has {how}"
        return ""

    def _names(self, folder: Path) -> dict[str, str]:
        """Names of files by what is the same in all that look alike."""
        if folder not in self._folders:
            if len(self._folders) == _MOST_FOLDERS:
                return {}
            names: dict[str, str] = {}
            try:
                with os.scandir(folder) as found:
                    for item, _ in zip(found, range(_MOST_FILES), strict=False):
                        names[_plain(item.name)] = item.name
            except (OSError, ValueError):
                pass
            self._folders[folder] = names
        return self._folders[folder]


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
