"""Files of strangers are read within bounds, and never waited for."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from vfnet_client.bounded_files import is_regular, open_regular, read_file, read_text, text_lines


@pytest.fixture
def odd_files(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """What stands where a file should be."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        yield {
            "is not a regular file": tmp_path / "pipe",
            "is a folder": tmp_path / "folder",
            "Too many levels": tmp_path / "circle",
            "No such file": tmp_path / "dangling",
            "is not a regular": tmp_path / "s",
            "is not a": Path("/dev/zero"),
            "name that no file can have": Path("a\0b"),
            "name that no file": Path("lone \ud800"),
        }


def test_only_regular_files_are_opened(odd_files: dict[str, Path]) -> None:
    for reason, path in odd_files.items():
        assert not is_regular(path)
        with pytest.raises(OSError, match=reason):
            open_regular(path)


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_file(tmp_path / "link", 7) == b"content"


def test_no_more_is_read_than_allowed(tmp_path: Path) -> None:
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(OSError, match="is larger than 1 MiB"):
        read_file(sparse, 2**20)
    with pytest.raises(OSError, match="is larger than 10 bytes"):
        read_file(Path("/proc/self/status"), 10)  # whose size is said to be 0
    with pytest.raises(OSError, match="a line of over 1000 characters, line 1"):
        list(text_lines(sparse, 1000))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_text_is_read_whoever_saved_it(tmp_path: Path, encoding: str, end: str) -> None:
    path = tmp_path / "text"
    path.write_bytes(f"käse aus Holland{end}貨物{end}".encode(encoding))
    assert list(text_lines(path, 100)) == ["käse aus Holland\n", "貨物\n"]
    assert read_text(path, 100) == "käse aus Holland\n貨物\n"


def test_what_is_no_text_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("gut\nkäse\n".encode("latin-1"))
    with pytest.raises(OSError, match="is not UTF-8 text: byte 5"):
        read_text(path, 100)
    with pytest.raises(OSError, match="is not UTF-8 text"):
        list(text_lines(path, 100))
    assert list(text_lines(path, 100, "surrogateescape"))[1] == "k\udce4se\n"
    path.write_bytes(b"\xff\xfea")
    with pytest.raises(OSError, match="is not UTF-16 text"):
        list(text_lines(path, 100))


def test_the_encoding_that_it_looks_like_is_named_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("gut\nkäse\n".encode("latin-1"))
    for read in (lambda: read_text(path, 100), lambda: list(text_lines(path, 100))):
        with pytest.raises(OSError, match=r"it looks like Latin-1 .*: save it as UTF-8"):
            read()
    with pytest.raises(OSError, match="byte 5, in line 2"):
        read_text(path, 100)
    for end in ("\n", "\r\n", "\r"):
        path.write_bytes((f"gut{end}" * 10_000 + f"käse{end}").encode("latin-1"))
        with pytest.raises(OSError, match=r"is not UTF-8 text, near line 1000[01]; it looks like Latin-1"):
            list(text_lines(path, 100))
    path.write_bytes("可口可乐 易拉罐\n".encode("gbk"))
    with pytest.raises(OSError, match="looks like text of another encoding"):
        read_text(path, 100)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG picture"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG picture"),
        (b"PK\x03\x04\x14\0\x06\0" + bytes(range(128, 256)), "a ZIP archive, as Excel's workbooks are"),
        (b"\x1f\x8b\x08\0\xff\xff", "compressed by gzip: unpack it"),
    ],
)
def test_what_is_no_text_at_all_is_called_what_it_is(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    for read in (lambda: read_text(path, 1000), lambda: list(text_lines(path, 1000, "surrogateescape"))):
        with pytest.raises(OSError, match=f"is no text but {kind}"):
            read()
