"""`vfnet build --engine`: the configurations that each engine brings, and what is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from sklearn.datasets import load_sample_image

from vfnet_build.building import build
from vfnet_build.model_configuration import read_configuration
from vfnet_build.repository import EngineError, RepositoryError, _configure_for, _copy_template
from vfnet_model.manifest import BuildOptions, Manifest
from vfnet_runtime.architecture.config import VFNetConfig
from vfnet_runtime.canvases import OWN, parse_canvases
from vfnet_runtime.resizing import resize_onto_canvas


@pytest.fixture(scope="module")
def several(demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("several") / "repository"
    assert build(str(demo_checkpoint), repository, BuildOptions("torch", "fp16", ("libtorch",)))
    return repository


@pytest.mark.slow
def test_the_first_engine_serves_and_the_others_can_be_chosen(several: Path) -> None:
    for model in ("vfnet", "vfnet_preprocess", "vfnet_detector"):
        configurations = several / model / "configs"
        names = {path.stem for path in configurations.iterdir()} - {"noop"}
        assert names == {"torch", "libtorch"}
        assert (several / model / "config.pbtxt").read_text() == (configurations / "torch.pbtxt").read_text()
    manifest = Manifest.read(several)
    assert manifest is not None
    assert manifest.options.engines == ("torch", "libtorch")
    version = several / "vfnet_detector" / "1"
    assert (version / "network.pt").is_file()
    assert (version / "model.pt").is_file()
    assert not (version / "network.xml").exists()


@pytest.mark.slow
def test_precision_and_canvases_are_those_of_the_engine(several: Path) -> None:
    detector = read_configuration(several / "vfnet_detector" / "config.pbtxt")
    assert detector.parameters["inference_precision"].string_value == "fp16"
    canvases = {
        engine: read_configuration(several / "vfnet_preprocess" / "configs" / f"{engine}.pbtxt")
        .parameters["canvases"]
        .string_value
        for engine in ("torch", "libtorch")
    }
    assert canvases["torch"] == OWN
    assert len(parse_canvases(canvases["libtorch"])) == 6


@pytest.mark.parametrize("engine", ["openvino", "torch", "libtorch", "torch_aoti", "tensorrt"])
def test_the_ensemble_calls_the_detectors_tensors_by_their_names(engine: str, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    _copy_template(repository)
    _configure_for(engine, repository, VFNetConfig(classes=("one",)), "f32")
    ensemble = read_configuration(repository / "vfnet" / "configs" / f"{engine}.pbtxt")
    detector = read_configuration(repository / "vfnet_detector" / "configs" / f"{engine}.pbtxt")
    (step,) = (step for step in ensemble.ensemble_scheduling.step if step.model_name == "vfnet_detector")
    assert set(step.input_map) == {tensor.name for tensor in detector.input}
    assert set(step.output_map) == {tensor.name for tensor in detector.output}
    # Engines of ours are also told whose image it is: vfnet_runtime/tickets.py.
    ticket = {"ticket"} if engine in ("openvino", "torch") else set()
    assert set(step.input_map.values()) == {"pixels", "valid_shape"} | ticket


def test_an_image_is_put_on_the_smallest_canvas_that_holds_it() -> None:
    photo = load_sample_image("china.jpg")
    own = resize_onto_canvas(photo, (1333, 800), 32)
    fixed = resize_onto_canvas(photo, (1333, 800), 32, parse_canvases("800x1344,1344x800"))
    assert own.pixels.shape[1:3] == (800, 1216)
    assert fixed.pixels.shape[1:3] == (800, 1344)
    assert (fixed.pixels[:, :, :1216] == own.pixels).all()
    assert not fixed.pixels[:, :, 1216:].any()
    assert (fixed.geometry == own.geometry).all()


def test_what_an_engine_does_not_compute_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="openvino does not compute in fp16; choose from f32"):
        build("demo", tmp_path / "repository", BuildOptions(precision="fp16"))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is here")
def test_tensorrt_is_refused_where_it_is_not(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="server image"):
        build("demo", tmp_path / "repository", BuildOptions("tensorrt", "fp16"))
    assert not list(tmp_path.iterdir())
