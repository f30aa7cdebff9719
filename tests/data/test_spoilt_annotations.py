"""Whatever stands in an annotation file, reading it succeeds or lists problems."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fuzzing import examples
from vfnet_client.safe_text import is_printable_line
from vfnet_data import DatasetError, DetectionDataset, read_dataset

JSONL = {
    "image_url": "a.png",
    "image_details": {"format": "png", "width": 40, "height": 30},
    "label": [{"label": "can", "topX": 0.1, "topY": 0.1, "bottomX": 0.5, "bottomY": 0.9, "isCrowd": 0}],
}
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 20], "area": 200, "iscrowd": 0}],
    "categories": [{"id": 1, "name": "can"}],
}
VOC = """<annotation><filename>a.png</filename><size><width>40</width><height>30</height></size>
<object><name>can</name><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>20</xmax><ymax>25</ymax></bndbox></object>
</annotation>"""

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from([10**400, "a.png", "\0"])
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spoilt")
    Image.new("RGB", (40, 30)).save(path / "a.png")
    return path


def places(value: Any) -> list[list[Any]]:
    """The way to every value inside."""
    if not isinstance(value, dict | list):
        return []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [[key, *rest] for key, inner in items for rest in [[], *places(inner)]]


def spoil(document: Any, place: list[Any], value: Any) -> Any:
    spoilt = copy.deepcopy(document)
    holder = spoilt
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    return spoilt


def check(source: Path) -> DetectionDataset | None:
    try:
        dataset = read_dataset(source)
    except DatasetError as error:
        assert error.problems  # noqa: PT017
        assert all(map(is_printable_line, error.problems))  # noqa: PT017
        return None
    assert all(map(is_printable_line, dataset.classes))
    for image in dataset.images:
        assert (image.boxes[:, :2] < image.boxes[:, 2:]).all()
        assert (image.boxes >= 0).all()
        assert (image.boxes <= [image.width, image.height] * 2).all()
        assert ((image.labels >= 0) & (image.labels < len(dataset.classes))).all()
    return dataset


@settings(deadline=None, max_examples=examples(150))
@given(place=st.sampled_from(places(JSONL)), value=anything)
def test_any_value_anywhere_in_jsonl(folder: Path, place: list[Any], value: Any) -> None:
    path = folder / "a.jsonl"
    path.write_text(json.dumps(spoil(JSONL, place, value)))
    check(path)


@settings(deadline=None, max_examples=examples(150))
@given(place=st.sampled_from(places(COCO)), value=anything)
def test_any_value_anywhere_in_coco_json(folder: Path, place: list[Any], value: Any) -> None:
    path = folder / "a.json"
    path.write_text(json.dumps(spoil(COCO, place, value)))
    check(path)


@settings(deadline=None, max_examples=examples(100))
@given(start=st.integers(0, len(VOC)), length=st.integers(0, 12), text=st.text(max_size=6))
def test_any_stretch_of_voc_xml(folder: Path, start: int, length: int, text: str) -> None:
    annotations = folder / "Annotations"
    annotations.mkdir(exist_ok=True)
    spoilt = VOC[:start] + text + VOC[start + length :]
    (annotations / "a.xml").write_bytes(spoilt.encode("utf-8", "surrogatepass"))
    check(folder)


@settings(deadline=None, max_examples=examples(100))
@given(content=st.binary(max_size=60))
def test_any_bytes(folder: Path, content: bytes) -> None:
    path = folder / "b.json"
    path.write_bytes(content)
    check(path)


def mutated(text: bytes) -> st.SearchStrategy[bytes]:
    """A text with stretches removed, doubled and replaced."""
    pieces = st.binary(max_size=6) | st.sampled_from(
        [
            b"[" * 2000,
            b"{",
            b"9" * 4400,
            b"1e999",
            b"NaN",
            b'"\\ud800"',
            b"<a>" * 40,
            b"&x;",
            b"<!DOCTYPE a>",
            b"\0",
            b"../" * 3000,
        ]
    )
    edits = st.lists(st.tuples(st.integers(0, len(text)), st.integers(0, 12), pieces), max_size=3)

    def apply(places: list[tuple[int, int, bytes]]) -> bytes:
        changed = text
        for start, length, piece in places:
            changed = changed[:start] + piece + changed[start + length :]
        return changed

    return edits.map(apply)


@settings(deadline=None, max_examples=examples(100))
@given(content=mutated(json.dumps(COCO).encode()))
def test_any_edit_of_coco_json(folder: Path, content: bytes) -> None:
    (folder / "d.json").write_bytes(content)
    check(folder / "d.json")


@settings(deadline=None, max_examples=examples(100))
@given(content=mutated(json.dumps(JSONL).encode() + b"\n" + json.dumps(JSONL).encode()))
def test_any_edit_of_jsonl(folder: Path, content: bytes) -> None:
    (folder / "d.jsonl").write_bytes(content)
    check(folder / "d.jsonl")


@settings(deadline=None, max_examples=examples(100))
@given(content=mutated(VOC.encode()), encoding=st.sampled_from(["", "utf-16", "latin-1", "gbk", "no such"]))
def test_any_edit_of_voc_xml(folder: Path, content: bytes, encoding: str) -> None:
    annotations = folder / "Annotations"
    annotations.mkdir(exist_ok=True)
    head = f'<?xml version="1.0" encoding="{encoding}"?>'.encode() if encoding else b""
    (annotations / "a.xml").write_bytes(head + content)
    check(folder)


def test_unspoilt_ones_are_read(folder: Path) -> None:
    for name, document in (("c.jsonl", JSONL), ("c.json", COCO)):
        (folder / name).write_text(json.dumps(document))
        assert check(folder / name) is not None
