"""Lists and tables as people's programs leave them: what names the images is found, or what was understood is said."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from shared_data import FIELD, needs_field
from vfnet_batch.entries import Entry, from_line
from vfnet_batch.errors import BatchError
from vfnet_batch.image_reading import _read_file
from vfnet_batch.inputs.opening import open_input
from vfnet_batch.inputs.source import InputSource
from vfnet_client.exceptions import VFNetError

PICTURES = {"a.jpg": b"\xff\xd8\xff first " * 40, "sub/b.jpg": b"\xff\xd8\xff second " * 40}
BASE64 = [base64.b64encode(content).decode() for content in PICTURES.values()]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two files that are read as bytes here, whatever is in them."""
    (tmp_path / "sub").mkdir()
    for name, content in PICTURES.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir("/")
    return tmp_path


def source_of(path: Path, column: str | None = None, **options: Any) -> InputSource:
    return open_input(str(path), None, column, Path("output"), **options)


def entries_of(path: Path, column: str | None = None) -> list[Entry]:
    source = source_of(path, column)
    return [from_line(line, position, source.root) for position, line in enumerate(source.lines())]


def contents_of(path: Path, column: str | None = None) -> list[bytes]:
    return [_read_file(entry) for entry in entries_of(path, column)]


TABLES: dict[str, tuple[str, bytes]] = {
    "semicolons": ("t.csv", b"image;label\na.jpg;cat\nsub/b.jpg;dog\n"),
    "semicolons and decimal commas": ("t.csv", b"image;score\na.jpg;0,5\nsub/b.jpg;0,75\n"),
    "decimal commas without a heading": ("t.csv", b"a.jpg;0,5;0,1\nsub/b.jpg;0,7;0,2\n"),
    "tabs in a .csv": ("t.csv", b"id\timage\n1\ta.jpg\n2\tsub/b.jpg\n"),
    "commas in a .tsv": ("t.tsv", b"id,image\n1,a.jpg\n2,sub/b.jpg\n"),
    "bars": ("t.csv", b"id|file_name\n1|a.jpg\n2|sub/b.jpg\n"),
    "id,image_path": ("t.csv", b"id,image_path\n1,a.jpg\n2,sub/b.jpg\n"),
    "filepath": ("t.csv", b"label,filepath\ncat,a.jpg\ndog,sub/b.jpg\n"),
    "Image Path": ("t.csv", b"No.,Image Path\n1,a.jpg\n2,sub/b.jpg\n"),
    "a heading in another language": ("t.csv", b"Nummer;Bild\n1;a.jpg\n2;sub/b.jpg\n"),
    "a folder's path beside the name": ("t.csv", b"path,filename\n.,a.jpg\nsub,sub/b.jpg\n"),
    "no heading, second column": ("t.csv", b"1,a.jpg\n2,sub/b.jpg\n"),
    "quoted": ("t.csv", b'"image","label"\r\n"a.jpg","a ""cat"""\r\n"sub/b.jpg","dog, small"\r\n'),
    "a space before the quotes": ("t.csv", b'id, image\n1, "a.jpg"\n2, "sub/b.jpg"\n'),
    "single quotes": ("t.csv", b"image\n'a.jpg'\n'sub/b.jpg'\n"),
    "backslashes": ("t.csv", b"image\na.jpg\nsub\\b.jpg\n"),
    "Excel's sep=": ("t.csv", b"sep=;\r\nimage;label\r\na.jpg;cat\r\nsub/b.jpg;dog\r\n"),
    "PowerShell's #TYPE": ("t.csv", b'#TYPE System.IO.FileInfo\r\n"Name"\r\n"a.jpg"\r\n"sub/b.jpg"\r\n'),
    "a byte order mark": ("t.csv", b"\xef\xbb\xbfimage,label\r\na.jpg,cat\r\nsub/b.jpg,dog\r\n"),
    "Excel's Unicode text": ("t.tsv", "image\tlabel\r\na.jpg\tcat\r\nsub/b.jpg\tdog\r\n".encode("utf-16")),
    "UTF-16 without a mark": ("t.csv", "image,label\r\na.jpg,cat\r\nsub/b.jpg,dog\r\n".encode("utf-16-le")),
    "carriage returns alone": ("t.csv", b"image,label\ra.jpg,cat\rsub/b.jpg,dog\r"),
    "base64": ("t.csv", f"{BASE64[0]}\n{BASE64[1]}\n".encode()),
    "base64 behind a byte order mark": ("t.csv", f"\ufeff{BASE64[0]},1\r\n{BASE64[1]},2\r\n".encode()),
    "base64 in UTF-16": ("t.csv", f"id;image\r\n1;{BASE64[0]}\r\n2;{BASE64[1]}\r\n".encode("utf-16")),
    "base64 and carriage returns": ("t.csv", f"id;image\r1;{BASE64[0]}\r2;{BASE64[1]}\r".encode()),
    "data URLs": (
        "t.tsv",
        f"data:image/jpeg;base64,{BASE64[0]}\tcat\ndata:image/jpeg;base64,{BASE64[1]}\tdog\n".encode(),
    ),
}


