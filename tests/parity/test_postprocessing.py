"""Candidates and NMS against detections recorded from mmdet's own `get_bboxes`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shared_data import SHARED, needs_shared
from vfnet_runtime.answers import Detections, detect
from vfnet_runtime.architecture import detector
from vfnet_runtime.architecture.config import TestConfig
from vfnet_runtime.candidates import CandidateSettings, select_candidates
from vfnet_runtime.suppression import Suppression

pytestmark = needs_shared

CASES = ("all_levels", "few", "saturated", "empty", "heavy_overlap")
STRIDES = (8, 16, 32, 64, 128)
Candidates = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(params=CASES)
def golden(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    return dict(np.load(SHARED / "reference" / "golden" / f"postproc_{request.param}.npz"))


def in_torch(golden: dict[str, np.ndarray]) -> Candidates:
    """What engines with candidates in the graph compute."""
    found = detector.select_candidates(
        [torch.from_numpy(golden[f"cls_score_{level}"]) for level in range(5)],
        [torch.from_numpy(golden[f"bbox_pred_refine_{level}"]) for level in range(5)],
        torch.from_numpy(golden["img_shape"][None, :2]),
        STRIDES,
        0.0,
        TestConfig(),
    )
    boxes, scores, labels = (tensor[0].numpy() for tensor in detector.sort_candidates(*found))
    return boxes, scores, labels


def in_numpy(golden: dict[str, np.ndarray]) -> Candidates:
    """What the OpenVINO engine computes after the network."""
    return select_candidates(
        [golden[f"cls_score_{level}"][0] for level in range(5)],
        [golden[f"bbox_pred_refine_{level}"][0] for level in range(5)],
        golden["img_shape"][:2],
        CandidateSettings(STRIDES, 0.0, 1000, 0.05),
    )


def finish(candidates: Candidates, golden: dict[str, np.ndarray]) -> Detections:
    return detect(*candidates, golden["scale_factor"][:2], Suppression(0.6, 100))


def in_served_order(golden: dict[str, np.ndarray]) -> Candidates:
    """mmdet's order is by score; the contract's by class, then score."""
    order = np.argsort(golden["labels"], kind="stable")
    return golden["boxes"][order], golden["scores"][order], golden["labels"][order]


def test_torch_candidates_give_mmdets_detections_bit_for_bit(golden: dict[str, np.ndarray]) -> None:
    found = finish(in_torch(golden), golden)
    boxes, scores, labels = in_served_order(golden)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.scores, scores)
    np.testing.assert_array_equal(found.boxes, boxes)


def test_numpy_candidates_give_mmdets_detections_with_scores_to_the_last_bit(golden: dict[str, np.ndarray]) -> None:
    found = finish(in_numpy(golden), golden)
    boxes, scores, labels = in_served_order(golden)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.boxes, boxes)
    # torch's float32 sigmoid is itself within one unit in the last place of the exact value
    np.testing.assert_array_max_ulp(found.scores, scores, maxulp=2)


def test_candidates_have_one_shape_and_fall_in_score(golden: dict[str, np.ndarray]) -> None:
    for boxes, scores, labels in (in_torch(golden), in_numpy(golden)):
        assert boxes.shape == (5000, 4)
        assert scores.shape == labels.shape == (5000,)
        assert (np.diff(scores) <= 0).all()
        assert not ((scores > 0) & (scores <= 0.05)).any()
