"""Classes, a number of boxes and an IoU of one request, at a real Triton, beside models that were built with these."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
from PIL import Image
from tritonclient.utils import InferenceServerException

from boxes_on_the_edge import EDGES, boxes_on_the_edge
from overlapping_boxes import overlapping_boxes
from score_requests import strip_png
from served_inference import ARRAYS, EVERY_OUTPUT, OPTION_TYPES, infer
from triton_server import NO_OP, ServedRepository, serving
from vfnet_build.model_configuration import read_configuration, write_configuration
from vfnet_build.repository import write_repository
from vfnet_client import InvalidOptionsError, Tiling, UnsupportedOptionsError, VFNetClient
from vfnet_client.cli import main
from vfnet_client.detection_options import DetectionOptions
from vfnet_model.checkpoints.loading import load_checkpoint
from vfnet_model.detection_settings import DetectionSettings
from vfnet_model.detectors.chosen_suppression import chosen_suppression
from vfnet_model.manifest import BuildOptions, Manifest
from vfnet_runtime.answers import detect
from vfnet_runtime.architecture.config import VFNetConfig
from vfnet_runtime.suppression import Suppression

pytestmark = pytest.mark.served

SETTINGS = DetectionSettings(nms_iou=0.3, max_detections=20)
OPTIONS = {"nms_iou": 0.3, "max_detections": 20}
STRIP = strip_png()
TILES = Tiling(tile_grid_size=(2, 1), tile_overlap_ratio=0.1)
ADDED = ("CLASSES", "MAX_DETECTIONS", "NMS_IOU")


@pytest.fixture(scope="module")
def models(demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRepository]:
    """Three models without a network: `vfnet`; `strict`, built with `SETTINGS` of a checkpoint that was trained in
    `TILES`; and `old`, from before the options, and from before tiles were recorded."""
    folder, config = tmp_path_factory.mktemp("options"), load_checkpoint(demo_checkpoint).config
    manifest = Manifest("0" * 64, "made up", False, config.classes, BuildOptions("torch"), "0" * 64, {})
    target = folder / "models"
    for model, built in (("vfnet", config), ("strict", SETTINGS.applied_to(config)), ("old", config)):
        tiling = TILES if model == "strict" else None
        write_repository(target, built, replace(manifest, tiling=tiling), lambda _: None, model=model)
    for name in ("old", "old_postprocess"):
        path = target / name / "config.pbtxt"
        old = read_configuration(path)
        inputs = [each for each in old.input if each.name not in ADDED]
        del old.input[:]
        old.input.extend(inputs)
        for added in ADDED if name == "old" else ():
            del old.ensemble_scheduling.step[-1].input_map[added]
        old.parameters.pop("trained_tiling", None)
        write_configuration(old, path)
    with serving(target, folder, NO_OP) as served:
        yield served


@pytest.fixture(scope="module")
def connection(models: ServedRepository) -> Iterator[Any]:
    with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{models.grpc_port}") as client:
        yield client


Candidates = tuple[np.ndarray, np.ndarray, np.ndarray]


def suppressed(
    connection: Any, model: str = "vfnet", seed: int = 1, candidates: Candidates | None = None, **options: Any
) -> dict[str, Any]:
    """Candidates of which many overlap, through one model's `vfnet_postprocess` alone."""
    boxes, scores, labels = candidates or overlapping_boxes(seed, classes=4)
    given = {
        "CANDIDATE_BOXES": boxes[None], "CANDIDATE_SCORES": scores[None], "CANDIDATE_LABELS": labels[None],
        "GEOMETRY": np.float32([[1300, 1300, 1, 1]]),
    }  # fmt: skip
    for name, value in options.items():
        values = [each.encode() for each in value] if name == "classes" else [value]
        given[name.upper()] = np.array(values, OPTION_TYPES[name][1])
    types = {"float32": "FP32", "int32": "INT32", "object": "BYTES"}
    inputs = []
    for name, values in given.items():
        inputs.append(tritonclient.grpc.InferInput(name, list(values.shape), types[str(values.dtype)]))
        inputs[-1].set_data_from_numpy(values)
    result = connection.infer(f"{model}_postprocess", inputs)
    return {name: result.as_numpy(name).tolist() for name in EVERY_OUTPUT}


