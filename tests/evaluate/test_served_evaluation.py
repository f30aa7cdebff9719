"""A running server and the same checkpoint in this process, on the same images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from box_matching import DetectionSet, compare
from served_inference import detect
from triton_server import ServedRepository
from vfnet_client.cli import main
from vfnet_client.exceptions import InvalidImageError
from vfnet_data import DetectionDataset, read_dataset
from vfnet_data.coco_writing import write_coco
from vfnet_evaluate.coco_results import read_coco_results
from vfnet_model.checkpoints.loading import build_network, load_checkpoint
from vfnet_model.detectors.checkpoint_detector import CheckpointDetector

STRIP = (400, 24)
"""Narrow pictures are quick, and the talkative checkpoint sees something in them."""


@pytest.fixture
def strips(dataset: DetectionDataset, tmp_path: Path) -> Path:
    """The annotations of two narrow pictures and of a file that is no picture."""
    images = []
    for number, extent in enumerate(((-2, -1, 1, 1), (-1, -1, 0, 0), (0, 0, 1, 1)), 1):
        path = tmp_path / f"strip_{number}.png"
        Image.effect_mandelbrot(STRIP, extent, 30).convert("RGB").save(path)
        boxes = np.array([[10, 2, 60, 22]], np.float32)
        images.append(
            replace(
                dataset.images[1], path=path, image_id=number, width=STRIP[0], height=STRIP[1], boxes=boxes, areas=None
            )
        )
    images[2].path.write_text("not an image")
    write_coco(
        DetectionDataset(("can", "Carton", "milk bottle", "water_bottle"), tuple(images)), tmp_path / "strips.json"
    )
    return tmp_path / "strips.json"


def as_set(found: object) -> DetectionSet:
    return DetectionSet(found.boxes, found.scores, found.labels)  # type: ignore[attr-defined]


def test_server_and_checkpoint_agree(
    server: ServedRepository,
    demo_checkpoint: Path,
    strips: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    figures, saved, settings = [], [], ["--nms-iou=0.5", "--max-detections=20", "--score-threshold=0.06"]
    for option, value in (("--server", server.grpc_url), ("--checkpoint", str(demo_checkpoint))):
        numbers, results = tmp_path / f"{option}.json", tmp_path / f"{option}_results.json"
        command = ["evaluate", "--annotations", str(strips), option, value, "--device", "cpu", *settings]
        assert main([*command, f"--json={numbers}", f"--save-detections={results}"]) == 0
        told = capsys.readouterr().err
        assert "strip_3.png: not an image in a known format" in told
        assert "1 of 3 images failed" in told
        figures.append(json.loads(numbers.read_text()))
        saved.append(read_coco_results(read_dataset(strips, allow_unreadable=True), results))
    assert "the model's 'milk_bottle' is taken for the data's 'milk bottle'" in told
    assert [image["image_id"] for image in figures[0]["failed_images"]] == [3]
    for served, computed in zip(*saved, strict=True):
        assert not compare(
            as_set(computed), as_set(served), score_threshold=0.06, iou_threshold=0.5, max_per_img=20
        ).wrong
    assert sum(len(found.scores) for found in saved[0]) > 0


def test_server_and_checkpoint_are_compared_and_nothing_is_gained_or_lost(
    server: ServedRepository,
    demo_checkpoint: Path,
    strips: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["evaluate", f"--annotations={strips}", "--device=cpu", f"--json={tmp_path / 'all.json'}", "--compare"]
    assert main([*command, f"{server.grpc_url}#vfnet", str(demo_checkpoint)]) == 0
    told = capsys.readouterr().err
    assert "A: 1 of 3 images failed" in told
    assert "B: 1 of 3 images failed" in told
    figures = json.loads((tmp_path / "all.json").read_text())
    assert figures["A"]["source"] == f"server {server.grpc_url} vfnet"
    assert figures["A"]["detections"] == figures["B"]["detections"] > 0
    assert figures["images_better"] == figures["images_worse"] == 0
    assert main([*command, f"{server.grpc_url}#vfnet_of_nobody", str(demo_checkpoint), "--timeout=1"]) == 1
    assert "A: " in capsys.readouterr().err


def test_two_servers_are_compared_with_what_a_request_may_choose(
    server: ServedRepository, strips: Path, tmp_path: Path
) -> None:
    """Each is asked as `--server` is, and both are told to have been."""
    options = ["--nms-iou=0.3", "--max-detections=5", "--score-threshold=0.1", "--tile-grid-size=2x1"]
    figures = tmp_path / "all.json"
    command = ["evaluate", f"--annotations={strips}", f"--json={figures}", *options]
    assert main([*command, f"--server={server.grpc_url}"]) == 0
    alone = json.loads(figures.read_text())
    urls = [server.grpc_url, f"{server.http_url}#vfnet"]
    assert main([*command, f"--output={tmp_path / 'page'}", "--compare", *urls]) == 0
    compared = json.loads(figures.read_text())
    assert compared["A"] == alone
    assert 0 < alone["detections"] <= 2 * 5
    page = (tmp_path / "page" / "comparison.md").read_text()
    chosen = "(score-threshold 0.1, max-detections 5, nms-iou 0.3), tile-grid-size 2x1, tile-overlap-ratio 0.25"
    for side, words in (("A", server.grpc_url), ("B", f"{server.http_url} vfnet")):
        assert compared[side]["source"] == f"server {words} {chosen}"
        assert compared[side]["detections"] == alone["detections"]
        assert f"{side}: server" in page
    assert page.count("nms-iou 0.3") == page.count("tile-grid-size 2x1") == 2


def test_nothing_is_lost_on_the_way_through_the_server_s_json(
    server: ServedRepository, strips: Path, tmp_path: Path
) -> None:
    """Fractions of the image as text, and back to pixels, against the tensors."""
    results = tmp_path / "results.json"
    assert (
        main(["evaluate", f"--annotations={strips}", f"--server={server.grpc_url}", f"--save-detections={results}"])
        == 0
    )
    dataset = read_dataset(strips, allow_unreadable=True)
    for image, found in zip(dataset.images[:2], read_coco_results(dataset, results), strict=False):
        tensors = detect(server, image.path.read_bytes())
        np.testing.assert_allclose(found.boxes, tensors.boxes, rtol=0, atol=1e-10)
        np.testing.assert_array_equal(found.scores, tensors.scores.astype(np.float64))


def test_a_server_with_other_labels_is_refused(
    server: ServedRepository, strips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(strips.read_text())
    for category in document["categories"]:
        category["name"] = f"animal {category['id']}"
    strips.write_text(json.dumps(document))
    assert main(["evaluate", f"--annotations={strips}", f"--server={server.grpc_url}"]) == 1
    assert "no label in common" in capsys.readouterr().err


def test_a_network_in_training_detects_and_stays_as_it_is(demo_checkpoint: Path, strips: Path) -> None:
    image = strips.with_name("strip_1.png")
    network = build_network(load_checkpoint(demo_checkpoint)).train()
    network.backbone.eval()  # a mixture, as frozen stages make it
    modes = [module.training for module in network.modules()]
    found = CheckpointDetector(network).detect(image)
    assert [module.training for module in network.modules()] == modes
    expected = CheckpointDetector(demo_checkpoint).detect(image.read_bytes())
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    assert len(found.scores) > 0


def test_bad_images_are_errors_of_their_own(demo_checkpoint: Path, strips: Path, tmp_path: Path) -> None:
    images = [strips.with_name("strip_3.png"), strips.with_name("strip_1.png"), tmp_path / "gone.png"]
    bad, good, missing = CheckpointDetector(demo_checkpoint).detect_many(images)
    assert isinstance(bad, InvalidImageError)
    assert not isinstance(good, InvalidImageError)
    assert "gone.png" in str(missing)
