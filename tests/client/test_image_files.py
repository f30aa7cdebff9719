"""Which files of a folder are images, what is said of the others, and why one cannot be read."""

from __future__ import annotations

import io
import os
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from vfnet_client.cli import main
from vfnet_client.exceptions import CommandError
from vfnet_client.image_files import PassedOver, why_unreadable
from vfnet_client.images import expand

CLOSED = "grpc://127.0.0.1:1"


def encoded(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 3), (9, 9, 9)).save(out, kind)
    return out.getvalue()


def names_in(folder: Path) -> tuple[list[str], dict[str, int]]:
    passed_over = PassedOver()
    return [Path(source.name).name for source in expand([str(folder)], passed_over)], passed_over.to_json()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jfif", "JPEG"), ("a.jpe", "JPEG"), ("a.mpo", "JPEG"), ("a.JPG", "JPEG"), ("a.jp2", "JPEG2000"),
        ("a.ppm", "PPM"), ("a.apng", "PNG"), ("a.dib", "BMP"), ("a", "JPEG"), ("a.jpg_large", "JPEG"),
        ("IMG_0001.1", "PNG"), ("a.jpg~", "JPEG"), ("a.heic", "JPEG"), ("a.", "GIF"), ("a.png.webp", "WEBP"),
    ],
)  # fmt: skip
def test_an_image_is_found_by_its_name_or_by_its_content(name: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(encoded(kind))
    assert names_in(tmp_path) == ([name], {})


def test_what_is_passed_over_is_counted_by_what_it_is(tmp_path: Path) -> None:
    for name in ("a.png", "a.txt", "b.txt", "real.heic", "Thumbs.db", ".DS_Store", "README", "clip.mp4"):
        (tmp_path / name).write_bytes(b"ftypheic")
    (tmp_path / "deeper").mkdir()
    names, counts = names_in(tmp_path)
    assert names == ["a.png"]
    assert counts == {
        ".txt": 2, ".heic": 1, ".db": 1, "hidden": 1, "without an ending": 1, ".mp4": 1, "folder": 1,
    }  # fmt: skip


def test_of_very_many_kinds_the_commonest_are_named() -> None:
    passed_over = PassedOver()
    for number in range(100):
        passed_over.add(f"a.x{number}")
        passed_over.add("a.txt")
    assert str(passed_over).startswith("passed over 200 that are no images: 100 .txt, 1 .x")
    assert str(passed_over).endswith(", 93 others")


def test_whatever_is_called_like_an_image_is_told_of_and_the_others_are_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one that can be read is not asked about here: nobody listens. It is the last by name."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "album.jpg").mkdir()
    (folder / "circle.jpg").symlink_to("circle.jpg")
    (folder / "dangling.jpg").symlink_to("gone.jpg")
    (folder / "to_a_folder.jpg").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "z.png").write_bytes(encoded("PNG"))
    assert main(["detect", str(folder), "--server", CLOSED, "--retries=0", "--draw", str(tmp_path / "out")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition(": it ")[2] for line in lines[:5]] == [
        "is a folder",
        "is a link in a circle",
        "is a link that leads nowhere",
        "is not a regular file",
        "is a folder",
    ]
    assert "no VFNet is ready" in lines[5]


@pytest.mark.parametrize("name", ["missing.png", "x" * 300 + ".png", "nul\0l.png", "dir/below/a/file.png"])
def test_names_that_lead_nowhere_do_not_end_the_others(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dir").write_bytes(b"no folder")
    image = tmp_path / "a.png"
    image.write_bytes(encoded("PNG"))
    assert main(["detect", str(tmp_path / name), str(image), "--server", CLOSED, "--retries=0"]) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert ": cannot read " in first
    assert "no VFNet is ready" in second  # it was asked about


def test_a_folder_without_images_among_others_is_one_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    (tmp_path / "a.png").touch()
    sources = expand([str(tmp_path / "empty"), str(tmp_path / "a.png")])
    assert [source.location for source in sources] == [tmp_path / "empty", tmp_path / "a.png"]
    with pytest.raises(CommandError, match=r"empty holds no image .*; passed over 1 .*: 1 \.txt"):
        expand([str(tmp_path / "empty")])


def test_a_folder_that_may_not_be_listed_is_one_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", forbidden)  # root may list any
    assert [source.location for source in expand([str(tmp_path), "a.png"])] == [tmp_path, Path("a.png")]
    assert why_unreadable(tmp_path, PermissionError(13, "")) == "may not be read (permission denied)"


def test_a_name_that_looks_the_same_is_named(tmp_path: Path) -> None:
    (tmp_path / "IMG1.JPG").touch()
    (tmp_path / unicodedata.normalize("NFD", "Zürich.jpg")).touch()
    missing = FileNotFoundError(2, "No such file or directory")
    assert why_unreadable(tmp_path / "img1.jpg", missing) == (
        "is not there; IMG1.JPG is there, whose name has other capitals"
    )
    composed = tmp_path / unicodedata.normalize("NFC", "Zürich.jpg")
    assert "(NFC, NFD)" in why_unreadable(composed, missing)
    assert why_unreadable(tmp_path / "no" / "img1.jpg", missing) == "is not there"
