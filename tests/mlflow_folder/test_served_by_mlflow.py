"""A model folder in MLflow's own scoring server answers what `/score` in front of Triton does, on the same photos."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from gateway_process import running_gateway
from mlflow_server import FORBIDDEN, mlflow_environment, serving_with_mlflow
from score_requests import GOOD, JSON, post, score, strip_png, table
from shared_data import SHARED
from triton_server import ServedRepository
from vfnet.command_table import COMMANDS
from vfnet_build.mlflow_folder import MLFLOW_VERSION
from vfnet_client.cli import main

pytestmark = pytest.mark.served

BAD = base64.b64encode(b"this is no picture").decode()


def as_base64(image: Image.Image, kind: str) -> str:
    out = io.BytesIO()
    image.save(out, kind)
    return base64.b64encode(out.getvalue()).decode()


@pytest.fixture(scope="module")
def photos() -> list[str]:
    """In several formats and sizes; all but the first are strips, which are quick."""
    china, flower = (Image.fromarray(pixels) for pixels in load_sample_images().images)
    return [
        as_base64(flower.rotate(90, expand=True), "JPEG"),
        as_base64(china.crop((0, 150, 500, 180)).convert("L"), "BMP"),
        base64.encodebytes(strip_png()).decode(),
        as_base64(china.crop((0, 200, 640, 240)), "PNG"),
    ]


@pytest.fixture(scope="module")
def folder(demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `vfnet mlflow` writes of the checkpoint that `server` serves."""
    written = tmp_path_factory.mktemp("mlflow") / "model"
    mlflow_environment(written.parent)
    assert main(["mlflow", f"--checkpoint={demo_checkpoint}", f"--output={written}"], more=COMMANDS) == 0
    return written


