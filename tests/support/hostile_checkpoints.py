"""Torch files put together byte by byte, as nobody's `torch.save` would write them."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

_STORAGES = {torch.float32: "FloatStorage", torch.int64: "LongStorage"}
_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def text(value: str) -> bytes:
    """A pickle's operations that push a text."""
    encoded = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def integer(value: int) -> bytes:
    """Push an integer of any size up to 255 bytes."""
    encoded = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(encoded)]) + encoded


def tuple_of(*items: bytes) -> bytes:
    """Push a tuple of what the items push."""
    return b"(" + b"".join(items) + b"t"


def dict_of(items: Mapping[str, bytes]) -> bytes:
    """Push a dict."""
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """Push what a function gives for the arguments."""
    return f"c{module}\n{name}\n".encode() + tuple_of(*arguments) + b"R"


def storage(key: str, elements: int, kind: str = "FloatStorage", module: str = "torch") -> bytes:
    """Refer to numbers that lie in the file."""
    reference = (text("storage"), f"c{module}\n{kind}\n".encode(), text(key), text("cpu"), integer(elements))
    return tuple_of(*reference) + b"Q"


def tensor(numbers: bytes, shape: Sequence[int], stride: Sequence[int] | None = None, offset: int = 0) -> bytes:
    """Push a dense tensor; contiguous unless told otherwise."""
    if stride is None:
        stride = [int(torch.tensor(shape[index + 1 :]).prod()) for index in range(len(shape))]
    sizes = (tuple_of(*map(integer, side)) for side in (shape, stride))
    no_hooks = call("collections", "OrderedDict")
    return call("torch._utils", "_rebuild_tensor_v2", numbers, integer(offset), *sizes, b"\x89", no_hooks)


def bytes_of(content: bytes) -> bytes:
    """Push bytes, as protocol 2 has to."""
    return call("_codecs", "encode", text(content.decode("latin-1")), text("latin1"))


class HostileCheckpoint:
    """A sound checkpoint, every part of which can be exchanged for bytes of one's own before it is written."""

    def __init__(self, state_dict: Mapping[str, torch.Tensor], config: str, classes: Sequence[str]) -> None:
        self.weights: dict[str, bytes] = {}
        """By name, what pushes the tensor."""
        self.numbers: dict[str, bytes] = {}
        """By key, a storage's content."""
        for index, (name, value) in enumerate(state_dict.items()):
            self.weights[name] = tensor(storage(str(index), value.numel(), _STORAGES[value.dtype]), value.shape)
            self.numbers[str(index)] = value.contiguous().numpy().tobytes()
        self.keys = {name: str(index) for index, name in enumerate(state_dict)}
        self.meta: dict[str, bytes] = {
            "config": text(config),
            "CLASSES": tuple_of(*(text(name) for name in classes)),
        }
        self.prelude = b""
        """Operations before the payload's, such as what fills the memo."""
        self.payload: bytes | None = None
        """Instead of the state dict and the metadata."""

    def pickle(self) -> bytes:
        """The operations of the whole payload."""
        payload = self.payload
        if payload is None:
            payload = dict_of({"state_dict": dict_of(self.weights), "meta": dict_of(self.meta)})
        return b"\x80\x02" + self.prelude + payload + b"."

    def entries(self) -> dict[str, bytes]:
        """The zip archive's."""
        head = {"archive/data.pkl": self.pickle(), "archive/version": b"3\n", "archive/byteorder": b"little"}
        return head | {f"archive/data/{key}": content for key, content in self.numbers.items()}

    def zipped(self, compression: int = zipfile.ZIP_STORED) -> bytes:
        """The file's bytes, as torch has written them since 1.6."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", compression) as archive:
            for name, content in self.entries().items():
                archive.writestr(name, content)
        return buffer.getvalue()

    def legacy(self, counts: Mapping[str, int] | None = None) -> bytes:
        """As torch wrote them before; `counts` by key: how many numbers a storage claims."""
        system = dict_of({"little_endian": b"\x88"})
        keys = b"](" + b"".join(text(key) for key in self.numbers) + b"e"
        head = _LEGACY_MAGIC + b"\x80\x02M\xe9\x03." + b"\x80\x02" + system + b"." + self.pickle()
        width = {key: 8 if name.endswith("num_batches_tracked") else 4 for name, key in self.keys.items()}
        storages = (
            struct.pack("<Q", (counts or {}).get(key, len(content) // width[key])) + content
            for key, content in self.numbers.items()
        )
        return head + b"\x80\x02" + keys + b"." + b"".join(storages)

    def write(self, path: Path) -> Path:
        """As a zip archive; `path` again."""
        path.write_bytes(self.zipped())
        return path
