from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vfnet_data import read_dataset

XML = """<annotation><folder>x</folder><filename>{name}.jpg</filename>{source}
<size><width>40</width><height>30</height><depth>3</depth></size>
<object><name>{label}</name><difficult>{difficult}</difficult>
<part><name>lid</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>
<bndbox><xmin>{xmin}</xmin><ymin>3</ymin><xmax>20.0</xmax><ymax>25</ymax></bndbox></object></annotation>"""


@pytest.fixture
def write(tmp_path: Path, write_image: Callable[..., Path]) -> Callable[..., Path]:
    """Write an image and its XML in VOC's own folders; returns their root."""

    def _write(name: str, text: str = XML, **fields: str) -> Path:
        write_image(f"voc/JPEGImages/{name}.jpg")
        annotations = tmp_path / "voc" / "Annotations"
        annotations.mkdir(exist_ok=True)
        values = {"name": name, "label": "can", "difficult": "0", "xmin": "2", "source": ""} | fields
        (annotations / f"{name}.xml").write_text(text.format(**values))
        return tmp_path / "voc"

    return _write


def test_a_folder_is_read_in_the_order_of_its_numbers(write: Callable[..., Path]) -> None:
    write("10")
    root = write("9", label="bottle")
    for source in (root, root / "Annotations"):
        dataset = read_dataset(source)
        assert [image.path.name for image in dataset.images] == ["9.jpg", "10.jpg"]
        assert dataset.classes == ("bottle", "can")


def test_corners_are_as_written_and_those_of_a_part_are_not_taken(write: Callable[..., Path]) -> None:
    np.testing.assert_array_equal(read_dataset(write("a")).images[0].boxes, [[2, 3, 20, 25]])


def test_the_challenges_own_pixels_count_from_one(write: Callable[..., Path]) -> None:
    root = write("a", source="<source><database>The VOC2007 Database</database></source>")
    np.testing.assert_array_equal(read_dataset(root).images[0].boxes, [[1, 2, 20, 25]])


def test_difficult_objects_are_left_out_as_crowds_are(write: Callable[..., Path]) -> None:
    assert read_dataset(write("a", difficult="1")).images[0].crowd.tolist() == [True]


def test_a_list_of_names_selects_and_orders(write: Callable[..., Path], problems: Callable[..., str]) -> None:
    for name in ("a", "b", "c"):
        root = write(name)
    listing = root / "ImageSets" / "Main" / "val.txt"
    listing.parent.mkdir(parents=True)
    listing.write_text("c\na  -1\n")
    assert [image.path.stem for image in read_dataset(listing).images] == ["c", "a"]
    listing.write_text("c\nd\n")
    assert "line 2: there is no" in problems(listing)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"xmin": "left"}, "a.xml: object 1: xmin is 'left'"),
        ({"xmin": "inf"}, "xmin is 'inf'"),
        ({"xmin": "21"}, "object 1: the box (21, 3, 20, 25) is inverted"),
        ({"xmin": "-50"}, "reaches far out of its image"),
        ({"label": ""}, "name is ''"),
        ({"difficult": "very"}, "difficult is 'very'"),
        ({"text": "<annotation>"}, "a.xml: not XML"),
        ({"text": "<svg/>"}, "a.xml: its root is <svg>"),
    ],
)
def test_each_mistake_is_named(
    write: Callable[..., Path], problems: Callable[..., str], fields: dict[str, str], said: str
) -> None:
    assert said in problems(write("a", **fields))


def test_a_folder_without_xml_is_refused(tmp_path: Path, problems: Callable[..., str]) -> None:
    assert "holds no XML files" in problems(tmp_path)


def test_what_macos_leaves_beside_every_file_is_no_annotation(write: Callable[..., Path]) -> None:
    root = write("a")
    (root / "Annotations" / "._a.xml").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        ")
    assert [image.path.name for image in read_dataset(root).images] == ["a.jpg"]


@pytest.mark.parametrize(
    "lines", ["b 1\na\n", "b 1.jpg\r\na.JPG\r\n", "b 1  -1\na  1\n", "JPEGImages\\b 1.jpg\nJPEGImages/a.jpg\n"]
)
def test_a_list_may_name_files_and_names_may_have_spaces(write: Callable[..., Path], lines: str) -> None:
    write("b 1")
    root = write("a")
    (root / "ImageSets").mkdir()
    (root / "ImageSets" / "train.txt").write_text(lines)
    dataset = read_dataset(root / "ImageSets" / "train.txt")
    assert [image.path.name for image in dataset.images] == ["b 1.jpg", "a.jpg"]


def test_a_name_that_ends_in_a_number_is_not_another_with_a_flag(write: Callable[..., Path]) -> None:
    write("b 1")
    root = write("b")
    (root / "ImageSets").mkdir()
    (root / "ImageSets" / "train.txt").write_text("b 1\n")
    assert [image.path.name for image in read_dataset(root / "ImageSets" / "train.txt").images] == ["b 1.jpg"]