@pytest.fixture(scope="module")
def gateway(folder: Path, server: ServedRepository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """`/score` in front of the real Triton."""
    del folder  # first: there may be no MLflow
    with running_gateway(server.grpc_url, tmp_path_factory.mktemp("gateway")) as running, running.client() as client:
        yield client


@pytest.fixture(scope="module")
def mlflow(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """MLflow's server of `folder`; no packet of it leaves this machine."""
    scratch = tmp_path_factory.mktemp("mlflow_server")
    with serving_with_mlflow(folder, scratch) as client:
        yield client
    assert not (scratch / FORBIDDEN).exists(), (scratch / FORBIDDEN).read_text()


def invoke(client: httpx.Client, document: Any) -> httpx.Response:
    return post(client, document, "/invocations")


def test_azuremls_request_has_the_answer_of_score(
    mlflow: httpx.Client, gateway: httpx.Client, photos: list[str]
) -> None:
    request = {"input_data": table(photos, index=[7, 8, 9, 10]), "params": {}}
    expected, answer = post(gateway, request), invoke(mlflow, request)
    assert answer.status_code == expected.status_code == 200
    assert answer.headers["content-type"] == expected.headers["content-type"]
    assert answer.content == expected.content
    assert all(image["boxes"] for image in answer.json())


def test_a_recorded_request_has_the_answer_of_score(mlflow: httpx.Client, gateway: httpx.Client) -> None:
    if not SHARED.is_dir():
        pytest.skip("needs ../shared, which is not here")
    body = (SHARED / "contract" / "requests" / "req_99_nested.json").read_bytes()
    expected, answer = post(gateway, body), invoke(mlflow, body)
    assert expected.status_code == 200
    assert answer.content == expected.content


@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records", "inputs", "instances"])
def test_mlflows_own_forms_have_the_same_boxes(
    mlflow: httpx.Client, gateway: httpx.Client, photos: list[str], form: str
) -> None:
    given = photos[2:]
    forms = {
        "dataframe_split": table([[photo] for photo in given]),
        "dataframe_records": [{"image": photo} for photo in given],
        "inputs": {"image": given},
        "instances": [{"image": photo} for photo in given],
    }
    answer = invoke(mlflow, {form: forms[form]})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"predictions": score(gateway, given).json()}


def test_params_mean_what_they_mean_at_score(mlflow: httpx.Client, gateway: httpx.Client, photos: list[str]) -> None:
    strip = photos[3:]
    boxes = score(gateway, strip).json()[0]["boxes"]
    scores = sorted(box["score"] for box in boxes)
    for params in (
        {"box_score_threshold": scores[len(scores) // 2]},
        {"score_threshold": scores[len(scores) // 2]},
        {"classes": [boxes[0]["label"]], "nms_iou": 0.3, "max_detections": 2},
    ):
        expected = score(gateway, strip, params=params)
        assert 0 < len(expected.json()[0]["boxes"]) < len(boxes)
        assert invoke(mlflow, {"input_data": table(strip), "params": params}).content == expected.content
        answer = invoke(mlflow, {"dataframe_split": table(strip), "params": params})
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"predictions": expected.json()}


def test_a_bad_image_costs_no_other_its_answer(mlflow: httpx.Client, gateway: httpx.Client) -> None:
    data = [GOOD, BAD, None, 5, GOOD[:-400], GOOD]
    request = {"input_data": table(data, index=list("abcdef"))}
    expected, answer = post(gateway, request), invoke(mlflow, request)
    assert answer.status_code == expected.status_code == 422
    assert answer.content == expected.content
    reasons = {error["position"]: {"error": error["reason"]} for error in expected.json()["errors"]}
    assert sorted(reasons) == [1, 2, 3, 4]
    answer = invoke(mlflow, {"dataframe_split": table(data)})
    assert answer.status_code == 200
    results = enumerate(expected.json()["results"])
    assert answer.json() == {"predictions": [reasons.get(position, result) for position, result in results]}


@pytest.mark.parametrize(
    "request_body",
    [
        {"input_data": {"columns": ["picture"], "data": [GOOD]}},
        {"input_data": table([GOOD], index=[1, 2])},
        {"input_data": table([GOOD], index=[1], more=[])},
        {"input_data": None},
        {"input_data": table([GOOD]), "params": {"box_score_threshold": 2}},
        {"input_data": table([GOOD]), "params": {"classes": ["unicorn"]}},
        {"input_data": table([])},
    ],
    ids=["no column", "index", "unknown key", "null", "threshold", "class", "no image"],
)
def test_azuremls_request_is_refused_as_score_does(
    mlflow: httpx.Client, gateway: httpx.Client, request_body: Any
) -> None:
    expected, answer = post(gateway, request_body), invoke(mlflow, request_body)
    assert (answer.status_code, answer.content) == (expected.status_code, expected.content)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"dataframe_split": {"columns": ["picture"], "data": [["x"]]}}', "Model is missing inputs ['image']"),
        (
            json.dumps({"dataframe_split": table([GOOD]), "params": {"box_score_threshold": 2}}).encode(),
            '"box_score_threshold" must be a number from 0 to 1',
        ),
        (
            json.dumps({"dataframe_split": table([GOOD]), "params": {"tile_grid_size": "3x2"}}).encode(),
            "whole images only",
        ),
        (b'{"input_data": ', "valid JSON"),
        (b'{"data": "input_data"}', "exactly one of the input fields"),
    ],
    ids=["no column", "threshold", "tiles", "no JSON", "no table"],
)
def test_mlflow_says_what_is_wrong_with_its_own_forms(mlflow: httpx.Client, body: bytes, said: str) -> None:
    answer = mlflow.post("/invocations", content=body, headers=JSON)
    assert answer.status_code == 400
    assert said in answer.json()["message"]


def test_an_image_by_url_may_not_come_from_this_network(mlflow: httpx.Client, gateway: httpx.Client) -> None:
    data = ["http://127.0.0.1:1/photo.jpg", GOOD]
    expected, answer = score(gateway, data), invoke(mlflow, {"input_data": table(data)})
    assert answer.status_code == 422
    assert "public hosts only" in answer.text
    assert answer.content == expected.content


def test_the_version_that_the_folder_names_is_the_one_that_serves_it(mlflow: httpx.Client) -> None:
    assert mlflow.get("/version").text == MLFLOW_VERSION


CALLER = """
import base64, json, sys, pandas, yaml, mlflow.pyfunc
from mlflow.models import Model
folder, image = sys.argv[1:]
model = mlflow.pyfunc.load_model(folder, model_config={"threads": 1})
images = pandas.DataFrame({"image": [base64.b64decode(image), image, None]})
told, again = (yaml.safe_load(text) for text in (open(folder + "/MLmodel"), Model.load(folder).to_yaml()))
import vfnet_client, vfnet_images, vfnet_mlflow, vfnet_runtime, vfnet_tiling
print(json.dumps({
    "found": model.predict(images, params={"box_score_threshold": 0.3}),
    "inputs": model.metadata.get_input_schema().to_dict(),
    "changed": [key for key in told if key != "signature" and told[key] != again.get(key)],
    "homes": [each.__file__ for each in (vfnet_client, vfnet_images, vfnet_mlflow, vfnet_runtime, vfnet_tiling)],
}))
"""


def test_python_callers_need_no_server(folder: Path, gateway: httpx.Client, tmp_path: Path) -> None:
    """In a folder that was moved; MLflow may not unpickle anything, and reads all that it would write."""
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved, copy_function=os.link)
    environment = mlflow_environment(tmp_path) | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    command = [sys.executable, "-S", "-c", CALLER, str(moved), GOOD]
    done = subprocess.run(command, env=environment, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    (expected,) = score(gateway, [GOOD], params={"box_score_threshold": 0.3}).json()
    assert said["found"] == [expected, expected, {"error": "expected base64 text or an http(s) URL, got null"}]
    assert said["inputs"] == [{"type": "string", "name": "image", "required": True}]
    assert said["changed"] == []
    assert all(home.startswith(str(moved / "code")) for home in said["homes"])
    assert "UserWarning" not in done.stderr
