"""What is kept of the detections of an image and its tiles."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from vfnet_client.exceptions import InferenceError
from vfnet_client.tiled_detection import _merged
from vfnet_model.detectors.image_detections import ImageDetections, as_fractions
from vfnet_model.detectors.tiled_pixels import merged_tiles
from vfnet_runtime.answers import Detections as Answered
from vfnet_tiling.geometry import Tile, tiles_of, whole
from vfnet_tiling.merging import Found, merged, surviving
from vfnet_tiling.tiling import Tiling

IMAGE, LEFT, RIGHT = whole(100, 100), Tile(0, 0, 60, 100), Tile(40, 0, 100, 100)


def found(*rows: tuple[float, float, float, float, float, int]) -> Found:
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Found(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def test_an_object_in_two_tiles_and_the_image_is_there_once() -> None:
    answers = [
        found((45, 10, 55, 20, 0.5, 1)),
        found((45, 10, 55, 20, 0.9, 1)),
        found((5, 10, 15, 20.5, 0.7, 1)),  # the right tile begins at 40
    ]
    best = merged([IMAGE, LEFT, RIGHT], answers, 0.6, 100)
    assert best.boxes.tolist() == [[45, 10, 55, 20]]
    assert best.scores.tolist() == [0.9]


def test_boxes_of_one_tile_and_of_other_classes_stay() -> None:
    same_tile = found((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 9, 0.8, 0))
    assert len(merged([IMAGE, LEFT], [same_tile, found()], 0.6, 100).scores) == 2
    assert len(merged([IMAGE, LEFT], [found(), same_tile], 0.6, 100).scores) == 2
    other_class = merged([IMAGE, LEFT], [found((0, 0, 10, 10, 0.9, 0)), found((0, 0, 10, 10, 0.8, 1))], 0.6, 100)
    assert other_class.labels.tolist() == [0, 1]


def test_what_was_removed_removes_nothing() -> None:
    first, second, third = (0, 0, 10, 10, 0.9, 0), (4, 0, 14, 10, 0.8, 0), (8, 0, 18, 10, 0.7, 0)
    kept = surviving(
        [IMAGE, LEFT, RIGHT],
        [found(first), found(second), found((third[0] - 40, *third[1:2], third[2] - 40, *third[3:]))],
        0.4,
        100,
    )
    assert kept.tolist() == [0, 2]


def test_the_best_so_many_stay_by_class_and_then_by_score() -> None:
    answers = [
        found((0, 0, 5, 5, 0.3, 2), (10, 0, 15, 5, 0.9, 2)),
        found((20, 0, 25, 5, 0.5, 0), (30, 0, 35, 5, 0.6, 0), (40, 0, 45, 5, 0.1, 0)),
    ]
    best = merged([IMAGE, LEFT], answers, 0.6, 4)
    assert best.labels.tolist() == [0, 0, 2, 2]
    assert best.scores.tolist() == [0.6, 0.5, 0.9, 0.3]


def test_nothing_is_made_of_nothing() -> None:
    none = merged([IMAGE, LEFT], [found(), found()], 0.6, 100)
    assert none.boxes.shape == (0, 4)
    assert len(merged([], [], 0.6, 100).scores) == 0
    empty = (5, 5, 5, 5, 0.5, 0)
    assert len(merged([IMAGE, LEFT], [found(empty), found(empty)], 0.0, 100).scores) == 2


@pytest.mark.parametrize("seed", range(20))
def test_it_agrees_with_automl_rule_by_rule(seed: int) -> None:
    """azureml-automl-dnn-vision's `get_duplicate_box_indices`, written out plainly."""
    generator = np.random.default_rng(seed)
    tiles = [IMAGE, LEFT, RIGHT]
    answers, everything = [], []
    for number, tile in enumerate(tiles):
        rows = []
        for _ in range(30):
            x, y = generator.uniform(0, tile.width - 12), generator.uniform(0, 20)
            w, h = generator.uniform(8, 12, 2)
            rows.append((x, y, x + w, y + h, generator.uniform(), int(generator.integers(2))))
            everything.append((number, x + tile.left, y, x + w + tile.left, y + h, *rows[-1][4:]))
        answers.append(found(*rows))
    gone = set()
    ranked = sorted(range(len(everything)), key=lambda index: -everything[index][5])
    for place, index in enumerate(ranked):
        if index in gone:
            continue
        tile, x1, y1, x2, y2, _, label = everything[index]
        for other in ranked[place + 1 :]:
            other_tile, a1, b1, a2, b2, _, other_label = everything[other]
            shared = max(0, min(x2, a2) - max(x1, a1)) * max(0, min(y2, b2) - max(y1, b1))
            union = (x2 - x1) * (y2 - y1) + (a2 - a1) * (b2 - b1) - shared
            if other_tile != tile and other_label == label and shared / union > 0.25:
                gone.add(other)
    kept = surviving(tiles, answers, 0.25, 1000)
    assert set(kept.tolist()) == set(range(len(everything))) - gone
    assert gone


