from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vfnet_client.cli import main
from vfnet_data import DetectionDataset
from vfnet_evaluate.coco_results import write_coco_results
from vfnet_model.detectors.image_detections import ImageDetections


@pytest.fixture
def results(dataset: DetectionDataset, tmp_path: Path) -> Path:
    """Everything found, the carton as a can, and one box too many."""
    found = [
        ImageDetections(
            np.array([[10, 10, 50, 50], [60, 10, 100, 90], [0, 90, 20, 110]], np.float64),
            np.array([0.9, 0.8, 0.7]),
            np.array([0, 0, 1]),
        ),
        ImageDetections(np.array([[20, 20, 120, 100]], np.float64), np.array([0.9]), np.array([0])),
    ]
    write_coco_results(dataset, found, tmp_path / "results.json")
    return tmp_path / "results.json"


def test_saved_detections_give_figures_and_a_folder_of_pictures(
    annotations: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "--annotations", str(annotations), "--detections", str(results)]
    targets = ["--json", str(tmp_path / "all.json"), "--output", str(tmp_path / "out")]
    assert main([*command, *targets, "--save-detections", str(tmp_path / "again.json")]) == 0
    figures = json.loads((tmp_path / "all.json").read_text())
    assert figures["AP"] == pytest.approx((figures["per_class"]["can"]["AP"] + 0) / 2)
    assert (figures["images"], figures["objects"], figures["detections"]) == (2, 3, 4)
    assert figures["confusion_matrix"]["counts"][0] == [0, 0, 1]
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads(results.read_text())
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"report.md", "precision_recall.png", "confusion_matrix.png", "worst_01.png"}
    for path in (tmp_path / "out").glob("*.png"):
        with Image.open(path) as picture:
            assert min(picture.size) > 200
    assert "| carton |   0.0 |" in capsys.readouterr().out


def test_pictures_of_an_earlier_evaluation_do_not_stay(annotations: Path, results: Path, tmp_path: Path) -> None:
    command = ["evaluate", "--annotations", str(annotations), "--output", str(tmp_path / "out"), "--detections"]
    (tmp_path / "nothing.json").write_text("[]")
    for detections, pictures in (("nothing.json", {"worst_01.png", "worst_02.png"}), (results, {"worst_01.png"})):
        assert main([*command, str(tmp_path / detections)]) == 0
        assert {path.name for path in (tmp_path / "out").glob("worst_*")} == pictures


def test_impossible_targets_and_bad_data_are_told_before_the_work(
    annotations: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "--detections", str(results)]
    assert main([*command, "--annotations", str(annotations), "--json", str(tmp_path / "no" / "x.json")]) == 1
    assert "there is no such folder" in capsys.readouterr().err
    assert main([*command, "--annotations", str(results)]) == 1
    assert "neither COCO JSON" in capsys.readouterr().err


def test_a_server_that_is_not_there_ends_it(annotations: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--annotations", str(annotations), "--server", "grpc://127.0.0.1:1", "--timeout=1"]) == 1
    assert "127.0.0.1:1" in capsys.readouterr().err


def test_a_file_that_is_no_checkpoint_ends_it(annotations: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--annotations", str(annotations), "--checkpoint", str(annotations)]) == 1
    assert "truth.json" in capsys.readouterr().err
