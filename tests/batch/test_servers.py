"""Whose fault it is when a server fails: an image's, which becomes its row, or the server's, which is waited for."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from batch_command import rows_of, run_batch, write_images

pytestmark = pytest.mark.slow


class ScriptedServer(ThreadingHTTPServer):
    """Speaks as much of KServe v2 as `vfnet batch` needs, and fails as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.poison: bytes | None = None
        """An image that always fails."""
        self.failing = range(0)
        """Requests, counted from 1, that fail whatever they hold."""
        self.status = 500
        self.priorities: set[Any] = set()
        self.requests = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: ScriptedServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        head = json.loads(body[: int(self.headers["inference-header-content-length"])])
        with self.server.lock:
            self.server.requests += 1
            self.server.priorities.add(head.get("parameters", {}).get("priority"))
            is_poison = self.server.poison is not None and self.server.poison in body
            fails = self.server.requests in self.server.failing or is_poison
        answer: dict[str, Any] = {"error": "it went wrong"}
        if not fails:
            data = [json.dumps({"boxes": []})]
            answer = {"outputs": [{"name": "DETECTIONS", "datatype": "BYTES", "shape": [1], "data": data}]}
        encoded = json.dumps(answer).encode()
        self.send_response(self.server.status if fails else 200)
        self.send_header("content-length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_images(tmp_path / "in", 12)
    return tmp_path / "in"


def test_an_image_that_fails_on_a_working_server_is_its_own_fault(
    scripted: ScriptedServer, images: Path, tmp_path: Path
) -> None:
    scripted.poison = (images / "000" / "00005.jpg").read_bytes()
    run_batch(images, tmp_path / "out", scripted.url)
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 12
    assert [row["image"] for row in rows if "error" in row] == ["000/00005.jpg"]
    assert rows[5]["error"].endswith("it went wrong")


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_fails_for_a_while_costs_no_image(
    status: int, scripted: ScriptedServer, images: Path, tmp_path: Path
) -> None:
    scripted.status, scripted.failing = status, range(4, 10)
    done = run_batch(images, tmp_path / "out", scripted.url, "--concurrency=4", "--retries=0")
    assert done.stderr.count("waiting for it") == done.stderr.count("is back") == 1
    assert [row.get("error") for row in rows_of(tmp_path / "out")] == [None] * 12


def test_a_server_that_does_not_come_back_ends_it(scripted: ScriptedServer, images: Path, tmp_path: Path) -> None:
    scripted.failing = range(8, 10**6)
    options = ["--concurrency=2", "--retries=0", "--patience=1"]
    done = run_batch(images, tmp_path / "out", scripted.url, *options, code=1)
    assert "it did not come back within 1 s" in done.stderr
    assert 3 <= len(rows_of(tmp_path / "out")) < 12
    scripted.failing = range(0)
    run_batch(images, tmp_path / "out", scripted.url)
    assert len(rows_of(tmp_path / "out")) == 12


def test_another_server_takes_over_from_one_that_is_lost(
    scripted: ScriptedServer, images: Path, tmp_path: Path
) -> None:
    scripted.status, scripted.failing = 503, range(4, 10**6)
    with ScriptedServer() as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        run_batch(images, tmp_path / "out", [scripted.url, other.url], "--concurrency=4")
        other.shutdown()
    assert [row.get("error") for row in rows_of(tmp_path / "out")] == [None] * 12
    assert other.requests >= 10


def test_batch_requests_carry_their_priority(scripted: ScriptedServer, images: Path, tmp_path: Path) -> None:
    run_batch(images, tmp_path / "out", scripted.url)
    assert scripted.priorities == {2}


def test_a_server_that_wants_a_key_ends_it(scripted: ScriptedServer, images: Path, tmp_path: Path) -> None:
    scripted.status, scripted.failing = 401, range(10**6)
    done = run_batch(images, tmp_path / "out", scripted.url, code=1)
    assert "does not accept the key" in done.stderr
    assert rows_of(tmp_path / "out") == []


def test_for_machines_each_line_is_an_object_with_a_level(
    scripted: ScriptedServer, images: Path, tmp_path: Path
) -> None:
    """A server that goes is a warning, what ends the batch an error; the summary stays on stdout as it is."""
    scripted.failing = range(8, 10**6)
    (images / "note.txt").write_text("no image")
    options = ["--log-format=json", "--concurrency=2", "--retries=0", "--patience=0.5"]
    failed = run_batch(images, tmp_path / "out", scripted.url, *options, code=1)
    lines = [json.loads(line) for line in failed.stderr.splitlines()]
    assert all(set(line) == {"time", "level", "logger", "message"} for line in lines)
    assert {line["logger"] for line in lines} == {"vfnet batch"}
    assert [line["level"] for line in lines if line["message"].endswith("waiting for it")] == ["WARNING"]
    assert [line["level"] for line in lines].index("ERROR") == len(lines) - 1
    assert "did not come back within 0.5 s" in lines[-1]["message"]
    scripted.failing = range(0)
    done = run_batch(images, tmp_path / "out", scripted.url, *options)
    assert done.stdout.startswith("12 images")
    assert {json.loads(line)["level"] for line in done.stderr.splitlines()} <= {"INFO", "WARNING"}
