"""Whoever builds from a stranger's checkpoint gets a sentence: no crash, no hang, no memory that a header claims."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hostile_checkpoints import HostileCheckpoint, bytes_of, call, dict_of, integer, storage, tensor, text, tuple_of
from vfnet_model.checkpoints.demo import DEMO_CLASSES
from vfnet_model.checkpoints.errors import CheckpointError
from vfnet_model.checkpoints.loading import build_network, load_checkpoint

Make = Callable[[HostileCheckpoint], bytes | None]
KEY = "backbone.conv1.weight"
BIAS = "bbox_head.vfnet_cls.bias"
TERA = 10**12
LAUGHS = b"]q\x00" + b"".join(
    b"](" + bytes([0x68, level, 0x68, level]) + b"eq" + bytes([level + 1]) for level in range(100)
)
"""Pushes lists of which each holds the one before twice; the last is in the memo under 100."""


@pytest.fixture(scope="module")
def sound(tiny_state_dict: dict[str, torch.Tensor], tiny_config_text: str) -> Callable[[], HostileCheckpoint]:
    return lambda: HostileCheckpoint(tiny_state_dict, tiny_config_text, DEMO_CLASSES)


def test_put_together_byte_by_byte_it_is_read(sound: Callable[[], HostileCheckpoint], tmp_path: Path) -> None:
    for name, content in (("new.pth", sound().zipped()), ("old.pth", sound().legacy())):
        (tmp_path / name).write_bytes(content)
        assert load_checkpoint(tmp_path / name).config.classes == DEMO_CLASSES


def meta(key: str, value: bytes) -> Make:
    return lambda hostile: hostile.meta.update({key: value})


def names(*given: str) -> Make:
    return meta("CLASSES", tuple_of(*map(text, given)))


def weight(key: str, value: bytes) -> Make:
    return lambda hostile: hostile.weights.update({key: value})


def numbers(key: str, content: bytes, kind: str | None = None, elements: int | None = None) -> Make:
    def make(hostile: HostileCheckpoint) -> None:
        hostile.numbers[hostile.keys[key]] = content
        if kind is not None:
            hostile.weights[key] = tensor(storage(hostile.keys[key], elements or 4, kind), (4,))

    return make


def payload(value: bytes, prelude: bytes = b"") -> Make:
    def make(hostile: HostileCheckpoint) -> None:
        hostile.payload, hostile.prelude = value, prelude

    return make


def entry(edit: Callable[[zipfile.ZipInfo], object], name: str = "archive/data/0") -> Make:
    """The directory says something else of an entry than its own header."""

    def make(hostile: HostileCheckpoint) -> bytes:
        buffer = io.BytesIO(hostile.zipped())
        with zipfile.ZipFile(buffer, "a") as archive:
            edit(archive.getinfo(name))
            archive.writestr("archive/.format_version", b"1")  # has the directory written anew
        return buffer.getvalue()

    return make


def added(entries: dict[str, bytes]) -> Make:
    def make(hostile: HostileCheckpoint) -> bytes:
        buffer = io.BytesIO(hostile.zipped())
        with zipfile.ZipFile(buffer, "a") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a name that is there already
            for name, content in entries.items():
                archive.writestr(name, content)
        return buffer.getvalue()

    return make


def compressed(hostile: HostileCheckpoint) -> bytes:
    hostile.numbers["0"] = bytes(50_000_000)
    return hostile.zipped(zipfile.ZIP_DEFLATED)


def huge_directory(_: HostileCheckpoint) -> bytes:
    record = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = record * 200_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, len(directory), 4, 0)
    return b"PK\3\4" + directory + end


def overlapping(hostile: HostileCheckpoint) -> bytes:
    """Every storage is the same megabyte of the file."""
    hostile.numbers["0"] = bytes(1 << 20)
    buffer = io.BytesIO(hostile.zipped())
    with zipfile.ZipFile(buffer, "a") as archive:
        first = archive.getinfo("archive/data/0")
        for other in archive.infolist():
            if other.filename.startswith("archive/data/"):
                other.header_offset, other.file_size, other.compress_size = first.header_offset, 1 << 20, 1 << 20
        archive.writestr("archive/.format_version", b"1")
    return buffer.getvalue()


def array(code: str, content: bytes | None, state_of_dtype: bytes = b"", shape: int = 4) -> bytes:
    """A NumPy array's operations; of objects its content is a list."""
    dtype = call("numpy", "dtype", text(code), b"\x89", b"\x88") + state_of_dtype
    empty = call("numpy.core.multiarray", "_reconstruct", b"cnumpy\nndarray\n", tuple_of(b"K\0"), bytes_of(b"b"))
    held = b"](" + text("a") * 4 + b"e" if content is None else bytes_of(content)
    return empty + tuple_of(integer(1), tuple_of(integer(shape)), dtype, b"\x89", held) + b"b"


