"""The `vfnet` command against a real server."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from vfnet_client import Detections, VFNetClient
from vfnet_client.cli import main
from vfnet_client.commands.detect import summary

pytestmark = pytest.mark.served


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three strips of a photo, the middle one broken off."""
    images = tmp_path / "images"
    images.mkdir()
    photo = load_sample_image("flower.jpg")
    for i, name in enumerate(("a.jpg", "b.png", "c.png")):
        Image.fromarray(np.ascontiguousarray(photo[100 * i : 100 * i + 100])).save(images / name)
    (images / "b.png").write_bytes((images / "b.png").read_bytes()[:500])
    return images


def expected(server: Any, folder: Path) -> list[Any]:
    with VFNetClient(server.grpc_url) as client:
        return [client.detect(folder / "a.jpg").to_json(), None, client.detect(folder / "c.png").to_json()]


@pytest.mark.parametrize("protocol", ["grpc_url", "http_url"])
def test_health_proves_a_live_server(server: Any, protocol: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = getattr(server, protocol)
    assert main(["health", "--server", url, "--timeout", "60"]) == 0
    assert capsys.readouterr().out.startswith(f"{url} works: one inference in ")


def test_detect_writes_the_documented_list_in_argument_order(
    server: Any, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, last = tmp_path / "out.json", folder / "c.png"
    assert main(["detect", str(last), str(folder), "--server", server.grpc_url, "--json", str(target)]) == 1
    answers = expected(server, folder)
    assert json.loads(target.read_bytes()) == [answers[2], *answers]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"vfnet detect: {folder / 'b.png'}: ")
    assert captured.err.count("\n") == 1  # and no progress bar


def test_detect_prints_a_summary_per_image(server: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(folder / "c.png"), str(folder / "a.jpg"), "--server", server.http_url]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("  ")]
    answers = expected(server, folder)
    assert lines == [
        summary(str(folder / name), Detections.from_json(answer)).splitlines()[0]
        for name, answer in (("c.png", answers[2]), ("a.jpg", answers[0]))
    ]


def test_detect_draws_on_every_good_image(server: Any, folder: Path, tmp_path: Path) -> None:
    originals = {path: path.read_bytes() for path in folder.iterdir()}
    drawings = tmp_path / "deep" / "drawings"
    assert main(["detect", str(folder), "--server", server.grpc_url, "--draw", str(drawings)]) == 1
    assert sorted(path.name for path in drawings.iterdir()) == ["a.jpg", "c.png"]
    assert main(["detect", str(folder / "c.png"), "--server", server.grpc_url, "--draw", str(folder)]) == 0
    assert {path: path.read_bytes() for path in originals} == originals  # not over its own source
    with Image.open(folder / "c-2.png") as drawing, Image.open(folder / "c.png") as original:
        assert drawing.width / original.width == drawing.height / original.height
        enlarged = np.asarray(original.resize(drawing.size, Image.Resampling.NEAREST))
        assert 0 < (np.asarray(drawing) != enlarged).any(axis=2).mean() < 1


def test_a_threshold_of_1_leaves_no_box(server: Any, folder: Path, tmp_path: Path) -> None:
    argv = ["detect", str(folder / "a.jpg"), "--server", server.grpc_url, "--threshold", "1"]
    assert main([*argv, "--json", str(tmp_path / "out.json")]) == 0
    assert (tmp_path / "out.json").read_bytes() == b'[{"boxes": []}]\n'


def test_a_reader_that_leaves_ends_detect_quietly(server: Any, folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    start = "import sys; from vfnet_client.cli import main; sys.exit(main())"
    argv = [sys.executable, "-c", start, "detect", str(folder), "--server", server.grpc_url]
    with subprocess.Popen(argv, stdout=writing, stderr=subprocess.PIPE) as writer:
        os.close(writing)
        _, err = writer.communicate(timeout=120)
    assert writer.returncode == 141
    assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("data", "code"),
    [(["good"], 0), (["good", "bad!"], 1), ("no list", 2)],
)
def test_score_prints_the_answer_and_says_by_its_exit_code_whose_fault_it_is(
    data: Any, code: int, server: Any, folder: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    image = base64.encodebytes((folder / "a.jpg").read_bytes()).decode()
    items = [image if item == "good" else item for item in data] if isinstance(data, list) else data
    path = tmp_path / "request.json"
    path.write_text(json.dumps({"input_data": {"columns": ["image"], "data": items}}))
    assert main(["score", str(path), "--server", server.grpc_url]) == code
    answer = json.loads(capfdbinary.readouterr().out)
    good = expected(server, folder)[0]
    if code == 0:
        assert answer == [good]
    elif code == 1:
        assert answer["results"] == [good, None]
    else:
        assert list(answer) == ["message"]


def test_score_reads_stdin(
    server: Any, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"input_data": {"columns": ["image"]}}')))
    assert main(["score", "-", "--server", server.grpc_url]) == 0
    assert capfdbinary.readouterr().out == b"[]\n"


def test_one_of_several_servers_may_be_away(
    server: Any, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, away = tmp_path / "out.json", "grpc://127.0.0.1:1"
    several = ["--server", away, "--server", server.grpc_url]
    assert main(["detect", str(folder / "a.jpg"), str(folder / "c.png"), *several, "--json", str(target)]) == 0
    assert json.loads(target.read_bytes()) == expected(server, folder)[::2]
    assert main(["detect", str(folder / "a.jpg"), "--server", f"dns:///localhost:{server.grpc_port}"]) == 0
    capsys.readouterr()
    assert main(["health", *several[2:], *several[:2]]) == 1  # it proves each
    said = capsys.readouterr()
    assert said.out.startswith(f"{server.grpc_url} works: ")
    assert away in said.err
