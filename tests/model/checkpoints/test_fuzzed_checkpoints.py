"""Whatever stands in a checkpoint, a config, a class list or augmentations: it is read, or refused with a sentence.

`VFNET_FUZZ=100` tries a hundred times as many as an ordinary run.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzzing import examples
from hostile_checkpoints import HostileCheckpoint, bytes_of, call, integer, storage, tensor, text, tuple_of
from vfnet_model.checkpoints.azureml_folder import load_azureml_folder
from vfnet_model.checkpoints.class_names import read_class_list
from vfnet_model.checkpoints.config_text import parse_config_text
from vfnet_model.checkpoints.demo import DEMO_CLASSES
from vfnet_model.checkpoints.errors import CheckpointError
from vfnet_model.checkpoints.loading import load_checkpoint
from vfnet_model.checkpoints.model_config import read_model_config
from vfnet_runtime.architecture.detector import DensePredictor
from vfnet_runtime.architecture.vfnet import VFNet

from .test_azureml_folder import AUGMENTATIONS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
Edits = list[tuple[str, float, bytes]]
LARGEST_RUN = 2_000_000
"""Parameters of a network that is run, too."""


@pytest.fixture(scope="module")
def sound(tiny_state_dict: dict[str, torch.Tensor], tiny_config_text: str) -> HostileCheckpoint:
    return HostileCheckpoint(tiny_state_dict, tiny_config_text, DEMO_CLASSES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzed")


def attempt(read: Callable[[], object]) -> bool:
    """Whether it was read; if not, a sentence said so."""
    try:
        read()
    except CheckpointError as error:
        message = str(error).partition("\n  c = torch.load")[0]
        assert message.replace("\n", " ").isprintable(), repr(message)
        assert len(message) < 4000
        return False
    return True


EDITS = st.lists(
    st.tuples(st.sampled_from(["flip", "cut", "insert", "repeat", "zero"]), st.floats(0, 1), st.binary(max_size=12)),
    min_size=1,
    max_size=4,
)


def edit(content: bytes, edits: Edits) -> bytes:
    """Changes at shares of the length."""
    for kind, share, extra in edits:
        at = int(share * len(content))
        match kind:
            case "flip":
                changed = bytes(b ^ (i + 1) for i, b in enumerate(content[at : at + 1 + len(extra)]))
                content = content[:at] + changed + content[at + len(changed) :]
            case "cut":
                content = content[:at] + content[at + 1 + 17 * len(extra) :]
            case "insert":
                content = content[:at] + extra + content[at:]
            case "repeat":
                content = content[:at] + content[at : at + 40 * len(extra)] * 2 + content[at:]
            case "zero":
                content = content[:at] + bytes(len(extra)) + content[at + len(extra) :]
    return content


@given(edits=EDITS, form=st.sampled_from(["zip", "zip's directory", "legacy", "legacy's beginning"]))
@settings(max_examples=examples(60))
def test_bytes_that_changed(sound: HostileCheckpoint, folder: Path, edits: Edits, form: str) -> None:
    content = sound.legacy() if form.startswith("legacy") else sound.zipped()
    match form:
        case "zip's directory":
            start = content.index(b"PK\1\2")
            content = content[:start] + edit(content[start:], edits)
        case "legacy's beginning":
            content = edit(content[:20_000], edits) + content[20_000:]
        case _:
            content = edit(content, edits)
    (folder / "a.pth").write_bytes(content)
    attempt(lambda: load_checkpoint(folder / "a.pth"))


OPERATIONS = st.one_of(
    st.sampled_from([opcode.code.encode("latin-1") for opcode in pickletools.opcodes]),
    st.sampled_from([b"(", b"t", b"R", b"b", b"u", b"e", b"}", b"]", b")", b"\x85", b"Q", b"\x81"]),
    st.integers(0, 255).map(lambda index: b"h" + bytes([index])),
    st.integers(0, 255).map(lambda index: b"q" + bytes([index])),
    st.integers(-(2**80), 2**80).map(integer),
    st.text(max_size=8).map(text),
    st.sampled_from(
        [
            b"ctorch._utils\n_rebuild_tensor_v2\n",
            b"ctorch._tensor\n_rebuild_from_type_v2\n",
            b"ccollections\nOrderedDict\n",
            b"cnumpy.core.multiarray\nscalar\n",
            b"cnumpy.core.multiarray\n_reconstruct\n",
            b"cnumpy\ndtype\n",
            b"cnumpy\nndarray\n",
            b"c_codecs\nencode\n",
            b"ctorch\nFloatStorage\n",
            b"ctorch\nfloat32\n",
        ]
    ),
)


@given(
    inserted=st.lists(OPERATIONS, max_size=12),
    removed=st.integers(0, 6),
    share=st.floats(0, 1),
)
@settings(max_examples=examples(60))
def test_operations_that_changed(
    sound: HostileCheckpoint, folder: Path, inserted: list[bytes], removed: int, share: float
) -> None:
    whole = sound.pickle()
    bounds = [position for _, _, position in pickletools.genops(whole) if position is not None]
    at = int(share * (len(bounds) - 1))
    upto = min(at + removed, len(bounds) - 1)
    hostile = changed(sound)
    hostile.prelude, hostile.payload = whole[2 : bounds[at]], b"".join(inserted) + whole[bounds[upto] : -1]
    attempt(lambda: load_checkpoint(hostile.write(folder / "a.pth")))


def changed(sound: HostileCheckpoint) -> HostileCheckpoint:
    """A copy to change."""
    copy = HostileCheckpoint({}, "", ())
    copy.weights, copy.numbers, copy.keys = dict(sound.weights), dict(sound.numbers), dict(sound.keys)
    copy.meta = dict(sound.meta)
    return copy


def numpy_scalar(code: str, content: bytes) -> bytes:
    return call("numpy.core.multiarray", "scalar", call("numpy", "dtype", text(code)), bytes_of(content))


SIZES = st.integers(-1, 6) | st.sampled_from([2**31, 2**63 - 1, 2**63])
SHAPES = st.lists(SIZES, max_size=4)
VALUES = st.recursive(
    st.one_of(
        st.just(b"N"),
        st.integers(-(2**70), 2**70).map(integer),
        st.text(st.characters(), max_size=6).map(text),
        st.binary(max_size=16).map(bytes_of),
        st.builds(
            numpy_scalar,
            st.sampled_from(["f8", "i4", "b1", "U2", "S3", "O8", "V4", "U0"]),
            st.binary(max_size=8),
        ),
        st.builds(
            lambda key, count, shape, stride, offset: tensor(storage(key, count), shape, stride, offset),
            st.sampled_from(["0", "1", "7", "400", "x"]),
            SIZES,
            SHAPES,
            SHAPES,
            SIZES,
        ),
    ),
    lambda inner: st.lists(inner, max_size=4).map(lambda items: tuple_of(*items))
    | st.lists(inner, max_size=4).map(lambda items: b"](" + b"".join(items) + b"e"),
    max_leaves=6,
)  # fmt: skip


@given(data=st.data(), kind=st.sampled_from(["weights", "meta", "payload"]), value=VALUES)
@settings(max_examples=examples(60))
def test_parts_that_changed(
    sound: HostileCheckpoint, folder: Path, data: st.DataObject, kind: str, value: bytes
) -> None:
    hostile = changed(sound)
    match kind:
        case "weights":
            hostile.weights[data.draw(st.sampled_from(sorted(sound.weights)))] = value
        case "meta":
            hostile.meta[data.draw(st.sampled_from(["CLASSES", "classes", "config", "cfg", "dataset_meta"]))] = value
        case "payload":
            hostile.payload = value
    attempt(lambda: load_checkpoint(hostile.write(folder / "a.pth")))


LITERALS = st.one_of(
    st.integers(-2, 20).map(repr),
    st.sampled_from([2**31, 2**63, 10**9, 0, -1, 64, 33, 48]).map(repr),
    st.floats().map(repr),
    st.booleans().map(repr),
    st.sampled_from(["None", "'x'", "()", "[]", "dict()", "(1, 2)", "[1, 2, 3, 4, 5]", "x", "dict(a=1)"]),
    st.sampled_from(["'ResNeXt'", "'Res2Net'", "'ResNetV1d'", "'on_input'", "'on_lateral'", "'caffe'", "'stride'"]),
)  # fmt: skip
_VALUE = re.compile(r"(?<==)(?:'[^']*'|[0-9.]+|True|False)|(?<=[\[(, ])[0-9.]+(?=[,\])])")


@given(changes=st.lists(st.tuples(st.floats(0, 1), LITERALS), min_size=1, max_size=3))
@settings(max_examples=examples(80))
def test_a_config_that_is_accepted_is_a_network_that_runs(
    tiny_config_text: str, changes: list[tuple[float, str]]
) -> None:
    # Groups of one channel cannot be normalised over one position.
    content = tiny_config_text.replace("stacked_convs=3", "stacked_convs=3, norm_cfg=dict(type='GN', num_groups=8)")
    for share, literal in changes:
        found = list(_VALUE.finditer(content))
        match = found[int(share * (len(found) - 1))]
        content = content[: match.start()] + literal + content[match.end() :]

    def read() -> None:
        config = read_model_config(parse_config_text(content), DEMO_CLASSES)
        with torch.device("meta"):
            network = VFNet(config)
        if sum(parameter.numel() for parameter in network.parameters()) < LARGEST_RUN:
            side = 64
            with torch.inference_mode():
                outputs = DensePredictor(VFNet(config).eval())(
                    torch.zeros(1, side, side, 3, dtype=torch.uint8), torch.tensor([[side, side]], dtype=torch.int32)
                )
            assert len(outputs) == 2 * len(config.head.strides)

    attempt(read)


LINES = st.lists(st.text() | st.sampled_from(["can", "\ufeffcan", "b\u2028", "\x1b[2J"]), max_size=5)


@given(lines=LINES, ends=st.sampled_from(["\n", "\r\n"]), tail=st.binary(max_size=3))
@settings(max_examples=examples(100))
def test_a_class_list_is_read_as_labels_txt_will_be(folder: Path, lines: list[str], ends: str, tail: bytes) -> None:
    path = folder / "classes.txt"
    path.write_bytes(ends.join(lines).encode("utf-8", "surrogatepass") + tail)
    names: list[str] = []
    if attempt(lambda: names.extend(read_class_list(path))):
        assert ("\n".join(names) + "\n").encode().decode().splitlines() == names
        assert len(set(names)) == len(names) > 0


PIECES = st.sampled_from(
    [
        *("&a ", "*a", "<<: ", "!!python/name:os.system ", "? ", "[", "{", "- ", "2001-99-99", "1:1", ".inf"),
        "0x" + "f" * 4000,
        "9" * 5000,
    ]
)


@given(edits=EDITS, pieces=st.lists(PIECES, max_size=3))
@settings(max_examples=examples(60))
def test_augmentations_that_changed(
    sound: HostileCheckpoint, folder: Path, tiny_config_text: str, edits: Edits, pieces: list[str]
) -> None:
    azureml = folder / "azureml"
    if not azureml.exists():
        azureml.mkdir()
        sound.write(azureml / "pytorch_model.bin")
        (azureml / "vfnet.py").write_text(tiny_config_text)
    content = AUGMENTATIONS.encode()
    for piece, (_, share, _) in zip(pieces, edits, strict=False):
        at = int(share * len(content))
        content = content[:at] + piece.encode() + content[at:]
    (azureml / "augmentations.yaml").write_bytes(edit(content, edits) if len(pieces) < 2 else content)
    attempt(lambda: load_azureml_folder(azureml, classes=list(DEMO_CLASSES), accept_preprocessing=True))
