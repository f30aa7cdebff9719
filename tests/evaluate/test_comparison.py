from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from made_up_detections import detections
from vfnet.commands.compared_sources import ComparedSource, compared_source
from vfnet_client.cli import main
from vfnet_data import DetectionDataset
from vfnet_evaluate.coco_results import write_coco_results
from vfnet_evaluate.comparison import Comparison, compare, sign_test
from vfnet_evaluate.report import make_report
from vfnet_evaluate.sources import DetectedDataset
from vfnet_model.detectors.image_detections import ImageDetections

CAN, CARTON = 0, 1
FIRST_CAN, FIRST_CARTON, SECOND_CAN = [10, 10, 50, 50], [60, 10, 100, 90], [20, 20, 120, 100]


def of_a() -> list[ImageDetections]:
    """Both cans, no carton, and a false carton."""
    first = detections((FIRST_CAN, 0.9, CAN), ([0, 90, 20, 110], 0.95, CARTON))
    return [first, detections((SECOND_CAN, 0.9, CAN))]


def of_b() -> list[ImageDetections]:
    """The first image as it is, on other scores; the can of the second is called a carton."""
    first = detections((FIRST_CAN, 0.3, CAN), (FIRST_CARTON, 0.3, CARTON))
    return [first, detections((SECOND_CAN, 0.3, CARTON))]


@pytest.fixture
def comparison(dataset: DetectionDataset) -> Comparison:
    return compare(*(make_report(name, dataset, DetectedDataset(each())) for name, each in (("a", of_a), ("b", of_b))))


def test_objects_are_gained_and_lost_by_image(comparison: Comparison) -> None:
    first, second = comparison.images
    assert (first.gained.tolist(), first.lost.tolist()) == ([1], [])
    assert (second.gained.tolist(), second.lost.tolist()) == ([], [0])
    assert [(image.mistakes_a, image.mistakes_b) for image in comparison.images] == [(2, 0), (0, 1)]
    assert (comparison.improved, comparison.worsened) == ([first], [second])


def test_objects_are_gained_and_lost_by_class(comparison: Comparison) -> None:
    can, carton = comparison.classes["can"], comparison.classes["carton"]
    assert (can.objects, can.found_a, can.found_b, can.gained, can.lost) == (2, 2, 1, 0, 1)
    assert (can.wrong_a, can.wrong_b) == (0, 0)
    assert (carton.objects, carton.found_a, carton.found_b, carton.gained, carton.lost) == (1, 0, 1, 1, 0)
    assert (carton.wrong_a, carton.wrong_b) == (1, 1)
    assert carton.ap_a == 0 < carton.ap_b
    assert list(comparison.classes) == ["carton", "can"]  # the greater change first


def test_objects_are_gained_and_lost_by_size(comparison: Comparison) -> None:
    medium = comparison.sizes["medium"]  # the second can's 8,000 square pixels are below 96 x 96
    assert (medium.objects, medium.found_a, medium.found_b, medium.gained, medium.lost) == (3, 2, 2, 1, 1)
    assert comparison.sizes["small"].objects == 0
    assert comparison.sizes["small"].ap_a == -1


def test_a_source_compared_with_itself_changes_nothing(dataset: DetectionDataset) -> None:
    report = make_report("a", dataset, DetectedDataset(of_a()))
    same = compare(report, report)
    assert not same.improved
    assert not same.worsened
    assert same.chance == 1
    assert {(each.gained, each.lost) for each in same.classes.values()} == {(0, 0)}


@pytest.mark.parametrize(("better", "worse", "chance"), [(0, 0, 1), (1, 1, 1), (5, 0, 1 / 16), (8, 2, 112 / 1024)])
def test_the_sign_test_counts_coins(better: int, worse: int, chance: float) -> None:
    assert sign_test(better, worse) == sign_test(worse, better) == pytest.approx(chance)


@pytest.fixture
def files(dataset: DetectionDataset, tmp_path: Path) -> list[str]:
    for name, each in (("a.json", of_a), ("b", of_b)):  # what --save-detections wrote may be called anything
        write_coco_results(dataset, each(), tmp_path / name)
    return [str(tmp_path / "a.json"), str(tmp_path / "b")]


