"""Checkpoints as safetensors: what comes back, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from vfnet_client.cli import main
from vfnet_model.checkpoints.demo import DEMO_CLASSES
from vfnet_model.checkpoints.errors import CheckpointError
from vfnet_model.checkpoints.loading import load_checkpoint
from vfnet_model.checkpoints.torch_file import open_torch_file


@pytest.fixture(scope="module")
def plain(tiny_state_dict: dict[str, torch.Tensor], tiny_config_text: str, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("safetensors") / "tiny.pth"
    meta = {"config": tiny_config_text, "CLASSES": DEMO_CLASSES}
    torch.save({"state_dict": tiny_state_dict, "meta": meta}, path)
    return path


@pytest.fixture(scope="module")
def converted(plain: Path) -> Path:
    path = plain.with_name("tiny.safetensors")
    assert main(["convert", str(plain), str(path)]) == 0
    return path


def test_there_and_back_is_the_same_network(plain: Path, converted: Path) -> None:
    back = plain.with_name("back.pth")
    assert main(["convert", str(converted), str(back)]) == 0
    first, *others = (load_checkpoint(path) for path in (plain, converted, back))
    for other in others:
        assert other.config == first.config
        assert other.state_dict.keys() == first.state_dict.keys()
        assert all(torch.equal(other.state_dict[key], value) for key, value in first.state_dict.items())


def test_the_library_reads_what_was_written(plain: Path, converted: Path) -> None:
    expected = load_checkpoint(plain).state_dict
    with safe_open(converted, "pt") as file:
        assert set(file.keys()) == set(expected)
        assert all(torch.equal(file.get_tensor(key), value) for key, value in expected.items())
        metadata = file.metadata()
    assert json.loads(metadata["classes"]) == list(DEMO_CLASSES)
    assert "VFNet" in metadata["config"]


def test_weights_of_others_need_names_and_an_architecture(tiny_state_dict, tmp_path: Path) -> None:
    path = tmp_path / "bare.safetensors"
    save_file({key: value.contiguous() for key, value in tiny_state_dict.items()}, path)
    with pytest.raises(CheckpointError, match="does not name its 4 classes"):
        load_checkpoint(path)
    with pytest.raises(CheckpointError, match="holds no mmdet config"):
        load_checkpoint(path, classes=DEMO_CLASSES)


def test_half_precision_is_read(tiny_state_dict, tiny_config_text: str, tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    halves = {key: (value.bfloat16() if value.is_floating_point() else value) for key, value in tiny_state_dict.items()}
    save_file(halves, path, {"config": tiny_config_text, "classes": json.dumps(DEMO_CLASSES)})
    found = load_checkpoint(path).state_dict
    assert all(
        torch.equal(found[key], value.float() if value.is_floating_point() else value) for key, value in halves.items()
    )


def file_of(header: object, numbers: bytes = b"\0" * 8, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + numbers


def entry(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (file_of({"a": entry(0, 8, [2])}, length=10**9), "its header has 1,000,000,000 bytes"),
        (file_of({"a": entry(0, 8, [2])}, length=500), "ends within its header"),
        (file_of(b'{"a": ['), "its header is no JSON"),
        (file_of(b'{"a":' + b"[" * 200_000), "its header is no JSON"),
        (file_of(b'{"a": {}, "a": {}}'), "says something twice"),
        (file_of({"__metadata__": {"config": 1}}), "its metadata are no texts"),
        (file_of({"a": entry(0, 8, [3])}), "claims 3 numbers, its place has 8 bytes"),
        (file_of({"a": entry(0, 8, [2**47, 2**47, 2**47])}), "claims"),
        (file_of({"a": entry(0, 8, [-2])}), "does not say where tensor"),
        (file_of({"a": entry(0, 8, [1, True])}), "does not say where tensor"),
        (file_of({"a": {"dtype": "F32"}}), "does not say where tensor"),
        (file_of({"a": entry(0, 8, [8], "F8_E4M3")}), "which no weight has"),
        (file_of({"a": entry(0, 8, [2]), "b": entry(4, 8, [1])}), "overlap or leave gaps"),
        (file_of({"a": entry(4, 8, [1])}), "overlap or leave gaps"),
        (file_of({"a": entry(0, 4, [1])}), "its tensors end at byte"),
        (file_of({"a": entry(0, 8, [2]), "__metadata__": {"classes": "can"}}), "no JSON list"),
    ],
)
def test_a_spoilt_header_is_refused_in_words(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "spoilt.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=said), open_torch_file(path) as file:
        _ = file.payload


def test_the_command_says_what_the_output_may_be_called(plain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(plain), str(plain.with_name("out.onnx"))]) == 1
    assert "ends with .safetensors or .pth" in capsys.readouterr().err