@pytest.mark.parametrize("threshold", [1 / 2, 1 / 3, 0.6])
def test_a_client_merges_to_the_bit_as_whoever_holds_the_model(threshold: float) -> None:
    """Also where the IoU of two boxes is just the threshold, although a client has them as fractions of the tile."""
    tiling = Tiling(tile_grid_size=(3, 2), tile_overlap_ratio=0.5, tile_predictions_nms_thresh=threshold)
    size = (1333, 747)
    tiles = [whole(*size), *tiles_of(tiling, *size)]
    generator = np.random.default_rng(3)
    stored = []
    for _ in range(400):  # squares, and squares moved by so much of their side that the IoU is the threshold
        x, y, side = generator.integers(0, 1000), generator.integers(0, 500), 12 * generator.integers(2, 12)
        moved = side * (1 - threshold) / (1 + threshold)
        stored += [(x, y, x + side, y + side), (x + moved, y, x + moved + side, y + side)]
    found, outputs = [], list[dict[str, Any]]()
    for number, tile in enumerate(tiles):
        inside = [
            box for position, box in enumerate(stored)
            if position % len(tiles) in (number, (number + 1) % len(tiles))
            and tile.left <= box[0] and box[2] <= tile.right and tile.top <= box[1] and box[3] <= tile.bottom
        ]  # fmt: skip
        boxes = (np.array(inside) - (tile.left, tile.top) * 2).astype(np.float32).reshape(-1, 4)
        scores = np.sort(generator.uniform(0.1, 1, len(boxes)).astype(np.float32))[::-1]
        answer = Answered(boxes, scores, np.zeros(len(boxes), np.int32))
        found.append(
            ImageDetections(boxes.astype(np.float64), scores.astype(np.float64), np.zeros(len(boxes), np.int64))
        )
        document = answer.to_json(("can",), float(tile.width), float(tile.height))
        outputs.append({"DETECTIONS": [document.encode()], "LABELS": answer.labels})
        assert json.loads(document)["boxes"]
    held = merged_tiles(tiles, found, tiling, 0.6, 10_000)
    assert _merged(tiles, outputs, size, threshold, 10_000) == as_fractions(held, ("can",), size)
    assert len(held.scores) < sum(len(each.scores) for each in found)


@pytest.mark.parametrize("corner", [1e36, -1e300, 1e308])
def test_a_corner_that_float32_does_not_hold_is_an_error_and_no_infinity(corner: float) -> None:
    box = {"box": {"topX": 0.1, "topY": 0.1, "bottomX": corner, "bottomY": 0.2}, "label": "can", "score": 0.5}
    output = {"DETECTIONS": [json.dumps({"boxes": [box]}).encode()]}
    with pytest.raises(InferenceError, match="corners are in no image"):
        _merged([Tile(0, 0, 600, 1000), Tile(400, 0, 1000, 1000)], [output, output], (1000, 1000), 0.5, 100)
