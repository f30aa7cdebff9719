"""Annotations made to hurt: each ends quickly, with sentences that can be printed, and takes little."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vfnet_client.bounded_json import parse_json
from vfnet_client.safe_text import is_printable_line
from vfnet_data import DatasetError, read_dataset
from vfnet_data.bounded_xml import parse_xml

WriteImage = Callable[..., Path]
Problems = Callable[..., str]
QUICK = 5.0
"""Seconds: what hung took minutes, and this machine may be busy."""


def quickly(source: Path) -> list[str]:
    """The problems of a source that cannot be read."""
    began = time.monotonic()
    with pytest.raises(DatasetError) as raised:
        read_dataset(source)
    assert time.monotonic() - began < QUICK
    assert all(map(is_printable_line, raised.value.problems))
    assert len(str(raised.value)) < 100_000
    return list(raised.value.problems)


def voc(folder: Path, content: str | bytes) -> Path:
    (folder / "Annotations").mkdir(exist_ok=True)
    path = folder / "Annotations" / "a.xml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def about(name: str = "a.jpg", label: str = "can") -> str:
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    return f"<annotation><filename>{name}</filename><object><name>{label}</name>{box}</object></annotation>"


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]>{about("&l9;")}', "has a document type"),
        (f'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>{about("&x;")}', "has a document type"),
        (f'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd">{about()}', "has a document type"),
        ("<annotation>" + "<a>" * 100_000, "nested more than 32"),
        ("<annotation>" + "<a/>" * 110_000 + "</annotation>", "more than 100,000 elements"),
        ("<annotation>" + " " * (17 << 20) + "</annotation>", "is larger than 16 MiB"),
        (about("&undefined;"), "not XML"),
        (about().encode("utf-16"), "there is no image"),  # read, as far as it goes
        ('<?xml version="1.0" encoding="no-such"?>' + about(), "not XML: unknown encoding"),
        ("", "not XML"),
        (about("a" * 10_000), "no file can be called"),
        (about("/".join(["d"] * 4000)), "there is no image"),
        (about("/".join(["d"] * 100_000)), "no file can be called"),
        (about("../" * 2000 + "etc/hostname"), "there is no image|not an image"),
    ],
    ids=[
        *("billion laughs", "external entity", "external type", "deep", "many", "large", "undefined", "utf-16"),
        *("unknown encoding", "empty", "long name", "folders", "100,000 folders", "climbing"),
    ],
)
def test_xml_that_is_made_to_hurt(tmp_path: Path, content: str | bytes, reason: str) -> None:
    (problem, *_) = quickly(voc(tmp_path, content))
    assert re.search(reason, problem), problem


def test_xml_is_read_as_it_was(tmp_path: Path, write_image: WriteImage) -> None:
    write_image("a.jpg")
    dataset = read_dataset(voc(tmp_path, '<?xml version="1.0"?><!-- a comment -->' + about(label="  can &amp; jar ")))
    assert dataset.classes == ("can & jar",)
    assert parse_xml(b"<a x='1'>b<c>d</c>e</a>").findtext("c") == "d"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"images": ' + "[" * 2000 + "]" * 2000 + "}", "nested too deeply"),
        ('{"images": [' + "9" * 5000 + "]}", "not JSON"),
        ('{"images": [{"id": 1e999}]}', "id is inf"),
        ('{"images": [{"id": NaN, "file_name": "a"}]}', "id is nan"),
        ('{"images": [{"id": 1, "file_name": "\\ud800.jpg"}]}', "there is no image|is missing"),
        ('{"images": [{"id": 1, "file_name": "a\\u0000b"}]}', "no file can be called"),
        ('{"images": [], "categories": [{"id": 1, "name": "two\\nlines"}], "annotations": []}', "in one line"),
        ('{"images": [], "categories": [{"id": 1, "name": "\\u001b[31m"}], "annotations": []}', "in one line"),
        ('{"images": [], "categories": [{"id": 1, "name": "\\ud800"}], "annotations": []}', "in one line"),
        ('{"images": [], "categories": [{"id": 1, "name": "' + "x" * 300 + '"}], "annotations": []}', "in one line"),
        ('{"images": [' + ",".join(['{"id": 7}'] * 30_000) + "]}", "a second image|file_name"),
    ],
    ids=[
        *("brackets", "deep images", "5,000 digits", "infinite", "nan", "surrogate name", "null in a name"),
        *("two lines", "escape", "surrogate label", "long label", "30,000 problems"),
    ],
)
def test_coco_that_is_made_to_hurt(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "data.json"
    path.write_text(text)
    assert any(re.search(reason, problem) for problem in quickly(path))


def test_a_hundred_thousand_categories_take_no_hours(tmp_path: Path) -> None:
    document = {
        "images": [{"id": 1, "file_name": "a"}],
        "annotations": [],
        "categories": [{"id": number, "name": f"c{number}"} for number in range(100_000)],
    }
    path = tmp_path / "data.json"
    path.write_text(json.dumps(document))
    assert "100000 classes" in quickly(path)[0]


def test_values_are_counted_before_they_are_made() -> None:
    with pytest.raises(ValueError, match="more than 10 lists"):
        parse_json("[" + "{}," * 20 + "{}]", most_containers=10)
    with pytest.raises(ValueError, match="or 10 values"):
        parse_json(b"[" + b"1," * 20 + b"1]", most_values=10)
    assert parse_json('{"a": [1, 2]}', 2, 4) == {"a": [1, 2]}


@pytest.mark.parametrize(
    "line",
    [
        '{"image_url": "a.jpg", "label": [{"label": "a\\u2028b", "topX": 0, "topY": 0, "bottomX": 1, "bottomY": 1}]}',
        '{"image_url": "' + "a/" * 50_000 + '"}',
        '{"image_url": "a.jpg", "label": ' + "[" * 990 + "]" * 990 + "}",
        '{"image_url": ' + "9" * 5000 + "}",
    ],
)
def test_a_line_that_is_made_to_hurt(jsonl: Callable[..., Path], line: str) -> None:
    assert quickly(jsonl(line))


def test_a_path_of_many_folders_is_still_found_by_its_end(
    tmp_path: Path, jsonl: Callable[..., Path], write_image: WriteImage
) -> None:
    write_image("photos/b.jpg")
    label: list[Any] = []
    moved = jsonl({"image_url": "azureml://" + "deep/" * 300 + "photos/b.jpg", "label": label})
    assert read_dataset(moved).images[0].path == tmp_path / "photos" / "b.jpg"


def test_what_is_no_file_is_not_waited_for(tmp_path: Path, jsonl: Callable[..., Path]) -> None:
    for name in ("pipe.json", "pipe.jpg", "list.txt"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "circle.json").symlink_to(tmp_path / "circle.json")
    assert quickly(tmp_path / "pipe.json") == ["it is not a regular file"]
    assert quickly(tmp_path / "circle.json") == ["there is no such file or folder"]
    (tmp_path / "Annotations").mkdir()
    assert quickly(tmp_path / "list.txt") == ["it is not a regular file"]
    os.mkfifo(tmp_path / "Annotations" / "a.xml")
    assert quickly(tmp_path) == ["a.xml: is not a regular file"]
    assert "there is no image 'pipe.jpg'" in quickly(jsonl({"image_url": "pipe.jpg", "label": []}))[0]


def test_text_that_windows_saved_is_read(tmp_path: Path, write_image: WriteImage) -> None:
    write_image("a.jpg")
    line = json.dumps({"image_url": "a.jpg", "label": []})
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "data.jsonl").write_bytes(f"{line}\r\n".encode(encoding))
        assert len(read_dataset(tmp_path / "data.jsonl").images) == 1
    (tmp_path / "data.jsonl").write_bytes('{"image_url": "käse.jpg"}'.encode("latin-1"))
    assert "is not UTF-8 text" in quickly(tmp_path / "data.jsonl")[0]
