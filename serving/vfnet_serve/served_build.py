"""Which build of a repository is served: what is loaded later must not be of another."""

from __future__ import annotations

from pathlib import Path

from vfnet_model.manifest import MANIFEST


class ServedBuild:
    """A built repository as it is when this is made."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository
        self._manifest = self._read()

    def is_replaced(self) -> bool:
        """Whether `vfnet build` has since put another into its place; no, while there is none."""
        manifest = self._read()
        return manifest is not None and manifest != self._manifest

    def _read(self) -> bytes | None:
        try:
            return (self.repository / MANIFEST).read_bytes()
        except OSError:
            return None
