"""Reads a pickle as plain data: nothing is imported or called, and no tensor or array is made.

torch's own restricted unpickler calls real constructors (`bytearray`, NumPy's, sparse tensors'), which allocate what a
few bytes claim, and some of which take a raw pointer. Here every name that a checkpoint may hold stands for a function
of this module, which copies values into plain ones or describes them.

Bounds: `MAX_OPCODES` operations, hence as many objects; of bytes and items no more are copied than the pickle is long,
twice over. The result may share parts of itself many times over, even contain itself: never walk it unbounded.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

MAX_OPCODES = 1_000_000
"""mmdet's checkpoints have 5,000 to 60,000, optimiser included. A million takes three seconds and 300 MB."""
MAX_DIMENSIONS = 8
"""Of a tensor; a convolution's filters have four."""

_LARGEST_INTEGER = 2**63
_KEYS = (str, bytes, int, float, bool, type(None))
_NUMPY_TYPE = {"b1": "?"} | {f"{kind}{size}": f"{kind}{size}" for kind in "iuf" for size in (1, 2, 4, 8)}


class PickleDataError(Exception):
    """The bytes are no pickle of plain data; the message says what is wrong, for the middle of a sentence."""


class ForeignObjectError(PickleDataError):
    """The pickle names a class or function that is not data."""

    def __init__(self, name: str) -> None:
        super().__init__(f"it holds a Python object, {name!r}")
        self.name = name


@dataclass(frozen=True)
class Opaque:
    """Something that may be there and is of no use here; `kind` says what, such as `sparse tensor`."""

    kind: str


@dataclass(frozen=True)
class Dtype:
    """torch's, by name, such as `float32`."""

    name: str


@dataclass(frozen=True)
class StorageRecord:
    """Where numbers lie, as the pickle claims it: an entry's name, its element type, and how many there are."""

    key: str
    dtype: str
    elements: int


@dataclass(frozen=True)
class TensorRecord:
    """A dense tensor, as the pickle claims it; `offset`, `shape` and `stride` in elements of `dtype`."""

    storage: StorageRecord
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass
class NumpyArray:
    """An array, not decoded: `texts` does that for what class names are kept in."""

    dtype: str = ""
    shape: tuple[int, ...] = ()
    content: bytes = field(default=b"", repr=False)

    def texts(self) -> list[str] | None:
        """The texts of a one-dimensional array of them (NumPy's `U`), None if it is another."""
        if self.dtype[1:2] != "U" or len(self.shape) != 1:
            return None
        try:
            return [str(text) for text in np.frombuffer(self.content, np.dtype(self.dtype))]
        except ValueError:  # no such characters
            return None

    def build(self, state: object) -> None:
        """Take NumPy's state: version, shape, dtype, whether in Fortran's order, content."""
        match state:
            case (int(), tuple(shape), _NumpyDtype() as dtype, bool(), bytes(content)):
                pass
            case _:
                raise PickleDataError("it holds a NumPy array of objects, or a damaged one")
        if len(shape) > MAX_DIMENSIONS or any(type(side) is not int or side < 0 for side in shape):
            raise PickleDataError("it holds a NumPy array of an impossible shape")
        size = dtype.itemsize
        for side in shape:
            size *= side
        if size != len(content):
            raise PickleDataError(f"it holds a NumPy array of {len(content):,} bytes that claims {size:,}")
        self.dtype, self.shape, self.content = dtype.code, shape, content


@dataclass
class _NumpyDtype:
    code: str
    """With its byte order, such as `<f8` and `<U12`."""
    itemsize: int

    def build(self, state: object) -> None:
        """Take NumPy's state, of which only the byte order matters."""
        match state:
            case (int(), "<" | ">" | "|" | "=" as order, *_):
                self.code = order + self.code.lstrip("<>|=")
            case _:
                raise PickleDataError("it holds a damaged NumPy dtype")


@dataclass(frozen=True)
class _Named:
    """What a GLOBAL became: called with arguments, it gives a value."""

    name: str
    function: Callable[..., object] = field(repr=False, compare=False)


