"""Annotations as people's tools leave them: what can be told is read, what cannot is named."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared_data import FIELD, needs_field
from vfnet_data import DatasetError, read_dataset

Write = Callable[..., Path]
TRUTH = [[20.0, 20.0, 80.0, 100.0], [120.0, 40.0, 180.0, 120.0]]
"""The boxes of the field's files, one an image."""


@pytest.fixture
def coco(tmp_path: Path, write_image: Write) -> Callable[[Callable[[Any], object]], Path]:
    """Write COCO JSON of two images of 40 x 30 with a box each, after a change was made to it."""
    for name in ("a.jpg", "b.jpg"):
        write_image(name)

    def write(change: Callable[[Any], object]) -> Path:
        document: dict[str, Any] = {
            "images": [{"id": i, "file_name": f"{'ab'[i - 1]}.jpg", "width": 40, "height": 30} for i in (1, 2)],
            "annotations": [
                {"id": i, "image_id": i, "category_id": i, "bbox": [12, 2, 10, 20], "area": 200, "iscrowd": 0}
                for i in (1, 2)
            ],
            "categories": [{"id": 1, "name": "can"}, {"id": 2, "name": "carton"}],
        }
        change(document)
        path = tmp_path / "data.json"
        path.write_text(json.dumps(document))
        return path

    return write


def change_annotations(**fields: Any) -> Callable[[Any], object]:
    return lambda document: [each.update(fields) for each in document["annotations"]]


def float_ids(document: Any) -> None:
    for each in document["annotations"]:
        each.update(image_id=float(each["image_id"]), category_id=float(each["category_id"]), id=float(each["id"]))
    for each in document["images"]:
        each.update(id=float(each["id"]), width=40.0)


def text_ids(document: Any) -> None:
    for each in document["annotations"]:
        each.update(image_id=str(each["image_id"]), category_id=str(each["category_id"]))
    for each in document["images"]:
        each.update(width=-1, height=-1)


def percent_names(document: Any) -> None:
    for each in document["images"]:
        each.update(file_name=each["file_name"].replace(".", "%2E"))


def long_ids(document: Any) -> None:
    for each in [*document["images"], *document["annotations"]]:
        key = "image_id" if "image_id" in each else "id"
        each[key] = each[key] + 340282366920938463463374607431768211000


@pytest.mark.parametrize(
    "change",
    [
        float_ids,
        text_ids,
        percent_names,
        long_ids,
        change_annotations(area=float("nan")),
        change_annotations(iscrowd=None),
        change_annotations(iscrowd=0.0),
        change_annotations(iscrowd=False, ignore=None, area=None),
        lambda document: [each.update(width=0, height=0) for each in document["images"]],
        lambda document: [each.update(width="", height=None) for each in document["images"]],
        lambda document: [each.pop("iscrowd") for each in document["annotations"]],
    ],
    ids=["1.0", "VIA", "percent", "UUIDs", "pandas", "null", "0.0", "false", "size 0", "no size", "no iscrowd"],
)
def test_what_other_programs_write_for_the_same_is_the_same(
    coco: Callable[..., Path], change: Callable[[Any], object]
) -> None:
    dataset = read_dataset(coco(change))
    assert [image.boxes.tolist() for image in dataset.images] == [[[12, 2, 22, 22]]] * 2
    assert [image.labels.tolist() for image in dataset.images] == [[0], [1]]
    assert [(image.width, image.height) for image in dataset.images] == [(40, 30)] * 2
    assert not any(image.crowd.any() for image in dataset.images)
    assert dataset.notes == ()


@pytest.mark.parametrize(
    ("change", "only"),
    [
        (lambda d: d["images"][0].update(file_name=7), "images[0] (id 1): file_name is 7"),
        (lambda d: d["categories"][1].update(name=""), "categories[1]: name is ''"),
        (lambda d: d["categories"][1].update(name="can"), "categories[1]: a second category is called 'can'"),
    ],
)
def test_what_follows_from_a_problem_is_not_a_second_one(
    coco: Callable[..., Path], problems: Callable[..., str], change: Callable[[Any], object], only: str
) -> None:
    assert f"1 problem\n  {only}" in problems(coco(change))