@pytest.mark.parametrize("seed", range(3))
def test_a_request_gets_what_a_model_that_was_built_so_answers(seed: int, connection: Any) -> None:
    asked, built = suppressed(connection, seed=seed, **OPTIONS), suppressed(connection, "strict", seed)
    assert asked == built
    assert len(asked["SCORES"]) == 20
    usual = suppressed(connection, seed=seed)
    assert len(usual["SCORES"]) == 100
    assert suppressed(connection, "strict", seed, nms_iou=0.6, max_detections=100) == usual
    assert suppressed(connection, "old", seed) == usual


@pytest.mark.parametrize(("nms_iou", "boxes"), EDGES.values(), ids=EDGES)
def test_an_iou_on_the_edge_is_decided_as_by_whoever_holds_the_model(
    nms_iou: float, boxes: int, connection: Any
) -> None:
    candidates, options = boxes_on_the_edge(), DetectionOptions.chosen(nms_iou=nms_iou)
    asked = suppressed(connection, candidates=candidates, nms_iou=nms_iou)
    held = chosen_suppression(Suppression(0.6, 100), ("can", "carton"), options)
    built = DetectionSettings(nms_iou=nms_iou).applied_to(VFNetConfig(("can", "carton"))).test
    for suppression in (held, Suppression(built.iou_threshold, built.max_per_img)):
        found = detect(*candidates, np.ones(2, np.float32), suppression)
        assert len(asked["BOXES"]) == len(found.boxes) == boxes


def test_classes_are_filtered_before_boxes_are_counted(connection: Any) -> None:
    names = ("can", "carton", "milk_bottle", "water_bottle")
    usual = suppressed(connection, max_detections=20)
    some = suppressed(connection, classes=["carton", "3"], max_detections=20)
    assert 0 < sum(label in (1, 3) for label in usual["LABELS"]) < 20
    assert len(some["LABELS"]) == 20
    assert set(some["LABELS"]) == {1, 3}
    document = json.loads(some["DETECTIONS"][0])["boxes"]
    assert [box["label"] for box in document] == [names[label] for label in some["LABELS"]]


def test_requests_with_and_without_options_at_once_get_their_own_answers(models: ServedRepository) -> None:
    """The network is asked for all of them alike: no step before the last one sees the options."""
    wanted: list[dict[str, Any]] = [{}, {"max_detections": 3}, {"classes": ["can"], "nms_iou": 0.1}, {"nms_iou": 2.0}]
    alone = {i: infer(models, STRIP, ARRAYS, **wanted[i]) for i in range(3)}
    assert [len(answer["SCORES"]) for answer in alone.values()] == [10, 3, 10]

    def ask(i: int) -> Any:
        try:
            return infer(models, STRIP, ARRAYS, protocol="http" if i % 8 > 3 else "grpc", **wanted[i % 4])
        except InferenceServerException as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(32)))
    for i, answer in enumerate(answers):
        if i % 4 == 3:
            assert answer.status() in ("StatusCode.INVALID_ARGUMENT", "400")
            assert "NMS_IOU must be within 0..1, not 2.0" in str(answer)
        else:
            assert all(np.array_equal(answer[name], alone[i % 4][name]) for name in ARRAYS)
    assert models.images_inside() == 0


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": ["can", "cartn"]}, "CLASSES has 'cartn', which is no class of this model; did you mean 'carton'"),
        ({"classes": []}, "CLASSES must have 1 to 4 entries"),
        ({"classes": ["can"] * 5}, "CLASSES must have 1 to 4 entries"),
        ({"max_detections": 0}, r"MAX_DETECTIONS must be within 1\.\.1000, not 0"),
        ({"max_detections": 2**31 - 1}, "MAX_DETECTIONS must be within"),
        ({"nms_iou": float("nan")}, "NMS_IOU must be within"),
    ],
)
def test_what_makes_no_sense_is_the_callers_error(
    options: dict[str, Any], words: str, protocol: str, models: ServedRepository
) -> None:
    with pytest.raises(InferenceServerException, match=words) as caught:
        infer(models, STRIP, protocol=protocol, **options)
    assert caught.value.status() in ("StatusCode.INVALID_ARGUMENT", "400")