def read_pickle(file: BinaryIO, size: int, storages: dict[str, StorageRecord] | None = None) -> Any:
    """The value of the pickle at the file's position, which is then behind it.

    Dicts (ordered ones, too), lists, tuples, texts, bytes, numbers, None; `TensorRecord`, `NumpyArray`, `Dtype`;
    `Opaque` for what carries nothing here. Keys of dicts that are no plain values are left out with what they name.

    Args:
        file: in memory, such as `io.BytesIO`: others allocate what the length of a text claims.
        size: bytes that the pickle has at most.
        storages: filled with those that it refers to, by key.

    Raises:
        ForeignObjectError: it names anything that is not data.
        PickleDataError: it is damaged, beyond the bounds, or of a pickle protocol that torch does not write.
    """
    try:
        return _Machine(2 * size + 2**20, {} if storages is None else storages).run(file)
    except PickleDataError:
        raise
    except (IndexError, KeyError, TypeError, AttributeError, ValueError, OverflowError, EOFError) as error:
        raise PickleDataError(f"its pickle is damaged ({type(error).__name__})") from None


class _Machine:
    def __init__(self, copies: int, storages: dict[str, StorageRecord]) -> None:
        self.copies, self.storages = copies, storages
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, file: BinaryIO) -> Any:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if number == MAX_OPCODES:
                raise PickleDataError(f"its pickle has more than {MAX_OPCODES:,} operations")
            if opcode.name == "STOP":
                return self.stack.pop()
            self.step(opcode.name, argument)
        raise PickleDataError("its pickle ends early")

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "BINUNICODE" | "BINFLOAT" | "BININT" | "BININT1" | "BININT2":
                stack.append(argument)
            case "LONG1":
                stack.append(argument if abs(argument) < _LARGEST_INTEGER else Opaque("integer"))
            case "SHORT_BINSTRING":  # Python 2's str
                stack.append(argument.encode("latin-1").decode("utf-8"))
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(name == "NEWTRUE")
            case "MARK":
                self.marks.append(len(stack))
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_SET":
                stack.append(Opaque("set"))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(name[-1])
                if len(stack) < count:
                    raise PickleDataError("its pickle is damaged (IndexError)")
                stack[-count:] = [tuple(stack[-count:])]
            case "TUPLE":
                stack.append(tuple(self.pop_mark()))
            case "APPEND":
                item = stack.pop()
                self.top(list).append(item)
            case "APPENDS":
                items = self.pop_mark()
                self.top(list).extend(items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                self.put(self.top(dict), key, value)
            case "SETITEMS":
                items = self.pop_mark()
                target = self.top(dict)
                for key, value in zip(items[::2], items[1::2], strict=True):
                    self.put(target, key, value)
            case "GLOBAL":
                stack.append(_named(argument))
            case "REDUCE" | "NEWOBJ":
                arguments = stack.pop()
                stack.append(self.call(stack.pop(), arguments))
            case "BUILD":
                self.build(stack.pop())
            case "BINPERSID":
                storage = _storage(stack.pop())
                if self.storages.setdefault(storage.key, storage) != storage:
                    raise PickleDataError("it claims two things of one storage")
                stack.append(storage)
            case "PROTO":
                pass
            case _:
                raise PickleDataError(f"its pickle uses the operation {name}, which torch does not write")

    def pop_mark(self) -> list[Any]:
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def top(self, kind: type[Any]) -> Any:
        if type(self.stack[-1]) is not kind:
            raise PickleDataError(f"its pickle is damaged (no {kind.__name__} where one is changed)")
        return self.stack[-1]

    def put(self, target: dict[Any, Any], key: object, value: object) -> None:
        if isinstance(key, _KEYS):  # tuples and others can be made to collide, which takes time without end
            target[key] = value

    def call(self, named: object, arguments: object) -> object:
        if type(named) is not _Named or type(arguments) is not tuple:
            raise PickleDataError("its pickle calls what is no function")
        sized = [argument for argument in arguments[:2] if isinstance(argument, (str, bytes, list, dict))]
        self.copies -= sum(len(argument) for argument in sized)
        if self.copies < 0:
            raise PickleDataError("its pickle copies the same values over and over")
        return named.function(*arguments)

    def build(self, state: object) -> None:
        target = self.stack[-1]
        if isinstance(target, (NumpyArray, _NumpyDtype)):
            target.build(state)
        elif not isinstance(target, (dict, Opaque)):  # those have attributes that nothing here reads
            raise PickleDataError("its pickle gives a state to what has none")


def _named(argument: str) -> object:
    module, _, name = argument.partition(" ")
    module = "builtins" if module == "__builtin__" else module  # Python 2's name, which protocol 2 keeps
    found = _GLOBALS.get(f"{module}.{name}")
    if found is None:
        raise ForeignObjectError(f"{module}.{name}")
    return found


def _storage(identity: object) -> StorageRecord:
    match identity:
        case ("storage", _Named(name=kind), str(key), str(), int(elements), *view) if kind in _STORAGES:
            if view not in ([], [None]):
                raise PickleDataError("it holds a view of a storage, which torch has not written since 2018")
            if not 0 <= elements < _LARGEST_INTEGER or type(elements) is not int:
                raise PickleDataError("it holds a storage of an impossible size")
            return StorageRecord(key, _STORAGES[kind], elements)
    raise PickleDataError("its pickle refers to what is no storage")


def _tensor(storage: object, offset: object, shape: object, stride: object, *_: object) -> TensorRecord:
    return _record(storage, None, offset, shape, stride)


def _tensor_of_dtype(
    storage: object, offset: object, shape: object, stride: object, _grad: object, _hooks: object, dtype: Dtype,
    *_: object,
) -> TensorRecord:  # fmt: skip
    return _record(storage, dtype.name, offset, shape, stride)


def _record(storage: object, dtype: str | None, offset: object, shape: object, stride: object) -> TensorRecord:
    if not isinstance(storage, StorageRecord):
        raise PickleDataError("it holds a tensor without numbers")
    for sizes in ((offset,), shape, stride):
        if (
            type(sizes) is not tuple
            or len(sizes) > MAX_DIMENSIONS
            or any(type(size) is not int or not 0 <= size < _LARGEST_INTEGER for size in sizes)
        ):
            raise PickleDataError("it holds a tensor of an impossible shape")
    if len(shape) != len(stride):  # type: ignore[arg-type] # tuples both
        raise PickleDataError("it holds a tensor of an impossible shape")
    return TensorRecord(storage, dtype or storage.dtype, offset, shape, stride)  # type: ignore[arg-type]


def _rebuilt(function: _Named, _kind: object, arguments: tuple[object, ...], *_: object) -> object:
    """A tensor with attributes of its own."""
    if type(function) is not _Named or function.name not in _TENSORS:
        raise PickleDataError("its pickle calls what is no function")
    return _TENSORS[function.name](*arguments)


def _first(value: object, *_: object) -> object:
    return value


def _ordered(pairs: object = ()) -> dict[Any, Any]:
    """An `OrderedDict` or a `Counter`; Python 2 hands it its pairs."""
    items = pairs.items() if isinstance(pairs, dict) else pairs
    if not isinstance(pairs, (dict, list, tuple)):
        raise PickleDataError("its pickle is damaged (a dict of no pairs)")
    return {key: value for key, value in items if isinstance(key, _KEYS)}  # type: ignore[attr-defined]


def _encoded(text: object = "", encoding: object = "latin1") -> bytes:
    """How bytes are kept in protocol 2."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise PickleDataError("its pickle is damaged (bytes of no text)")
    return text.encode("latin-1")


def _numpy_dtype(code: object, *_: object) -> _NumpyDtype:
    if isinstance(code, str) and code in _NUMPY_TYPE:
        return _NumpyDtype(_NUMPY_TYPE[code], int(code[1:]))
    if isinstance(code, str) and re.fullmatch(r"[US][0-9]{1,7}", code):
        return _NumpyDtype(code, int(code[1:]) * (4 if code[0] == "U" else 1))
    raise PickleDataError("it holds a NumPy array of other than numbers or texts")


def _numpy_scalar(dtype: object, content: object) -> object:
    if not isinstance(dtype, _NumpyDtype) or not isinstance(content, bytes) or len(content) != dtype.itemsize:
        raise PickleDataError("it holds a damaged NumPy number")
    if not content:
        return ""
    return np.frombuffer(content, np.dtype(dtype.code)).tolist()[0]


def _array(*_: object) -> NumpyArray:
    return NumpyArray()


def _opaque(kind: str) -> Callable[..., object]:
    return lambda *_: Opaque(kind)


_STORAGES = {
    f"torch.{name}Storage": dtype
    for name, dtype in {
        "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64",
        "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool", "ComplexFloat": "complex64",
        "ComplexDouble": "complex128", "QInt8": "qint8", "QUInt8": "quint8", "QInt32": "qint32",
        "QUInt4x2": "quint4x2", "QUInt2x4": "quint2x4",
    }.items()
} | {"torch.storage.UntypedStorage": "uint8"}  # fmt: skip
_DTYPES = {
    f"torch.{name}": Dtype(name)
    for name in (*dict.fromkeys(_STORAGES.values()), "uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2",
                 "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "complex32")
}  # fmt: skip
_REBUILDERS: dict[str, Callable[..., object]] = {
    "_rebuild_tensor": _tensor,
    "_rebuild_tensor_v2": _tensor,
    "_rebuild_tensor_v3": _tensor_of_dtype,
    "_rebuild_parameter": _first,
    "_rebuild_parameter_with_state": _first,
    "_rebuild_qtensor": _opaque("quantized tensor"),
    "_rebuild_sparse_tensor": _opaque("sparse tensor"),
    "_rebuild_meta_tensor_no_storage": _opaque("tensor without numbers"),
    "_rebuild_nested_tensor": _opaque("nested tensor"),
    "_rebuild_wrapper_subclass": _opaque("tensor of another class"),
    "_rebuild_device_tensor_from_numpy": _opaque("tensor of another device"),
    "_rebuild_device_tensor_from_cpu_tensor": _opaque("tensor of another device"),
}
_TENSORS = {f"torch._utils.{name}": function for name, function in _REBUILDERS.items()}
_CALLED: dict[str, Callable[..., object]] = {
    **_TENSORS,
    "torch._tensor._rebuild_from_type_v2": _rebuilt,
    "torch.nn.parameter.Parameter": _first,
    "torch.Tensor": _opaque("tensor of torch 0.1"),
    "torch.Size": _first,
    "torch.device": _opaque("device"),
    "torch.serialization._get_layout": _opaque("layout"),
    "collections.OrderedDict": _ordered,
    "collections.Counter": _ordered,
    "_codecs.encode": _encoded,
    "builtins.bytes": _encoded,
    "builtins.bytearray": _opaque("bytearray"),
    "builtins.set": _opaque("set"),
    "builtins.complex": _opaque("complex number"),
    "numpy.dtype": _numpy_dtype,
    "numpy.ndarray": _opaque("array"),
    # NumPy 2 renamed the module, and files carry the name of the version that wrote them.
    **{f"numpy.{core}.multiarray._reconstruct": _array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _numpy_scalar for core in ("core", "_core")},
    # What mmengine (mmdet 3.x) leaves beside weights and metadata: the training's log.
    "mmengine.logging.history_buffer.HistoryBuffer": _opaque("training log"),
    "builtins.getattr": _opaque("attribute"),
    **{name: _opaque("storage") for name in _STORAGES},
}
_GLOBALS: dict[str, object] = {**{name: _Named(name, function) for name, function in _CALLED.items()}, **_DTYPES}
"""Everything a checkpoint may name."""
