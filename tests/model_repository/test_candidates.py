"""Candidates in NumPy against those of the torch network, and their order against mmdet's rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vfnet_runtime.architecture import detector
from vfnet_runtime.architecture.config import TestConfig
from vfnet_runtime.candidates import CandidateSettings, select_candidates, select_level, sigmoid

STRIDES = (8, 16, 32, 64, 128)
SIZES = ((12, 17), (6, 9), (3, 5), (2, 3), (1, 2))
"""Height and width per level; an image of about 136 x 96."""
VALID_SHAPE = np.array([90, 131], np.int32)

Found = tuple[np.ndarray, np.ndarray, np.ndarray]


def random_heads(seed: int, classes: int, mean: float) -> tuple[list[np.ndarray], ...]:
    rng = np.random.default_rng(seed)
    scores = [rng.normal(mean, 2, (classes, *size)).astype(np.float32) for size in SIZES]
    boxes = [np.exp(rng.normal(3, 1, (4, *size))).astype(np.float32) for size in SIZES]
    return scores, boxes


def in_numpy(heads: tuple[list[np.ndarray], ...], settings: CandidateSettings) -> Found:
    return select_candidates(*heads, VALID_SHAPE, settings)


def in_torch(heads: tuple[list[np.ndarray], ...], settings: CandidateSettings) -> Found:
    scores, boxes = ([torch.from_numpy(level[None]) for level in levels] for levels in heads)
    test = TestConfig(nms_pre=settings.nms_pre, score_threshold=settings.score_threshold)
    valid_shape = torch.from_numpy(VALID_SHAPE[None])
    found = detector.select_candidates(scores, boxes, valid_shape, settings.strides, settings.point_offset, test)
    boxes, scores, labels = (tensor[0].numpy() for tensor in detector.sort_candidates(*found))
    return boxes, scores, labels


def in_one_order(found: Found) -> tuple[np.ndarray, np.ndarray]:
    """Boxes with labels, [n, 5], and scores, sorted by box: scores that differ in the last bit may swap places."""
    boxes, scores, labels = found
    count = np.count_nonzero(scores)
    assert not scores[count:].any()
    rows = np.concatenate([boxes, labels[:, None]], axis=1)[:count]
    order = np.lexsort(rows.T)
    return rows[order], scores[:count][order]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("classes", "mean", "nms_pre", "threshold", "point_offset"),
    [
        (80, -6, 1000, 0.05, 0.0),  # a few hundred pass
        (80, 0, 100, 0.05, 0.0),  # most levels are cut
        (4, -3, 1000, 0.05, 0.5),  # every level has fewer than nms_pre
        (4, -3, 1000, 0.0, 0.0),  # everything passes
        (1, 3, 50, 0.99, 0.5),
    ],
)
def test_random_heads_give_torchs_candidates(
    seed: int, classes: int, mean: float, nms_pre: int, threshold: float, point_offset: float
) -> None:
    heads = random_heads(seed, classes, mean)
    settings = CandidateSettings(STRIDES, point_offset, nms_pre, threshold)
    found, expected = in_numpy(heads, settings), in_torch(heads, settings)
    for each in (found, expected):
        assert each[0].shape == (5 * nms_pre, 4)
        assert each[1].shape == each[2].shape == (5 * nms_pre,)
        assert (np.diff(each[1]) <= 0).all()
    assert [each.dtype for each in found] == [np.float32, np.float32, np.int32]
    rows, scores = in_one_order(found)
    expected_rows, expected_scores = in_one_order(expected)
    assert len(scores) > 10
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_max_ulp(scores, expected_scores, maxulp=2)


def test_ties_are_cut_and_ordered_as_by_mmdets_rule() -> None:
    """Sorted stably, location-major, class fastest."""
    rng = np.random.default_rng(0)
    classes, height, width = 3, 5, 7
    logits = rng.choice(np.float32([-1, 0, 1]), (classes, height, width))
    boxes = rng.uniform(1, 9, (4, height, width)).astype(np.float32)
    settings = CandidateSettings((8,), 0.0, 40, 0.05)
    _, scores, labels = select_level(logits, boxes, np.array([40, 56]), 8, settings)
    pairs = [(y, x, c) for y in range(height) for x in range(width) for c in range(classes)]
    expected = sorted(pairs, key=lambda pair: -logits[pair[2], pair[0], pair[1]])[:40]
    assert labels.tolist() == [c for _, _, c in expected]
    np.testing.assert_array_equal(scores, sigmoid(np.float32([logits[c, y, x] for y, x, c in expected])))


def test_equal_scores_of_levels_stay_finest_first() -> None:
    scores = [np.full((1, *size), 2, np.float32) for size in SIZES]
    boxes = [np.full((4, *size), stride, np.float32) for size, stride in zip(SIZES, STRIDES, strict=True)]
    found, _, _ = in_numpy((scores, boxes), CandidateSettings(STRIDES, 0.0, 2, 0.05))
    # the second point of each level lies at x = stride, and its box reaches from there to both sides
    assert found[1::2, 0].tolist() == [0] * 5
    assert found[1::2, 2].tolist() == [16, 32, 64, 128, 131]


def test_nothing_above_the_threshold_gives_no_candidate() -> None:
    heads = random_heads(0, 4, -40)
    boxes, scores, labels = in_numpy(heads, CandidateSettings(STRIDES, 0.0, 30, 0.05))
    assert not boxes.any()
    assert not scores.any()
    assert not labels.any()


def test_a_threshold_of_one_lets_nothing_through() -> None:
    _, scores, _ = in_numpy(random_heads(0, 4, 30), CandidateSettings(STRIDES, 0.0, 30, 1.0))
    assert not scores.any()


def test_the_threshold_is_strict() -> None:
    logits = np.float32([[[0, np.nextafter(np.float32(0), np.float32(1)), 1e-6, -1e-6]]])  # 1/2 and around it
    settings = CandidateSettings((8,), 0.0, 10, 0.5)
    _, scores, _ = select_level(logits, np.ones((4, 1, 4), np.float32), np.array([8, 32]), 8, settings)
    assert scores.tolist() == [float(np.float32(0.5 + 2.5e-7))]


def test_boxes_are_decoded_from_their_points_and_clipped_to_the_image_without_padding() -> None:
    logits = np.full((1, 2, 3), -10, np.float32)
    logits[0, 1, 2] = 3
    distances = np.array([5, 100, 9, 2], np.float32)  # left, top, right, bottom
    boxes = np.broadcast_to(distances[:, None, None], (4, 2, 3)).copy()
    for point_offset, expected in ((0.0, [11, 0, 25, 10]), (0.5, [15, 0, 27, 11])):
        settings = CandidateSettings((8,), point_offset, 10, 0.05)
        found, _, _ = select_level(logits, boxes, np.array([11, 27]), 8, settings)
        assert found.tolist() == [expected]


def test_sigmoid_is_rounded_correctly_and_has_no_limits() -> None:
    with np.errstate(all="raise", under="ignore"):
        assert sigmoid(np.float32([-1000, -100, 0, 100, 1000])).tolist() == [
            0,
            float(np.float32(np.exp(-100.0))),
            0.5,
            1,
            1,
        ]
    logits = np.linspace(-20, 20, 10001, dtype=np.float32)
    np.testing.assert_array_max_ulp(sigmoid(logits), torch.from_numpy(logits).sigmoid().numpy(), maxulp=2)
