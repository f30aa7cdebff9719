"""What TensorRT is told: by something in its place that notes it, for TensorRT needs a GPU to build anything."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vfnet_build.engines.tensorrt import build_plan
from vfnet_build.repository import EngineError

CANVASES = [(800, 1088), (1088, 800), (800, 1344), (1344, 800)]


class Recorder:
    """A TensorRT builder, with everything that it makes in one object."""

    def __init__(self, *, reads: bool = True) -> None:
        self.reads, self.cleared, self.profiles = reads, list[str](), list[dict[str, Any]]()
        self.num_errors = 1

    def module(self) -> Any:
        class Logger:
            Severity = SimpleNamespace(WARNING=1)

        return SimpleNamespace(
            __version__="10.13.0",
            ILogger=Logger,
            BuilderFlag=SimpleNamespace(TF32="TF32"),
            NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=0),
            init_libnvinfer_plugins=lambda *_: None,
            Builder=lambda _: self,
            OnnxParser=lambda *_: self,
        )

    def create_network(self, _flags: int) -> None: ...

    def parse_from_file(self, _path: str) -> bool:
        return self.reads

    def get_error(self, _index: int) -> str:
        return "no importer for DeformConv"

    def create_builder_config(self) -> Recorder:
        return self

    def clear_flag(self, flag: str) -> None:
        self.cleared.append(flag)

    def create_optimization_profile(self) -> Any:
        shapes: dict[str, Any] = {}
        return SimpleNamespace(shapes=shapes, set_shape=lambda name, *three: shapes.update({name: three}))

    def add_optimization_profile(self, profile: Any) -> None:
        self.profiles.append(profile.shapes)

    def build_serialized_network(self, *_: Any) -> bytes:
        return b"plan"


def test_one_profile_holds_every_canvas_and_batch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recorder = Recorder()
    monkeypatch.setitem(sys.modules, "tensorrt", recorder.module())
    assert build_plan(tmp_path / "network.onnx", CANVASES, "fp16") == b"plan"
    (profile,) = recorder.profiles
    assert profile["VALID_SHAPE"] == ((1, 2), (8, 2), (8, 2))
    least, usual, most = profile["PIXELS"]
    assert usual == (8, 1344, 800, 3)
    for height, width in CANVASES:
        for size in (1, 8):
            assert all(
                low <= side <= high for low, side, high in zip(least, (size, height, width, 3), most, strict=True)
            )
    assert recorder.cleared == []


def test_f32_is_not_rounded_to_tf32(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recorder = Recorder()
    monkeypatch.setitem(sys.modules, "tensorrt", recorder.module())
    build_plan(tmp_path / "network.onnx", CANVASES, "f32")
    assert recorder.cleared == ["TF32"]


def test_what_it_does_not_read_is_said_in_its_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", Recorder(reads=False).module())
    with pytest.raises(EngineError, match=r"TensorRT 10\.13\.0 does not read the network: no importer for DeformConv"):
        build_plan(tmp_path / "network.onnx", CANVASES, "fp16")
