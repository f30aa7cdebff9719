"""What the client's pages show, run as it stands there but for addresses: Python blocks, and `vfnet` commands."""

from __future__ import annotations

import base64
import json
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from PIL import Image

from gateway_process import running_gateway
from score_requests import strip_png
from shared_data import ROOT
from triton_server import ServedRepository
from vfnet_client.cli import main

pytestmark = pytest.mark.served

KEY = "a-long-random-key"
PAGES = ["client/README.md", "docs/clients.md", "docs/many-servers.md", "docs/tiling.md"]
_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^    (?:\.venv/bin/)?vfnet ((?:detect|score|health)\b[^\n]*)$", re.MULTILINE)


def found(pattern: re.Pattern[str], pages: list[str]) -> list[Any]:
    return [
        pytest.param(text, id=f"{page}-{number}")
        for page in pages
        for number, text in enumerate(pattern.findall((ROOT / page).read_text(encoding="utf-8")), 1)
    ]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages name: pictures, a folder of them, a request."""
    folder = tmp_path_factory.mktemp("pages")
    for name in ("photo.jpg", "b.png", "cat.png"):  # the name means nothing to a decoder
        (folder / name).write_bytes(strip_png())
    with Image.open(folder / "b.png") as picture:
        picture.convert("RGB").save(folder / "a.jpg")
    for name in ("folder", "photos"):
        (folder / name).mkdir()
        shutil.copy(folder / "a.jpg", folder / name)
    encoded = base64.b64encode(strip_png()).decode()
    (folder / "request.json").write_text(json.dumps({"input_data": {"columns": ["image"], "data": [encoded]}}))
    return folder


@pytest.fixture(scope="module")
def addresses(
    folder: Path, quick_server: ServedRepository, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, str]]:
    """Of what runs here, by what the pages have in its place."""
    site = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = Thread(target=site.serve_forever, daemon=True)
    thread.start()
    environment = {"VFNET_GATEWAY_KEYS": KEY}
    try:
        with running_gateway(
            quick_server.grpc_url, tmp_path_factory.mktemp("gateway"), environment=environment
        ) as gateway:
            yield {
                "grpc://127.0.0.1:8001": quick_server.grpc_url,
                "grpc://127.0.0.1:5002": gateway.grpc_address,
                "http://127.0.0.1:5001/score": f"{gateway.address}/score",
                "https://host/score": f"{gateway.address}/score",
                "grpc://one:8001": quick_server.grpc_url,
                "grpc://two:8001": quick_server.http_url,
                "https://example.com/": f"http://127.0.0.1:{site.server_port}/",
            }
    finally:
        site.shutdown()
        site.server_close()
        thread.join()


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NO_PROXY", "*")


def addressed(text: str, addresses: Mapping[str, str]) -> str:
    for theirs, ours in addresses.items():
        text = text.replace(theirs, ours)
    return text


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("block", found(_PYTHON, PAGES))
def test_a_python_block_runs_alone(
    block: str, addresses: Mapping[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(addressed(block, addresses), "<page>", "exec"), {"__name__": "__main__"})
    said = capsys.readouterr().out
    assert (re.search(r"\bcan\b", said) is not None) == ("print(" in block)
    for word in ("Error", "no answer", "cannot"):  # a snippet may print what went wrong, and go on
        assert word not in said


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("line", found(_COMMAND, ["client/README.md", "docs/clients.md", "docs/tiling.md"]))
def test_a_command_runs(line: str, addresses: Mapping[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = shlex.split(addressed(line, addresses), comments=True)
    if "--server" not in arguments:
        arguments += ["--server", addresses["grpc://127.0.0.1:8001"]]  # the default of the pages
    assert main(arguments) == 0
    assert capsys.readouterr().err == ""
