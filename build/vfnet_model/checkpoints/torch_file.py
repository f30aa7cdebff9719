"""Reads what `torch.save` or safetensors wrote, without torch's unpickler: data first, numbers only when asked for.

Bounds: a file has `MAX_FILE` bytes, its pickle `MAX_PICKLE`, its zip directory `MAX_DIRECTORY`. Whatever a file claims
of its parts is held against what lies in it before anything is allocated.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import struct
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from vfnet_client.bounded_json import parse_json
from vfnet_client.safe_text import printable_line
from vfnet_model.checkpoints.errors import CheckpointError
from vfnet_model.checkpoints.input_files import open_input
from vfnet_model.checkpoints.pickle_data import (
    ForeignObjectError,
    PickleDataError,
    StorageRecord,
    TensorRecord,
    read_pickle,
)
from vfnet_model.checkpoints.safetensors_header import MAX_HEADER, HeaderError, is_safetensors, read_header

MAX_FILE = 8 * 2**30
"""Bytes. The largest published VFNet has 380 MB, with its optimiser three times that."""
MAX_PICKLE = 256 * 2**20
"""Bytes of a file's pickle. mmengine's training log can take 50 MB of it, anything else some 100 kB."""
MAX_DIRECTORY = 4 * 2**20
"""Bytes of a zip archive's directory: room for 40,000 storages; a training leaves some 2,000."""
MAX_LEGACY_PICKLES = 32 * 2**20
"""Bytes of the pickles that stand before the numbers in files of before torch 1.6."""
MAX_GAPS = 16
"""A tensor may lie spread over so many times its size."""

_LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch.save before 1.6
_LEGACY_PROTOCOL = 1001
_EXPECTED = "a checkpoint file (.pth or .safetensors)"
_DTYPES = {
    name: getattr(torch, name)
    for name in ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8")
}
_WIDTHS = {name: dtype.itemsize for name, dtype in _DTYPES.items()} | {
    "bool": 1, "complex64": 8, "complex128": 16, "qint8": 1, "quint8": 1, "qint32": 4, "quint4x2": 1, "quint2x4": 1,
}  # fmt: skip
_RESAVE = (
    "If you trust the file, re-save it where it was made:\n"
    "  c = torch.load('old.pth', map_location='cpu', weights_only=False)\n"
    "  meta = {k: c['meta'].get(k) for k in ('config', 'CLASSES')}\n"
    "  torch.save({'state_dict': c['state_dict'], 'meta': meta}, 'new.pth')"
)


class _Extent(NamedTuple):
    """Where a storage's bytes lie in the file."""

    start: int
    size: int


@contextmanager
def open_torch_file(path: Path) -> Iterator[TorchFile]:
    """Open what `torch.save` wrote.

    Raises:
        CheckpointError: it is no ordinary file, too large, or cannot be read.
    """
    with open_input(path, MAX_FILE, _EXPECTED) as file:
        yield TorchFile(path, file)


