"""A folder as cameras, browsers and phones leave it: `vfnet detect` and `vfnet batch` do the same with each file."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from batch_command import rows_of, run_batch
from triton_server import ServedRepository
from vfnet_client.cli import main

pytestmark = pytest.mark.served

NOTE = "the JPEG lacks its end marker; no pixel is missing"
READ = ["a.jpg", "b.jfif", "c.jpe", "d.jp2", "e.mpo", "f", "g.ppm", "h.apng", "long_text.png", "no_end.jpg", "貨物.png"]
REFUSED = {
    "album.jpg": "is a folder",
    "circle.jpg": "is a link in a circle",
    "cut.jpg": "truncated",
    "dangling.jpg": "is a link that leads nowhere",
}


def encoded(kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image = Image.effect_noise((48, 32), 40).convert("RGB")
    if options.get("save_all"):
        options["append_images"] = [image.copy()]
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("field") / "photos"
    folder.mkdir()
    jpeg, png = encoded("JPEG"), encoded("PNG")
    text = b"tEXtprompt\0" + b"a cat " * 500_000
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    files = {
        "a.jpg": jpeg, "b.jfif": jpeg, "c.jpe": jpeg, "d.jp2": encoded("JPEG2000"),
        "e.mpo": encoded("MPO", save_all=True), "f": jpeg, "g.ppm": encoded("PPM"),
        "h.apng": encoded("PNG", save_all=True), "long_text.png": png[:33] + chunk + png[33:], "no_end.jpg": jpeg[:-2],
        "貨物.png": png, "cut.jpg": jpeg[:-300], "labels.txt": b"", ".DS_Store": b"", "movie.mov": b"",
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "album.jpg").mkdir()
    (folder / "circle.jpg").symlink_to("circle.jpg")
    (folder / "dangling.jpg").symlink_to("gone.jpg")
    return folder


def test_detect_answers_for_each_image_and_draws_on_it(
    field: Path, quick_server: ServedRepository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, drawings = tmp_path / "out.json", tmp_path / "drawings"
    argv = ["detect", str(field), "--server", quick_server.grpc_url, f"--json={target}", f"--draw={drawings}"]
    assert main(argv) == 1
    answers = dict(zip(sorted([*READ, *REFUSED]), json.loads(target.read_bytes()), strict=True))
    assert [name for name, answer in answers.items() if answer is not None] == READ
    assert len(list(drawings.iterdir())) == len(READ)
    said = capsys.readouterr().err.splitlines()
    head, _, kinds = said[0].partition(" are no images: ")
    assert (head, set(kinds.split(", "))) == ("vfnet detect: passed over 3 that", {"1 .txt", "1 .mov", "1 hidden"})
    assert f"vfnet detect: {field / 'no_end.jpg'}: {NOTE}" in said
    for name, reason in REFUSED.items():
        assert any(line.startswith(f"vfnet detect: {field / name}: ") and reason in line for line in said)


def test_batch_has_a_row_for_each_image(field: Path, quick_server: ServedRepository, tmp_path: Path) -> None:
    done = run_batch(field, tmp_path / "output", quick_server.grpc_url, "--draw")
    rows = {row["image"]: row for row in rows_of(tmp_path / "output")}
    assert sorted(name for name, row in rows.items() if "boxes" in row) == READ
    assert all((rows[name]["width"], rows[name]["height"]) == (48, 32) for name in READ)
    assert {name: row["error"] for name, row in rows.items() if "error" in row}.keys() == REFUSED.keys()
    assert all(reason in rows[name]["error"] for name, reason in REFUSED.items())
    assert f"1 x {NOTE}" in done.stdout
    assert "passed over 3 that are no images" in done.stderr
    summary = json.loads((tmp_path / "output" / "summary.json").read_text())
    assert summary["passed_over"] == {".txt": 1, ".mov": 1, "hidden": 1}
    assert summary["last_run"]["notes"] == {NOTE: 1}
    assert len([path for path in (tmp_path / "output").rglob("*.*") if path.suffix in (".jpg", ".png")]) == len(READ)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_name_that_the_output_cannot_encode_is_shown_escaped(
    encoding: str, field: Path, quick_server: ServedRepository
) -> None:
    command = [sys.executable, "-m", "vfnet_client", "detect", str(field / "貨物.png"), "--server"]
    environment = {"PYTHONIOENCODING": encoding, "LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [*command, quick_server.grpc_url], capture_output=True, timeout=60, check=False, env=environment
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u8ca8\\u7269.png: " in done.stdout