def test_of_very_many_classes_none_is_read(models: ServedRepository, connection: Any) -> None:
    processes = models.model_processes("vfnet_postprocess")

    def most_memory() -> list[int]:
        texts = [Path(f"/proc/{process.pid}/status").read_text() for process in processes]
        return [int(text.partition("VmHWM:")[2].split()[0]) << 10 for text in texts]

    for _ in range(4):
        suppressed(connection)
    before = most_memory()
    with pytest.raises(InferenceServerException, match="CLASSES must have 1 to 4 entries"):
        suppressed(connection, classes=["ab"] * 500_000)
    grown = [after - then for after, then in zip(most_memory(), before, strict=True)]
    assert max(grown) < 15 << 20  # 3 MB arrive, and would be 25 in elements


@pytest.mark.parametrize("protocol", ["grpc_url", "http_url"])
def test_the_client_asks_for_them_and_says_where_a_model_is_too_old(protocol: str, models: ServedRepository) -> None:
    url = getattr(models, protocol)
    with VFNetClient(url) as client:
        everything = client.detect(STRIP)
        assert client.detect(STRIP, classes=["can", 3], nms_iou=0.9) == everything
        assert client.detect(STRIP, classes=["carton"]).boxes == []
        some = [result.result() for result in client.detect_many([STRIP] * 3, max_detections=2, score_threshold=0.1)]
        assert [each.boxes for each in some] == [everything.boxes[:2]] * 3
        with pytest.raises(InvalidOptionsError, match="did you mean 'carton'"):
            client.detect(STRIP, classes=["cartons"])
        with pytest.raises(ValueError, match="max_detections must be"):
            client.detect(STRIP, max_detections=0)
    for options in ({"nms_iou": 0.5}, {"classes": ["can"], "max_detections": 5, "nms_iou": 0.5}):
        with VFNetClient(url, model="old") as client:
            assert client.detect(STRIP, score_threshold=0.0) == everything
            with pytest.raises(UnsupportedOptionsError, match="NMS_IOU: the model there was built before a request"):
                client.detect(STRIP, **options)


def test_the_command_asks_for_them_and_ends_where_it_cannot(
    models: ServedRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(STRIP)
    command = ["detect", str(image), str(image), f"--server={models.grpc_url}"]
    assert main([*command, "--max-detections=3", "--classes=can", "--classes=3", "--nms-iou=0.5", "--json=-"]) == 0
    assert [len(each["boxes"]) for each in json.loads(capsys.readouterr().out)] == [3, 3]
    assert main([*command, "--classes=Can"]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("did you mean 'can'?")) == ("", 1)


@pytest.mark.parametrize("protocol", ["grpc_url", "http_url"])
def test_a_server_tells_the_tiles_that_its_network_was_trained_in(protocol: str, models: ServedRepository) -> None:
    for model, trained in (("strict", TILES), ("vfnet", None), ("old", None)):
        with VFNetClient(getattr(models, protocol), model=model) as client:
            assert client.trained_tiling() == trained


def test_commands_without_tiles_say_that_the_network_was_trained_in_some(
    models: ServedRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, truth = tmp_path / "a.png", tmp_path / "truth.json"
    image.write_bytes(STRIP)
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 20, 20], "area": 400, "iscrowd": 0}
    size = dict(zip(("width", "height"), Image.open(image).size, strict=True))
    images, categories = [{"id": 1, "file_name": image.name, **size}], [{"id": 1, "name": "can"}]
    truth.write_text(json.dumps({"images": images, "annotations": [box], "categories": categories}))
    said = "the network was trained in tiles, and nothing is tiled here: --tile-grid-size 2x1 --tile-overlap-ratio 0.1"
    commands = {
        "detect": [str(image)],
        "evaluate": [f"--annotations={truth}"],
        "batch": [str(image)],
    }
    for name, words in commands.items():
        for model, tiles, told in (("strict", (), True), ("vfnet", (), False), ("strict", ("--tile-size=64",), False)):
            output = (f"--output={tmp_path / model / str(told)}",) if name == "batch" else ()
            command = [name, *words, *output, f"--server={models.grpc_url}", f"--model={model}", *tiles]
            assert main(command) == 0
            assert (said in capsys.readouterr().err) == told, command