class TorchFile:
    """An open file, read once: hash, data and numbers are of the same bytes, whatever its path names meanwhile."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file
        self._size = file.seek(0, io.SEEK_END)
        self._extents: dict[str, _Extent] = {}

    @cached_property
    def sha256(self) -> str:
        """Of the file, 64 hex digits."""
        self._file.seek(0)
        return hashlib.file_digest(self._file, "sha256").hexdigest()  # type: ignore[arg-type]

    @cached_property
    def payload(self) -> Any:
        """What was saved, with a `TensorRecord` for each tensor; see `read_pickle`.

        Raises:
            CheckpointError: it is anything else; says what it is instead.
        """
        self._file.seek(0)
        head = self._file.read(512)
        try:
            if head.startswith(b"PK"):
                return self._read_zip()
            if head.startswith(_LEGACY_START):
                return self._read_legacy()
            if is_safetensors(head):
                return self._read_safetensors()
        except ForeignObjectError as error:
            raise CheckpointError(
                f"{self.path} holds a Python object, `{printable_line(error.name, 100)}`, that is not loaded, because "
                f"loading it could run code. {_RESAVE}"
            ) from None
        except (PickleDataError, HeaderError) as error:
            raise self._damaged(str(error)) from None
        except OSError as error:
            raise CheckpointError(f"{self.path} cannot be read: {error.strerror or error}") from None
        raise self._is(_what_else(head))

    def tensor(self, record: TensorRecord) -> Tensor:
        """A tensor's numbers, contiguous, of the type they are kept in, on the CPU.

        At most `MAX_GAPS` times its size is read, and never more than its storage has in the file.

        Raises:
            CheckpointError: the file does not hold what the record claims, or numbers of a type that no weight has.
        """
        dtype = _DTYPES.get(record.dtype)
        if dtype is None:
            raise self._damaged(f"it holds {record.dtype} numbers where weights should be")
        elements = 1
        for side in record.shape:
            elements *= side
        extent = self._extent(record.storage)
        span = 1 + sum((side - 1) * step for side, step in zip(record.shape, record.stride, strict=True))
        start, available = record.offset * dtype.itemsize, extent.size // dtype.itemsize
        if elements == 0:
            return torch.empty(record.shape, dtype=dtype)
        if record.offset + span > available or elements > available:
            raise self._damaged(f"a tensor claims {elements:,} numbers where the file holds {available:,}")
        if span > MAX_GAPS * elements:
            raise self._damaged(f"a tensor of {elements:,} numbers is spread over {span:,}")
        self._file.seek(extent.start + start)
        content = bytearray(self._file.read(span * dtype.itemsize))
        if len(content) != span * dtype.itemsize:
            raise self._damaged("it has become shorter")
        numbers: Tensor = torch.frombuffer(content, dtype=dtype)
        return numbers.as_strided(record.shape, record.stride).contiguous()

    def _extent(self, storage: StorageRecord) -> _Extent:
        extent = self._extents.get(storage.key)
        if extent is None:
            raise self._damaged(f"the numbers of storage {printable_line(storage.key, 40)!r} are missing")
        claimed = storage.elements * _WIDTHS[storage.dtype]
        if claimed != extent.size:
            key = printable_line(storage.key, 40)
            raise self._damaged(f"storage {key!r} claims {claimed:,} bytes, the file holds {extent.size:,}")
        return extent

    def _read_zip(self) -> Any:
        entries = self._zip_entries()
        names = list(entries)
        if any(name.endswith("/constants.pkl") for name in names):
            raise self._is("a TorchScript archive, which holds a program rather than a checkpoint")
        pickles = [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
        if not pickles:
            some = printable_line(", ".join(names[:3]), 200) or "nothing"
            raise self._is(f"a zip archive without a checkpoint in it (it has {some})")
        if len(pickles) > 1:
            raise self._damaged(f"it is a zip archive of {len(pickles)} checkpoints")
        folder = pickles[0].removesuffix("data.pkl")
        order = entries.get(f"{folder}byteorder")
        if order is not None and (found := self._content(order, 16)) != sys.byteorder.encode():
            raise self._damaged(f"its numbers are in the byte order {found.decode('ascii', 'replace')[:16]!r}")
        if (size := entries[pickles[0]].file_size) > MAX_PICKLE:
            raise self._damaged(f"its pickle has {size:,} bytes; at most {MAX_PICKLE:,} are read")
        content = self._content(entries[pickles[0]], MAX_PICKLE)
        prefix = f"{folder}data/"
        self._extents = {
            name.removeprefix(prefix): self._locate(entry) for name, entry in entries.items() if name.startswith(prefix)
        }
        return read_pickle(io.BytesIO(content), len(content))

    def _zip_entries(self) -> dict[str, zipfile.ZipInfo]:
        """By name; together no larger than the file."""
        try:
            with zipfile.ZipFile(_Directory(self._file)) as archive:
                found = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError):
            raise self._is(
                f"an incomplete file: it begins as a zip archive, as checkpoints do, but ends early "
                f"({self._size:,} bytes)"
            ) from None
        except _DirectoryTooLargeError:
            raise self._damaged(f"its zip directory has more than {MAX_DIRECTORY:,} bytes") from None
        entries = {entry.filename: entry for entry in found}
        if len(entries) != len(found):
            raise self._damaged("its zip directory names the same entry twice")
        if (total := sum(entry.compress_size for entry in found)) > self._size:
            raise self._damaged(f"its entries claim {total:,} bytes together")
        return entries

    def _locate(self, entry: zipfile.ZipInfo) -> _Extent:
        """Where the bytes are of an entry that is stored, not compressed, as torch writes them."""
        name = printable_line(entry.filename, 80)
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise self._damaged(f"its entry {name!r} is compressed; torch.save stores numbers as they are")
        self._file.seek(max(entry.header_offset, 0))
        header = self._file.read(30)
        if len(header) != 30 or not header.startswith(b"PK\3\4"):
            raise self._damaged(f"its entry {name!r} is not where it should be")
        start = entry.header_offset + 30 + sum(struct.unpack("<HH", header[26:]))
        if start + entry.file_size > self._size:
            raise self._damaged(f"its entry {name!r} ends behind the file")
        return _Extent(start, entry.file_size)

    def _content(self, entry: zipfile.ZipInfo, limit: int) -> bytes:
        extent = self._locate(entry)
        self._file.seek(extent.start)
        return self._file.read(min(extent.size, limit))

    def _read_legacy(self) -> Any:
        """Five pickles (magic, protocol, system, data, keys of the storages), then each storage's count and numbers."""
        self._file.seek(0)
        length = min(self._size, MAX_LEGACY_PICKLES)
        head = io.BytesIO(self._file.read(length))
        _, protocol, system = (read_pickle(head, length) for _ in range(3))
        if protocol != _LEGACY_PROTOCOL or not isinstance(system, dict):
            raise PickleDataError("it is of a version that torch has not written since 2017")
        if system.get("little_endian") is not (sys.byteorder == "little"):
            raise PickleDataError("its numbers are in another byte order")
        storages: dict[str, StorageRecord] = {}
        payload, keys = read_pickle(head, length, storages), read_pickle(head, length)
        if not isinstance(keys, list) or any(not isinstance(key, str) for key in keys):
            raise PickleDataError("it does not list its storages")
        self._extents = dict(self._legacy_extents(keys, storages, head.tell()))
        return payload

    def _legacy_extents(
        self, keys: list[str], storages: dict[str, StorageRecord], start: int
    ) -> Iterator[tuple[str, _Extent]]:
        for key in keys:
            self._file.seek(start)
            count = int.from_bytes(self._file.read(8), "little")
            if key not in storages:
                raise PickleDataError("it lists storages that it has no tensor of")
            size = count * _WIDTHS[storages[key].dtype]
            if start + 8 + size > self._size:
                raise PickleDataError("it ends early")
            yield key, _Extent(start + 8, size)
            start += 8 + size

    def _read_safetensors(self) -> Any:
        """As torch.save would have saved it: what stands in the metadata becomes `meta`."""
        self._file.seek(0)
        header = read_header(self._file.read(MAX_HEADER + 8), self._size)
        self._extents = {name: _Extent(*extent) for name, extent in header.extents.items()}
        meta: dict[str, Any] = {}
        if config := header.metadata.get("config"):
            meta["config"] = config
        if classes := header.metadata.get("classes"):
            try:
                meta["CLASSES"] = parse_json(classes, 10, 100_000)
            except ValueError:
                raise HeaderError("the classes in its metadata are no JSON list") from None
        if header.metadata.get("untrained") == "true":
            meta["untrained"] = True
        if tiling := header.metadata.get("tiling"):
            with contextlib.suppress(ValueError):  # it tells what was, and nothing is computed of it
                meta["tiling"] = parse_json(tiling, 10, 100_000)
        return {"state_dict": header.tensors, "meta": meta}

    def _damaged(self, what: str) -> CheckpointError:
        return CheckpointError(
            f"{self.path} cannot be read, it is damaged or incomplete ({self._size:,} bytes): {what}"
        )

    def _is(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self.path} is {what}; expected is a checkpoint written by torch.save (mmdet)")


class _DirectoryTooLargeError(Exception):
    pass


class _Directory:
    """A file from which nobody reads more at once than a zip archive's directory may have."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        """As a file's; of a size beyond the bound, only if there is less."""
        content = self._file.read(MAX_DIRECTORY + 1 if size < 0 else min(size, MAX_DIRECTORY + 1))
        if len(content) > MAX_DIRECTORY:
            raise _DirectoryTooLargeError
        return content


def _what_else(head: bytes) -> str:
    """What the file is, by its first bytes, which are no torch file's."""
    if not head:
        return "an empty file"
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