def pointer_array(_: HostileCheckpoint) -> bytes:
    """`ndarray((4,), object, buffer)`: four pointers of the file's choice."""
    return b"cnumpy\nndarray\n" + tuple_of(
        tuple_of(integer(4)), call("numpy", "dtype", text("O")), bytes_of(b"\x41" * 32)
    ) + b"R"  # fmt: skip


FIELDS = tuple_of(
    integer(3), b"N", b"N", tuple_of(text("x")), dict_of({"x": tuple_of(call("numpy", "dtype", text("f8")), b"K\0")})
) + b"b"  # fmt: skip
ONE_NAME = "the class name of label 1"
UNKNOWN = "which torch does not write"
CASES: dict[str, tuple[Make, str | None]] = {
    # NumPy
    "pointer array": (lambda h: h.meta.update(CLASSES=pointer_array(h)), "other than numbers or texts"),
    "pointer scalar": (
        meta("CLASSES", call("numpy.core.multiarray", "scalar", call("numpy", "dtype", text("O")), bytes_of(b"A" * 8))),
        "other than numbers or texts",
    ),
    "object array": (meta("CLASSES", array("O8", None)), "other than numbers or texts"),
    "record array": (meta("CLASSES", array("V16", b"A" * 64)), "other than numbers or texts"),
    "dtype with fields": (meta("CLASSES", array("f8", b"A" * 32, FIELDS)), "a damaged NumPy dtype"),
    "array that claims more": (meta("CLASSES", array("f8", b"A" * 32, shape=TERA)), "claims 8,000,000,000,000"),
    "array of no characters": (meta("CLASSES", array("U2", b"\xff" * 32)), "class names must be texts"),
    "array allocated by size": (
        meta("x", b"cnumpy\nndarray\n" + tuple_of(tuple_of(integer(TERA)), text("f8")) + b"R"), None
    ),
    # allocations
    "bytearray of a terabyte": (meta("x", call("__builtin__", "bytearray", integer(TERA))), None),
    "legacy tensor of a terabyte": (meta("x", call("torch", "FloatTensor", integer(TERA))), "torch.FloatTensor`"),
    "four terabytes in twenty bytes": (weight(KEY, tensor(storage("0", TERA), (TERA,))), "has backbone.conv1.weight"),
    "storage that claims more": (
        lambda h: h.weights.update({BIAS: tensor(storage(h.keys[BIAS], TERA), (4,))}),
        "claims 4,000,000,000,000 bytes, the file holds 16",
    ),
    "expanded weight": (
        lambda h: (h.weights.update({KEY: tensor(storage("0", 1), (8, 3, 7, 7), (0, 0, 0, 0))}),
                   h.numbers.update({"0": bytes(4)}))[0],
        "a tensor claims 1,176 numbers where the file holds 1",
    ),
    "spread weight": (
        lambda h: (h.weights.update({BIAS: tensor(storage(h.keys[BIAS], 1 << 20), (4,), (1 << 18,))}),
                   h.numbers.update({h.keys[BIAS]: bytes(4 << 20)}))[0],
        "a tensor of 4 numbers is spread over 786,433",
    ),
    "offset behind the end": (
        lambda h: h.weights.update({BIAS: tensor(storage(h.keys[BIAS], 4), (4,), offset=TERA)}), "the file holds 4"
    ),
    "negative offset": (weight(KEY, tensor(storage("0", 1176), (8, 3, 7, 7), offset=-1)), "an impossible shape"),
    "negative stride": (weight(BIAS, tensor(storage("0", 1176), (4,), (-1,))), "an impossible shape"),
    "negative size": (weight(BIAS, tensor(storage("0", 1176), (-4,), (1,))), "an impossible shape"),
    "strides for fewer sizes": (weight(BIAS, tensor(storage("0", 1176), (4,), ())), "an impossible shape"),
    "a thousand dimensions": (weight(BIAS, tensor(storage("0", 1176), [1] * 1000, [1] * 1000)), "impossible shape"),
    "sizes beyond 64 bits": (weight(BIAS, tensor(storage("0", 1176), (1 << 70,), (1,))), "impossible shape"),
    "one storage of two kinds": (weight(BIAS, tensor(storage("0", 4, "LongStorage"), (4,))), "two things of one"),
    "storage outside the archive": (weight(BIAS, tensor(storage("../../../etc/passwd", 4), (4,))), "are missing"),
    "negative storage": (weight(BIAS, tensor(storage("900", -4), (4,))), "storage of an impossible size"),
    "file as a storage": (weight(BIAS, tensor(tuple_of(text("file"), text("/etc/passwd")) + b"Q", (4,))), "no storage"),
    "sparse weight": (
        weight(BIAS, call("torch._utils", "_rebuild_sparse_tensor", b"N", tuple_of(integer(TERA)))),
        "'bbox_head.vfnet_cls.bias' is a sparse tensor",
    ),
    "quantized weight": (weight(BIAS, call("torch._utils", "_rebuild_qtensor")), "is a quantized tensor"),
    "meta weight": (
        weight(BIAS, call("torch._utils", "_rebuild_meta_tensor_no_storage")), "is a tensor without numbers"
    ),
    # pickles
    "names that multiply": (
        lambda h: (h.meta.update(CLASSES=b"hd"), setattr(h, "prelude", LAUGHS))[0], "must be texts"
    ),
    "state dict that multiplies": (payload(dict_of({"state_dict": b"hd"}), LAUGHS), "holds a dict"),
    "payload that multiplies": (payload(b"hd", LAUGHS), "holds a list"),
    "value that multiplies": (
        lambda h: (h.weights.update({BIAS: b"hd"}), setattr(h, "prelude", LAUGHS))[0], "is a list; expected is a tensor"
    ),
    "list that holds itself": (meta("CLASSES", b"]q\x00h\x00a"), "class names must be texts"),
    "half a million brackets": (meta("CLASSES", b"]" * 400_000 + b"a" * 399_999), "class names must be texts"),
    "nested tuples": (meta("CLASSES", b")" + b"\x85" * 800_000), "class names must be texts"),
    "too many operations": (meta("x", b"](" + b"}" * 1_100_000 + b"e"), "more than 1,000,000 operations"),
    "bytes made over and over": (
        meta("x", b"](" + b"c_codecs\nencode\nq\x01" + text("a" * 1_000_000) + b"q\x02" + text("latin1") + b"q\x03"
             + b"h\x01h\x02h\x03\x86R" * 100_000 + b"e"),
        "copies the same values over and over",
    ),
    "dicts made over and over": (
        meta("x", b"](" + b"ccollections\nOrderedDict\nq\x01](" + (text("a") + text("b") + b"\x86") * 10_000 + b"eq\x02"
             + b"h\x01h\x02\x85R" * 100_000 + b"e"),
        "copies the same values over and over",
    ),
    "tuples that collide as keys": (
        meta("x", b"}(" + b"".join(tuple_of(integer(i), integer(-i)) + b"N" for i in range(50_000)) + b"u"), None
    ),
    "text that claims four gigabytes": (payload(b"X\xff\xff\xff\xffabc"), "pickle is damaged"),
    "stack that is empty": (payload(b"\x86"), "pickle is damaged"),
    "mark that is missing": (payload(b"Nt"), "pickle is damaged"),
    "memo that is empty": (payload(b"h\x05"), "pickle is damaged"),
    "dict that cannot hold": (payload(b"N" + text("a") + b"Ns"), "no dict where one is changed"),
    "operations of protocol 4": (payload(b"\x8c\x01a"), UNKNOWN),
    "operations of protocol 0": (payload(b"I" + b"9" * 5000 + b"\n"), "pickle is damaged"),
    "extension registry": (payload(b"\x82\x01"), UNKNOWN),
    "instance of a class": (payload(b"(cos\nsystem\no"), "`os.system`, that is not loaded"),
    "stack global": (payload(text("os") + text("system") + b"\x93"), UNKNOWN),
    "name with a line break": (payload(b"cos\x1b[2J\nsystem\n"), r"os\x1b[2J.system"),
    "calling what is no function": (payload(integer(1) + b")R"), "calls what is no function"),
    "rebuilding by another function": (
        payload(call("torch._tensor", "_rebuild_from_type_v2", b"ccollections\nOrderedDict\n", b"N", b")", b"N")),
        "calls what is no function",
    ),
    "state for what has none": (payload(integer(1) + b"}b"), "gives a state"),
    # zip archives
    "zip bomb": (compressed, "is compressed"),
    "the same entry twice": (added({"archive/data/0": b"x"}), "names the same entry twice"),
    "two checkpoints": (added({"other/data.pkl": b"x"}), "a zip archive of 2 checkpoints"),
    "a checkpoint within": (added({"archive/inner/data.pkl": b"x"}), "a zip archive of 2 checkpoints"),
    "directory of 200,000 entries": (huge_directory, "its zip directory has more than"),
    "entries that overlap": (overlapping, "its entries claim"),
    "entry elsewhere": (entry(lambda info: setattr(info, "header_offset", 17)), "is not where it should be"),
    "entry behind the end": (entry(lambda info: setattr(info, "header_offset", 1 << 31)), "is not where it should be"),
    "entry that is larger": (
        entry(lambda info: (setattr(info, "file_size", 1 << 30), setattr(info, "compress_size", 1 << 30))),
        "its entries claim 1,0",
    ),
    "numbers of another machine": (
        lambda h: h.zipped().replace(b"byteorderlittle", b"byteorderBITTLE"), "byte order 'BITTLE'"
    ),
    "pickle of a gigabyte": (
        entry(lambda info: setattr(info, "file_size", 1 << 30), "archive/data.pkl"), "its pickle has 1,073,741,824"
    ),
    # files of before torch 1.6
    "legacy that claims more": (lambda h: h.legacy({"0": TERA}), "it ends early"),
    "legacy that ends early": (lambda h: h.legacy()[:-5], "it ends early"),
    "legacy text of four gigabytes": (
        lambda h: h.legacy()[:19] + b"\x80\x02X\xff\xff\xff\xffabc", "pickle is damaged"
    ),
    "legacy without numbers": (lambda h: (h.numbers.clear(), h.legacy())[1], "are missing"),
    # numbers
    "not a number": (numbers(BIAS, np.full(4, np.nan, np.float32).tobytes()), "not finite; did the training diverge"),
    "beyond float32": (numbers(BIAS, np.full(4, 1e300).tobytes(), "DoubleStorage"), "not finite"),
    "complex": (numbers(BIAS, bytes(32), "ComplexFloatStorage"), f"{BIAS} is of complex64; supported: float32"),
    "integers for weights": (numbers(BIAS, bytes(32), "LongStorage"), f"{BIAS} is of int64; supported: float32"),
    "truth values": (numbers(BIAS, b"\xff" * 4, "BoolStorage"), f"{BIAS} is of bool"),
    "negative variance": (
        numbers("backbone.bn1.running_var", np.full(8, -1, np.float32).tobytes()), "negative variances"
    ),
    # class names
    "line break": (names("a", "b\nc", "d", "e"), ONE_NAME),
    "line separator": (names("a", "b\u2028c", "d", "e"), ONE_NAME),
    "next line": (names("a", "b\x85c", "d", "e"), ONE_NAME),
    "lone surrogate": (names("a", "b\ud800", "d", "e"), ONE_NAME),
    "bidirectional override": (names("a", "b\u202ec", "d", "e"), ONE_NAME),
    "escape": (names("a", "b\x1b[2J", "d", "e"), ONE_NAME),
    "empty": (names("a", "", "d", "e"), f"{ONE_NAME} is empty"),
    "blank": (names("a", "  ", "d", "e"), f"{ONE_NAME} is empty"),
    "twice": (names("a", "b", "c", "b"), "labels 1 and 3 have the same class name"),
    "long": (names("a", "b" * 10**6, "c", "d"), f"{ONE_NAME} has 1,000,000 characters"),
    "many": (meta("CLASSES", b"](" + b"".join(text(f"c{i}") for i in range(200_000)) + b"e"), "4 classes, but 200000"),
    # configs
    "config that multiplies": (
        meta("config", text("a0 = [1]\n" + "".join(f"a{i + 1} = [a{i}, a{i}]\n" for i in range(60)))), "100,000 values"
    ),
    "config that is no text": (meta("config", tuple_of(text("a"))), "holds no mmdet config"),
    "surrogates in a key": (weight("backbone.\ud800\n", tensor(storage("0", 1176), (4,))), r"\ud800\n"),
}  # fmt: skip