def test_the_command_prints_tables_and_writes_a_page(
    annotations: Path, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "lost_09.png").touch()  # of an earlier comparison
    command = ["evaluate", "--annotations", str(annotations), "--compare", *files, "--output", str(folder)]
    assert main([*command, "--json", str(tmp_path / "all.json")]) == 0
    printed = capsys.readouterr().out
    assert "Images: 1 better, 1 worse, 0 with as many mistakes" in printed
    assert "| most lost | gained | lost | mistakes A | mistakes B |" in printed
    figures = json.loads((tmp_path / "all.json").read_text())
    assert figures["classes"]["carton"]["gained"] == 1
    assert figures["A"]["AP"] == pytest.approx((1 + 0) / 2)
    assert figures["error_kinds"]["B"]["all"]["FN"] == 1
    assert [each["lost"] for each in figures["images"]] == [0, 1]
    pictures = {"error_kinds.png", "classes.png", "gained_01.png", "lost_01.png"}
    assert {path.name for path in folder.iterdir()} == {"comparison.md", *pictures}
    page = (folder / "comparison.md").read_text()
    for name in pictures:
        assert f"({name})" in page
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 150


def test_an_image_that_cannot_be_read_has_no_picture(annotations: Path, files: list[str], tmp_path: Path) -> None:
    command = ["evaluate", "--annotations", str(annotations), "--compare", *files, "--output", str(tmp_path / "out")]
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:200])
    assert main(command) == 0
    assert {path.name for path in (tmp_path / "out").glob("*_0*.png")} == {"gained_01.png"}


def test_what_is_no_source_is_named(annotations: Path, files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "--annotations", str(annotations), "--compare", files[0]]
    assert main([*command, "nothing.pth"]) == 2
    assert "'nothing.pth' is no server's URL such as grpc://host:8001, no file" in capsys.readouterr().err
    assert main([*command, "n" * 300]) == 2
    assert "File name too long" in capsys.readouterr().err
    assert main([*command, "grpc://user@host:1"]) == 2
    assert "should read grpc://host:port" in capsys.readouterr().err


def test_errors_say_which_of_the_two_they_are_about_before_the_work(
    annotations: Path, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "--annotations", str(annotations), "--timeout=1", "--compare", files[0]]
    (tmp_path / "other.json").write_text('[{"image_id": 77, "category_id": 5, "bbox": [1, 1, 9, 9], "score": 1}]')
    (tmp_path / "other.pth").write_bytes(b"no checkpoint")
    for source, said in (
        (tmp_path / "other.json", "image_id 77 is no image's of the annotations"),
        (tmp_path / "other.pth", "other.pth"),
        ("grpc://127.0.0.1:1", "127.0.0.1:1"),
    ):
        assert main([*command, str(source)]) == 1
        error = capsys.readouterr().err
        assert "B: " in error
        assert said in error


def test_a_checkpoint_without_a_label_of_the_data_is_refused(
    annotations: Path, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(annotations.read_text())
    document["categories"] = [{"id": 5, "name": "gearwheel"}, {"id": 3, "name": "spanner"}]
    annotations.write_text(json.dumps(document))
    assert main(["evaluate", "--annotations", str(annotations), "--compare", files[0], "demo"]) == 1
    assert "B: the model and the data have no label in common" in capsys.readouterr().err


def test_options_that_do_not_go_with_a_comparison_are_refused(
    annotations: Path, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "--annotations", str(annotations), "--compare", *files]
    (tmp_path / "file").touch()
    for options, said in (
        (["--save-detections", str(tmp_path / "x")], "--save-detections is for one source"),
        (["--scale", "480x800"], "scale 800x480: only for checkpoints"),
        (["--flip"], "flip: only for checkpoints"),
        (["--nms-iou", "0.5"], "nms-iou 0.5: only for servers and checkpoints"),
        (
            ["--tile-grid-size", "3x2"],
            "tile-overlap-ratio 0.25: only for --server and --checkpoint",
        ),
        (["--model", "vfnet"], "--model vfnet: only for servers"),
        (["--output", str(tmp_path / "file")], "cannot write into"),
        (["--json", str(tmp_path)], "it is a folder"),
    ):
        assert main([*command, *options]) == 1
        assert said in capsys.readouterr().err


def test_settings_of_a_build_are_no_servers(
    annotations: Path, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "--annotations", str(annotations), "--compare", files[0], "grpc://127.0.0.1:1"]
    assert main([*command, "--nms-iou=0.5", "--nms-pre=300"]) == 1
    assert "nms-pre 300: only for checkpoints" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("grpc://host:8001", ComparedSource(server="grpc://host:8001")),
        ("grpc://host:8001#vfnet_blue", ComparedSource(server="grpc://host:8001", model="vfnet_blue")),
        ("https://host/score", ComparedSource(server="https://host/score")),
        ("https://host/models/my_vfnet.pth?key=1", ComparedSource(checkpoint="https://host/models/my_vfnet.pth?key=1")),
        ("demo", ComparedSource(checkpoint="demo")),
    ],
)
def test_a_source_is_told_by_how_it_is_written(text: str, source: ComparedSource) -> None:
    assert compared_source(text) == source
