"""Locust against the real Triton, by its command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from locust_process import SmallServer, run_locust
from vfnet_load.server_processes import GATEWAY, GENERATOR, MODELS, TRITON

pytestmark = pytest.mark.slow


def test_an_open_loop_of_two_workers_waits_for_nobody(small_server: SmallServer, tmp_path: Path) -> None:
    """Ten images a second can be served, 24 are asked for."""
    options = ("--loop=open", "--rate-per-user=2", "--users=12", "--run-time=8s", "--processes=2")
    outcome = small_server.load(tmp_path, *options)
    assert outcome.code == 1, outcome.words  # locust's own, for requests that failed
    figures = outcome.figures
    assert figures["settings"]["workers"] == "2"
    # As many as were due, although most had to wait; users come and go within the seconds.
    assert 130 <= figures["requests"] <= 260
    # Refused at the gateway's door (429) or at Triton's (503, UNAVAILABLE); nothing else went wrong.
    reasons = figures["not_answered"]
    assert {reason.partition(": ")[0] for reason in reasons} <= {"429", "503", "UNAVAILABLE"}
    assert all("maximum queue size" in reason for reason in reasons if not reason.startswith("429: "))
    assert sum(reasons.values()) == figures["requests"] - figures["answered"] > 0
    at_the_gateway = sum(count for reason, count in reasons.items() if reason.startswith("429: "))
    assert sum(figures["gateway_refusals"].values()) == at_the_gateway, outcome.words
    # The last had to wait for those before it. A closed loop of so few would never have seen it.
    assert figures["latency_s"]["max"] > 2
    assert set(figures["latency_s_by_way"]) == {"gRPC", "Triton HTTP", "/score"}
    assert 1 < figures["mean_batch_size"] <= 8
    assert figures["seconds_per_image"]["vfnet_detector"]["compute"] >= 0.1
    assert set(figures["processes"]) == {TRITON, *MODELS, GATEWAY, GENERATOR}
    assert "Not answered, by reason" in outcome.page


def test_a_closed_loop_waits_for_its_answers_and_ends_after_so_many(small_server: SmallServer, tmp_path: Path) -> None:
    outcome = small_server.load(tmp_path, "--users=2", "--run-time=60s", "--max-requests=12", "GRPCUser")
    assert outcome.code == 0, outcome.words
    figures = outcome.figures
    assert 12 <= figures["requests"] == figures["answered"] <= 40
    assert set(figures["latency_s_by_way"]) == {"gRPC"}
    assert figures["latency_s"]["p50"] < 0.5
    assert figures["answered_per_second"] < 11


START_PROCESSES_BETWEEN_CALLS = """
import gevent.monkey; gevent.monkey.patch_all()
import os, subprocess, sys
from vfnet_load.calls import GRPCCall
from vfnet_load.targets import Targets

GRPCCall(Targets(grpc=sys.argv[1], triton_http="", gateway="", metrics=""), timeout=30)
import grpc

is_live = grpc.insecure_channel(sys.argv[1]).unary_unary("/inference.GRPCInferenceService/ServerLive")
exit_codes = []
for _ in range(500):
    is_live(b"", timeout=30)
    exit_codes.append(subprocess.Popen(["true"]).wait())
print(exit_codes, flush=True)
os._exit(0)  # as gevent's interpreter ends, closing a channel waits forever
"""


def test_processes_start_where_grpc_was_called(small_server: SmallServer) -> None:
    """As the one that watches the servers does; with gRPC's defaults every twentieth aborts in the fork."""
    command = [sys.executable, "-c", START_PROCESSES_BETWEEN_CALLS, f"127.0.0.1:{small_server.triton.grpc_port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout == f"{[0] * 500}\n", done.stderr


class FickleEndpoint(BaseHTTPRequestHandler):
    """A `/score` whose third answer differs from its first, and whose fifth is none."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: two would wait for the first's acknowledgement
    answers: ClassVar[Iterator[tuple[int, bytes]]]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        status, body = next(self.answers)
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None: ...


def test_an_answer_that_is_not_the_pictures_own_is_a_failure(tmp_path: Path) -> None:
    same, other, failed = (200, b'[{"boxes": [1]}]'), (200, b'[{"boxes": [2]}]'), (500, b'{"message": "after 5 tries"}')
    FickleEndpoint.answers = chain([same, same, other, same, failed], repeat(same))
    with ThreadingHTTPServer(("127.0.0.1", 0), FickleEndpoint) as endpoint:
        Thread(target=endpoint.serve_forever, daemon=True).start()
        targets = (f"--gateway=http://127.0.0.1:{endpoint.server_port}", "--metrics=http://127.0.0.1:9")
        report = tmp_path / "report.html"
        options = (
            "--sizes=96x64",
            "--users=1",
            "--run-time=60s",
            "--max-requests=12",
            f"--report={report}",
            "ScoreUser",
        )
        code, words = run_locust(*targets, *options)
        endpoint.shutdown()
    assert code == 1, words
    figures = json.loads(report.with_suffix(".json").read_text())
    altered = "the answer is not the one that the picture got when it was alone"
    assert figures["not_answered"] == {altered: 1, "500: after N tries": 1}
    assert figures["answered"] == figures["requests"] - 2 >= 10


def test_nobody_elses_server_is_loaded(tmp_path: Path) -> None:
    code, words = run_locust("--grpc=192.0.2.1:8001", "--users=1", "--run-time=1s", f"--report={tmp_path / 'r.html'}")
    assert code == 1
    assert "192.0.2.1 is not this machine" in words
    assert not list(tmp_path.iterdir())


def test_a_server_that_does_not_serve_is_told_of_before_any_load(tmp_path: Path) -> None:
    arguments = ("--grpc=127.0.0.1:9", "--users=1", "--run-time=1s", f"--report={tmp_path / 'r.html'}", "GRPCUser")
    code, words = run_locust(*arguments)
    assert code == 1
    assert "nothing to load" in words
    assert not list(tmp_path.iterdir())
