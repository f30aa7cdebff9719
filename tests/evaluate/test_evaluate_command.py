from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def test_test_settings_belong_to_a_checkpoint_and_have_limits(
    annotations: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "--annotations", str(annotations)]
    assert main([*command, "--detections", str(results), "--scale", "480x800"]) == 1
    assert "scale 800x480: only for --checkpoint" in capsys.readouterr().err
    assert main([*command, "--detections", str(results), "--nms-iou", "0.5"]) == 1
    assert "nms-iou 0.5: only for --checkpoint and --server" in capsys.readouterr().err
    assert main([*command, "--server", "grpc://127.0.0.1:1", "--nms-iou", "0.5", "--nms-pre", "300"]) == 1
    assert "nms-pre 300: only for --checkpoint" in capsys.readouterr().err
    assert main([*command, "--checkpoint", "demo", "--scale", "9000x480"]) == 1
    assert "--scale 9000x480: each side may be 32 to 4,096 pixels" in capsys.readouterr().err
    assert main([*command, "--checkpoint", "demo", "--scale", "800"]) == 2
    assert "'800' is not a scale such as 1333x800" in capsys.readouterr().err


def test_augmentations_belong_to_a_checkpoint_and_have_limits(
    annotations: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "--annotations", str(annotations)]
    for source in (["--detections", str(results)], ["--server", "grpc://127.0.0.1:1"]):
        assert main([*command, *source, "--flip", "--scales", "480x800", "600x400"]) == 1
        assert "flip, scales 800x480 600x400: only for --checkpoint" in capsys.readouterr().err
    assert main([*command, "--checkpoint", "demo", "--scales", "800x480", "9000x480"]) == 1
    assert "--scales 9000x480: each side may be 32 to 4,096 pixels" in capsys.readouterr().err
    assert main([*command, "--checkpoint", "demo", "--scale", "800x480", "--scales", "600x400"]) == 1
    assert "--scale and --scales: give all scales with --scales" in capsys.readouterr().err


@pytest.mark.slow
def test_a_checkpoint_is_evaluated_at_another_scale(annotations: Path, tmp_path: Path) -> None:
    command = ["evaluate", "--annotations", str(annotations), "--checkpoint", "demo", "--save-detections"]
    views = ["--flip", "--scales", "96x64", "128x96"]
    for name, options in (
        ("own", []),
        ("small", ["--scale", "96x64"]),
        ("few", ["--max-detections", "1"]),
        ("views", [*views, "--json", str(tmp_path / "figures.json")]),
    ):
        assert main([*command, str(tmp_path / name), "--score-threshold=0", *options]) == 0
    own, small, few, several = (json.loads((tmp_path / name).read_text()) for name in ("own", "small", "few", "views"))
    assert own != small
    assert several not in (own, small)
    assert ", flip, scales 96x64 128x96)" in json.loads((tmp_path / "figures.json").read_text())["source"]
    assert len(few) <= 2 < len(own)  # one an image, and labels that the data do not have are left out


def spoilt(annotations: Path, change: Callable[[Any], object]) -> Path:
    document = json.loads(annotations.read_text())
    change(document)
    path = annotations.with_name("spoilt.json")
    path.write_text(json.dumps(document))
    return path


def test_problems_can_be_skipped_with_the_detections_of_what_is_skipped(
    annotations: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoil(document: Any) -> None:
        document["images"][1]["file_name"] = "gone.png"
        document["annotations"][0]["bbox"][3] = 0

    command = ["evaluate", "--annotations", str(spoilt(annotations, spoil)), "--detections", str(results)]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "2 problems" in said
    assert "--skip-invalid goes on without them" in said
    assert main([*command, "--skip-invalid", "--json", str(tmp_path / "all.json")]) == 0
    assert "2 problems, left out as --skip-invalid says" in capsys.readouterr().err
    figures = json.loads((tmp_path / "all.json").read_text())
    assert (figures["images"], figures["objects"], figures["detections"]) == (1, 1, 3)
    assert "2 problems" in figures["notes"][0]


def test_ids_as_long_as_uuids_are_evaluated(annotations: Path, tmp_path: Path) -> None:
    def lengthen(document: Any) -> None:
        for each in [*document["images"], *document["annotations"]]:
            key = "image_id" if "image_id" in each else "id"
            each[key] += 10**38

    source = spoilt(annotations, lengthen)
    (tmp_path / "long.json").write_text(
        json.dumps(
            [
                {"image_id": 10**38 + 1, "category_id": 5, "bbox": [10, 10, 40, 40], "score": 0.9},
                {"image_id": 10**38 + 2, "category_id": 5, "bbox": [20, 20, 100, 80], "score": 0.9},
            ]
        )
    )
    command = ["evaluate", "--annotations", str(source), "--detections", str(tmp_path / "long.json")]
    assert main([*command, "--json", str(tmp_path / "all.json")]) == 0
    assert json.loads((tmp_path / "all.json").read_text())["per_class"]["can"]["AP"] == pytest.approx(1)


def test_annotations_that_name_no_class_are_refused_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    (tmp_path / "data.jsonl").write_text('{"image_url": "a.png", "label": []}')
    (tmp_path / "none.json").write_text("[]")
    command = ["evaluate", "--annotations", str(tmp_path / "data.jsonl"), "--detections", str(tmp_path / "none.json")]
    assert main(command) == 1
    assert "no box is annotated and no class is named" in capsys.readouterr().err


def test_the_precision_of_nothing_is_a_dash(
    annotations: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none.json").write_text("[]")
    assert main(["evaluate", "--annotations", str(annotations), "--detections", str(tmp_path / "none.json")]) == 0
    assert "(precision \N{EN DASH}, recall 0.000)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("boxes", "said"),
    [
        ([[0.1, 0.1, 0.3, 0.4], [0.4, 0.1, 0.2, 0.6]], "bbox is in fractions of the image"),
        ([[60, 10, 100, 90], [70, 50, 150, 110]], "all fit as corners x1, y1, x2, y2"),
    ],
)
def test_detections_that_are_no_pixels_are_refused_instead_of_an_ap_of_0(
    annotations: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], boxes: list[list[float]], said: str
) -> None:
    entries = [{"image_id": 1, "category_id": 5, "bbox": box, "score": 0.9} for box in boxes]
    (tmp_path / "odd.json").write_text(json.dumps(entries))
    assert main(["evaluate", "--annotations", str(annotations), "--detections", str(tmp_path / "odd.json")]) == 1
    assert said in capsys.readouterr().err
