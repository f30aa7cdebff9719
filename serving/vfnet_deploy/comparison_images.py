"""What two models are compared on: pictures, annotated data, or what the gateway has captured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vfnet_capture.layout import CAPTURED, COCO, IMAGES, JSONL, MARK, REVIEWED, record_name
from vfnet_client.exceptions import CommandError
from vfnet_client.images import expand
from vfnet_data.dataset import DetectionDataset
from vfnet_data.mltable import is_mltable
from vfnet_data.reading import read_dataset

_TABLES = (".jsonl", ".ndjson", ".json")


@dataclass(frozen=True)
class ComparisonImages:
    """Files to ask both models about, and annotated images for AP."""

    paths: tuple[Path, ...] = ()
    dataset: DetectionDataset | None = None

    def at_most(self, count: int) -> ComparisonImages:
        """The same, with so many of the files that lie evenly among them; AP is of all."""
        step = max(1.0, len(self.paths) / count)
        chosen = {int(number * step) for number in range(count)}
        return ComparisonImages(tuple(path for n, path in enumerate(self.paths) if n in chosen), self.dataset)


def find_images(
    words: Sequence[str], annotations: Path | None = None, annotated_images: Path | None = None
) -> ComparisonImages:
    """What these words name.

    Args:
        words: images, folders of images, annotations in the formats that `vfnet evaluate` reads, or the folder of
            `vfnet gateway --capture`. Annotations are used for AP too, and of what was captured those that a person
            has reviewed: the others are answers of a model.
        annotations: for AP, instead of those. Without words, their images are what is compared on.
        annotated_images: the folder of their images.

    Raises:
        CommandError: a word names no image, or two data sets.
        DatasetError: annotations are wrong.
    """
    paths, found = list[Path](), list[DetectionDataset]()
    for word in words:
        path = Path(word)
        store = path.parent if path.name in (CAPTURED + JSONL, CAPTURED + COCO) else path
        if (store / MARK).is_file():
            paths += [path for path in _pictures(str(store / IMAGES)) if (store / record_name(path.stem)).is_file()]
            reviewed = store / (REVIEWED + JSONL)
            if reviewed.is_file() and reviewed.stat().st_size:
                found.append(read_dataset(reviewed))
        elif path.suffix.lower() in _TABLES or is_mltable(path):
            dataset = read_dataset(path)
            paths += [image.path for image in dataset.images]
            found.append(dataset)
        else:
            paths += _pictures(word)
    if annotations is not None:
        found = [read_dataset(annotations, annotated_images)]
        if not words:
            paths = [image.path for image in found[0].images]
    if len(found) > 1:
        raise CommandError("--compare-on names several annotated sets, and AP is of one: say which with --annotations")
    return ComparisonImages(tuple(paths), found[0] if found else None)


def _pictures(word: str) -> list[Path]:
    sources = [source.location for source in expand([word])]
    paths = [location for location in sources if isinstance(location, Path)]
    if len(paths) < len(sources):
        raise CommandError("--compare-on takes files and folders, no URLs")
    return paths
