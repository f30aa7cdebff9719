"""Boxes that are written in another way than the format says are read right or refused, never taken as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vfnet_data import DatasetError, DetectionDataset, read_dataset

TRUTH = [[20.0, 20.0, 80.0, 100.0], [120.0, 40.0, 250.0, 190.0]]
"""x1 y1 x2 y2 in an image of 320 x 213."""
MANY = [[10.0 * k, 5.0 * k, 10.0 * k + 60.5, 5.0 * k + 40.25] for k in range(1, 25)]
WIDTH, HEIGHT = 320, 213
Box = Sequence[float]
Write = Callable[..., Path]


def xywh(box: Box) -> list[float]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def centre(box: Box) -> list[float]:
    return [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]]


def yxyx(box: Box) -> list[float]:
    return [box[1], box[0], box[3], box[2]]


def fraction(box: Box, of: float = 1.0) -> list[float]:
    return [of * value / side for value, side in zip(box, (WIDTH, HEIGHT) * 2, strict=True)]


def area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


@pytest.fixture
def coco(tmp_path: Path, write_image: Callable[..., Path]) -> Write:
    """Write boxes as COCO JSON of one image, 320 x 213."""
    write_image("a.png", (WIDTH, HEIGHT))

    def write(boxes: Sequence[Box], areas: Sequence[float] | None = None, **image: Any) -> Path:
        annotations: list[dict[str, Any]] = [
            {"id": number, "image_id": 1, "category_id": 1, "bbox": box, "iscrowd": 0}
            for number, box in enumerate(boxes, 1)
        ]
        for annotation, each in zip(annotations, areas or (), strict=False):
            annotation["area"] = each
        entry = {"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT} | image
        document = {"images": [entry], "annotations": annotations, "categories": [{"id": 1, "name": "can"}]}
        path = tmp_path / "data.json"
        path.write_text(json.dumps(document))
        return path

    return write


def boxes_of(dataset: DetectionDataset) -> Any:
    return dataset.images[0].boxes


def sentence(source: Path, **options: Any) -> str:
    with pytest.raises(DatasetError) as raised:
        read_dataset(source, **options)
    return str(raised.value)


@pytest.mark.parametrize("truth", [TRUTH, MANY], ids=["two", "many"])
def test_coco_s_own_boxes_need_no_word(coco: Write, truth: list[Box]) -> None:
    dataset = read_dataset(coco([xywh(box) for box in truth], [area(box) for box in truth]))
    np.testing.assert_allclose(boxes_of(dataset), truth)
    assert dataset.notes == ()


def test_fractions_of_the_image_become_pixels(coco: Write) -> None:
    """As Azure's own labelling exports them."""
    boxes = [fraction(xywh(box)) for box in TRUTH]
    areas = [area(box) / (WIDTH * HEIGHT) for box in TRUTH]
    dataset = read_dataset(coco(boxes, areas, width=320.0, height=213.0))
    np.testing.assert_allclose(boxes_of(dataset), TRUTH, rtol=1e-5)
    np.testing.assert_allclose(dataset.images[0].object_areas, [area(box) for box in TRUTH])
    assert "boxes are fractions of their image (0.0625, 0.0939" in dataset.notes[0]


def test_fractions_need_no_size_in_the_file(coco: Write) -> None:
    dataset = read_dataset(coco([fraction(xywh(box)) for box in TRUTH], width=0, height=None))
    np.testing.assert_allclose(boxes_of(dataset), TRUTH, rtol=1e-5)


def test_the_whole_image_as_a_fraction_is_the_whole_image(coco: Write) -> None:
    np.testing.assert_allclose(boxes_of(read_dataset(coco([[0, 0, 1, 1]]))), [[0, 0, WIDTH, HEIGHT]])


@pytest.mark.parametrize("truth", [TRUTH, MANY], ids=["two", "many"])
def test_corners_are_told_by_their_areas(coco: Write, truth: list[Box]) -> None:
    dataset = read_dataset(coco(truth, [area(box) for box in truth]))
    np.testing.assert_allclose(boxes_of(dataset), truth)
    assert "boxes are corners of pixels" in dataset.notes[0]


def test_corners_in_fractions_are_told_by_their_areas(coco: Write) -> None:
    dataset = read_dataset(coco([fraction(box) for box in TRUTH], [area(fraction(box)) for box in TRUTH]))
    np.testing.assert_allclose(boxes_of(dataset), TRUTH, rtol=1e-5)
    assert "fractions" in dataset.notes[0]
    assert "corners" in dataset.notes[0]