def test_problems_can_be_left_out_and_are_counted(coco: Callable[..., Path]) -> None:
    def spoil(document: Any) -> None:
        document["annotations"][0].update(bbox=[1, 2, 10, 0])
        document["images"].append({"id": 3, "file_name": "gone.jpg"})
        document["annotations"].append({"id": 3, "image_id": 3, "category_id": 1, "bbox": [1, 2, 10, 20]})
        document["categories"].append({"id": 4, "name": "can"})
        document["annotations"].append({"id": 4, "image_id": 2, "category_id": 4, "bbox": [1, 2, 10, 20]})

    source = coco(spoil)
    with pytest.raises(DatasetError, match="3 problems") as raised:
        read_dataset(source, skip_invalid=False)
    assert str(raised.value).endswith("--skip-invalid goes on without them")
    with pytest.raises(DatasetError) as raised:
        read_dataset(source)
    assert "--skip-invalid" not in str(raised.value)
    dataset = read_dataset(source, skip_invalid=True)
    assert [image.boxes.tolist() for image in dataset.images] == [[], [[12, 2, 22, 22]]]
    assert dataset.is_partial
    (note,) = dataset.notes
    assert "3 problems, left out as --skip-invalid says" in note
    assert "annotation 1: the box (1, 2, 11, 2) is empty" in note
    assert "there is no image 'gone.jpg'" in note
    assert "with their categories 1 annotations are left out" in note


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[1, 2]", "neither COCO JSON"),
        ('{"images": {}, "annotations": [], "categories": []}', "images is {}, not a list"),
        (
            '{"images": [{"id": 1, "file_name": "gone.jpg"}], "annotations": [], "categories": []}',
            "no image 'gone.jpg'",
        ),
    ],
)
def test_nothing_is_left_where_nothing_makes_sense(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "data.json").write_text(content)
    with pytest.raises(DatasetError) as raised:
        read_dataset(tmp_path / "data.json", skip_invalid=True)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("written", "is_there", "how"),
    [
        ("IMG1.JPG", "img1.jpg", "img1.jpg is there, whose name has other capitals"),
        ("Straße.jpg", "STRASSE.jpg", "STRASSE.jpg is there"),
        *(
            (unicodedata.normalize(one, "café.jpg"), unicodedata.normalize(other, "café.jpg"), "(NFC, NFD)")
            for one, other in (("NFC", "NFD"), ("NFD", "NFC"))
        ),
    ],
)
def test_the_file_that_looks_alike_is_named(
    jsonl: Write, write_image: Write, problems: Callable[..., str], written: str, is_there: str, how: str
) -> None:
    write_image(is_there)
    said = problems(jsonl({"image_url": f"photos/{written}", "label": []}))
    assert "there is no image" in said
    assert how in said


def test_classes_that_differ_in_spelling_only_are_told(jsonl: Write) -> None:
    box = {"topX": 0, "topY": 0, "bottomX": 1, "bottomY": 1}
    labels = [{"label": name, **box} for name in ("can", "Can", "can ", "caf\u00e9", "cafe\u0301", "jar")]
    (note,) = read_dataset(jsonl({"image_url": "a.jpg", "label": labels})).notes
    assert "differ in capitals, spaces or accents only, and are several: 'Can', 'can', 'can '; 'caf" in note
    assert "jar" not in note


def test_a_table_is_no_annotation(tmp_path: Path, problems: Callable[..., str]) -> None:
    (tmp_path / "data.csv").write_text("image,label\na.jpg,can\n")
    assert "it is a table; annotations are COCO JSON" in problems(tmp_path / "data.csv")


OBJECT = "<object><name>{}</name><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>20</xmax><ymax>25</ymax></bndbox></object>"


def voc(folder: Path, objects: str, head: str = "", name: str = "a.jpg", encoding: str = "utf-8") -> Path:
    (folder / "a.xml").write_bytes(
        f"{head}<annotation><filename>{name}</filename>{objects}</annotation>".encode(encoding)
    )
    return folder


