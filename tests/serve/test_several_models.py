"""Several models of one repository, served side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway_process import RunningGateway, running_gateway
from held_detector import gate_of, with_gate
from score_requests import GOOD, post, strip_png, table
from triton_server import NO_OP, ServedRepository, serving
from vfnet_bench.served_repository import with_fixed_detections
from vfnet_build.model_configuration import configure
from vfnet_build.repository import write_repository
from vfnet_client import VFNetClient
from vfnet_client.cli import main
from vfnet_client.exceptions import ServerBusyError, ServerUnavailableError, VFNetClientError
from vfnet_model.checkpoints.loading import load_checkpoint
from vfnet_model.manifest import Manifest
from waiting import eventually

pytestmark = pytest.mark.served
BOXES = {"vfnet": 7, "small": 3}


@pytest.fixture(scope="module")
def repository(demo_repository: Path, demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models without networks, told apart by how many boxes they find; the detector of `vfnet` has a gate."""
    target = tmp_path_factory.mktemp("several") / "repository"
    with_gate(with_fixed_detections(demo_repository, target, BOXES["vfnet"]))
    manifest = Manifest.read(demo_repository)
    assert manifest is not None
    write_repository(target, load_checkpoint(demo_checkpoint).config, manifest, lambda _: None, model="small")
    noop = target / "small_detector" / "configs" / "noop.pbtxt"
    configure(noop, noop, {"detections": str(BOXES["small"])})
    return target


@pytest.fixture(scope="module")
def served(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRepository]:
    with serving(repository, tmp_path_factory.mktemp("served"), NO_OP) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(served: ServedRepository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    manifest = served.repository / "vfnet_build.json"
    options = [f"--manifest={manifest}", *(f"--model={name}" for name in BOXES)]
    with running_gateway(served.grpc_url, tmp_path_factory.mktemp("gateway"), *options) as running:
        yield running


@pytest.fixture(scope="module")
def image() -> bytes:
    return strip_png()


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("model", BOXES)
def test_the_client_asks_the_one_that_it_names(
    served: ServedRepository, image: bytes, protocol: str, model: str
) -> None:
    with VFNetClient(getattr(served, f"{protocol}_url"), model=model) as client:
        assert len(client.detect(image).boxes) == BOXES[model]
        assert client.is_ready()


def test_one_that_is_not_there_is_said(served: ServedRepository, image: bytes) -> None:
    with (
        VFNetClient(served.grpc_url, timeout=2, retries=0, model="absent") as client,
        pytest.raises(ServerUnavailableError, match="absent"),
    ):
        client.detect(image)


def test_commands_ask_the_one_that_they_name(
    served: ServedRepository, image: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "strip.png"
    picture.write_bytes(image)
    server = f"--server={served.grpc_url}"
    assert main(["detect", str(picture), server, "--model=small"]) == 0
    assert f"{BOXES['small']} boxes" in capsys.readouterr().out
    assert main(["health", server, "--model=small"]) == 0
    assert main(["batch", str(tmp_path), f"--output={tmp_path / 'out'}", server, "--model=small"]) == 0
    (rows,) = (tmp_path / "out" / "shards").rglob("*.jsonl")
    assert len(json.loads(rows.read_text())["boxes"]) == BOXES["small"]
    assert main(["detect", str(picture), server, "--model=a.b"]) == 2
    assert "as in vfnet.2" in capsys.readouterr().err


def test_the_gateway_takes_azuremls_header(gateway: RunningGateway) -> None:
    body = {"input_data": table([GOOD])}
    with gateway.client() as client:
        for headers, model in (({}, "vfnet"), *(({"azureml-model-deployment": name}, name) for name in BOXES)):
            (answer,) = post(client, body, headers=headers).json()
            assert len(answer["boxes"]) == BOXES[model]
        refused = post(client, body, headers={"azureml-model-deployment": "absent"})
        assert (refused.status_code, refused.json()["message"]) == (
            404, "there is no deployment 'absent' here; there are: vfnet, small"
        )  # fmt: skip
    with VFNetClient(f"{gateway.address}/score", model="small") as ours:
        assert len(ours.detect(strip_png()).boxes) == BOXES["small"]


def test_the_page_can_ask_about_each(gateway: RunningGateway) -> None:
    with gateway.client() as client:
        assert client.get("/ui/info").json()["models"] == list(BOXES)
        info = client.get("/ui/info", params={"model": "small"}).json()
        assert info["model"] == "small"
        assert info["checkpoint"] is not None
        stages = client.get("/ui/stages", params={"model": "small"}).json()
        assert list(stages) == ["small_preprocess", "small_detector", "small_postprocess"]
        assert client.get("/ui/info", params={"model": "absent"}).status_code == 404


def test_one_that_is_full_and_stuck_takes_no_place_of_the_other(
    served: ServedRepository, repository: Path, image: bytes
) -> None:
    def ask(_: int) -> str:
        with VFNetClient(served.grpc_url, retries=0) as client:
            try:
                client.detect(image)
                return "detected"
            except ServerBusyError:
                return "refused"
            except VFNetClientError as error:
                return str(error)

    with ThreadPoolExecutor(40) as callers:
        with gate_of(repository).shut():
            asking = [callers.submit(ask, number) for number in range(40)]
            # More than there are places and than may wait for them.
            assert eventually(lambda: any(each.done() and each.result() == "refused" for each in asking), 30)
            with VFNetClient(served.grpc_url, retries=0, timeout=20, model="small") as client:
                for _ in range(30):
                    assert len(client.detect(image).boxes) == BOXES["small"]
            assert not any(each.done() and each.result() == "detected" for each in asking)
        assert {each.result() for each in asking} == {"detected", "refused"}


def test_a_lost_process_of_one_is_replaced_and_the_other_goes_on(served: ServedRepository, image: bytes) -> None:
    victim, *_ = served.model_processes("small_detector")
    others = {process.pid for process in served.model_processes("vfnet_detector")}
    victim.kill()
    with VFNetClient(served.grpc_url, retries=0) as client:
        assert len(client.detect(image).boxes) == BOXES["vfnet"]
    with VFNetClient(served.grpc_url, model="small") as client:
        assert len(client.detect(image).boxes) == BOXES["small"]
    assert {process.pid for process in served.model_processes("vfnet_detector")} == others