SETTINGS = [
    ("stacked_convs=3", "stacked_convs=100000", "stacked_convs is 100000; supported: an integer from 1 to 16"),
    ("base_channels=4", "base_channels=65536", "base_channels is 65536; supported: an integer from 1 to 256"),
    ("base_channels=4", "base_channels=256", "in_channels is (16, 32, 64, 128); supported: (1024, "),
    ("stem_channels=8", "stem_channels=65536", "stem_channels is 65536; supported: an integer from 1 to 1,024"),
    ("stem_channels=8", "stem_channels=0x" + "f" * 4000, "integer beyond any float"),
    ("deform_groups=1", "deform_groups=3", "deform_groups is 3; supported: what divides the 8 channels of stage 2"),
    ("deform_groups=1", "deform_groups=1000000", "deform_groups is 1000000"),
    ("type='ResNet'", "groups=10**9", "`10**9`"),
    ("type='ResNet'", "type='ResNeXt', groups=256, base_width=256", "parameters"),
    (
        "type='ResNet'",
        "type='Res2Net', base_width=1, scales=16",
        "does not fit its architecture, VFNet Res2Net-50",
    ),
    ("type='ResNet'", "type='Res2Net', base_width=0", "base_width is 0"),
    ("=32,\n        start_level", "=1000000,\n        start_level", "out_channels is 1000000"),
    ("num_outs=5", "num_outs=1000000", "num_outs is 1000000; supported: an integer from 1 to 8"),
    ("num_outs=5", "num_outs=2", "num_outs is 2; supported: at least 3"),
    ("feat_channels=32", "feat_channels=1000000", "feat_channels is 1000000"),
    ("num_classes=4", "num_classes=1000000000", "num_classes is 1000000000; supported: an integer from 1 to 5,000"),
    ("[8, 16, 32, 64, 128]", "[8, 16, 32, 64, 1000000000]", "strides is (8, 16, 32, 64, 1000000000)"),
    ("nms_pre=1000", "nms_pre=1000000000", "nms_pre is 1000000000; supported: an integer from 1 to 10,000"),
    ("max_per_img=100", "max_per_img=1000000000", "max_per_img is 1000000000; supported: an integer from 1 to 5,000"),
    ("img_scale=(1333, 800)", "img_scale=(1000000, 800)", "img_scale is (1000000, 800); supported: one"),
    ("img_scale=(1333, 800)", "img_scale=(1, 1)", "each from 32 to 4,096"),
    ("size_divisor=32", "size_divisor=32000000", "size_divisor is 32000000; supported: an integer from 1 to 1,024"),
    ("58.395, 57.12", "1e-300, 57.12", "std is (1e-300, 57.12, 57.375); supported: three numbers of at least 1e-06"),
    ("58.395, 57.12", "float('nan'), 57.12", "std is (nan, 57.12, 57.375); supported: 3 numbers"),
    ("58.395, 57.12", "1" + "0" * 300 + ", 57.12", "supported: 3 numbers from 0 to 100,000"),
    ("score_thr=0.05", "score_thr=float('nan')", "score_thr is nan; supported: a number from 0 to 1"),
    ("use_atss=True", "use_atss=True, gradient_mul=float('inf')", "gradient_mul is inf"),
    ("use_atss=True", "regress_ranges=((-1, 64), (64, 128), (128, 256), (256, 512), (512, float('nan')))", "a pair of"),
    ("use_atss=True", "regress_ranges=((-1, -64), (64, 128), (128, 256), (256, -512), (512, 1e9))", "a pair of"),
    ("use_atss=True", "**{'a\\nb': 1}", r"bbox_head['a\nb'] is 1"),
    ("use_atss=True", "**{1: 1}", "has the key 1; expected are names"),
    ("frozen_stages=1", "frozen_stages=99", "frozen_stages is 99; supported: an integer from -1 to 4"),
]
"""Of the config: what stands there, what comes instead, what is said."""