@pytest.mark.parametrize("written", ["a", "a.jpg", "a.JPG", ""])
@pytest.mark.parametrize("is_there", ["a.webp", "a.tif", "a.PNG", "a.jpg"])
def test_voc_images_are_found_by_what_stands_before_the_ending(
    tmp_path: Path, write_image: Write, written: str, is_there: str
) -> None:
    image = write_image(is_there)
    assert read_dataset(voc(tmp_path, OBJECT.format("can"), name=written)).images[0].path == image


@pytest.mark.parametrize(
    ("encoding", "name"), [("GBK", "罐头"), ("Shift_JIS", "缶"), ("windows-1251", "банка"), ("ISO-8859-1", "käse")]
)
def test_voc_in_the_encoding_that_it_declares_is_read(
    tmp_path: Path, write_image: Write, problems: Callable[..., str], encoding: str, name: str
) -> None:
    write_image("a.jpg")
    head = f'<?xml version="1.0" encoding="{encoding}"?>'
    assert read_dataset(voc(tmp_path, OBJECT.format(name), head, encoding=encoding)).classes == (name,)
    voc(tmp_path, OBJECT.format(name), encoding=encoding)
    assert "is no UTF-8, and no other encoding is declared" in problems(tmp_path)


@pytest.mark.parametrize("shape", ["polygon", "robndbox", "point"])
def test_a_shape_that_is_no_box_is_named(
    tmp_path: Path, write_image: Write, problems: Callable[..., str], shape: str
) -> None:
    write_image("a.jpg")
    polygon = f"<object><name>can</name><{shape}><x1>1</x1></{shape}></object>"
    source = voc(tmp_path, OBJECT.format("can") + polygon)
    assert f"a.xml: object 2: has no bndbox but a {shape}: export boxes" in problems(source)
    assert len(read_dataset(source, skip_invalid=True).images[0].labels) == 1


LINE = {"image_url": "a.jpg", "label": [{"label": "can", "topX": 0, "topY": 0, "bottomX": 1, "bottomY": 1}]}
MLTABLE = """paths:
  - file: ./train.jsonl
transformations:
  - read_json_lines: {encoding: utf8, invalid_lines: error, include_path_column: false}
  - convert_column_types: [{columns: image_url, column_type: stream_info}]
"""


@pytest.mark.parametrize("definition", [MLTABLE, "paths: [{pattern: '*.jsonl'}]", "paths: [{folder: ./}]"])
def test_an_mltable_folder_is_its_lines(tmp_path: Path, write_image: Write, definition: str) -> None:
    write_image("a.jpg")
    (tmp_path / "MLTable").write_text(definition)
    (tmp_path / "train.jsonl").write_text(json.dumps(LINE))
    for source in (tmp_path, tmp_path / "MLTable"):
        dataset = read_dataset(source)
        assert dataset.images[0].boxes.tolist() == [[0, 0, 40, 30]]


def test_an_mltable_of_several_files_is_all_of_them(
    tmp_path: Path, write_image: Write, problems: Callable[..., str]
) -> None:
    (tmp_path / "MLTable").write_text("paths: [{file: ./one.jsonl}, {file: .\\two.jsonl}]")
    for name, image in (("one", "a.jpg"), ("two", "b.jpg")):
        write_image(image)
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(LINE | {"image_url": image}))
    assert [(each.image_id, each.path.name) for each in read_dataset(tmp_path).images] == [(1, "a.jpg"), (2, "b.jpg")]
    (tmp_path / "two.jsonl").write_text("nonsense")
    assert "two.jsonl, line 1: not JSON" in problems(tmp_path)


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ("paths: [{file: 'azureml://datastores/x/paths/train.jsonl'}]", "is not on this machine: download it"),
        ("paths: [{file: ./gone.jsonl}]", "No such file"),
        ("paths: [{pattern: '*.none'}]", "no file of JSON Lines is at '*.none'"),
        ("paths: train.jsonl", "MLTable has no list of paths"),
        ("paths: [train.jsonl]", "expected is file, folder or pattern"),
        ("{" * 100, "MLTable is"),
        ("", "MLTable has no list of paths"),
    ],
)
def test_an_mltable_that_leads_nowhere_says_so(
    tmp_path: Path, problems: Callable[..., str], definition: str, said: str
) -> None:
    (tmp_path / "MLTable").write_text(definition)
    assert said in problems(tmp_path)


