"""What `vfnet mlflow` writes, and what the code in it answers, without MLflow."""

from __future__ import annotations

import importlib.metadata
import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_sample_image

from boxes_on_the_edge import EDGES, boxes_on_the_edge
from score_requests import GOOD, strip_png, table
from vfnet.command_table import COMMANDS
from vfnet.commands import finetune, sweep
from vfnet_build import mlflow_folder
from vfnet_client.cli import main
from vfnet_client.detection_options import DetectionOptions
from vfnet_mlflow import scoring_server
from vfnet_mlflow.detector import FolderDetector
from vfnet_mlflow.scoring import FolderScorer
from vfnet_model.checkpoints.resolve import open_checkpoint
from vfnet_model.detectors.repository_detector import RepositoryDetector
from vfnet_model.manifest import BuildOptions, Manifest
from vfnet_runtime.answers import detect
from vfnet_runtime.architecture.config import VFNetConfig
from vfnet_runtime.engines.convolutions.library import LIBRARY
from vfnet_train.finetuning import FinetuneOutcome
from vfnet_train.settings import FinetuneSettings
from vfnet_train.sweep.results import SweepResults
from vfnet_train.sweep.sweeping import SweepOutcome
from vfnet_train.sweep.trials import make_trial

pytestmark = pytest.mark.slow


def write(folder: Path, checkpoint: Path, *options: str) -> int:
    return main(["mlflow", f"--checkpoint={checkpoint}", f"--output={folder}", *options], more=COMMANDS)


