"""Steps of the ensemble called directly with what no step before them makes: an error each, and no harm to others."""

from __future__ import annotations

import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from score_requests import strip_png
from served_inference import EVERY_OUTPUT, infer
from triton_server import ServedRepository, serving

pytestmark = pytest.mark.served

TYPES = {"uint8": "UINT8", "int32": "INT32", "int64": "INT64", "float32": "FP32", "object": "BYTES"}
Inputs = dict[str, np.ndarray]


def call(served: ServedRepository, model: str, inputs: Inputs, protocol: str = "grpc") -> Any:
    """The result of one request to one model."""
    module: Any = getattr(tritonclient, protocol)
    tensors = []
    for name, values in inputs.items():
        tensors.append(module.InferInput(name, list(values.shape), TYPES[values.dtype.name]))
        tensors[-1].set_data_from_numpy(values)
    with module.InferenceServerClient(f"127.0.0.1:{getattr(served, f'{protocol}_port')}") as client:
        return client.infer(model, tensors)


def refusal(served: ServedRepository, model: str, inputs: Inputs, protocol: str = "grpc") -> str:
    """Why it is the caller's error."""
    with pytest.raises(InferenceServerException) as caught:
        call(served, model, inputs, protocol)
    assert caught.value.status() in ("StatusCode.INVALID_ARGUMENT", "400"), str(caught.value)
    return str(caught.value.message())


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def pixels(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.uint8)


def valid(*values: int) -> np.ndarray:
    return np.array([values], np.int32)


DETECTOR: dict[str, tuple[str, Inputs]] = {
    "no pixels": ("PIXELS must be of shape", {"PIXELS": pixels(1, 0, 0, 3), "VALID_SHAPE": valid(1, 1)}),
    "no rows": ("PIXELS must be of shape", {"PIXELS": pixels(1, 0, 64, 3), "VALID_SHAPE": valid(32, 64)}),
    "no size": ("VALID_SHAPE must be height", {"PIXELS": pixels(1, 0, 0, 3), "VALID_SHAPE": valid(0, 0)}),
    "negative size": ("VALID_SHAPE must be height", {"PIXELS": pixels(1, 64, 64, 3), "VALID_SHAPE": valid(-1, 64)}),
    "odd canvas": ("PIXELS must be of shape", {"PIXELS": pixels(1, 33, 64, 3), "VALID_SHAPE": valid(33, 64)}),
    "canvas too small": ("PIXELS must be of shape", {"PIXELS": pixels(1, 32, 64, 3), "VALID_SHAPE": valid(33, 64)}),
    "canvas too large": ("PIXELS must be of shape", {"PIXELS": pixels(1, 96, 64, 3), "VALID_SHAPE": valid(33, 64)}),
    "larger than any": (
        "resized to fit 1333 x 800",
        {"PIXELS": pixels(1, 832, 832, 3), "VALID_SHAPE": valid(801, 801)},
    ),
    "longer than any": ("resized to fit 1333 x 800", {"PIXELS": pixels(1, 32, 1376, 3), "VALID_SHAPE": valid(1, 1376)}),
    "largest size": (
        "VALID_SHAPE must be height",
        {"PIXELS": pixels(1, 32, 32, 3), "VALID_SHAPE": valid(2**31 - 1, 1)},
    ),
    "two images": ("must be of shape", {"PIXELS": pixels(2, 32, 32, 3), "VALID_SHAPE": np.ones((2, 2), np.int32)}),
    "no images": ("", {"PIXELS": pixels(0, 32, 32, 3), "VALID_SHAPE": np.ones((0, 2), np.int32)}),
    "images of one, sizes of two": ("", {"PIXELS": pixels(1, 32, 32, 3), "VALID_SHAPE": np.ones((2, 2), np.int32)}),
    "four channels": ("", {"PIXELS": pixels(1, 32, 32, 4), "VALID_SHAPE": valid(32, 32)}),
    "three dimensions": ("", {"PIXELS": pixels(32, 32, 3), "VALID_SHAPE": valid(32, 32)}),
    "another type": ("", {"PIXELS": np.zeros((1, 32, 32, 3), np.float32), "VALID_SHAPE": valid(32, 32)}),
    "another type of size": ("", {"PIXELS": pixels(1, 32, 32, 3), "VALID_SHAPE": np.ones((1, 2), np.int64)}),
    "no VALID_SHAPE": ("", {"PIXELS": pixels(1, 32, 32, 3)}),
    "no PIXELS": ("", {"VALID_SHAPE": valid(32, 32)}),
    "a negative ticket": (
        "TICKET must be one that",
        {"PIXELS": pixels(1, 32, 32, 3), "VALID_SHAPE": valid(32, 32), "TICKET": np.array([[-5]], np.int64)},
    ),
    "two tickets": (
        "",
        {"PIXELS": pixels(1, 32, 32, 3), "VALID_SHAPE": valid(32, 32), "TICKET": np.array([[1, 2]], np.int64)},
    ),
}
"""What is said, where it is not Triton that says it, and what is sent."""


