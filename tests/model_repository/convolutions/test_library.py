"""Compiling the library, and what happens where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from vfnet_build.engines.native_code import COMPILED, compile_convolutions
from vfnet_runtime.engines.convolutions.deformable_convolution import lower_deformable_convolutions
from vfnet_runtime.engines.convolutions.library import LIBRARY
from vfnet_runtime.engines.convolutions.winograd_convolution import lower_plain_convolutions
from vfnet_runtime.engines.openvino_engine import openvino_core


def test_a_library_that_is_compiled_already_needs_no_compiler(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the images."""
    monkeypatch.setenv(COMPILED, str(library.parent))
    monkeypatch.setenv("CC", "/nowhere/cc")
    assert compile_convolutions(tmp_path) is None
    assert (tmp_path / LIBRARY).read_bytes() == library.read_bytes()
    monkeypatch.delenv(COMPILED)
    assert "/nowhere/cc" in str(compile_convolutions(tmp_path))


def test_openvinos_own_stay_where_ours_cannot_be(demo_repository: Path, tmp_path: Path) -> None:
    network = demo_repository / "vfnet_detector" / "1" / "network.xml"
    damaged = tmp_path / LIBRARY
    damaged.write_text("no library")
    for precision, path in (("f32", damaged), ("int8", tmp_path / "missing.so"), ("bf16", damaged)):
        model = openvino_core().read_model(network)
        assert lower_deformable_convolutions(model, precision, 1, path, {}) == 0
        assert lower_plain_convolutions(model, 1, path, {}) == 0
