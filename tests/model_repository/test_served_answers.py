"""One image, one answer, whatever travels with it; and what of the answer comes."""

from __future__ import annotations

import io
import json
import re
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
from PIL import Image
from sklearn.datasets import load_sample_image
from tritonclient.utils import InferenceServerException

from served_inference import ARRAYS, EVERY_OUTPUT, infer
from triton_server import ServedRepository

pytestmark = pytest.mark.served

Answer = dict[str, np.ndarray]


def part(left: int, right: int, format_name: str = "PNG", picture: str = "flower.jpg", **options: Any) -> bytes:
    """Columns of a photo, 427 high: the narrower, the less the network has to do."""
    out = io.BytesIO()
    Image.fromarray(load_sample_image(picture)[:, left:right]).save(out, format_name, **options)
    return out.getvalue()


def resized(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(load_sample_image("flower.jpg")).resize((width, height)).save(out, "PNG")
    return out.getvalue()


def assert_same(found: Answer, expected: Answer) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


class DetectorCounts:
    """Images that the detector sees, and batches it runs, from now on."""

    def __init__(self, served: ServedRepository) -> None:
        self.served = served
        self.before = self.now()

    def now(self) -> tuple[int, int]:
        url = f"http://127.0.0.1:{self.served.metrics_port}/metrics"
        text = urllib.request.urlopen(url, timeout=30).read().decode()
        counts = []
        for name in ("nv_inference_count", "nv_inference_exec_count"):
            found = re.search(rf'^{name}{{model="vfnet_detector",[^}}]*}} (\d+)', text, re.MULTILINE)
            assert found, text
            counts.append(int(found[1]))
        return counts[0], counts[1]

    def images_a_batch(self, images: int) -> float:
        """Once at least so many are counted. Triton counts a batch when it is over, after its answers are out.

        One that was over before may thus be among them.
        """
        deadline = time.monotonic() + 60
        while (counts := self.now())[0] < self.before[0] + images:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return (counts[0] - self.before[0]) / (counts[1] - self.before[1])


def test_an_image_gets_one_answer_alone_in_a_crowd_and_over_both_protocols(
    server: ServedRepository, good_image: bytes, good_answer: Answer
) -> None:
    others = [part(150, 210, "JPEG"), part(0, 60, "BMP", "china.jpg"), part(250, 350, "WEBP", "china.jpg")]
    others.append(resized(60, 1000))
    images = [good_image if i % 3 == 0 else others[i % len(others)] for i in range(32)]
    alone = {image: infer(server, image, EVERY_OUTPUT) for image in (good_image, *others)}
    assert images.count(good_image) == 11
    assert set(images) == set(alone)
    assert_same(alone[good_image], good_answer)
    assert_same(infer(server, good_image, EVERY_OUTPUT, protocol="http"), good_answer)

    counts = DetectorCounts(server)
    with ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(lambda i: infer(server, images[i], EVERY_OUTPUT, protocol="http" if i % 2 else "grpc"), range(32))
        )
    for image, answer in zip(images, answers, strict=True):
        assert_same(answer, alone[image])
    # They went through the network together, or being in a crowd would mean nothing.
    assert counts.images_a_batch(32) > 2


def test_images_of_eight_sizes_are_batched_together(server: ServedRepository) -> None:
    images = [resized(400 + 20 * i, 30 + 3 * i) for i in range(8)]
    counts = DetectorCounts(server)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda image: infer(server, image, ("SCORES",)), images))
    assert counts.images_a_batch(8) > 1


def test_a_threshold_raises_the_checkpoints_own(
    server: ServedRepository, good_image: bytes, good_answer: Answer
) -> None:
    scores = good_answer["SCORES"]
    threshold = float(np.sort(scores)[len(scores) // 2])
    raised = infer(server, good_image, EVERY_OUTPUT, score_threshold=threshold)
    above = scores > np.float32(threshold)
    assert 0 < above.sum() < len(scores)
    for name in ARRAYS:
        np.testing.assert_array_equal(raised[name], good_answer[name][above])
    assert len(json.loads(raised["DETECTIONS"][0])["boxes"]) == above.sum()
    assert len(infer(server, good_image, score_threshold=1.0)["SCORES"]) == 0


@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.0499])
def test_a_lower_threshold_changes_nothing(
    server: ServedRepository, good_image: bytes, good_answer: Answer, threshold: float
) -> None:
    assert_same(infer(server, good_image, EVERY_OUTPUT, score_threshold=threshold), good_answer)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), float("inf"), float("-inf")])
def test_a_threshold_out_of_range_is_the_callers_error(
    server: ServedRepository, threshold: float, protocol: str
) -> None:
    with pytest.raises(InferenceServerException, match=r"SCORE_THRESHOLD must be within 0\.\.1, not") as caught:
        infer(server, resized(1000, 1), protocol=protocol, score_threshold=threshold)
    assert caught.value.status() in ("StatusCode.INVALID_ARGUMENT", "400")


@pytest.mark.parametrize("name", EVERY_OUTPUT)
def test_only_the_outputs_asked_for_come(
    server: ServedRepository, good_image: bytes, good_answer: Answer, name: str
) -> None:
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
        tensor = tritonclient.grpc.InferInput("IMAGE", [1], "BYTES")
        tensor.set_data_from_numpy(np.array([good_image], np.object_))
        result = client.infer("vfnet", [tensor], outputs=[tritonclient.grpc.InferRequestedOutput(name)])
    assert [output.name for output in result.get_response().outputs] == [name]
    np.testing.assert_array_equal(result.as_numpy(name), good_answer[name])


def test_arrays_and_document_agree(server: ServedRepository, good_image: bytes, good_answer: Answer) -> None:
    boxes, scores, labels = (good_answer[name] for name in ARRAYS)
    names = (Path(server.repository) / "vfnet_postprocess" / "labels.txt").read_text().splitlines()
    entries = json.loads(good_answer["DETECTIONS"][0])["boxes"]
    assert len(entries) == len(boxes) == len(scores) == len(labels) <= 100
    assert [entry["label"] for entry in entries] == [names[label] for label in labels]
    assert [entry["score"] for entry in entries] == scores.tolist()
    width, height = Image.open(io.BytesIO(good_image)).size
    corners = [[entry["box"][key] for key in ("topX", "topY", "bottomX", "bottomY")] for entry in entries]
    np.testing.assert_array_equal(corners, boxes.astype(np.float64) / (width, height, width, height))
    order = np.lexsort((-scores, labels))
    np.testing.assert_array_equal(order, np.arange(len(order)))
    assert (scores > np.float32(0.05)).all()
