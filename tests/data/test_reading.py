from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared_data import SHARED, needs_shared
from vfnet_data import DatasetError, read_dataset
from vfnet_data.coco_writing import write_coco

FRIDGE = SHARED / "data" / "odFridgeObjects"


@needs_shared
def test_the_three_formats_of_one_data_set_give_the_same_boxes() -> None:
    lines, coco, voc = (
        {image.path.name: image for image in read_dataset(FRIDGE / source).images}
        for source in ("automl_jsonl/validation.jsonl", "coco_val.json", "annotations")
    )
    assert len(lines) == 26
    for name, image in lines.items():
        for other in (coco[name], voc[name]):
            np.testing.assert_allclose(image.boxes, other.boxes, atol=1e-3)
            np.testing.assert_array_equal(image.labels, other.labels)


@needs_shared
def test_what_is_written_as_coco_reads_the_same(tmp_path: Path) -> None:
    photos = SHARED / "data" / "coco_free"
    dataset = read_dataset(photos / "annotations" / "instances_val2017.json", photos / "val2017")
    write_coco(dataset, tmp_path / "copy.json")
    copy = read_dataset(tmp_path / "copy.json")
    assert (copy.classes, copy.category_ids) == (dataset.classes, dataset.category_ids)
    for image, other in zip(dataset.images, copy.images, strict=True):
        assert (image.path.resolve(), image.image_id) == (other.path.resolve(), other.image_id)
        np.testing.assert_allclose(image.boxes, other.boxes, atol=1e-4)
        np.testing.assert_array_equal(image.crowd, other.crowd)
        np.testing.assert_array_equal(image.object_areas, other.object_areas)


@pytest.fixture
def listing(tmp_path: Path) -> Callable[[Path], Path]:
    """An annotation file without boxes for one image of 40 x 30."""

    def write(image: Path) -> Path:
        entry = {"image_url": str(image), "image_details": {"width": 40, "height": 30}, "label": []}
        path = tmp_path / "one.jsonl"
        path.write_text(json.dumps(entry))
        return path

    return write


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.webp", "a.bmp", "a.tiff"])
def test_whole_images_pass_and_truncated_ones_are_named(
    write_image: Callable[..., Path],
    listing: Callable[[Path], Path],
    problems: Callable[..., str],
    name: str,
) -> None:
    image = write_image(name)
    assert len(read_dataset(listing(image)).images) == 1
    image.write_bytes(image.read_bytes()[: image.stat().st_size * 2 // 3])
    assert name in problems(listing(image))


def test_bytes_after_the_end_of_a_jpeg_do_no_harm(
    write_image: Callable[..., Path], listing: Callable[[Path], Path]
) -> None:
    image = write_image("a.jpg")
    image.write_bytes(image.read_bytes() + b"camera maker's notes")
    assert len(read_dataset(listing(image)).images) == 1


def test_a_file_that_is_no_image_is_named(
    tmp_path: Path, listing: Callable[[Path], Path], problems: Callable[..., str]
) -> None:
    (tmp_path / "a.jpg").write_text("not found")
    assert "not an image in a known format" in problems(listing(tmp_path / "a.jpg"))


def test_an_unreadable_file_is_kept_for_an_evaluation_and_a_missing_one_is_not(
    tmp_path: Path, listing: Callable[[Path], Path], problems: Callable[..., str]
) -> None:
    (tmp_path / "a.jpg").write_text("not found")
    assert read_dataset(listing(tmp_path / "a.jpg"), allow_unreadable=True).images[0].width == 40
    assert "there is no image" in problems(listing(tmp_path / "b.jpg"), allow_unreadable=True)


def test_a_photo_annotated_as_viewers_turn_it_is_explained(
    tmp_path: Path, listing: Callable[[Path], Path], problems: Callable[..., str]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 40)).save(tmp_path / "a.jpg", exif=exif)
    assert "EXIF orientation" in problems(listing(tmp_path / "a.jpg"))


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"null", b"[" * 100_000, b'{"images": 1' + b"0" * 5000 + b"}"])
def test_nonsense_is_refused(tmp_path: Path, problems: Callable[..., str], content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert "problem" in problems(tmp_path / "a.json")


def test_missing_sources_and_folders_are_named(tmp_path: Path, problems: Callable[..., str]) -> None:
    assert "there is no such file" in problems(tmp_path / "nothing")
    (tmp_path / "a.jsonl").write_text("")
    assert "there is no folder" in problems(tmp_path / "a.jsonl", tmp_path / "nowhere")
    assert "it holds no images" in problems(tmp_path / "a.jsonl")


def test_a_long_list_of_problems_is_cut_for_the_terminal_only(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("x\n" * 60)
    with pytest.raises(DatasetError) as raised:
        read_dataset(tmp_path / "a.jsonl")
    assert len(raised.value.problems) == 60
    assert str(raised.value).endswith("... and 10 more")
