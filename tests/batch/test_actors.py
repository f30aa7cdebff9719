"""What actors detect with gives what a server answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from triton_server import ServedRepository
from vfnet_batch.entries import Cell, Entry
from vfnet_batch.ray_runner.actor import CellScorer
from vfnet_batch.ray_runner.columns import pack_entries, unpack_entries, unpack_scored
from vfnet_batch.ray_runner.detectors import AskServers, DetectorRecipe, HoldCheckpoint, HoldRepository
from vfnet_batch.rows import Row
from vfnet_batch.settings import ServerSettings
from vfnet_client.detection_options import DetectionOptions
from vfnet_tiling.tiling import Tiling

OPTIONS = DetectionOptions(score_threshold=0.06, nms_iou=0.5)
FEW = DetectionOptions(classes=("carton", "2", "3"), max_detections=3)


@pytest.fixture(scope="module")
def strips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three strips of a photo, which are quick, and one file that is none."""
    folder = tmp_path_factory.mktemp("strips")
    photo = load_sample_image("flower.jpg")
    for i in range(3):
        Image.fromarray(np.ascontiguousarray(photo[100 * i : 100 * i + 60])).save(folder / f"{i}.png")
    (folder / "3.png").write_bytes(b"no image")
    return folder


def answer_of(
    recipe: DetectorRecipe, folder: Path, options: DetectionOptions, tiling: Tiling | None = None
) -> dict[str, Any]:
    """One cell of work, as Ray would give it to an actor."""
    entries = [Entry(f"{i}.png", str(folder / f"{i}.png"), i + 1) for i in range(4)]
    return CellScorer(recipe, 2, None, options, tiling=tiling)({"first": 70, "entries": pack_entries(entries)})


def rows_from(
    recipe: DetectorRecipe, folder: Path, options: DetectionOptions = OPTIONS, tiling: Tiling | None = None
) -> list[Row]:
    answer = answer_of(recipe, folder, options, tiling)
    assert answer["failure"] == ""
    scored = unpack_scored(answer["scored"])
    assert [each.position for each in scored] == [70, 71, 72, 73] == list(range(answer["first"], 74))
    return [each.row for each in scored]


@pytest.fixture(scope="module")
def asked(server: ServedRepository, strips: Path) -> list[Row]:
    """What the real server answers."""
    rows = rows_from(AskServers(ServerSettings((server.grpc_url,))), strips)
    assert sum(len(row.boxes or []) for row in rows) > 5
    assert [row.error is None for row in rows] == [True, True, True, False]
    return rows


@pytest.fixture(scope="module")
def few(server: ServedRepository, strips: Path) -> list[Row]:
    """The same of some classes, and at most three boxes an image."""
    rows = rows_from(AskServers(ServerSettings((server.grpc_url,))), strips, FEW)
    boxes = [row.boxes or [] for row in rows]
    assert max(map(len, boxes)) == 3
    assert {box["label"] for each in boxes for box in each} <= {"carton", "milk_bottle", "water_bottle"}
    return rows


def test_a_held_repository_answers_as_its_server(
    asked: list[Row], few: list[Row], demo_repository: Path, strips: Path
) -> None:
    held = HoldRepository(demo_repository, 1)
    assert_equal_rows(rows_from(held, strips), asked)
    assert_equal_rows(rows_from(held, strips, FEW), few)


def test_a_held_checkpoint_answers_as_its_server(
    asked: list[Row], few: list[Row], demo_checkpoint: Path, strips: Path
) -> None:
    held = HoldCheckpoint(str(demo_checkpoint))
    assert_equal_rows(rows_from(held, strips), asked)
    assert_equal_rows(rows_from(held, strips, FEW), few)


def test_a_class_that_the_model_does_not_have_ends_it(
    server: ServedRepository, demo_checkpoint: Path, strips: Path
) -> None:
    wrong = DetectionOptions(classes=("cans",))
    for recipe in (AskServers(ServerSettings((server.grpc_url,))), HoldCheckpoint(str(demo_checkpoint))):
        answer = answer_of(recipe, strips, wrong)
        assert "CLASSES has 'cans', which is no class of this model; did you mean 'can'?" in answer["failure"]


@pytest.mark.usefixtures("one_thread")
def test_in_tiles_they_agree_as_well(
    asked: list[Row], server: ServedRepository, demo_repository: Path, demo_checkpoint: Path, strips: Path
) -> None:
    tiling = Tiling(tile_grid_size=(2, 1))
    expected = rows_from(AskServers(ServerSettings((server.grpc_url,))), strips, tiling=tiling)
    assert [row.boxes for row in expected[:3]] != [row.boxes for row in asked[:3]]
    assert expected[3].error is not None
    for recipe in (HoldRepository(demo_repository, 1), HoldCheckpoint(str(demo_checkpoint))):
        assert_equal_rows(rows_from(recipe, strips, tiling=tiling), expected)


def assert_equal_rows(found: list[Row], expected: list[Row]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.image, ours.width, ours.height, ours.error) == (
            theirs.image,
            theirs.width,
            theirs.height,
            theirs.error,
        )
        pairs = list(zip(ours.boxes or [], theirs.boxes or [], strict=True))
        assert [box["label"] for box, _ in pairs] == [box["label"] for _, box in pairs]
        for box, other in pairs:
            assert box["score"] == pytest.approx(other["score"], abs=1e-4)
            assert list(box["box"].values()) == pytest.approx(list(other["box"].values()), abs=1e-4)


def test_entries_travel_as_they_are() -> None:
    entries = [Entry("a\udcff", "/a", 1), Entry("b", "t.csv", 7, Cell(3, 9, 1, "\t")), Entry("c", "", 8, problem="no")]
    assert unpack_entries(pack_entries(entries)) == entries
