"""Detections as arrays, and as what Roboflow's supervision takes."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from vfnet_client.detections import DetectedBox, Detections

FOUND = Detections(
    [
        DetectedBox(0.1, 0.2, 0.5, 0.6, "carton", 0.9),
        DetectedBox(0.0, 0.0, 1.0, 1.0, "can", 0.4),
        DetectedBox(0.2, 0.2, 0.3, 0.3, "carton", 0.3),
    ]
)


def test_arrays_keep_the_order_and_are_fractions_or_pixels() -> None:
    arrays = FOUND.to_numpy()
    assert (arrays.names, arrays.labels.tolist()) == (("can", "carton"), [1, 0, 1])
    np.testing.assert_allclose(arrays.boxes[0], [0.1, 0.2, 0.5, 0.6], rtol=1e-6)
    np.testing.assert_allclose(FOUND.to_numpy((200, 100)).boxes[0], [20, 20, 100, 60], rtol=1e-6)
    assert (arrays.boxes.dtype, arrays.scores.dtype, arrays.labels.dtype) == (np.float32, np.float32, np.int64)


def test_names_that_are_given_make_an_index_mean_the_same_everywhere() -> None:
    names = ["water_bottle", "carton", "can"]
    assert FOUND.to_numpy(names=names).labels.tolist() == [1, 2, 1]
    with pytest.raises(ValueError, match="'carton' was detected and is none of the names given: can"):
        FOUND.to_numpy(names=["can"])


def test_no_boxes_are_empty_arrays_of_the_same_shapes() -> None:
    arrays = Detections([]).to_numpy((10, 10))
    assert (arrays.boxes.shape, arrays.scores.shape, arrays.labels.shape) == ((0, 4), (0,), (0,))


def test_supervision_takes_them() -> None:
    supervision = pytest.importorskip("supervision", reason="supervision is not installed: pip install supervision")
    found = FOUND.to_supervision((200, 100))
    assert isinstance(found, supervision.Detections)
    assert len(found) == 3
    assert found["class_name"].tolist() == ["carton", "can", "carton"]
    assert found[found.confidence > 0.35].class_id.tolist() == [1, 0]
    np.testing.assert_allclose(found.xyxy[1], [0, 0, 200, 100])
    assert len(found.with_nms(0.5)) == 3
    pixels = np.zeros((100, 200, 3), np.uint8)
    assert supervision.BoxAnnotator().annotate(pixels, found).any()
    assert len(Detections([]).to_supervision((10, 10))) == 0


def test_without_supervision_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ModuleNotFoundError, match="pip install supervision"):
        FOUND.to_supervision((200, 100))
