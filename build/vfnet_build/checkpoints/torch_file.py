"""Unpickles a torch file without running anything that it brings along."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vfnet_build.checkpoints.errors import CheckpointError

_LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch.save before 1.6
_REFUSED_GLOBAL = re.compile(r"GLOBAL (\S+) (?:was not an allowed|whose module)")
_RESAVE = (
    "If you trust the file, re-save it where it was made:\n"
    "  c = torch.load('old.pth', map_location='cpu', weights_only=False)\n"
    "  meta = {k: c['meta'].get(k) for k in ('config', 'CLASSES')}\n"
    "  torch.save({'state_dict': c['state_dict'], 'meta': meta}, 'new.pth')"
)


class _Inert:
    """Stands in for a class of mmengine's: takes whatever a pickle hands it, and does nothing with it."""

    def __new__(cls, *_: object) -> _Inert:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None: ...


def _nothing(*_: object) -> None:
    """Stands in for `getattr`, which some training logs unpickle with."""


# What mmengine (mmdet 3.x) leaves in a checkpoint beside weights and metadata: the training's log.
_STAND_INS: list[tuple[Any, str]] = [
    (_Inert, "mmengine.logging.history_buffer.HistoryBuffer"),
    (_nothing, "builtins.getattr"),
]


def read_torch_file(path: Path) -> Any:
    """Read what `torch.save` wrote: tensors, containers, strings and numbers, NumPy's included.

    Raises:
        CheckpointError: if it is anything else; says what it is instead.
    """
    found = _what_else(path)
    if found is not None:
        raise CheckpointError(f"{path} is {found}; expected is a checkpoint written by torch.save (mmdet)")
    try:
        with torch.serialization.safe_globals([*_numpy_globals(), *_STAND_INS]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about storage classes of old files
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        refused = _REFUSED_GLOBAL.search(str(error))
        if refused is None:
            raise CheckpointError(f"{path} is damaged or no checkpoint: {_first_line(error)}") from None
        raise CheckpointError(
            f"{path} holds a Python object, `{refused[1]}`, that is not loaded, because loading it could run code. "
            + _RESAVE
        ) from None
    except Exception as error:  # whatever hostile or cut-off bytes lead to, deep inside torch
        raise CheckpointError(
            f"{path} cannot be read, it is damaged or incomplete ({path.stat().st_size:,} bytes): {_first_line(error)}"
        ) from None


def _numpy_globals() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """What NumPy scalars and plain arrays unpickle with; training leaves some in `meta`.

    Object arrays are not among them.
    """
    functions: dict[str, Any] = {"scalar": np.float64(0).__reduce__()[0], "_reconstruct": np.zeros(0).__reduce__()[0]}
    dtypes = {type(np.dtype(code)) for code in "?bhilqBHILQefdSU"}
    # NumPy 2 renamed the module, and files carry the name of the version that wrote them.
    renamed = [
        (function, f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")
        for name, function in functions.items()
    ]
    return [np.ndarray, np.dtype, *dtypes, *renamed]


def _what_else(path: Path) -> str | None:
    """What the file is if its first bytes show that it is no torch file, else None."""
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        return "an empty file"
    if head.startswith(b"PK"):
        return _what_zip(path)
    if head.startswith(_LEGACY_START):
        return None
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        return "a web page (HTML), perhaps saved in place of a download"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file it points to (`git lfs pull` fetches that)"
    if head.startswith(b"\x80"):
        return "a Python pickle that torch.save did not write"
    if b"\0" not in head and (plain := head.decode("utf-8", "ignore")):
        return f"a text file, beginning {plain[:40]!r}"
    return f"a file of another kind, beginning with the bytes {head[:8].hex(' ')}"


def _what_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return (
            f"an incomplete file: it begins as a zip archive, as checkpoints do, but ends early "
            f"({path.stat().st_size:,} bytes)"
        )
    if any(name.endswith("/constants.pkl") for name in names):
        return "a TorchScript archive, which holds a program rather than a checkpoint"
    if not any(name == "data.pkl" or name.endswith("/data.pkl") for name in names):
        return f"a zip archive without a checkpoint in it (it has {', '.join(names[:3]) or 'nothing'})"
    return None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
