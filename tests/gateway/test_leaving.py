"""A gateway that is told to stop is not ready at once, and serves on until load balancers have heard of it."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import grpc
import pytest

from gateway_process import running_gateway
from kserve_requests import call, channel, infer_message
from score_requests import GOOD, score
from triton_server import ServedRepository
from waiting import eventually

pytestmark = [pytest.mark.served, pytest.mark.timeout(120)]
LAME_DUCK_S = 2.0
WATCH = "/grpc.health.v1.Health/Watch"
SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"
PATHS = ("/livez", "/startupz", "/readyz", "/health", "/v2/health/ready")


def test_who_is_told_to_stop_is_not_ready_and_serves_on(quick_server: ServedRepository, tmp_path: Path) -> None:
    with running_gateway(quick_server.grpc_url, tmp_path, f"--lame-duck={LAME_DUCK_S}") as gateway:
        with gateway.client() as client, channel(gateway) as opened:
            assert [client.get(path).status_code for path in PATHS] == [200] * 5
            watched = opened.unary_stream(WATCH)(b"", timeout=60)
            unknown = opened.unary_stream(WATCH)(b"\x0a\x05other", timeout=60)
            assert (next(watched), next(unknown)) == (SERVING, SERVICE_UNKNOWN)
            assert "connection" not in score(client, [GOOD]).headers
            told_at = time.monotonic()
            gateway.process.send_signal(signal.SIGTERM)
            assert next(watched) == NOT_SERVING
            assert [client.get(path).status_code for path in PATHS] == [200, 200, 503, 503, 503]
            assert call(gateway, "/grpc.health.v1.Health/Check", b"") == NOT_SERVING
            served = 0
            while time.monotonic() - told_at < LAME_DUCK_S - 0.5:
                reply = score(client, [GOOD])
                assert (reply.status_code, reply.headers["connection"]) == (200, "close")
                call(gateway, "ModelInfer", infer_message())
                served += 1
            assert served > 3
            assert list(watched) == []  # which ends with the gateway, and does not keep it
            assert list(unknown) == []
        assert gateway.process.wait(20) == 0
        assert LAME_DUCK_S <= time.monotonic() - told_at < LAME_DUCK_S + 10


@pytest.mark.parametrize("numbers", [(signal.SIGINT,), (signal.SIGTERM, signal.SIGTERM)])
def test_a_second_signal_and_ctrl_c_do_not_wait(
    numbers: tuple[signal.Signals, ...], quick_server: ServedRepository, tmp_path: Path
) -> None:
    with running_gateway(quick_server.grpc_url, tmp_path, "--lame-duck=600") as gateway:
        for number in numbers:
            gateway.process.send_signal(number)
            time.sleep(0.3)
        assert gateway.process.wait(20) == 0


def test_what_has_never_been_ready_has_not_started(tmp_path: Path) -> None:
    with running_gateway("grpc://127.0.0.1:1", tmp_path) as gateway, gateway.client() as client:
        assert [client.get(path).status_code for path in PATHS] == [200, 503, 503, 503, 503]
        with channel(gateway) as opened:
            assert next(opened.unary_stream(WATCH)(b"", timeout=30)) == NOT_SERVING


def test_watchers_are_bounded(quick_server: ServedRepository, tmp_path: Path) -> None:
    with running_gateway(quick_server.grpc_url, tmp_path) as gateway, channel(gateway) as opened:
        watching = [opened.unary_stream(WATCH)(b"", timeout=60) for _ in range(64)]
        assert [next(each) for each in watching] == [SERVING] * 64
        with pytest.raises(grpc.RpcError) as raised:
            next(opened.unary_stream(WATCH)(b"", timeout=60))
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        watching[0].cancel()

        def has_room() -> bool:
            try:
                return bool(next(opened.unary_stream(WATCH)(b"", timeout=60)) == SERVING)
            except grpc.RpcError:
                return False

        assert eventually(has_room, 10)
