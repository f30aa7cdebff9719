"""How often drift is found, the table of docs/drift.md: `python tests/drift/measure_detection.py NAME=PLACE ...`.

PLACE is whatever `vfnet drift --reference` takes that has images and boxes, or several with commas between; `:FOLDER`
after it names the images' folder. They are split at random into halves again and again, the second half is changed, and
counted is how often any feature is said to drift.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vfnet_client.progress import Progress
from vfnet_drift import testing
from vfnet_drift.comparison import compare
from vfnet_drift.side import Side
from vfnet_drift.sources import Asked, open_side
from vfnet_profile.features import BOX_SIZE, BOXES, BRIGHTNESS, IMAGE_SIZE, SCORE, Observation

Change = Callable[[Sequence[Observation], np.random.Generator], Sequence[Observation]]
_BY_BOX = (SCORE, BOX_SIZE)


def scaled(feature: str, factor: float, places: int, images: Sequence[Observation], _: Any) -> list[Observation]:
    """Every value of a feature times `factor`, rounded as it is measured."""

    def of(numbers: Mapping[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
        values = tuple(round(factor * value, places) for value in numbers.get(feature, ()))
        return {**numbers, feature: values}

    return [replace(each, numbers=of(each.numbers)) for each in images]


def missed(share: float, images: Sequence[Observation], generator: np.random.Generator) -> list[Observation]:
    """Of the boxes of the commonest class, this share is not found any more."""
    ((commonest, _),) = Counter(label for each in images for label in each.labels or ()).most_common(1)
    changed = []
    for each in images:
        labels = each.labels or ()
        kept = [i for i, label in enumerate(labels) if label != commonest or generator.random() >= share]
        numbers: dict[str, tuple[float, ...]] = {**each.numbers, BOXES: (float(len(kept)),)}
        for feature in _BY_BOX:
            values = each.numbers.get(feature, ())
            numbers[feature] = tuple(values[i] for i in kept) if values else ()
        changed.append(Observation(numbers, tuple(labels[i] for i in kept)))
    return changed


def relabelled(share: float, images: Sequence[Observation], generator: np.random.Generator) -> list[Observation]:
    """So many boxes of other classes are called by the commonest one."""
    ((commonest, _),) = Counter(label for each in images for label in each.labels or ()).most_common(1)

    def called(label: str) -> str:
        return commonest if generator.random() < share else label

    return [replace(each, labels=tuple(called(label) for label in each.labels or ())) for each in images]


CHANGES: Mapping[str, tuple[Change, str]] = {
    "none": (lambda images, _: images, ""),
    "brightness x 0.9": (partial(scaled, BRIGHTNESS, 0.9, 1), "brightness"),
    "brightness x 0.8": (partial(scaled, BRIGHTNESS, 0.8, 1), "brightness"),
    "brightness x 0.6": (partial(scaled, BRIGHTNESS, 0.6, 1), "brightness"),
    "the commonest class half missed": (partial(missed, 0.5), "class"),
    "the commonest class missed": (partial(missed, 1.0), "class"),
    "boxes 0.8 times as wide and high": (partial(scaled, BOX_SIZE, 0.8, 3), "box_size"),
    "boxes 0.6 times as wide and high": (partial(scaled, BOX_SIZE, 0.6, 3), "box_size"),
    "images half as wide and high": (partial(scaled, IMAGE_SIZE, 0.5, 0), "image_size"),
    "a third of the boxes called by the commonest class": (partial(relabelled, 1 / 3), "class"),
}
"""And the feature that should tell it."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="+", metavar="NAME=PLACE")
    parser.add_argument("--splits", type=int, default=20, help="for each change (default: %(default)s)")
    parser.add_argument("--splits-unchanged", type=int, default=160, help="(default: %(default)s)")
    parser.add_argument("--permutations", type=int, default=199, help="of images, in each test (default: %(default)s)")
    arguments = parser.parse_args()
    testing.PERMUTATIONS = arguments.permutations
    images: dict[str, list[Observation]] = {}
    for given in arguments.places:
        name, _, places = given.partition("=")
        images[name] = []
        for place in places.split(","):
            annotations, _, folder = place.partition(":")
            asked = Asked(images=Path(folder) if folder else None)
            images[name] += open_side(annotations, asked).observations or ()
        print(f"{name}: {len(images[name])} images")
    splits = {change: arguments.splits_unchanged if change == "none" else arguments.splits for change in CHANGES}
    rows = [("change", *images, "told by")]
    with Progress("splitting", len(images) * sum(splits.values()), "split") as progress:
        progress.begin()
        for change, (apply, feature) in CHANGES.items():
            counts = []
            for observations in images.values():
                found = 0
                for seed in range(splits[change]):
                    generator = np.random.default_rng((seed, len(change)))
                    order = generator.permutation(len(observations))
                    first, second = np.array_split(order, 2)
                    found += _drifts(
                        [observations[i] for i in first], apply([observations[i] for i in second], generator)
                    )
                    progress.advance()
                counts.append(f"{found} of {splits[change]}")
            rows.append((change, *counts, feature))
    for row in rows:
        print(f"| {' | '.join(row)} |")
    return 0


def _drifts(first: Sequence[Observation], second: Sequence[Observation]) -> bool:
    """Whether any feature is said to drift."""
    return bool(compare(Side("then", len(first), first), Side("now", len(second), second)).drifted)


if __name__ == "__main__":
    raise SystemExit(main())