def rows(count: int = 3, **changed: Any) -> Inputs:
    """Candidates of an image of 200 x 100 pixels, resized to twice that."""
    inputs: Inputs = {
        "CANDIDATE_BOXES": np.tile(np.array([10, 20, 30, 40], np.float32), (1, count, 1)),
        "CANDIDATE_SCORES": np.full((1, count), 0.5, np.float32),
        "CANDIDATE_LABELS": np.zeros((1, count), np.int32),
        "GEOMETRY": np.array([[200, 100, 2, 2]], np.float32),
    }
    return inputs | changed


def geometry(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def scores(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


def box(*values: float) -> np.ndarray:
    return np.array([[values]], np.float32)


NAN, INF = float("nan"), float("inf")
POSTPROCESS: dict[str, tuple[str, Inputs]] = {
    "too many": ("there are never more than 5000", rows(5001)),
    "fewer scores": ("CANDIDATE_SCORES must be of shape", rows(CANDIDATE_SCORES=scores(0.5, 0.5))),
    "fewer labels": ("CANDIDATE_LABELS must be of shape", rows(CANDIDATE_LABELS=np.zeros((1, 2), np.int32))),
    "no labels": ("CANDIDATE_LABELS must be of shape", rows(CANDIDATE_LABELS=np.zeros((1, 0), np.int32))),
    "two images": ("", rows(CANDIDATE_BOXES=np.zeros((2, 3, 4), np.float32))),
    "score NaN": ("CANDIDATE_SCORES must be within", rows(CANDIDATE_SCORES=scores(0.5, NAN, 0.5))),
    "score infinite": ("CANDIDATE_SCORES must be within", rows(CANDIDATE_SCORES=scores(INF, 0.5, 0.5))),
    "score negative": ("CANDIDATE_SCORES must be within", rows(CANDIDATE_SCORES=scores(0.5, 0.5, -0.1))),
    "score over 1": ("CANDIDATE_SCORES must be within", rows(CANDIDATE_SCORES=scores(1.5, 0.5, 0.5))),
    "box NaN": ("CANDIDATE_BOXES must lie", rows(1, CANDIDATE_BOXES=box(NAN, 0, 1, 1))),
    "box infinite": ("CANDIDATE_BOXES must lie", rows(1, CANDIDATE_BOXES=box(0, 0, INF, 1))),
    "box negative": ("CANDIDATE_BOXES must lie", rows(1, CANDIDATE_BOXES=box(-1, 0, 1, 1))),
    "box outside": ("CANDIDATE_BOXES must lie", rows(1, CANDIDATE_BOXES=box(0, 0, 1e30, 1))),
    "label negative": ("CANDIDATE_LABELS must be the numbers", rows(1, CANDIDATE_LABELS=np.array([[-1]], np.int32))),
    "label too high": ("CANDIDATE_LABELS must be the numbers", rows(1, CANDIDATE_LABELS=np.array([[4]], np.int32))),
    "geometry NaN": ("GEOMETRY must begin", rows(GEOMETRY=geometry(NAN, 100, 2, 2))),
    "geometry infinite": ("GEOMETRY must begin", rows(GEOMETRY=geometry(INF, 100, 2, 2))),
    "geometry 0": ("GEOMETRY must begin", rows(GEOMETRY=geometry(200, 0, 2, 2))),
    "geometry negative": ("GEOMETRY must begin", rows(GEOMETRY=geometry(-200, 100, 2, 2))),
    "scale 0": ("GEOMETRY must end", rows(GEOMETRY=geometry(200, 100, 0, 2))),
    "scale NaN": ("GEOMETRY must end", rows(GEOMETRY=geometry(200, 100, 2, NAN))),
    "scale negative": ("GEOMETRY must end", rows(GEOMETRY=geometry(200, 100, -2, 2))),
    "scale tiny": ("GEOMETRY must end", rows(GEOMETRY=geometry(200, 100, 1e-38, 2))),
    "scale infinite": ("GEOMETRY must end", rows(GEOMETRY=geometry(200, 100, INF, 2))),
    "threshold NaN": ("SCORE_THRESHOLD must be within", rows(SCORE_THRESHOLD=np.array([NAN], np.float32))),
    "threshold 2": ("SCORE_THRESHOLD must be within", rows(SCORE_THRESHOLD=np.array([2], np.float32))),
    "two thresholds": ("", rows(SCORE_THRESHOLD=np.array([0.5, 0.5], np.float32))),
    "a negative ticket": ("TICKET must be one that", rows(TICKET=np.array([[-1]], np.int64))),
    "no GEOMETRY": ("", {name: values for name, values in rows().items() if name != "GEOMETRY"}),
}

PREPROCESS: dict[str, tuple[str, Inputs]] = {
    "no image": ("IMAGE", {"IMAGE": np.array([], np.object_)}),
    "two images": ("IMAGE", {"IMAGE": np.array([b"a", b"b"], np.object_)}),
    "two dimensions": ("IMAGE", {"IMAGE": np.array([[b"a"]], np.object_)}),
    "no bytes": ("the image is empty", {"IMAGE": np.array([b""], np.object_)}),
    "another type": ("IMAGE", {"IMAGE": np.array([1], np.int32)}),
    "nothing": ("", {}),
}


@pytest.fixture(scope="module", params=["openvino", "torch", "noop"])
def any_engine(request: pytest.FixtureRequest) -> ServedRepository:
    fixture = {"openvino": "server", "torch": "torch_server", "noop": "quick_server"}[request.param]
    served: ServedRepository = request.getfixturevalue(fixture)
    return served


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_detector_refuses_what_is_no_resized_image_and_answers_as_before(
    any_engine: ServedRepository, protocol: str
) -> None:
    image = strip_png()  # a tenth of the work of a part of a photo, and done after each
    expected = infer(any_engine, image, EVERY_OUTPUT)
    assert len(expected["SCORES"]) > 0
    for name, (reason, inputs) in DETECTOR.items():
        assert reason in refusal(any_engine, "vfnet_detector", inputs, protocol), name
        if reason and protocol == "grpc":  # it came as far as the model
            assert_same(infer(any_engine, image, EVERY_OUTPUT), expected)
    assert_same(infer(any_engine, image, EVERY_OUTPUT), expected)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_postprocessing_refuses_what_are_no_candidates_and_answers_as_before(
    quick_server: ServedRepository, protocol: str
) -> None:
    expected = json.loads(call(quick_server, "vfnet_postprocess", rows()).as_numpy("DETECTIONS")[0])
    assert len(expected["boxes"]) == 1
    for name, (reason, inputs) in POSTPROCESS.items():
        assert reason in refusal(quick_server, "vfnet_postprocess", inputs, protocol), name
        assert json.loads(call(quick_server, "vfnet_postprocess", rows()).as_numpy("DETECTIONS")[0]) == expected
    none = call(quick_server, "vfnet_postprocess", rows(0), protocol)
    assert json.loads(none.as_numpy("DETECTIONS")[0]) == {"boxes": []}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("model", ["vfnet_preprocess", "vfnet"])
def test_there_is_one_image_and_it_has_bytes(quick_server: ServedRepository, model: str, protocol: str) -> None:
    for name, (reason, inputs) in PREPROCESS.items():
        assert reason in refusal(quick_server, model, inputs, protocol), name


JSON_BODIES = {
    "nothing": {"name": "IMAGE", "shape": [1], "datatype": "BYTES", "data": []},
    "two": {"name": "IMAGE", "shape": [1], "datatype": "BYTES", "data": ["a", "b"]},
    "an endless shape": {"name": "IMAGE", "shape": [2**62], "datatype": "BYTES", "data": ["a"]},
    "no image": {"name": "IMAGE", "shape": [1], "datatype": "BYTES", "data": ["no image"]},
}


@pytest.mark.parametrize("body", JSON_BODIES)
def test_images_in_json_are_checked_too(quick_server: ServedRepository, good_image: bytes, body: str) -> None:
    expected = infer(quick_server, good_image)
    request = urllib.request.Request(
        f"{quick_server.http_url}/v2/models/vfnet/infer", json.dumps({"inputs": [JSON_BODIES[body]]}).encode()
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    assert caught.value.code == 400, caught.value.read()
    assert_same(infer(quick_server, good_image), expected)


@pytest.mark.parametrize("length", [0, 2**31 - 1, 2**32 - 1])
def test_a_length_that_lies_is_the_callers_error(
    quick_server: ServedRepository, good_image: bytes, length: int
) -> None:
    """In the binary form each element of BYTES says how long it is."""
    expected = infer(quick_server, good_image)
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{quick_server.grpc_port}") as client:
        tensor = tritonclient.grpc.InferInput("IMAGE", [1], "BYTES")
        tensor.set_data_from_numpy(np.array([b"abcd"], np.object_))
        tensor._raw_content = length.to_bytes(4, "little") + b"abcd"
        with pytest.raises(InferenceServerException) as caught:
            client.infer("vfnet_preprocess", [tensor])
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT", str(caught.value)
    assert_same(infer(quick_server, good_image), expected)


PLACES = 10
"""In the ensemble of the tests' servers, see `triton_server.ROOM`."""


@pytest.mark.parametrize("as_far_as", ["vfnet_preprocess", "vfnet_detector"])
def test_tickets_that_are_forged_and_kept_cost_an_honest_caller_less_than_a_second(
    quick_server: ServedRepository, good_image: bytes, as_far_as: str
) -> None:
    image = {"IMAGE": np.array([good_image], np.object_)}
    expected = infer(quick_server, good_image, EVERY_OUTPUT)
    for forged in (1, time.monotonic_ns() // 2):  # as if an image had taken that long
        call(quick_server, "vfnet_postprocess", rows(TICKET=np.array([[forged]], np.int64)))
    for _ in range(PLACES):
        result = call(quick_server, "vfnet_preprocess", image)
        if as_far_as == "vfnet_detector":
            call(
                quick_server,
                "vfnet_detector",
                {name: result.as_numpy(name) for name in ("PIXELS", "VALID_SHAPE", "TICKET")},
            )
    started = time.monotonic()
    assert_same(infer(quick_server, good_image, EVERY_OUTPUT), expected)
    assert time.monotonic() - started < 2  # of a machine that does something else, too
    assert quick_server.images_inside() < PLACES


def test_a_ticket_comes_back_with_an_error_from_any_step(quick_server: ServedRepository, good_image: bytes) -> None:
    image = {"IMAGE": np.array([good_image], np.object_)}
    deadline = time.monotonic() + 30
    while quick_server.images_inside() and time.monotonic() < deadline:  # of others
        time.sleep(0.05)
    for model, inputs in (("vfnet_detector", DETECTOR["no pixels"][1]), ("vfnet_postprocess", rows(5001))):
        for _ in range(2 * PLACES):
            ticket = call(quick_server, "vfnet_preprocess", image).as_numpy("TICKET")
            refusal(quick_server, model, inputs | {"TICKET": ticket})
            assert quick_server.images_inside() == 0


@pytest.fixture(scope="module")
def trusting_server(demo_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRepository]:
    """Its detector checks nothing, so that what OpenVINO fails on reaches it."""
    folder = tmp_path_factory.mktemp("trusting")
    repository = folder / "repository"
    shutil.copytree(demo_repository, repository)
    module = repository / "vfnet_detector" / "1" / "vfnet_runtime" / "triton_models" / "detector_requests.py"
    check = "self.contract.read(request)"
    assert module.read_text().count(check) == 1
    tensors = [f'__import__("triton_python_backend_utils").get_input_tensor_by_name(request, "{name}").as_numpy()'
               for name in ("PIXELS", "VALID_SHAPE")]  # fmt: skip
    module.write_text(module.read_text().replace(check, f"({', '.join(tensors)})"))
    with serving(repository, folder) as served:
        yield served


@pytest.mark.parametrize("bad", ["no pixels", "two images"])
def test_an_image_that_the_network_fails_on_changes_no_other_answer(
    trusting_server: ServedRepository, good_image: bytes, good_answer: dict[str, np.ndarray], bad: str
) -> None:
    # the size before is the one that would fail
    assert_same(infer(trusting_server, good_image, EVERY_OUTPUT), good_answer)
    with pytest.raises(InferenceServerException) as caught:
        call(trusting_server, "vfnet_detector", DETECTOR[bad][1])
    assert "could not be detected in" in str(caught.value)
    for _ in range(3):
        assert_same(infer(trusting_server, good_image, EVERY_OUTPUT), good_answer)


def test_images_beside_one_that_the_network_fails_on_are_answered(
    trusting_server: ServedRepository, good_image: bytes, good_answer: dict[str, np.ndarray]
) -> None:
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{trusting_server.grpc_port}") as client:
        answers: list[tuple[str, Any, Any]] = []

        def send(kind: str, model: str, inputs: Inputs) -> None:
            tensors = []
            for name, values in inputs.items():
                tensors.append(tritonclient.grpc.InferInput(name, list(values.shape), TYPES[values.dtype.name]))
                tensors[-1].set_data_from_numpy(values)
            client.async_infer(model, tensors, lambda result, error: answers.append((kind, result, error)))

        for _ in range(2):
            send("good", "vfnet", {"IMAGE": np.array([good_image], np.object_)})
            send("bad", "vfnet_detector", DETECTOR["no pixels"][1])
            send("good", "vfnet", {"IMAGE": np.array([good_image], np.object_)})
        deadline = time.monotonic() + 120
        while len(answers) < 6 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert len(answers) == 6
    for kind, result, error in answers:
        if kind == "good":
            assert error is None
            assert_same({name: result.as_numpy(name) for name in EVERY_OUTPUT}, good_answer)
        else:
            assert "could not be detected in" in str(error)