@pytest.mark.parametrize(("name", "content"), TABLES.values(), ids=TABLES)
def test_the_images_of_a_table_are_found(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert contents_of(folder / name) == list(PICTURES.values())


LISTS: dict[str, bytes] = {
    "quotes": b'"a.jpg"\n"sub/b.jpg"\n',
    "single quotes": b"'a.jpg'\n'sub/b.jpg'\n",
    "backslashes": b"a.jpg\r\nsub\\b.jpg\r\n",
    "files' URLs": b"file://{}/a.jpg\nfile://localhost{}/%73ub/b.jpg\n",
    "percent signs": b"a.jpg\nsub%2Fb.jpg\n",
    "quoted backslashes": b'"a.jpg"\r\n"sub\\b.jpg"\r\n',
    "a byte order mark": b"\xef\xbb\xbfa.jpg\r\nsub/b.jpg\r\n",
    "UTF-16": "a.jpg\r\nsub/b.jpg\r\n".encode("utf-16"),
    "UTF-16 without a mark": "a.jpg\r\nsub/b.jpg\r\n".encode("utf-16-le"),
    "carriage returns alone": b"a.jpg\rsub/b.jpg\r",
}


@pytest.mark.parametrize("content", LISTS.values(), ids=LISTS)
def test_the_images_of_a_list_are_found(folder: Path, content: bytes) -> None:
    (folder / "list.txt").write_bytes(content.replace(b"{}", bytes(folder)))
    assert contents_of(folder / "list.txt") == list(PICTURES.values())


@needs_field
@pytest.mark.parametrize(
    ("name", "images"),
    [
        *(("semicolon.csv", 2), ("idfirst.csv", 2), ("backslash.csv", 2), ("quoted.txt", 2), ("utf16.txt", 2)),
        ("bom_headerless_b64.csv", 2),
    ],
)
def test_what_the_field_left_is_read(name: str, images: int) -> None:
    contents = contents_of(FIELD / "lists" / name)
    assert len(contents) == images
    assert all(content.startswith(b"\xff\xd8\xff") for content in contents)


def test_a_column_is_asked_for_by_heading_or_number(folder: Path) -> None:
    table = folder / "t.csv"
    table.write_text("thumb,Full Image\nx.jpg,a.jpg\ny.jpg,sub/b.jpg\n")
    for column in ("Full Image", "full_image", "2"):
        assert contents_of(table, column) == list(PICTURES.values())
    with pytest.raises(BatchError, match="no column '3'; it has thumb, Full Image"):
        entries_of(table, "3")
    (folder / "t.txt").write_bytes("Nummer\tBild\r\n1\ta.jpg\r\n2\tsub/b.jpg\r\n".encode("utf-16"))
    assert contents_of(folder / "t.txt", "Bild") == list(PICTURES.values())
    (folder / "t.txt").write_text("a.jpg;cat\nsub/b.jpg;dog\n")
    assert contents_of(folder / "t.txt", "1") == list(PICTURES.values())


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", "id,name\n1,one\n2,two\n", "cells separated by commas, images in column 1, without a heading: --col"),
        ("t.csv", "file;n\nx.jpg;1\ny.jpg;2\n", "separated by semicolons, images in the column 'file' of file, n. The"),
        ("t.txt", "x.jpg\tcat\ny.jpg\tdog\n", "Its first line holds tabs: --column NAME reads it as a table"),
        ("t.txt", "x.jpg;cat\ny.jpg;dog\n", "Its first line holds semicolons: --column NAME reads it as a table"),
        ("t.txt", "C:\\photos\\a.jpg\n", "its only row leads to no image"),
        ("t.jsonl", '{"image_url": "x.jpg"}\n{"image_url": "y.jpg"}\n', "not one of its 2 rows leads to an image"),
        ("t.json", '{"images": [{"id": 1, "file_name": "x.jpg"}]}', "It was read as COCO JSON"),
    ],
)
def test_rows_that_all_lead_nowhere_are_one_error(folder: Path, name: str, content: str, said: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(BatchError) as raised:
        entries_of(folder / name)
    assert said in str(raised.value)
    assert str(folder) in str(raised.value)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.jsonl", '{"image_url": "a.jpg"}\n{"image_url": "café.jpg"}\n'.encode("latin-1"), "looks like Latin-1"),
        ("t.csv", b"PK\x03\x04\x14\0\x06\0[Content_Types].xml \xa2\x04", "is no table but a ZIP archive, as Excel's"),
        ("t.txt", b"\xff\xd8\xff\xe0\0\x10JFIF", "is no text but a JPEG picture"),
        ("t.csv", b"\xff\xfea\0,\0\n", "is not UTF-16-LE text"),
    ],
)
def test_what_is_no_list_is_called_what_it_is(folder: Path, name: str, content: bytes, said: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises((VFNetError, OSError)) as raised:
        entries_of(folder / name)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("written", "is_there", "said"),
    [("A.JPG", "a.jpg", "; a.jpg is there"), ("cafe\u0301.jpg", "caf\u00e9.jpg", "; caf\u00e9.jpg is there, whose")],
)
def test_a_row_says_which_file_looks_alike(folder: Path, written: str, is_there: str, said: str) -> None:
    (folder / is_there).write_bytes(b"x")
    (folder / "list.txt").write_text(f"{written}\nsub/b.jpg\n")
    missing, _ = entries_of(folder / "list.txt")
    assert missing.problem is not None
    assert said in missing.problem


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.jsonl", '{"image_url": "a.jpg"}\nnonsense\n{"image_url": "sub/b.jpg"}\n{}\n'),
        (
            "t.json",
            '{"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "c.jpg"}, {"id": 3},'
            '{"id": 4.0, "file_name": "sub/b.jpg"}], "categories": []}',
        ),
    ],
)
def test_entries_that_make_no_sense_are_left_out_where_that_is_said(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(VFNetError, match="2 problems"):
        list(source_of(folder / name).lines())
    source = source_of(folder / name, skip_invalid=True)
    lines = list(source.lines())
    found = [from_line(line, position, source.root) for position, line in enumerate(lines)]
    assert [_read_file(entry) for entry in found] == list(PICTURES.values())
    (note,) = source.notes
    assert "2 problems, left out as --skip-invalid says" in note


def test_a_file_may_be_called_like_a_chain_of_urls_and_nothing_is_no_folder(folder: Path) -> None:
    (folder / "a::b.jpg").write_bytes(PICTURES["a.jpg"])
    assert contents_of(folder / "a::b.jpg") == [PICTURES["a.jpg"]]
    with pytest.raises(BatchError, match="INPUT is empty"):
        open_input("", None, None, Path("output"))
