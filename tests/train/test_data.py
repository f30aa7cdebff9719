"""Several sources are one data set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from odd_annotations import write_odd_annotations
from shared_data import FIELD, needs_field
from tiny_training import write_scenes
from vfnet_data.dataset import DatasetError
from vfnet_train.data import read_sources, trainable_images


def test_sources_are_joined_over_the_names_of_all(tmp_path: Path) -> None:
    first, second = write_scenes(tmp_path / "first", 3), write_scenes(tmp_path / "second", 2, seed=1)
    document = json.loads(second.read_text())
    document["categories"] = [{"id": 1, "name": "blue"}, {"id": 2, "name": "green"}]
    second.write_text(json.dumps(document))
    joined = read_sources([first, second], [])
    assert joined.classes == ("red", "blue", "green")
    assert [image.image_id for image in joined.images] == [1, 2, 3, 4, 5]
    alone = read_sources([second], [])
    for image, original in zip(joined.images[3:], alone.images, strict=True):
        names = [joined.classes[label] for label in image.labels]
        assert names == [alone.classes[label] for label in original.labels]
        assert image.path == original.path


def test_each_source_can_have_its_own_folder_of_images(tmp_path: Path) -> None:
    sources = [write_scenes(tmp_path / name, 2) for name in ("first", "second")]
    moved = [source.rename(tmp_path / f"{source.parent.name}.json") for source in sources]
    joined = read_sources(moved, [source.parent for source in sources])
    assert [image.path.parent.name for image in joined.images] == ["first", "first", "second", "second"]
    with pytest.raises(DatasetError, match="give one each"):
        read_sources([*moved, moved[0]], [source.parent for source in sources])


def test_problems_of_all_sources_are_listed(tmp_path: Path) -> None:
    sources = [write_scenes(tmp_path / name, 2) for name in ("first", "second")]
    for source in sources:
        (source.parent / "1.png").unlink()
    with pytest.raises(DatasetError) as raised:
        read_sources(sources, [])
    assert len(raised.value.problems) == 2
    assert all(str(source) in str(raised.value) for source in sources)


def test_images_without_boxes_are_left_out_unless_wanted(tmp_path: Path) -> None:
    source = write_scenes(tmp_path / "scenes", 4)
    document = json.loads(source.read_text())
    document["annotations"] = [each for each in document["annotations"] if each["image_id"] != 2]
    for each in document["annotations"]:
        each["iscrowd"] = int(each["image_id"] == 3)
    source.write_text(json.dumps(document))
    dataset = read_sources([source], [])
    # The third has crowds alone: MMDetection trains on it as on one without objects.
    assert [image.image_id for image in trainable_images(dataset, keep_empty=False).images] == [1, 3, 4]
    assert len(trainable_images(dataset, keep_empty=True).images) == 4


def test_mmdetections_targets_are_trained_on_and_no_others_and_both_are_counted(tmp_path: Path) -> None:
    """As the real one chooses them: tests/parity/test_training_targets.py."""
    dataset = read_sources([write_odd_annotations(tmp_path)], [], skip_invalid=True)
    chosen = trainable_images(dataset, keep_empty=False)
    assert [image.image_id for image in chosen.images] == [1, 2, 3, 5, 7, 8]
    targets = {image.image_id: image.boxes[~image.crowd].tolist() for image in chosen.images}
    rounded = targets[1].pop(2)
    assert rounded == pytest.approx([29.65, 28.33, 30.65, 29.33])
    assert targets[1] == [
        [5, 5, 25, 25],
        [30, 25, 31, 26],
        [50, 30, 64, 40],
        [63.5, 5, 64, 25],
        [8, 8, 18, 18],
    ]
    assert targets[2] == targets[3] == targets[7] == []
    assert chosen.notes == (
        "1 of 8 images are under 32 pixels wide or high and are left out, as MMDetection leaves them out",
        "1 of 8 images have no boxes and are left out, as MMDetection leaves them out",
        "2 boxes are marked ignore, and no training targets, as in MMDetection",
        "2 boxes are less than a pixel wide or high, and no training targets, as in MMDetection",
        "1 box is of area 0, and no training targets, as in MMDetection",
    )
    over, left_out = dataset.notes
    assert "2 boxes reach over the edge of the image, by up to 19.5 pixels: clipped, as MMDetection does" in over
    assert "2 problems, left out as --skip-invalid says" in left_out
    kept = trainable_images(dataset, keep_empty=True)
    assert [image.image_id for image in kept.images] == [1, 2, 3, 5, 6, 7, 8]


def test_what_a_person_skips_is_offered_and_told(tmp_path: Path) -> None:
    source = write_odd_annotations(tmp_path)
    with pytest.raises(DatasetError) as raised:
        read_sources([source], [], skip_invalid=False)
    assert len(raised.value.problems) == 2
    assert str(raised.value).endswith("--skip-invalid goes on without them")


@needs_field
@pytest.mark.parametrize(
    ("name", "boxes", "told"),
    [
        ("good", [1, 1], []),
        ("ignore", [1, 1], ["1 box is marked ignore"]),
        ("subpixel", [1, 1], ["1 box is less than a pixel wide or high", "1 box is of area 0"]),
        ("tiny", [], ["1 of 1 images are under 32 pixels wide or high"]),
    ],
)
def test_the_field_s_targets_are_mmdetections(name: str, boxes: list[int], told: list[str]) -> None:
    chosen = trainable_images(read_sources([FIELD / "ann" / f"{name}.json"], []), keep_empty=False)
    assert [len(image.boxes) for image in chosen.images] == boxes
    assert len(chosen.notes) == len(told)
    assert all(note.startswith(start) for note, start in zip(chosen.notes, told, strict=True))
