"""Which code a process runs: another after the checkout or a package was updated."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

_LARGEST = 2**20
"""Bytes: what is larger is data, such as the demonstration's weights."""


def code_version(packages: Iterable[str]) -> str:
    """A hash of the files of these packages, and of the names of all that is installed beside them, with versions."""
    digest = hashlib.sha256(sys.version.encode())
    for package in sorted(packages):
        spec = find_spec(package)
        for root in map(Path, (spec and spec.submodule_search_locations) or []):
            for file in sorted(root.rglob("*")):
                if "__pycache__" not in file.parts and file.is_file() and file.stat().st_size <= _LARGEST:
                    digest.update(f"{package}/{file.relative_to(root)}\0".encode(errors="replace"))
                    digest.update(hashlib.sha256(file.read_bytes()).digest())
    for folder in sys.path:
        for metadata in sorted(path.name for path in Path(folder).glob("*.dist-info")) if folder else []:
            digest.update(f"{metadata}\0".encode(errors="replace"))
    return digest.hexdigest()[:16]