AMBIGUOUS: dict[str, tuple[str, list[list[float]]]] = {
    "corners without areas": ("xyxy", [list(box) for box in TRUTH]),
    "many corners": ("xyxy", [list(box) for box in MANY]),
    "TensorFlow's order": ("yxyx", [yxyx(box) for box in TRUTH]),
    "TensorFlow's fractions": ("yxyx", [yxyx(fraction(box)) for box in TRUTH]),
    "YOLO's centres": ("cxcywh", [fraction(centre(box)) for box in [*TRUTH, [200, 150, 320, 213]]]),
    "y before x": (
        "yxhw",
        [
            [box[1], box[0], box[3] - box[1], box[2] - box[0]]
            for box in [*MANY, [250.5, 20, 318, 60], [270, 9, 318, 99]]
        ],
    ),
    "many centres": ("cxcywh", [centre(box) for box in [*MANY, [200.0, 150.0, 320.0, 213.0], [290, 9, 318, 209]]]),
}


@pytest.mark.parametrize(("layout", "boxes"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_does_not_fit_as_coco_s_is_asked_about(coco: Write, layout: str, boxes: list[list[float]]) -> None:
    source = coco(boxes)
    said = sentence(source, skip_invalid=False)
    assert "reach far out of their images as x, y, width, height" in said
    assert f"(--boxes {layout})" in said
    assert "--skip-invalid" not in said  # it would not help
    assert sentence(source, skip_invalid=True) == said


@pytest.mark.parametrize(
    ("layout", "write"),
    [("xyxy", list), ("yxyx", yxyx), ("cxcywh", centre), ("xywh", xywh), ("yxhw", lambda box: yxyx(xywh(box)))],
    ids=["xyxy", "yxyx", "cxcywh", "xywh", "yxhw"],
)
@pytest.mark.parametrize("is_fraction", [False, True])
def test_the_answer_is_taken(coco: Write, layout: str, write: Callable[[Box], Box], is_fraction: bool) -> None:
    written = [write(fraction(box) if is_fraction else box) for box in TRUTH]
    np.testing.assert_allclose(boxes_of(read_dataset(coco(written), box_layout=layout)), TRUTH, rtol=1e-5)


def test_percentages_are_refused(coco: Write) -> None:
    truth = [*MANY, [300.5, 190.5, 318.5, 211.5]]
    assert "look like percentages" in sentence(coco([xywh(fraction(box, of=100)) for box in truth]))


def test_pixels_that_count_from_one_are_moved(coco: Write) -> None:
    truth = [[0, 0, 80, 100], [120, 40, 320, 190], [0, 100, 50, 213]]
    dataset = read_dataset(coco([[x1 + 1, y1 + 1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in truth]))
    np.testing.assert_allclose(boxes_of(dataset), truth)
    assert "pixels count from 1" in dataset.notes[0]


def test_a_pixel_over_the_edge_alone_is_rounding(coco: Write) -> None:
    dataset = read_dataset(coco([[0, 0, 80, 100], [220, 40, 101, 50]]))
    np.testing.assert_allclose(boxes_of(dataset), [[0, 0, 80, 100], [220, 40, 320, 90]])
    assert dataset.notes == ()


def test_boxes_that_could_be_corners_are_told(coco: Write) -> None:
    truth = [[20, 20, 80, 100], [10, 30, 50, 90]]
    dataset = read_dataset(coco(truth))
    np.testing.assert_allclose(boxes_of(dataset), [[20, 20, 100, 120], [10, 30, 60, 120]])
    assert (
        "boxes would fit their images as corners, too (20, 20, 80, 100): if they are, say --boxes xyxy"
        in (dataset.notes[0])
    )
    assert read_dataset(coco(truth), box_layout="xywh").notes == ()
    assert read_dataset(coco(truth, [80 * 100, 50 * 90])).notes == ()  # their areas say what they are


def test_a_fraction_among_pixels_is_named(coco: Write) -> None:
    source = coco([xywh(TRUTH[0]), fraction(xywh(TRUTH[1]))])
    assert "annotation 2: the box (0.375, 0.187793, 0.78125, 0.892019)" in sentence(source)
    assert "in fractions of its image, and other boxes are in pixels" in sentence(source)
    np.testing.assert_allclose(boxes_of(read_dataset(source, skip_invalid=True)), TRUTH[:1])


def test_boxes_of_a_larger_image_are_not_taken_for_this_one_s(coco: Write) -> None:
    boxes = [xywh([4 * value for value in box]) for box in MANY]
    assert "are these the images that were annotated, in this size?" in sentence(coco(boxes, width=None, height=None))
    resized = sentence(coco(boxes, width=1280, height=852))
    assert "is 320 x 213 pixels, but annotated as 1280 x 852 (resized by 0.25: its boxes are of the other" in resized
    assert "annotated as 213 x 320 (width and height are exchanged)" in sentence(coco([], width=213, height=320))


def test_sides_that_run_backwards_are_named(coco: Write) -> None:
    """As labelling tools leave them where a box was drawn from its lower right corner."""
    said = sentence(coco([[80, 100, -60, -80]]), skip_invalid=False)
    assert "annotation 1: the box (80, 100, 20, 20) is inverted" in said
    assert "--skip-invalid goes on without them" in said


def test_a_box_over_the_edge_is_clipped_and_counted(coco: Write) -> None:
    dataset = read_dataset(coco([[280, 20, 42.5, 30], [-30, 40, 60, 80], *map(xywh, MANY[:9])]))
    np.testing.assert_allclose(boxes_of(dataset)[:2], [[280, 20, 320, 50], [0, 40, 30, 120]])
    assert dataset.notes == (
        "2 boxes reach over the edge of the image, by up to 30 pixels: clipped, as MMDetection does",
    )


@pytest.fixture
def jsonl_of(tmp_path: Path, write_image: Callable[..., Path]) -> Write:
    """Write corners as AutoML JSONL of one image, 320 x 213."""
    write_image("a.png", (WIDTH, HEIGHT))

    def write(boxes: Sequence[Box]) -> Path:
        names = ("topX", "topY", "bottomX", "bottomY")
        labels = [{"label": "can", **dict(zip(names, box, strict=True))} for box in boxes]
        path = tmp_path / "data.jsonl"
        path.write_text(json.dumps({"image_url": "a.png", "label": labels}))
        return path

    return write


def test_jsonl_in_pixels_is_read_as_pixels(jsonl_of: Write) -> None:
    dataset = read_dataset(jsonl_of(TRUTH))
    np.testing.assert_allclose(boxes_of(dataset), TRUTH)
    assert "boxes are pixels although the format has fractions" in dataset.notes[0]


def test_jsonl_that_may_be_pixels_or_percentages_is_refused(jsonl_of: Write) -> None:
    assert "boxes are pixels or percentages (20, 20, 80, 100)" in sentence(jsonl_of(TRUTH[:1]))


def test_what_is_said_of_coco_changes_no_other_format(jsonl_of: Write) -> None:
    dataset = read_dataset(jsonl_of([fraction(box) for box in TRUTH]), box_layout="cxcywh")
    np.testing.assert_allclose(boxes_of(dataset), TRUTH, rtol=1e-5)
    assert dataset.notes == ("it is not COCO JSON, so that --boxes changes nothing",)


def test_voc_in_fractions_is_read_as_fractions(tmp_path: Path, write_image: Callable[..., Path]) -> None:
    write_image("a.png", (WIDTH, HEIGHT))
    corners = ("xmin", "ymin", "xmax", "ymax")
    boxes = "".join(
        "<object><name>can</name><bndbox>"
        + "".join(f"<{name}>{value}</{name}>" for name, value in zip(corners, fraction(box), strict=True))
        + "</bndbox></object>"
        for box in TRUTH
    )
    (tmp_path / "a.xml").write_text(f"<annotation><filename>a.png</filename>{boxes}</annotation>")
    np.testing.assert_allclose(boxes_of(read_dataset(tmp_path)), TRUTH, rtol=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_boxes_as_people_draw_them_are_left_alone(coco: Write, seed: int) -> None:
    """Of any number and size, with a share over the edge, and areas of masks."""
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 60))
    size = random.uniform(2, [WIDTH * 0.9, HEIGHT * 0.9], (count, 2))
    corner = random.uniform(0, 1, (count, 2)) * ([WIDTH, HEIGHT] - size)
    over = random.uniform(0, 1, count) < 0.1
    corner[over] += random.uniform(0, 0.4, (over.sum(), 2)) * size[over]
    boxes = np.concatenate([corner, size], axis=1)
    areas = size.prod(axis=1) * random.uniform(0.4, 1, count)
    read = boxes_of(read_dataset(coco(boxes.tolist(), areas.tolist())))
    truth = np.concatenate([corner, np.minimum(corner + size, [WIDTH, HEIGHT])], axis=1)
    np.testing.assert_allclose(read, truth, rtol=1e-5)