@pytest.fixture(scope="module")
def folder(demo_checkpoint: Path, demo_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the network that `demo_repository` has, which takes seconds to export; written again in its own place."""
    checkpoint = open_checkpoint(str(demo_checkpoint))
    manifest = Manifest.read(demo_repository)
    assert manifest is not None

    def copy_network(_spec: str, directory: Path, *_: Any, **__: Any) -> tuple[VFNetConfig, Manifest]:
        directory.mkdir(parents=True)
        for name in ("network.xml", "network.bin", LIBRARY):
            shutil.copy(demo_repository / "vfnet_detector" / "1" / name, directory)
        return checkpoint.config, manifest

    written = tmp_path_factory.mktemp("mlflow") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow_folder, "export_network", copy_network)
        for _ in range(2):
            assert write(written, demo_checkpoint) == 0
    assert [path.name for path in written.parent.iterdir()] == ["model"]
    return written


@pytest.fixture(scope="module")
def network(folder: Path) -> Path:
    return folder / "artifacts" / "network"


@pytest.fixture(scope="module")
def scorer(network: Path) -> FolderScorer:
    return FolderScorer(network, threads=1)


def test_every_part_is_where_mlflow_looks_for_it(folder: Path) -> None:
    model = yaml.safe_load((folder / "MLmodel").read_text())
    flavor = model["flavors"]["python_function"]
    named = [flavor["code"], flavor["model_code_path"], *flavor["env"].values()]
    named += [artifact["path"] for artifact in flavor["artifacts"].values()]
    assert all((folder / name).exists() for name in named)
    assert flavor["python_version"] == "{}.{}.{}".format(*sys.version_info)
    assert json.loads(model["signature"]["inputs"]) == [{"type": "string", "name": "image", "required": True}]
    assert model["metadata"]["vfnet"]["untrained"] is True
    assert str(folder.parent) not in (folder / "MLmodel").read_text()


def test_nothing_in_it_is_a_pickle(folder: Path) -> None:
    endings = {path.suffix for path in folder.rglob("*") if path.is_file() and "code" not in path.parts}
    assert endings <= {"", ".txt", ".yaml", ".py", ".xml", ".bin", ".so", ".json"}  # .bin: OpenVINO's weights
    for path in folder.rglob("*.bin"):
        assert path.with_suffix(".xml").is_file()


def test_its_requirements_are_what_is_installed_here(folder: Path) -> None:
    lines = (folder / "requirements.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    assert {"numpy", "pillow", "opencv-python-headless", "openvino", "httpx", "httpcore"} <= set(pinned)
    assert pinned == {name: importlib.metadata.version(name) for name in pinned}
    assert yaml.safe_load((folder / "conda.yaml").read_text())["dependencies"][-1] == {"pip": lines}


def test_it_detects_as_the_repository_of_the_same_checkpoint(
    network: Path, demo_repository: Path, one_thread: None
) -> None:
    del one_thread
    repository, detector = RepositoryDetector(demo_repository, threads=1), FolderDetector(network, threads=1)
    out = io.BytesIO()
    Image.fromarray(load_sample_image("china.jpg")[200:240]).save(out, "PNG")
    found = json.loads(detector.detect(out.getvalue()))
    assert found == repository.detect(out.getvalue()).to_json()
    scores = sorted(box["score"] for box in found["boxes"])
    threshold = scores[len(scores) // 2]
    options = DetectionOptions.chosen(score_threshold=threshold, nms_iou=0.3, max_detections=5)
    changed = json.loads(detector.detect(out.getvalue(), detector.suppression(options)))
    assert 0 < len(changed["boxes"]) < len(scores)
    assert changed == repository.with_options(options).detect(out.getvalue()).to_json()


@pytest.mark.parametrize(("nms_iou", "boxes"), EDGES.values(), ids=EDGES)
def test_an_iou_on_the_edge_is_decided_as_by_triton(nms_iou: float, boxes: int, scorer: FolderScorer) -> None:
    """`test_served_options` has the same boxes at a real one."""
    suppression = scorer._detector.suppression(DetectionOptions.chosen(nms_iou=nms_iou))
    assert len(detect(*boxes_on_the_edge(), np.ones(2, np.float32), suppression).boxes) == boxes


def test_many_images_are_answered_in_order(scorer: FolderScorer) -> None:
    alone = json.loads(scorer.score({"input_data": table([GOOD])}).body)
    status, body = scorer.score({"input_data": table([GOOD, "!", GOOD] * 3)})
    answer = json.loads(body)
    assert status == 422
    assert [error["position"] for error in answer["errors"]] == [1, 4, 7]
    assert answer["results"] == [*alone, None, *alone] * 3


def test_tiles_are_refused_and_not_left_out_silently(scorer: FolderScorer) -> None:
    status, body = scorer.score({"input_data": table([GOOD]), "params": {"tile_grid_size": "3x2"}})
    assert status == 400
    assert "whole images only" in json.loads(body)["message"]


def test_after_an_inference_that_failed_the_network_is_as_new(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = FolderDetector(network, threads=1)
    before = detector.detect(strip_png())
    engine: Any = detector._engine
    steps = []

    def fail(*_: Any) -> Any:
        steps.append("fail")
        raise RuntimeError("out of memory")

    renew = engine.renew
    monkeypatch.setattr(engine, "renew", lambda: (steps.append("renew"), renew()))
    with monkeypatch.context() as patch:
        patch.setattr(engine, "compute", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            detector.detect(strip_png())
    assert steps == ["fail", "renew"]
    assert detector.detect(strip_png()) == before


@pytest.mark.parametrize("kept", ["file", "folder", "another model"])
def test_nothing_else_is_overwritten(tmp_path: Path, kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "kept"
    if kept == "file":
        target.write_text("mine")
    else:
        target.mkdir()
        (target / "MLmodel").write_text("flavors: {}\n" if kept == "another model" else "{")
    assert write(target, tmp_path / "not_looked_at.pth") == 1
    assert "choose another" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_another_engine_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert write(tmp_path / "model", tmp_path / "not_looked_at.pth", "--engine", "torch") == 1
    assert "leave --engine out" in capsys.readouterr().err


def training_command(name: str, output: Path, model: Path) -> list[str]:
    space = ["--space=space.toml"] if name == "sweep" else []
    return [name, *space, "--data=train.json", "--init=demo", f"--output={output}", f"--mlflow={model}"]


def test_training_writes_the_best_checkpoint_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    best, written = tmp_path / "run" / "best.pth", list[Any]()
    monkeypatch.setattr(finetune, "finetune", lambda _: FinetuneOutcome(best, 0.5, is_main=True))
    monkeypatch.setattr(mlflow_folder, "write_mlflow_folder", lambda *given: written.append(given))
    assert main(training_command("finetune", best.parent, tmp_path / "model"), more=COMMANDS) == 0
    assert written == [(str(best), tmp_path / "model", BuildOptions())]


def test_so_does_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    best, written = tmp_path / "sweep" / "best.pth", list[Any]()
    trial = make_trial(1, {"learning-rate": 1e-3}, FinetuneSettings((Path("train.json"),), "demo", best.parent))
    outcome = SweepOutcome(SweepResults.of([trial], "AP"), best)
    monkeypatch.setattr(sweep, "sweep", lambda *_: outcome)
    monkeypatch.setattr(mlflow_folder, "write_mlflow_folder", lambda *given: written.append(given))
    assert main(training_command("sweep", best.parent, tmp_path / "model"), more=COMMANDS) == 0
    assert written == [(str(best), tmp_path / "model", BuildOptions())]


@pytest.mark.parametrize("module", [finetune, sweep], ids=["finetune", "sweep"])
def test_before_it_trains_it_looks_where_the_folder_is_to_be(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = module.__name__.rpartition(".")[2]
    monkeypatch.setattr(module, name, lambda *_: pytest.fail("hours of work"))
    (tmp_path / "photo.jpg").touch()
    assert main(training_command(name, tmp_path / "run", tmp_path), more=COMMANDS) == 1
    assert "choose another folder" in capsys.readouterr().err


def test_a_checkpoint_that_cannot_be_read_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "none.pth").write_bytes(np.zeros(100, np.uint8).tobytes())
    assert write(tmp_path / "model", tmp_path / "none.pth") == 1
    assert "none.pth" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["none.pth"]


def test_without_mlflows_server_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.pyfunc.scoring_server", None)
    scoring_server.take_azureml_requests(object)
