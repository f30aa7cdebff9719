"""Files appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vfnet_client.atomic_files import (
    durable_file,
    fitting_name,
    locked_file,
    make_folder_inside,
    open_inside,
    write_inside,
    write_whole,
)


def test_a_new_file_gets_the_content_and_the_usual_mode(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_whole(tmp_path / "new", b"content")
    assert (tmp_path / "new").read_bytes() == b"content"
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert sorted(os.listdir(tmp_path)) == ["new", "usual"]  # noqa: PTH208


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("file")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_device_is_written_to_and_stays_a_device() -> None:
    write_whole(Path(os.devnull), b"content")
    assert Path(os.devnull).is_char_device()


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(TypeError):
        write_whole(tmp_path / "file", "not bytes")  # type: ignore[arg-type]
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """Somebody's file, which links in an output folder point to."""
    path = tmp_path / "precious.txt"
    path.write_bytes(b"precious")
    return path


def test_a_lock_that_is_a_link_empties_nothing(tmp_path: Path, precious: Path) -> None:
    (tmp_path / ".lock").symlink_to(precious)
    with pytest.raises(OSError, match="is a link"), locked_file(tmp_path / ".lock"):
        pass
    assert precious.read_bytes() == b"precious"


def test_a_lock_keeps_what_its_file_holds_and_others_out(precious: Path) -> None:
    with locked_file(precious), pytest.raises(BlockingIOError), locked_file(precious, wait=False):
        pass
    with locked_file(precious, wait=False):
        assert precious.read_bytes() == b"precious"


@pytest.mark.parametrize("append", [False, True])
def test_a_file_of_ours_is_not_opened_through_a_link_or_as_a_pipe(tmp_path: Path, precious: Path, append: bool) -> None:
    (tmp_path / "link").symlink_to(precious)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "pipe", "folder"):
        with pytest.raises(OSError, match=r"is a link|No such device|is not a file|Is a directory"):
            open_inside(tmp_path / name, append=append)
    assert precious.read_bytes() == b"precious"


def test_a_file_of_ours_is_emptied_or_added_to(tmp_path: Path) -> None:
    for append, content in ((False, b"new"), (True, b"newmore"), (False, b"new")):
        with open_inside(tmp_path / "log", append=append) as file:
            file.write(b"more" if append else b"new")
        assert (tmp_path / "log").read_bytes() == content


def test_links_in_the_place_of_results_are_replaced(tmp_path: Path, precious: Path) -> None:
    for name in ("report.md", ".shard.part", "shard"):
        (tmp_path / name).symlink_to(precious)
    write_inside(tmp_path / "report.md", b"report")
    with durable_file(tmp_path / "shard") as file:
        file.write(b"rows")
    assert precious.read_bytes() == b"precious"
    assert not (tmp_path / "report.md").is_symlink()
    assert (tmp_path / "report.md").read_bytes() == b"report"
    assert (tmp_path / "shard").read_bytes() == b"rows"


def test_a_folder_of_ours_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "shards").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(OSError, match="is a link or a file"):
        make_folder_inside(tmp_path / "shards")
    make_folder_inside(tmp_path / "new")
    make_folder_inside(tmp_path / "new")


@pytest.mark.parametrize("stem", ["a", "😀" * 62, "ü" * 200, "x" * 400, "\udcff" * 300])
def test_any_name_fits_beside_its_unfinished_file(tmp_path: Path, stem: str) -> None:
    name = fitting_name(stem, ".jpg")
    write_inside(tmp_path / name, b"1")
    with durable_file(tmp_path / name) as file:
        file.write(b"2")
    assert (tmp_path / name).read_bytes() == b"2"
    assert name.endswith(".jpg")
    assert stem.startswith(name.removesuffix(".jpg"))
