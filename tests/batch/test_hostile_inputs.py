"""Lists, tables and annotations of strangers as INPUT: entries that can be printed, or one sentence."""

from __future__ import annotations

import base64
import json
import os
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_command import write_images
from fuzzing import JSON, examples
from vfnet_batch.entries import Entry, from_line
from vfnet_batch.inputs.opening import open_input
from vfnet_batch.rows import Row, from_json_lines, to_json_lines
from vfnet_client import bounded_tables
from vfnet_client.exceptions import VFNetError
from vfnet_client.safe_text import is_printable_line


def entries_of(path: Path) -> list[Entry]:
    source = open_input(str(path), None, None, Path("output"))
    return [from_line(line, position, source.root) for position, line in enumerate(source.lines())]


def sentence(path: Path) -> str:
    """Why an input cannot be listed, as the command would say it."""
    with pytest.raises((VFNetError, OSError)) as raised:
        entries_of(path)
    error = raised.value
    return str(error.strerror) if isinstance(error, OSError) else str(error)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables whose bounds a test can afford to reach."""
    monkeypatch.setattr(bounded_tables, "LONGEST_LINE", 5000)
    monkeypatch.setattr(bounded_tables, "LONGEST_CELL", 2000)
    monkeypatch.setattr(bounded_tables, "MOST_CELLS", 100)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("image\n" + "a" * 6000, "a line has over 5000 bytes"),
        ('image\n"' + "a\n" * 1500 + '"', "field larger than field limit"),
        ("image\n" + "," * 200, "over 100 cells"),
        ("a" * 3000 + ".jpg", "field larger"),
    ],
)
def test_tables_are_bounded(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "table.csv").write_text(text)
    assert reason in sentence(tmp_path / "table.csv")


def test_the_largest_image_fits_into_a_cell() -> None:
    encoded = len(base64.encodebytes(bytes(30_000))) / 30_000 * 100 * 10**6
    assert encoded < bounded_tables.LONGEST_CELL < bounded_tables.LONGEST_LINE


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("list.txt", b"a" * 70_000, "a line of over 65536 characters, line 1"),
        ("data.jsonl", b"\xff\xfe\x00", "is not UTF-16 text"),
        ("data.jsonl", '{"image_url": "käse.jpg"}'.encode("latin-1"), "is not UTF-8 text"),
        ("data.jsonl", b"[" * 100_000, "nested too deeply"),
        ("data.jsonl", b"9" * 5000, "line 1"),
        ("data.json", b"[" * 100_000, "nested too deeply"),
        ("data.json", b'{"images": [{"id": 1, "file_name": "\\u0000"}]}', "no file can be called"),
        ("data.json", b'{"images": [], "categories": [{"id": 1, "name": "\\u001b[31m"}]}', "in one line"),
    ],
)
def test_files_made_to_hurt_are_one_sentence(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    said = sentence(tmp_path / name)
    assert reason in said
    assert all(map(is_printable_line, said.splitlines()))


def test_lists_that_windows_saved_are_read(tmp_path: Path) -> None:
    write_images(tmp_path, 1)
    for encoding, end in (("utf-8-sig", "\r\n"), ("utf-16", "\r\n"), ("utf-8", "\r")):
        (tmp_path / "list.txt").write_bytes(f"000/00000.png{end}gone.png{end}".encode(encoding))
        found = entries_of(tmp_path / "list.txt")
        assert [entry.problem for entry in found] == [None, "there is no such file"]


def test_what_is_no_file_is_refused_or_a_row_with_its_reason(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(VFNetError, match="there is no file or folder"):
        entries_of(tmp_path / "pipe.csv")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "circle.jpg").symlink_to(tmp_path / "circle.jpg")
    lines = "pipe.jpg\ncircle.jpg\n/dev/zero\nnul\0l.jpg\n" + "d/" * 10_000 + "a.jpg\n"
    (tmp_path / "list.txt").write_text(lines + "list.txt\n")
    *missing, there = entries_of(tmp_path / "list.txt")
    assert {entry.problem for entry in missing} == {"there is no such file"}
    assert there.problem is None
    (tmp_path / "list.txt").write_text(lines)
    assert "not one of its 5 rows leads to an image" in sentence(tmp_path / "list.txt")


def row_of(entry: Entry) -> Row:
    return Row(entry.printable_name, entry.image_id, error=entry.problem)


def check(path: Path) -> None:
    """Everything listed can be written and read again; nothing but sentences is raised."""
    try:
        found = list(islice(entries_of(path), 1000))
    except VFNetError as error:
        assert str(error).encode()  # noqa: PT017
        return
    except OSError as error:
        assert error.strerror  # noqa: PT017
        return
    rows = [row_of(entry) for entry in found]
    assert all(is_printable_line(row.image) for row in rows)
    assert list(from_json_lines(to_json_lines(rows).splitlines(keepends=True))) == rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzzed")
    write_images(path, 1)
    return path


LINES = st.sampled_from(
    ["000/00000.png", "image", "\ufeff", '"', ",", "\t", "\r", "\n", "http://[::1/", "a\0b", "s3://"]
)


@settings(deadline=None, max_examples=examples(150))
@given(
    name=st.sampled_from(["a.csv", "a.tsv", "a.txt", "a.jsonl", "a.json"]),
    content=st.binary(max_size=80) | st.lists(LINES | st.text(max_size=5), max_size=12).map("".join),
)
def test_any_bytes_are_entries_or_a_sentence(folder: Path, name: str, content: bytes | str) -> None:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    check(path)


@settings(deadline=None, max_examples=examples(100))
@given(name=JSON, others=JSON, suffix=st.sampled_from([".json", ".jsonl"]))
def test_any_json_is_entries_or_a_sentence(folder: Path, name: object, others: object, suffix: str) -> None:
    document = {"images": [{"id": 1, "file_name": name}], "categories": others, "image_url": name}
    (folder / f"b{suffix}").write_text(json.dumps(document))
    check(folder / f"b{suffix}")
