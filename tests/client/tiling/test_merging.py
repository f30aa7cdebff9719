"""What is kept of the detections of an image and its tiles."""

from __future__ import annotations

import numpy as np
import pytest

from vfnet_tiling.geometry import Tile, whole
from vfnet_tiling.merging import Found, merged, surviving

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