@needs_field
@pytest.mark.parametrize("name", ["good", "normalised", "floatids", "crowdnull", "noann", "roboflow", "ignore"])
def test_the_field_s_files_have_the_boxes_that_were_drawn(name: str) -> None:
    dataset = read_dataset(FIELD / "ann" / f"{name}.json")
    expected = [[], []] if name == "noann" else [[box] for box in TRUTH]
    for image, boxes in zip(dataset.images, expected, strict=True):
        np.testing.assert_allclose(image.boxes[: len(boxes)], np.array(boxes).reshape(-1, 4), rtol=1e-5)


@needs_field
def test_the_field_s_odd_ones_are_read() -> None:
    ann = FIELD / "ann"
    assert read_dataset(ann / "zerow.json").images[0].boxes.tolist() == TRUTH[:1]
    assert read_dataset(ann / "outside2px.json").images[0].boxes.tolist() == [[280, 20, 320, 50]]
    assert read_dataset(FIELD / "mltable", ann).classes == ()
    assert read_dataset(FIELD / "voc" / "gbk_declared").classes == ("罐头",)
    assert read_dataset(FIELD / "voc" / "noext_webp").images[0].boxes.tolist() == [[20.5, 20, 80, 100.25]]
    two = read_dataset(ann / "train2017_two.json", skip_invalid=True)
    assert [image.boxes.tolist() for image in two.images] == [[[20, 20, 220, 220]]] * 2
    assert "2 problems" in two.notes[0]


@needs_field
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ann/train2017_two.json", "annotation 918: the box (296.65, 388.33, 297.68, 388.33) is empty"),
        ("ann/case.json", "img1.jpg is there, whose name has other capitals"),
        ("ann/dupcat_super.json", "a second category is called 'can'"),
        ("voc/polygon", "object 2: has no bndbox but a polygon"),
    ],
)
def test_the_field_s_unusable_ones_are_named(problems: Callable[..., str], name: str, said: str) -> None:
    assert said in problems(FIELD / name)


@pytest.mark.parametrize(
    ("orientation", "size", "annotated", "is_doubtful"),
    [
        (1, (40, 30), (40, 30), False),
        (3, (40, 30), (40, 30), True),  # turned upside down, which no size tells
        (2, (40, 30), (40, 30), True),
        (6, (40, 30), (40, 30), False),  # a tool that turned it would have said 30 x 40
        (6, (40, 30), (0, 0), True),
        (6, (40, 40), (40, 40), True),
    ],
)
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_boxes_that_may_be_drawn_on_a_turned_picture_are_told(
    coco: Callable[..., Path],
    write_image: Write,
    orientation: int,
    size: tuple[int, int],
    annotated: tuple[int, int],
    is_doubtful: bool,
    ending: str,
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    write_image(f"turned.{ending}", size, exif=exif)

    def turn(document: Any) -> None:
        document["images"][1].update(file_name=f"turned.{ending}", width=annotated[0], height=annotated[1])

    dataset = read_dataset(coco(turn))
    assert [image.boxes.tolist() for image in dataset.images] == [[[12, 2, 22, 22]]] * 2
    said = f"1 image is turned or mirrored by viewers, as EXIF says (image 2 (turned.{ending}))"
    assert [note.startswith(said) for note in dataset.notes] == [True] * is_doubtful


def test_a_picture_without_boxes_may_be_turned_as_it_likes(coco: Callable[..., Path], write_image: Write) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    write_image("turned.jpg", exif=exif)
    dataset = read_dataset(
        coco(lambda d: d["images"].append({"id": 3, "file_name": "turned.jpg", "width": 40, "height": 30}))
    )
    assert dataset.notes == ()
