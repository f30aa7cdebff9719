"""Small checkpoints in mmdet's file format, and a file server that can misbehave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

from synthetic_checkpoint import CONFIG_TEXT
from vfnet_model.checkpoints.config_text import parse_config_text
from vfnet_model.checkpoints.demo import DEMO_CLASSES
from vfnet_model.checkpoints.model_config import read_model_config
from vfnet_runtime.architecture.vfnet import VFNet


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever proxy the machine has, the servers of these tests are not behind it."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture(scope="session")
def tiny_config_text() -> str:
    """The synthetic checkpoint's config with a thin network, so that tests are quick."""
    return (
        CONFIG_TEXT.replace("base_channels=32", "base_channels=4")
        .replace("stem_channels=64", "stem_channels=8")
        .replace("[128, 256, 512, 1024]", "[16, 32, 64, 128]")
        .replace("=128", "=32")
    )


@pytest.fixture(scope="session")
def tiny_state_dict(tiny_config_text: str) -> dict[str, torch.Tensor]:
    return VFNet(read_model_config(parse_config_text(tiny_config_text), DEMO_CLASSES)).state_dict()


@pytest.fixture
def save(tmp_path: Path, tiny_config_text: str, tiny_state_dict: dict[str, torch.Tensor]) -> Callable[..., Path]:
    """Write a sound tiny checkpoint, with changes: `save(meta={...}, state_dict=...)`."""

    def write(*, name: str = "tiny.pth", legacy: bool = False, **changes: Any) -> Path:
        checkpoint: dict[str, Any] = {
            "meta": {"mmdet_version": "2.28.2", "config": tiny_config_text, "CLASSES": DEMO_CLASSES, "epoch": 12},
            "state_dict": dict(tiny_state_dict),
        }
        checkpoint["meta"].update(changes.pop("meta", {}))
        path = tmp_path / name
        torch.save({**checkpoint, **changes}, path, _use_new_zipfile_serialization=not legacy)
        return path

    return write


@dataclass
class FileServer:
    """Serves one file under every path; the fields say how, and what was asked."""

    content: bytes = b""
    url: str = ""
    ranges: bool = True
    etag: str | None = None
    content_type: str = "application/octet-stream"
    statuses: list[int] = field(default_factory=list)
    """Answer the coming requests with these instead of the file."""
    drop_after: list[int] = field(default_factory=list)
    """Break the coming transfers after as many bytes."""
    tell_length: bool = True
    force_status: int | None = None
    """Answer every request with this, and with `headers`."""
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[dict[str, str]] = field(default_factory=list)
    """The headers of each request so far."""


@pytest.fixture
def server() -> Iterator[FileServer]:
    """A real HTTP server on a free loopback port."""
    state = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None: ...

        def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
            self.send_response(status)
            length = {"Content-Length": str(len(body))} if state.tell_length else {}
            for name, value in {**length, **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            keep = state.drop_after.pop(0) if body and state.drop_after else len(body)
            with suppress(ConnectionError):  # who has read enough leaves
                self.wfile.write(body[:keep])

        def do_GET(self) -> None:
            state.requests.append(dict(self.headers))
            if state.force_status is not None:
                self._answer(state.force_status, state.headers)
                return
            if state.statuses:
                self._answer(state.statuses.pop(0), {}, b"sorry")
                return
            headers = {"Content-Type": state.content_type} | ({"ETag": state.etag} if state.etag else {})
            if state.etag and self.headers.get("If-None-Match") == state.etag:
                self._answer(304, headers)
                return
            asked = self.headers.get("Range")
            if asked and state.ranges and self.headers.get("If-Range", state.etag) == state.etag:
                start, length = int(asked.removeprefix("bytes=").rstrip("-")), len(state.content)
                if start >= length:
                    self._answer(416, {"Content-Range": f"bytes */{length}"})
                else:
                    headers["Content-Range"] = f"bytes {start}-{length - 1}/{length}"
                    self._answer(206, headers, state.content[start:])
                return
            self._answer(200, headers, state.content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        http.shutdown()
        thread.join()
