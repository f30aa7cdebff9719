"""Detections in COCO's result format: `[{"image_id", "category_id", "bbox": [x, y, width, height], "score"}, ...]`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from vfnet_client.atomic_files import write_whole
from vfnet_client.bounded_files import read_text
from vfnet_client.bounded_json import parse_json
from vfnet_data import values
from vfnet_data.box_layouts import DECLARED, LAYOUTS, find_meaning
from vfnet_data.dataset import DatasetError, DetectionDataset
from vfnet_data.problems import Problems
from vfnet_data.values import MOST_BYTES
from vfnet_model.detectors.image_detections import ImageDetections


class CocoResult(TypedDict):
    """One detection; `bbox` in pixels of the stored image."""

    image_id: int
    category_id: int
    bbox: list[float]
    score: float


def coco_results(dataset: DetectionDataset, detections: Sequence[ImageDetections]) -> list[CocoResult]:
    """Detections, one record for each image of the data set, as COCO's list, unrounded."""
    return [
        {
            "image_id": image.image_id,
            "category_id": dataset.category_ids[label],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": score,
        }
        for image, found in zip(dataset.images, detections, strict=True)
        for (x1, y1, x2, y2), score, label in zip(
            found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True
        )
    ]


def write_coco_results(dataset: DetectionDataset, detections: Sequence[ImageDetections], path: Path) -> None:
    """Write `coco_results`; ids are the data set's."""
    write_whole(path, json.dumps(coco_results(dataset, detections)).encode() + b"\n")


def read_coco_results(dataset: DetectionDataset, path: Path) -> list[ImageDetections]:
    """Detections for each of the data set's images, in their order; `labels` index its classes.

    Those of images and categories that were left out of the data set are left out too.

    Raises:
        DatasetError: lists what is wrong: no JSON list, unknown image or category ids, boxes that are none.
    """
    problems = Problems()
    rows: dict[int, list[tuple[list[float], float, int]]] = {image.image_id: [] for image in dataset.images}
    index_of = {category_id: index for index, category_id in enumerate(dataset.category_ids)}
    for position, entry in enumerate(_read_list(path)):
        try:
            image_id, category_id, box, score = _read_entry(entry)
            known = image_id in rows and category_id in index_of
            if known:
                rows[image_id].append((box, score, index_of[category_id]))
            elif not dataset.is_partial:
                raise ValueError(
                    f"category_id {category_id} is no category's of the annotations"
                    if image_id in rows
                    else f"image_id {image_id} is no image's of the annotations"
                )
        except ValueError as error:
            problems.append(f"[{position}]: {error}")
    if not problems and (doubt := _doubt(dataset, rows)):
        problems.append(doubt)
    if problems:
        raise DatasetError(path, problems)
    return [_as_arrays(rows[image.image_id]) for image in dataset.images]


def _read_list(path: Path) -> list[object]:
    try:
        document = parse_json(read_text(path, MOST_BYTES))
    except FileNotFoundError:
        raise DatasetError(path, ["there is no such file"]) from None
    except OSError as error:
        raise DatasetError(path, [f"it {error.strerror}"]) from None
    except ValueError as error:
        raise DatasetError(path, [f"not JSON: {error}"]) from None
    if not isinstance(document, list):
        raise DatasetError(path, ["not COCO's result format, which is a list of detections"])
    return document


def _read_entry(entry: object) -> tuple[int, int, list[float], float]:
    """Ids of image and category, four numbers, score."""
    if not values.is_object(entry):
        raise ValueError(f"is {values.shown(entry)}, not a JSON object")
    image_id = values.field("image_id", values.identifier, entry.get("image_id"))
    category_id = values.field("category_id", values.identifier, entry.get("category_id"))
    score = values.field("score", values.number, entry.get("score"))
    bbox = entry.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise ValueError(f"bbox is {values.shown(bbox)}; expected is [x, y, width, height]")
    x, y, width, height = (values.field("bbox", values.number, value) for value in bbox)
    if width < 0 or height < 0:
        raise ValueError(f"bbox {values.shown(bbox)} has a negative side")
    return image_id, category_id, [x, y, width, height], score


def _doubt(dataset: DetectionDataset, rows: Mapping[int, list[tuple[list[float], float, int]]]) -> str:
    """Why the boxes are not pixels as COCO writes them, or nothing: else every figure would be 0."""
    counts = [len(rows[image.image_id]) for image in dataset.images]
    boxes = np.array([box for image in dataset.images for box, _, _ in rows[image.image_id]], np.float64).reshape(-1, 4)
    frames = np.array([(image.width, image.height) for image in dataset.images], np.float64).reshape(-1, 2)
    unknown = np.full(len(boxes), np.nan)
    meaning = find_meaning(boxes, np.repeat(frames, counts, axis=0), unknown, DECLARED, False)
    if meaning.is_fraction:
        return "bbox is in fractions of the image; COCO's results are [x, y, width, height] in pixels"
    return meaning.problem.replace(" (--boxes ", " (").partition(": say which")[0]


def _as_arrays(rows: list[tuple[list[float], float, int]]) -> ImageDetections:
    boxes = np.array([box for box, _, _ in rows], np.float64).reshape(-1, 4)
    return ImageDetections(
        boxes=LAYOUTS[DECLARED](boxes),
        scores=np.array([score for _, score, _ in rows], np.float64),
        labels=np.array([label for _, _, label in rows], np.int64),
    )
