"""Keys, TLS, deadlines, callers that leave, priorities, stopping, logs, metrics: as at /score, over both protocols."""

from __future__ import annotations

import json
import signal
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2

from certificates import make_certificate, needs_openssl
from gateway_process import RunningGateway, running_gateway
from held_detector import Gate
from kserve_requests import (
    INFER,
    SERVICE,
    answer_of,
    base64_input,
    call,
    channel,
    infer_message,
    post_json,
    refusal,
)
from triton_server import ServedRepository
from vfnet_client.client import VFNetClient
from waiting import eventually

pytestmark = [pytest.mark.served, pytest.mark.timeout(120)]
NO_SERVER = "grpc://127.0.0.1:1"
BODY = {"inputs": [base64_input()], "outputs": [{"name": "DETECTIONS"}]}
LOCKED = ("ServerMetadata", "ModelMetadata", "ModelConfig", "ModelStatistics", "ModelInfer")
LOCKED_PATHS = ("/v2", "/v2/models/vfnet", "/v2/models/vfnet/config", "/v2/models/vfnet/stats", "/v2/models/stats")


@pytest.fixture(scope="module")
def narrow(slow_server: ServedRepository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One place in the ensemble, one request of each priority may wait; the detector can be held."""
    options = ("--max-in-flight=1", "--max-waiting=1", "--queue-timeout=30")
    with running_gateway(slow_server.grpc_url, tmp_path_factory.mktemp("kserve_narrow"), *options) as running:
        yield running


def in_flight(gateway: RunningGateway, images: int) -> bool:
    return eventually(lambda: gateway.metric("vfnet_gateway_images_in_flight") == images)


def ask(gateway: RunningGateway, protocol: str, seconds: float = 60) -> str:
    """One inference; how it was answered: gRPC's word or HTTP's number."""
    if protocol == "grpc":
        try:
            call(gateway, "ModelInfer", infer_message(), timeout=seconds)
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK"
    with gateway.client() as client:
        return str(post_json(client, BODY | {"parameters": {"timeout": int(seconds * 1e6)}}).status_code)


def answers_of_triton(gateway: RunningGateway) -> int:
    """Images that the ensemble has answered so far."""
    message = service_pb2.ModelStatisticsRequest(name="vfnet")
    reply = call(gateway, "ModelStatistics", message)
    return int(service_pb2.ModelStatisticsResponse.FromString(reply).model_stats[0].inference_stats.success.count)


def lines_of(gateway: RunningGateway, request_id: str) -> list[dict[str, object]]:
    return [line for line in gateway.log_lines() if line.get("request_id") == request_id]


def test_keys_open_everything_but_health(tmp_path: Path) -> None:
    environment = {"VFNET_GATEWAY_KEYS": "the-key"}
    with running_gateway(NO_SERVER, tmp_path, environment=environment) as gateway, gateway.client() as client:
        for authorization in (None, "", "the-key", "Bearer", "Bearer other", "Basic the-key"):
            given = {} if authorization is None else {"authorization": authorization}
            for method in LOCKED:
                assert refusal(gateway, method, b"", metadata=given)[0] == "UNAUTHENTICATED"
            for path in LOCKED_PATHS:
                reply = client.get(path, headers=given)
                assert (reply.status_code, list(reply.json())) == (401, ["error"])
                assert reply.headers["www-authenticate"] == "Bearer"
            assert post_json(client, BODY, headers=given).status_code == 401
            with channel(gateway) as opened, pytest.raises(grpc.RpcError) as raised:
                next(opened.stream_stream(f"{SERVICE}ModelStreamInfer")(iter([b""]), metadata=tuple(given.items())))
            assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
        key = {"authorization": "Bearer the-key"}
        assert service_pb2.ModelMetadataResponse.FromString(
            call(gateway, "ModelMetadata", service_pb2.ModelMetadataRequest(name="vfnet"), metadata=key)
        ).name == "vfnet"  # fmt: skip
        assert client.get("/v2/models/vfnet", headers=key).status_code == 200
        assert client.get("/v2/health/live").json() == {"live": True}
        assert client.get("/v2/health/ready").status_code == 503  # nobody behind it
        assert client.get("/v2/models/vfnet/ready").status_code == 503
        assert call(gateway, "ServerLive", b"") == b"\x08\x01"
        assert call(gateway, "ServerReady", b"") == b""
        assert call(gateway, "/grpc.health.v1.Health/Check", b"") == b"\x08\x02"
        log = gateway.log.read_text()
    assert "the-key" not in log


@needs_openssl
def test_one_certificate_serves_both_and_is_read_again(quick_server: ServedRepository, tmp_path: Path) -> None:
    made, served = [tmp_path / name for name in ("first", "second")], tmp_path / "served.pem"
    for folder in made:
        folder.mkdir()
    first, second = (make_certificate(folder, "IP:127.0.0.1") for folder in made)
    served.write_bytes(first.certificate.read_bytes() + first.private_key.read_bytes())

    def is_served(trusted: Path) -> tuple[bool, bool]:
        context = ssl.create_default_context(cafile=str(trusted))
        try:
            with gateway.client(verify=context) as client:
                over_rest = client.get("/v2/health/live").status_code == 200
        except httpx.HTTPError:
            over_rest = False
        credentials = grpc.ssl_channel_credentials(trusted.read_bytes())
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.secure_channel(gateway.grpc_authority, credentials, options) as opened:
            try:
                over_grpc = opened.unary_unary(f"{SERVICE}ServerLive")(b"", timeout=5) == b"\x08\x01"
            except grpc.RpcError:
                over_grpc = False
        return over_rest, over_grpc

    with running_gateway(quick_server.grpc_url, tmp_path, f"--certificate={served}") as gateway:
        assert gateway.grpc_address.startswith("grpcs://")
        assert is_served(first.certificate) == (True, True)
        assert is_served(second.certificate) == (False, False)
        served.write_bytes(second.certificate.read_bytes() + second.private_key.read_bytes())
        gateway.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: is_served(second.certificate) == (True, True), 20)
        assert is_served(first.certificate) == (False, False)


@pytest.mark.parametrize(("protocol", "late"), [("grpc", "DEADLINE_EXCEEDED"), ("http", "504")])
def test_the_callers_deadline_is_kept(protocol: str, late: str, narrow: RunningGateway, slow_gate: Gate) -> None:
    with slow_gate.shut():
        assert ask(narrow, protocol, 1.0) == late
        assert narrow.metric("vfnet_gateway_images_in_flight") == 1  # Triton goes on with it
    assert in_flight(narrow, 0)
    assert ask(narrow, protocol) in ("OK", "200")


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_who_leaves_is_gone_and_what_was_sent_keeps_its_place(
    protocol: str, narrow: RunningGateway, slow_gate: Gate
) -> None:
    answered = answers_of_triton(narrow)
    request_id = f"leaver-{protocol}"
    with slow_gate.shut():
        if protocol == "grpc":
            with channel(narrow) as opened:
                infer = opened.unary_unary(f"{SERVICE}ModelInfer")
                left = infer.future(infer_message().SerializeToString(), metadata=(("x-request-id", request_id),))
                assert in_flight(narrow, 1)
                left.cancel()
        else:
            headers = {"x-request-id": request_id, "content-type": "application/json"}
            with narrow.client() as client, pytest.raises(httpx.ReadTimeout):
                client.post(INFER, content=json.dumps(BODY), headers=headers, timeout=1.0)
        assert eventually(lambda: bool(lines_of(narrow, request_id)))
        assert eventually(lambda: narrow.metric("vfnet_gateway_requests_in_flight") <= 1)  # at most who asks this
        assert narrow.metric("vfnet_gateway_images_in_flight") == 1
        with ThreadPoolExecutor() as pool:
            following = pool.submit(ask, narrow, protocol)
            assert eventually(lambda: narrow.metric("vfnet_gateway_requests_waiting") == 1)
            slow_gate.open()
            assert following.result() in ("OK", "200")
    assert in_flight(narrow, 0)
    assert answers_of_triton(narrow) - answered == 2  # it was not cancelled there
    (line,) = lines_of(narrow, request_id)
    assert line["reason"] == "the client left"
    assert line["status"] == {"grpc": "CANCELLED", "http": 499}[protocol]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_who_leaves_while_waiting_is_never_sent(protocol: str, narrow: RunningGateway, slow_gate: Gate) -> None:
    answered = answers_of_triton(narrow)
    with ThreadPoolExecutor() as pool, slow_gate.shut():
        first = pool.submit(ask, narrow, protocol)
        assert in_flight(narrow, 1)
        with channel(narrow) as opened:
            infer = opened.unary_unary(f"{SERVICE}ModelInfer")
            left = infer.future(infer_message().SerializeToString())
            assert eventually(lambda: narrow.metric("vfnet_gateway_requests_waiting") == 1)
            left.cancel()
            assert eventually(lambda: narrow.metric("vfnet_gateway_requests_waiting") == 0)
        slow_gate.open()
        assert first.result() in ("OK", "200")
    assert in_flight(narrow, 0)
    assert answers_of_triton(narrow) - answered == 1


def test_both_protocols_share_the_places_and_who_finds_none_is_told(narrow: RunningGateway, slow_gate: Gate) -> None:
    with ThreadPoolExecutor() as pool, slow_gate.shut():
        asked: list[Future[str]] = [pool.submit(ask, narrow, "grpc")]
        assert in_flight(narrow, 1)
        asked.append(pool.submit(ask, narrow, "http"))
        assert eventually(lambda: narrow.metric("vfnet_gateway_requests_waiting") == 1)
        assert ask(narrow, "grpc") == "RESOURCE_EXHAUSTED"
        assert ask(narrow, "http") == "429"
        batch = {"x-vfnet-priority": "batch"}  # a queue of its own
        waiting = pool.submit(call, narrow, "ModelInfer", infer_message(), metadata=batch)
        assert eventually(lambda: narrow.metric("vfnet_gateway_requests_waiting") == 2)
        slow_gate.open()
        assert [each.result() for each in asked] == ["OK", "200"]
        assert waiting.result()


def test_what_is_in_flight_is_finished_when_stopping(
    slow_server: ServedRepository, slow_gate: Gate, tmp_path: Path
) -> None:
    with (
        running_gateway(slow_server.grpc_url, tmp_path) as gateway,
        ThreadPoolExecutor() as pool,
        slow_gate.shut(),
    ):
        asked = [pool.submit(ask, gateway, protocol) for protocol in ("grpc", "http")]
        assert in_flight(gateway, 2)
        gateway.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: not (tmp_path / "gateway.json").exists())
        assert eventually(lambda: ask(gateway, "grpc") == "UNAVAILABLE")
        slow_gate.open()
        assert [each.result() for each in asked] == ["OK", "200"]
        assert gateway.process.wait(30) == 0
        assert "Traceback" not in gateway.log.read_text()


def test_what_does_not_finish_in_time_is_told_so(
    slow_server: ServedRepository, slow_gate: Gate, tmp_path: Path
) -> None:
    with (
        running_gateway(slow_server.grpc_url, tmp_path, "--drain-timeout=1") as gateway,
        ThreadPoolExecutor() as pool,
        slow_gate.shut(),
    ):
        asked = [pool.submit(ask, gateway, protocol) for protocol in ("grpc", "http")]
        assert in_flight(gateway, 2)
        gateway.process.send_signal(signal.SIGTERM)
        assert [each.result() for each in asked] == ["UNAVAILABLE", "503"]
        assert gateway.process.wait(30) == 0


def test_without_triton_it_waits_until_the_deadline_and_says_so(tmp_path: Path) -> None:
    with running_gateway(NO_SERVER, tmp_path, "--timeout=1") as gateway:
        assert ask(gateway, "grpc") == "UNAVAILABLE"
        assert ask(gateway, "http") == "503"
        assert NO_SERVER.rpartition("/")[2] not in refusal(gateway, "ModelInfer", infer_message())[1]


def test_every_call_has_a_line_and_is_counted(gateway: RunningGateway, client: httpx.Client) -> None:
    call(gateway, "ModelInfer", infer_message(), metadata={"x-request-id": "logged-grpc"})
    refusal(gateway, "ModelInfer", infer_message(b"x"), metadata={"x-request-id": "refused-grpc"})
    headers = {"x-request-id": "logged-http", "content-type": "application/json"}
    assert post_json(client, BODY, headers=headers).headers["x-request-id"] == "logged-http"
    assert eventually(lambda: len(lines_of(gateway, "logged-http")) == 1)
    (rpc,), (refused,), (http,) = (
        lines_of(gateway, f"{name}") for name in ("logged-grpc", "refused-grpc", "logged-http")
    )
    assert (rpc["method"], rpc["path"], rpc["status"]) == ("gRPC", f"{SERVICE}ModelInfer", "OK")
    assert (http["method"], http["path"], http["status"]) == ("POST", INFER, 200)
    for line in (rpc, http):
        assert line["client"] == "127.0.0.1"
        assert line["images"] == 1
        assert {"read_ms", "parse_ms", "inference_ms", "write_ms", "bytes_in", "bytes_out"} <= line.keys()
    assert refused["status"] == "INVALID_ARGUMENT"
    assert refused["reason"]
    for route, method, status in (
        ("/inference.GRPCInferenceService/ModelInfer", "gRPC", "OK"),
        ("/inference.GRPCInferenceService/ModelInfer", "gRPC", "INVALID_ARGUMENT"),
        ("/v2/models/{model}/infer", "POST", "200"),
    ):
        assert (
            gateway.metric(f'vfnet_gateway_requests_total{{method="{method}",route="{route}",status="{status}"}}') > 0
        )


def test_a_port_that_is_taken_is_said_at_the_start(gateway: RunningGateway, tmp_path: Path) -> None:
    port = gateway.grpc_authority.rpartition(":")[2]
    with (
        pytest.raises(AssertionError, match=rf"port {port}: choose another with --grpc-port"),
        running_gateway(NO_SERVER, tmp_path, f"--grpc-port={port}"),
    ):
        pass


def test_the_port_can_be_left_out(quick_server: ServedRepository, tmp_path: Path) -> None:
    with running_gateway(quick_server.grpc_url, tmp_path, "--grpc-port=0") as gateway:
        assert gateway.grpc_address == ""
        with VFNetClient(gateway.address) as client:
            assert client.is_ready()


def test_several_models_may_be_public(quick_server: ServedRepository, tmp_path: Path) -> None:
    options = ("--model=vfnet", "--model=vfnet_next", "--timeout=2")
    with running_gateway(quick_server.grpc_url, tmp_path, *options) as gateway, gateway.client() as client:
        assert answer_of(gateway)
        assert client.get("/v2/models/vfnet_next").json()["name"] == "vfnet_next"
        assert client.get("/v2/models/vfnet/ready").status_code == 200
        assert client.get("/v2/models/vfnet_next/ready").status_code == 503  # Triton does not have it yet
        assert client.get("/v2/health/ready").status_code == 503
        assert refusal(gateway, "ModelInfer", infer_message(model="vfnet_next"))[0] == "UNAVAILABLE"


def test_many_callers_at_once_get_their_own_answers(gateway: RunningGateway) -> None:
    rpc, rest = answer_of(gateway)
    assert rpc == rest
    failures: list[object] = []

    def repeat() -> None:
        failures.extend(answer for _ in range(5) if (answer := answer_of(gateway)) != (rpc, rest))

    threads = [threading.Thread(target=repeat) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
