"""Two sets of detections of the same annotated images: what B gained over A, and what it lost.

Each is judged where its own F1 is best (`matching.OperatingPoint`), for the scores of two detectors are seldom alike.
An object is found by a detection of its class at IoU 0.5. It is gained where B finds it and A does not, and lost the
other way round.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from vfnet_client.safe_text import markdown_text, printable_line
from vfnet_data.dataset import AnnotatedImage, DetectionDataset
from vfnet_evaluate.coco_evaluation import FIGURES
from vfnet_evaluate.error_kinds import KINDS, SIZES, ErrorKinds, error_kinds
from vfnet_evaluate.matching import IOU_THRESHOLD, ImageMatches
from vfnet_evaluate.report import EvaluationReport, percent, table

_SMALL, _LARGE = 32**2, 96**2
"""Square pixels: COCO's bounds of a medium object (`areaRng` of pycocotools). Of its two ranges that hold a bound the
larger is taken, so that an object counts once."""
_CLASSES_SHOWN = 20


@dataclass(frozen=True)
class Change:
    """Of some objects: how many there are, and how many of them A and B find."""

    objects: int
    found_a: int
    found_b: int
    gained: int
    lost: int


@dataclass(frozen=True)
class ClassChange(Change):
    """Of a class: `wrong` are detections that bear its name and are not right; AP as `ClassFigures.AP`."""

    wrong_a: int
    wrong_b: int
    ap_a: float
    ap_b: float


@dataclass(frozen=True)
class SizeChange(Change):
    """Of one of COCO's sizes; AP as pycocotools', -1 without objects."""

    ap_a: float
    ap_b: float


@dataclass(frozen=True, eq=False)
class ImageChange:
    """One image."""

    position: int
    """In the data set."""
    gained: npt.NDArray[np.int64]
    lost: npt.NDArray[np.int64]
    """Indices of objects."""
    mistakes_a: int
    mistakes_b: int
    """False detections, wrong labels and missed objects: `ImageMatches.wrong`."""

    @property
    def fewer_mistakes(self) -> int:
        """How many fewer B makes than A; below 0: more."""
        return self.mistakes_a - self.mistakes_b


@dataclass(frozen=True, eq=False)
class Comparison:
    """What differs between two evaluations of one data set."""

    a: EvaluationReport
    b: EvaluationReport
    kinds_a: ErrorKinds
    kinds_b: ErrorKinds
    images: tuple[ImageChange, ...]
    """One for each image of the data set, in its order."""
    classes: dict[str, ClassChange]
    """Of the classes that have objects or that A or B detected, most changed AP first."""
    sizes: dict[str, SizeChange]
    """By the names of `SIZES`, without "all"."""

    @property
    def dataset(self) -> DetectionDataset:
        """That both were evaluated on."""
        return self.a.dataset

    @cached_property
    def improved(self) -> list[ImageChange]:
        """Images with fewer mistakes, the greatest gain first; then by objects gained."""
        better = [image for image in self.images if image.fewer_mistakes > 0]
        return sorted(better, key=lambda image: (-image.fewer_mistakes, len(image.lost) - len(image.gained)))

    @cached_property
    def worsened(self) -> list[ImageChange]:
        """Images with more mistakes, the greatest loss first; then by objects lost."""
        worse = [image for image in self.images if image.fewer_mistakes < 0]
        return sorted(worse, key=lambda image: (image.fewer_mistakes, len(image.gained) - len(image.lost)))

    @property
    def chance(self) -> float:
        """That so many more images or yet more are better, or worse, by chance: the two-sided sign test."""
        return sign_test(len(self.improved), len(self.worsened))

    def to_json(self) -> dict[str, Any]:
        """Every figure; AP and its kin are 0 to 1, -1 where there is nothing to count."""
        kinds = {"A": self.kinds_a, "B": self.kinds_b}
        labels = {name: label for label, name in enumerate(self.dataset.classes)}
        return {
            "A": self.a.to_json(),
            "B": self.b.to_json(),
            "error_kinds": {
                side: {size: {kind: each.area(kind, size) for kind in KINDS} for size in SIZES}
                for side, each in kinds.items()
            },
            "classes": {
                name: {
                    **asdict(change),
                    "error_kinds": {
                        side: {kind: each.area(kind, label=labels[name]) for kind in KINDS}
                        for side, each in kinds.items()
                    },
                }
                for name, change in self.classes.items()
            },
            "sizes": {name: asdict(change) for name, change in self.sizes.items()},
            "images_better": len(self.improved),
            "images_worse": len(self.worsened),
            "chance": self.chance,
            "images": [
                {
                    "image_id": image.image_id,
                    "path": printable_line(str(image.path), 4096),
                    "gained": len(change.gained),
                    "lost": len(change.lost),
                    "mistakes_a": change.mistakes_a,
                    "mistakes_b": change.mistakes_b,
                }
                for change, image in zip(self.images, self.dataset.images, strict=True)
            ],
        }

    def to_markdown(self, most: int = 8) -> str:
        """Tables of the figures, the error kinds, the sizes, the classes most changed and the `most` changed images."""
        a, b = self.a.evaluation.figures, self.b.evaluation.figures
        unchanged = len(self.images) - len(self.improved) - len(self.worsened)
        sections = [
            [
                f"A: {markdown_text(self.a.source, 1000)}",
                f"B: {markdown_text(self.b.source, 1000)}",
                f"{len(self.images)} images, {sum(each.objects for each in self.classes.values())} objects",
            ],
            table(_differing("figure", [(name, a[name], b[name]) for name in FIGURES])),
            table(
                _differing(
                    "forgiven up to", [(kind, self.kinds_a.area(kind), self.kinds_b.area(kind)) for kind in KINDS]
                )
            ),
            table([["size", *_CHANGE, *_AP], *([name, *_row(each), *_ap(each)] for name, each in self.sizes.items())]),
            self._class_lines(),
            [
                f"Images: {len(self.improved)} better, {len(self.worsened)} worse, {unchanged} with as many mistakes "
                f"(sign test: p = {self.chance:.2g})"
            ],
            *self._image_lines("Most gained", self.improved[:most]),
            *self._image_lines("Most lost", self.worsened[:most]),
            [
                f"Objects and mistakes are counted at IoU {IOU_THRESHOLD}, with scores from "
                f"{self.a.operating_point.score_threshold:.3f} on of A and "
                f"{self.b.operating_point.score_threshold:.3f} of B, where the F1 of each is best"
            ],
        ]
        return "\n\n".join("\n".join(lines) for lines in sections)

    def _class_lines(self) -> list[str]:
        shown = list(self.classes.items())[:_CLASSES_SHOWN]
        lines = table(
            [
                ["class", *_CHANGE, "wrong A", "wrong B", *_AP],
                *(
                    [markdown_text(name), *_row(each), str(each.wrong_a), str(each.wrong_b), *_ap(each)]
                    for name, each in shown
                ),
            ]
        )
        more = len(self.classes) - len(shown)
        return [*lines, *(["", f"{more} more classes changed less; --json has all"] if more else [])]

    def _image_lines(self, heading: str, changes: Sequence[ImageChange]) -> list[list[str]]:
        if not changes:
            return []
        rows = [
            [
                markdown_text(self.dataset.images[change.position].path.name, 100),
                *map(str, (len(change.gained), len(change.lost), change.mistakes_a, change.mistakes_b)),
            ]
            for change in changes
        ]
        return [table([[heading.lower(), "gained", "lost", "mistakes A", "mistakes B"], *rows])]


_CHANGE = ("objects", "found A", "found B", "gained", "lost")
_AP = ("AP A", "AP B", "B - A")


def compare(a: EvaluationReport, b: EvaluationReport) -> Comparison:
    """Compare two evaluations of one data set."""
    dataset = a.dataset
    images = tuple(
        _image_change(position, image, ours, theirs)
        for position, (image, ours, theirs) in enumerate(zip(dataset.images, a.matches, b.matches, strict=True))
    )
    labels = _joined((image.labels for image in dataset.images), np.int64)
    areas = _joined((image.object_areas for image in dataset.images), np.float64)
    counted = _joined((~image.crowd for image in dataset.images), np.bool_)
    found_a, found_b = (_joined(map(_found, dataset.images, report.matches), np.bool_) for report in (a, b))
    wrong_a, wrong_b = (_wrong_by_class(report) for report in (a, b))

    def change(among: npt.NDArray[np.bool_]) -> Change:
        ours, theirs = found_a[among & counted], found_b[among & counted]
        counts = (np.ones_like(ours), ours, theirs, theirs & ~ours, ours & ~theirs)
        return Change(*(int(np.count_nonzero(each)) for each in counts))

    classes = {
        name: ClassChange(
            **asdict(change(labels == label)),
            wrong_a=int(wrong_a[label]),
            wrong_b=int(wrong_b[label]),
            ap_a=a.evaluation.per_class[name].AP,
            ap_b=b.evaluation.per_class[name].AP,
        )
        for label, name in enumerate(dataset.classes)
    }
    there = {name: each for name, each in classes.items() if each.objects or each.wrong_a or each.wrong_b}
    of_size = {"small": areas < _SMALL, "medium": (areas >= _SMALL) & (areas < _LARGE), "large": areas >= _LARGE}
    sizes = {
        name: SizeChange(
            **asdict(change(among)),
            ap_a=a.evaluation.figures[f"AP{name[0]}"],
            ap_b=b.evaluation.figures[f"AP{name[0]}"],
        )
        for name, among in of_size.items()
    }
    kinds_a, kinds_b = (error_kinds(dataset, report.detected.detections) for report in (a, b))
    ranked = sorted(there.items(), key=lambda item: (-abs(item[1].ap_b - item[1].ap_a), -item[1].gained - item[1].lost))
    return Comparison(a, b, kinds_a, kinds_b, images, dict(ranked), sizes)


def sign_test(better: int, worse: int) -> float:
    """The probability that of so many fair coins the rarer side comes as seldom or yet more seldom, both sides."""
    total, fewer = better + worse, min(better, worse)
    return min(1.0, sum(math.comb(total, count) for count in range(fewer + 1)) / 2 ** (total - 1)) if total else 1.0


def _image_change(position: int, image: AnnotatedImage, ours: ImageMatches, theirs: ImageMatches) -> ImageChange:
    found_a, found_b = _found(image, ours), _found(image, theirs)
    return ImageChange(
        position,
        np.flatnonzero(found_b & ~found_a),
        np.flatnonzero(found_a & ~found_b),
        ours.wrong(image),
        theirs.wrong(image),
    )


def _found(image: AnnotatedImage, matched: ImageMatches) -> npt.NDArray[np.bool_]:
    """[objects], whether a detection of the object's class was matched to it."""
    found = np.zeros(len(image.labels), np.bool_)
    found[matched.truth_of[matched.right(image)]] = True
    return found


def _wrong_by_class(report: EvaluationReport) -> npt.NDArray[np.int64]:
    """[classes], how many detections bear the class's name and are not right."""
    counts = report.confusion[:, :-1]
    return np.asarray(counts.sum(axis=0) - counts.diagonal(), np.int64)


def _joined(arrays: Iterable[npt.NDArray[Any]], dtype: type[np.generic]) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *arrays])


def _differing(heading: str, rows: Sequence[tuple[str, float, float]]) -> list[list[str]]:
    return [
        [heading, "A", "B", "B - A"],
        *([name, percent(a), percent(b), _difference(a, b)] for name, a, b in rows),
    ]


def _row(change: Change) -> list[str]:
    return [str(value) for value in (change.objects, change.found_a, change.found_b, change.gained, change.lost)]


def _ap(change: ClassChange | SizeChange) -> list[str]:
    return [percent(change.ap_a), percent(change.ap_b), _difference(change.ap_a, change.ap_b)]


def _difference(a: float, b: float) -> str:
    """In points; a dash where there is nothing to count."""
    return "-" if a < 0 or b < 0 else f"{100 * (b - a):+.1f}"
