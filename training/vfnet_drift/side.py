"""One side of a comparison: images that were measured, or only their histograms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vfnet_profile.features import SCORE_FROM, FoundBox, Observation
from vfnet_profile.profile import Profile


@dataclass(frozen=True)
class Example:
    """An image that may be shown."""

    name: str
    read: Callable[[], bytes]
    """Its encoded bytes. Raises OSError."""
    corners: tuple[tuple[float, float, float, float, str], ...] = ()
    """x1, y1, x2, y2 as fractions of the image, and a label, of the boxes that count."""


@dataclass(frozen=True)
class Side:
    """What was read of one place."""

    title: str
    images: int
    observations: Sequence[Observation] | None = None
    """None: only `profile` is known."""
    examples: Sequence[Example] = ()
    """As many as `observations`, or none."""
    profile: Profile | None = None
    score_from: float = SCORE_FROM
    boxes_are_drawn: bool = False
    """A person drew them: there are no scores, and a model finds others."""
    notes: tuple[str, ...] = field(default_factory=tuple)
    """For the person who asks: what was left out."""

    def to_profile(self) -> Profile:
        """Its histograms; where it was measured, in bins of its own."""
        if self.profile is not None:
            return self.profile
        assert self.observations is not None
        return Profile.of(self.observations, self.score_from)

    def values(self, feature: str) -> npt.NDArray[np.float64]:
        """[values] of a feature that is a number, of all images."""
        assert self.observations is not None
        return np.array([value for each in self.observations for value in each.numbers.get(feature, ())], np.float64)


def counted(boxes: Sequence[FoundBox], score_from: float) -> list[int]:
    """Positions of the boxes that count."""
    return [index for index, box in enumerate(boxes) if box.score is None or box.score >= score_from]
