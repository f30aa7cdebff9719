from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vfnet_data import read_dataset

BOX: dict[str, Any] = {"label": "can", "topX": 0.25, "topY": 0.1, "bottomX": 0.5, "bottomY": 0.9, "isCrowd": 0}
ENTRY: dict[str, Any] = {
    "image_url": "a.jpg",
    "image_details": {"format": "jpg", "width": 40, "height": 30},
    "label": [BOX],
}


def test_fractions_become_pixels_and_labels_are_sorted(jsonl: Callable[..., Path]) -> None:
    crowd = BOX | {"label": "bottle", "isCrowd": 1}
    dataset = read_dataset(jsonl(ENTRY | {"label": [BOX, crowd]}))
    assert dataset.classes == ("bottle", "can")
    (image,) = dataset.images
    assert (image.width, image.height, image.image_id) == (40, 30, 1)
    np.testing.assert_allclose(image.boxes, [[10, 3, 20, 27]] * 2, rtol=1e-6)
    assert image.labels.tolist() == [1, 0]
    assert image.crowd.tolist() == [False, True]
    assert image.boxes.dtype == np.float32


@pytest.mark.parametrize("details", [{"width": "40px", "height": "30"}, {"width": 40.0}, {"width": 0}, {}, None])
def test_sizes_are_read_as_people_write_them(jsonl: Callable[..., Path], details: Any) -> None:
    assert read_dataset(jsonl(ENTRY | {"image_details": details})).images[0].width == 40


@pytest.mark.parametrize("flag", [1, True, "1", "true", "True"])
def test_crowd_flags_are_read_as_people_write_them(jsonl: Callable[..., Path], flag: Any) -> None:
    assert read_dataset(jsonl(ENTRY | {"label": [BOX | {"isCrowd": flag}]})).images[0].crowd.tolist() == [True]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("{", "line 1: not JSON"),
        ("[1]", "line 1: is [1], not a JSON object"),
        (ENTRY | {"image_url": 7}, "image_url is 7"),
        (ENTRY | {"image_details": {"width": "wide"}}, "image_details.width is 'wide'"),
        (ENTRY | {"image_details": {"width": -2}}, "image_details.width is -2"),
        (ENTRY | {"label": "can"}, "label is 'can', not a list of boxes"),
        (ENTRY | {"label": [{"label": "can", "polygon": [[0, 0, 1, 1]]}]}, "it has a polygon: export boxes"),
        (ENTRY | {"label": [BOX | {"isCrowd": 2}]}, "isCrowd is 2"),
        (ENTRY | {"label": [BOX | {"topX": "0.1"}]}, "topX is '0.1', not a number"),
        (ENTRY | {"label": [BOX | {"topX": float("nan")}]}, "topX is nan, not a finite number"),
        (ENTRY | {"label": [BOX | {"topX": 10**400}]}, "topX is a very large number, not a finite number"),
        (ENTRY | {"label": [BOX | {"label": " "}]}, "label is ' ', not the name of a class"),
        (ENTRY | {"label": [BOX | {"topX": 0.6}]}, "box 1: the box (0.6, 0.1, 0.5, 0.9) is inverted"),
        (ENTRY | {"label": [BOX | {"topX": 0.5}]}, "is empty"),
        (ENTRY | {"label": [BOX | {"bottomX": 31}]}, "reaches far out of its image (0 to 1)"),
        (ENTRY | {"label": [BOX | {"topX": 1.1, "bottomX": 1.2}]}, "lies outside its image (0 to 1)"),
    ],
)
def test_each_mistake_is_named_with_its_line(
    jsonl: Callable[..., Path], problems: Callable[..., str], entry: Any, said: str
) -> None:
    found = problems(jsonl(entry))
    assert said in found
    assert "1 problem\n  line 1" in found


def test_every_problem_is_listed_at_once(
    jsonl: Callable[..., Path], write_image: Callable[..., Path], problems: Callable[..., str]
) -> None:
    write_image("b.jpg")
    found = problems(
        jsonl(
            "nonsense",
            ENTRY | {"image_url": "gone.jpg", "label": [BOX | {"bottomY": 0.05}, BOX | {"isCrowd": "maybe"}]},
            ENTRY | {"image_url": "b.jpg", "image_details": {"width": 41, "height": 30}},
            ENTRY,
            ENTRY,
        )
    )
    assert "6 problems" in found
    assert "line 2: there is no image 'gone.jpg'" in found
    assert "line 2: box 1: the box (0.25, 0.1, 0.5, 0.05) is inverted" in found
    assert "line 3" in found
    assert "is 40 x 30 pixels, but annotated as 41 x 30" in found
    assert "line 5" in found
    assert "is the image of line 4 already" in found


def test_a_byte_order_mark_and_blank_lines_do_no_harm(jsonl: Callable[..., Path]) -> None:
    path = jsonl("", ENTRY, "", "")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(read_dataset(path).images) == 1


@pytest.mark.parametrize(
    "url",
    [
        "photos/some one.jpg",
        "elsewhere/photos/some one.jpg",
        r"photos\some one.jpg",
        "AmlDatastore://photos/some one.jpg",
        "azureml://subscriptions/1/resourcegroups/2/workspaces/3/datastores/blob/paths/set/photos/some%20one.jpg",
        "https://account.blob.core.windows.net/set/photos/some%20one.jpg?sv=2021&sig=a%2Fb",
    ],
)
def test_moved_images_are_found_by_the_end_of_their_path(
    jsonl: Callable[..., Path], write_image: Callable[..., Path], tmp_path: Path, url: str
) -> None:
    moved = write_image("new/photos/some one.jpg")
    for folder in (tmp_path / "new", tmp_path / "new" / "photos"):
        assert read_dataset(jsonl(ENTRY | {"image_url": url}), folder).images[0].path == moved


@pytest.mark.parametrize("scheme", ["", "file://", "file://localhost"])
def test_absolute_paths_are_taken_as_they_are(
    jsonl: Callable[..., Path], write_image: Callable[..., Path], tmp_path: Path, scheme: str
) -> None:
    there = write_image("far/away.jpg")
    (tmp_path / "other").mkdir()
    dataset = read_dataset(jsonl(ENTRY | {"image_url": f"{scheme}{there}"}), tmp_path / "other")
    assert dataset.images[0].path == there
