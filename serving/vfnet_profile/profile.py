"""A profile: how often each feature has which values, without the images and without a name of one."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vfnet_client.bounded_files import read_text
from vfnet_client.bounded_json import parse_json
from vfnet_client.exceptions import VFNetError
from vfnet_client.safe_text import printable_line
from vfnet_profile.bins import MOST_NAMES, Bins, NameBins, NumberBins, even_bins
from vfnet_profile.distances import design_effect
from vfnet_profile.features import CLASS, FEATURES, SCORE_FROM, Observation

LAYOUT = 1
_LARGEST = sys.float_info.max
_MOST_BYTES = 4 << 20
_MOST_BINS = 2000
_LONGEST_NAME = 200
_LEAST_OF_A_NAME = 5
"""The rule of thumb of chi-square tests for what a cell should hold (Cochran 1954)."""


class ProfileError(VFNetError):
    """A file that is no profile; the message says why and what to do."""


@dataclass(frozen=True)
class Histogram:
    """Of one feature."""

    bins: Bins
    counts: npt.NDArray[np.float64]
    """[bins]"""
    design_effect: float = 1.0
    """See `distances.design_effect`."""

    @property
    def total(self) -> float:
        """Values counted."""
        return float(self.counts.sum())


@dataclass(frozen=True)
class Profile:
    """Histograms by feature. A feature of which nothing is known is not there."""

    images: int
    histograms: Mapping[str, Histogram]
    score_from: float = SCORE_FROM
    """Boxes with lower scores were not counted."""

    @classmethod
    def of(cls, observations: Sequence[Observation], score_from: float = SCORE_FROM) -> Profile:
        """Of a reference; the bins are made of its own values."""
        bins: dict[str, Bins] = {}
        for feature in FEATURES:
            if feature == CLASS:
                if names := name_bins(observations):
                    bins[CLASS] = names
                continue
            values = [value for each in observations for value in each.numbers.get(feature, ())]
            if values:
                bins[feature] = even_bins(values)
        return cls.counted(observations, bins, score_from)

    @classmethod
    def counted(
        cls, observations: Sequence[Observation], bins: Mapping[str, Bins], score_from: float = SCORE_FROM
    ) -> Profile:
        """Of observations, in bins that are given, such as those of the reference."""
        histograms = {}
        for feature, each in bins.items():
            rows = rows_of(observations, feature, each)
            if rows.sum():
                histograms[feature] = Histogram(each, rows.sum(axis=0), design_effect(rows))
        return cls(len(observations), histograms, score_from)

    @property
    def bins(self) -> dict[str, Bins]:
        """By feature."""
        return {feature: histogram.bins for feature, histogram in self.histograms.items()}

    def to_json(self) -> dict[str, Any]:
        """What `read_profile` reads."""
        features = {}
        for feature, histogram in self.histograms.items():
            bins = histogram.bins
            scale = {"names": list(bins.own)} if isinstance(bins, NameBins) else {"edges": list(bins.edges)}
            features[feature] = {
                **scale,
                "counts": histogram.counts.tolist(),
                "design_effect": round(histogram.design_effect, 4),
            }
        return {
            "vfnet_profile": LAYOUT,
            "images": self.images,
            "score_from": self.score_from,
            "features": features,
        }

    @classmethod
    def from_json(cls, document: object) -> Profile:
        """Of what `to_json` gives. Raises ValueError: it is something else; the message says what is wrong."""
        if not isinstance(document, Mapping) or "vfnet_profile" not in document:
            raise ValueError("it has no vfnet_profile")
        if document["vfnet_profile"] != LAYOUT:
            raise ValueError(f"it is of layout {document['vfnet_profile']!r}; this version reads layout {LAYOUT}")
        features = document.get("features")
        if not isinstance(features, Mapping):
            raise ValueError("its features are no object")
        histograms = {}
        for feature in FEATURES:
            if feature in features:
                try:
                    histograms[feature] = _histogram(feature, features[feature])
                except (ValueError, TypeError, KeyError, AttributeError) as error:
                    raise ValueError(f"{feature}: {error}") from None
        images, score_from = (
            _number(document.get("images"), "images"),
            _number(document.get("score_from"), "score_from"),
        )
        if images < 1 or not histograms:
            raise ValueError("it has no image")
        return cls(int(images), histograms, score_from)


def name_bins(observations: Iterable[Observation]) -> NameBins | None:
    """A bin for each class of these images that is there often enough to be compared; None where there is no box.

    Rarer ones are others together. With a bin each, what is met for the first time would be others alone, of which the
    reference has none: a long tail of classes would look like drift whenever it is sampled again.
    """
    names = Counter(label for each in observations for label in each.labels or ())
    often = {name: count for name, count in names.items() if count >= _LEAST_OF_A_NAME} or names
    found = sorted(sorted(often, key=lambda name: -names[name])[:MOST_NAMES])
    return NameBins(tuple(found)) if found else None


def rows_of(observations: Iterable[Observation], feature: str, bins: Bins) -> npt.NDArray[np.float64]:
    """[images, bins] counts of a feature, an image a row; a row of zeros where it is not known of one."""
    rows = []
    for each in observations:
        if isinstance(bins, NameBins):
            rows.append(bins.count(each.labels or ()))
        else:
            rows.append(bins.count(each.numbers.get(feature, ())))
    return np.stack(rows) if rows else np.zeros((0, len(bins)))


def read_profile(path: Path) -> Profile:
    """What `vfnet drift --write-reference` wrote.

    Raises:
        ProfileError: it is not there, or no such file.
    """
    try:
        return Profile.from_json(parse_json(read_text(path, _MOST_BYTES), 100_000, 1_000_000))
    except FileNotFoundError:
        raise ProfileError(f"{path}: there is no such file; vfnet drift --write-reference makes one") from None
    except OSError as error:
        raise ProfileError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        said = printable_line(str(error))
        raise ProfileError(f"{path} is no reference of vfnet drift --write-reference: {said}") from None


def _histogram(feature: str, entry: Mapping[str, Any]) -> Histogram:
    bins: Bins
    if feature == CLASS:
        names = entry["names"]
        if not isinstance(names, list) or not all(
            isinstance(name, str) and len(name) <= _LONGEST_NAME for name in names
        ):
            raise ValueError("its names are no list of texts")
        if len(set(names)) != len(names):
            raise ValueError("a name is there twice")
        bins = NameBins(tuple(printable_line(name) for name in names))
    else:
        edges = tuple(_number(edge, "an edge") for edge in _list(entry["edges"], "edges"))
        if list(edges) != sorted(set(edges)):
            raise ValueError("its edges do not rise")
        bins = NumberBins(edges)
    counts = np.array([_number(count, "a count") for count in _list(entry["counts"], "counts")], np.float64)
    if len(counts) != len(bins) or (counts < 0).any() or not counts.sum():
        raise ValueError(f"it takes {len(bins)} counts from 0 on, not all 0")
    return Histogram(bins, counts, max(1.0, _number(entry.get("design_effect", 1.0), "design_effect")))


def _list(value: object, name: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > _MOST_BINS:
        raise ValueError(f"{name} is no list of at most {_MOST_BINS} numbers")
    return value


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        raise ValueError(f"{name} is no number")
    return float(value)
