"""Callers of the gateway and of the client do not see a model's process die or the server restart."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gateway_process import RunningGateway, running_gateway
from score_requests import GOOD, post, score, strip_png, table
from triton_server import NO_OP, ServedRepository, serving
from vfnet_bench.served_repository import with_fixed_time
from vfnet_client import FatalImageError, VFNetClient
from waiting import eventually

pytestmark = [pytest.mark.served, pytest.mark.timeout(240)]
FATAL_HEIGHT = 48
_ENTRANCE = "        if self.seconds:\n"


def fatal_png() -> bytes:
    """A picture that kills the detector's process."""
    out = io.BytesIO()
    Image.fromarray(np.zeros((FATAL_HEIGHT, 1333, 3), np.uint8)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def repository(demo_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its detector, without a network, dies of a picture that is as high as `FATAL_HEIGHT`."""
    target = tmp_path_factory.mktemp("fatal") / "repository"
    with_fixed_time(demo_repository, target, 20)
    model = target / "vfnet_detector" / "1" / "vfnet_runtime" / "triton_models" / "noop_detector_model.py"
    code = model.read_text()
    assert code.count(_ENTRANCE) == 1
    death = f"        if image.valid_shape[0][0] == {FATAL_HEIGHT}:\n            __import__('os')._exit(1)\n"
    model.write_text(code.replace(_ENTRANCE, death + _ENTRANCE))
    return target


@pytest.fixture(scope="module")
def served(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRepository]:
    with serving(repository, tmp_path_factory.mktemp("served"), NO_OP) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(served: ServedRepository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running_gateway(served.grpc_url, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@contextmanager
def callers(gateway: RunningGateway, server: ServedRepository) -> Iterator[list[object]]:
    """Two at /score and one over gRPC with our client; what they got, without those that went well."""
    stop, wrong, answered = threading.Event(), list[object](), [0, 0, 0]

    def at_the_gateway(number: int) -> None:
        with gateway.client() as client:
            while not stop.is_set():
                reply = score(client, [GOOD, GOOD])
                answered[number] += 1
                if reply.status_code != 200:
                    wrong.append((reply.status_code, reply.text))

    def directly() -> None:
        with VFNetClient(server.grpc_url) as client:
            while not stop.is_set():
                wrong.extend(outcome.error for outcome in client.detect_many([strip_png()] * 4) if outcome.error)
                answered[2] += 1

    threads = [threading.Thread(target=at_the_gateway, args=(number,)) for number in (0, 1)]
    threads.append(threading.Thread(target=directly))
    for thread in threads:
        thread.start()
    try:
        assert eventually(lambda: all(answered), 60)
        yield wrong
        before = list(answered)  # and all are served again
        assert eventually(lambda: all(now > then + 1 for now, then in zip(answered, before, strict=True)), 60)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("model", ["vfnet_preprocess", "vfnet_detector", "vfnet_postprocess"])
def test_a_killed_model_process_is_not_seen(model: str, served: ServedRepository, gateway: RunningGateway) -> None:
    assert eventually(lambda: bool(served.model_processes(model)), 30)
    replaced = f"{model} serves again"
    before = served.log.read_text().count(replaced)
    with callers(gateway, served) as wrong:
        victim = served.model_processes(model)[0]
        victim.kill()
        assert eventually(lambda: served.log.read_text().count(replaced) > before, 60)
    assert wrong == []


def test_the_image_that_kills_is_told_and_no_other(served: ServedRepository, gateway: RunningGateway) -> None:
    fatal = base64.b64encode(fatal_png()).decode()
    with gateway.client() as client:
        reply = post(client, {"input_data": table([GOOD, fatal, GOOD], index=["a", "b", "c"])})
    answer = reply.json()
    assert reply.status_code == 422, reply.text
    assert [error["index"] for error in answer["errors"]] == ["b"]
    assert "died each of the 3 times" in answer["errors"][0]["reason"]
    assert [result is None for result in answer["results"]] == [False, True, False]
    with VFNetClient(served.grpc_url) as direct:
        outcomes = list(direct.detect_many([strip_png(), fatal_png(), strip_png()]))
    assert [type(outcome.error) for outcome in outcomes] == [type(None), FatalImageError, type(None)]


def test_a_server_that_restarts_is_not_seen(repository: Path, tmp_path: Path) -> None:
    with serving(repository, tmp_path, NO_OP) as first:
        ports = (f"--grpc-port={first.grpc_port}", f"--http-port={first.http_port}")
    second_folder = tmp_path / "second"
    second_folder.mkdir()
    with running_gateway(first.grpc_url, tmp_path) as gateway:
        replies = []

        def ask() -> None:
            with gateway.client() as client:
                replies.append(score(client, [GOOD]).status_code)

        def ask_directly() -> None:
            for url in (first.grpc_url, first.http_url, f"{gateway.address}/score"):
                with VFNetClient(url) as client:
                    replies.append(len(client.detect(strip_png()).boxes))

        asking = [threading.Thread(target=target) for target in (ask, ask, ask_directly)]
        for thread in asking:
            thread.start()
        with gateway.client() as client:
            assert eventually(lambda: client.get("/health").status_code == 503, 10)
            time.sleep(1)
            assert replies == []
            with serving(repository, second_folder, NO_OP, *ports):
                for thread in asking:
                    thread.join()
                assert sorted(replies) == [10, 10, 10, 200, 200]
                assert eventually(lambda: client.get("/health").status_code == 200, 10)