def message_of(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        build_network(load_checkpoint(path))
    return str(caught.value)


def is_one_sentence(message: str) -> bool:
    return message.partition("\n  c = torch.load")[0].count("\n") <= 1 and message.isascii() and len(message) < 1500


def write_case(name: str, hostile: HostileCheckpoint, path: Path) -> None:
    content = CASES[name][0](hostile)
    path.write_bytes(content if isinstance(content, bytes) else hostile.zipped())


@pytest.mark.parametrize(("old", "new", "says"), SETTINGS)
def test_settings_beyond_any_network_are_refused_by_name(
    sound: Callable[[], HostileCheckpoint], tiny_config_text: str, old: str, new: str, says: str, tmp_path: Path
) -> None:
    assert old in tiny_config_text
    hostile = sound()
    hostile.meta["config"] = text(tiny_config_text.replace(old, new))
    message = message_of(hostile.write(tmp_path / "a.pth"))
    assert says in message
    assert is_one_sentence(message)


WATCHED = """
import json, resource, sys, time
from pathlib import Path
from vfnet_model.checkpoints.errors import CheckpointError
from vfnet_model.checkpoints.loading import build_network, load_checkpoint

*sound, = sys.argv[1:]
for path in sound:
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        build_network(load_checkpoint(Path(path)))
        message = None
    except CheckpointError as error:
        message = str(error)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps([path, message, grown / 1024, time.process_time() - started]), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes(
    sound: Callable[[], HostileCheckpoint], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[str | None, float, float]]:
    """By case: what was said, MiB by which the process had to grow, seconds of processor time.

    All in one process, the sound one first, which a crash would end.
    """
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "sound").write_bytes(sound().zipped())
    paths = [folder / "sound"]
    for index, name in enumerate(CASES):
        paths.append(folder / str(index))
        write_case(name, sound(), paths[-1])
    done = subprocess.run([sys.executable, "-c", WATCHED, *paths], capture_output=True, text=True, timeout=250)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:], len(rows), list(CASES)[len(rows) - 1])
    return dict(zip(["sound", *CASES], [tuple(row[1:]) for row in rows], strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_hostile_checkpoint_costs_a_sentence(outcomes: dict[str, tuple[str | None, float, float]], name: str) -> None:
    message, grown, seconds = outcomes[name]
    assert outcomes["sound"][0] is None
    assert grown < 200, f"{grown} MiB"
    assert seconds < 20
    says = CASES[name][1]
    if says is None:  # harmless: whatever stands there is not looked at
        assert message is None
        return
    assert message is not None
    assert says in message
    assert is_one_sentence(message)


@pytest.mark.parametrize("name", ["pipe", "device", "link to a device", "folder"])
def test_what_is_no_file_is_not_waited_for(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    match name:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path = Path("/dev/zero")
        case "link to a device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
    assert "expected is a checkpoint file" in message_of(path)
