"""How the four numbers of a box are meant: found by looking at all boxes of a source together.

COCO's `bbox` is [x, y, width, height] in pixels. Exporters also write fractions of the image, corners, centres,
TensorFlow's order, percentages, and pixels that count from one. One box alone looks like any of these; all of them do
not fit their images, or their own `area`, but in one way. What is beyond doubt is converted with a note. What is not is
refused with the ways it could be meant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DECLARED, CORNERS = "xywh", "xyxy"
"""What COCO means, and what the other formats do."""
ROUNDING_PX = 1.0
"""A box may stick out of its image by this much unsaid: rounding in whole pixels does that."""
_NEARLY_ALL = 0.99
_TOLERANCE = 0.01
"""Of an image's side, of an area: what rounding and clumsy mice explain."""
_FAR_OF_BOX, _FAR_OF_SIDE = 0.25, 0.1
"""A box that sticks out of its image by so much of its own and of the image's side was hardly drawn there."""
_SUSPICIOUS = 0.4
"""The share of both that is enough where all boxes fit as corners, which boxes seldom do by accident."""
_LARGEST_FRACTION = 1.05
_SMALLEST_SIDE = 4
"""In images this small, pixels are fractions."""
_MANY = 10
"""Boxes that no longer lie so by accident."""
_PERCENT_SIDE = 150
_MOST_PERCENT = 100.5
_MOST_SHOWN = 3


def _of_sides(box: Floats) -> Floats:
    return np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], axis=1)


def _of_centre(box: Floats) -> Floats:
    return np.concatenate([box[:, :2] - box[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2], axis=1)


LAYOUTS: dict[str, Callable[[Floats], Floats]] = {
    DECLARED: _of_sides,
    CORNERS: lambda box: box,
    "cxcywh": _of_centre,
    "yxyx": lambda box: box[:, [1, 0, 3, 2]],
    "yxhw": lambda box: _of_sides(box[:, [1, 0, 3, 2]]),
}
"""By name: four numbers [n, 4] to x1 y1 x2 y2."""
_WITH_SIDES = (DECLARED, "cxcywh")
_WORDS = {
    DECLARED: "x, y, width, height",
    CORNERS: "corners x1, y1, x2, y2",
    "cxcywh": "centre x, y, width, height",
    "yxyx": "corners y1, x1, y2, x2",
    "yxhw": "y, x, height, width",
}


@dataclass(frozen=True)
class BoxMeaning:
    """How the boxes of a source are to be read."""

    layout: str
    """One of `LAYOUTS`."""
    is_fraction: bool = False
    """Of the image's sides, instead of pixels."""
    first: float = 0.0
    """The number of the first pixel."""
    note: str = ""
    """What a person should know: that they are read in another way than the format says."""
    problem: str = ""
    """Why they cannot be read."""

    def corners(self, written: Floats) -> Floats:
        """x1 y1 x2 y2 [n, 4], in the unit that they are written in; pixels count from 0."""
        return LAYOUTS[self.layout](written) - self.first

    def sides(self, written: Floats) -> Floats:
        """Width and height [n, 2], in the unit that they are written in; as written, where they are."""
        if self.layout in _WITH_SIDES:
            return written[:, 2:]
        corners = self.corners(written)
        return corners[:, 2:] - corners[:, :2]

    def scale(self, frames: Floats) -> Floats:
        """What corners [n, 4] are multiplied by to be pixels of images of these widths and heights [n, 2]."""
        return np.concatenate([frames, frames], axis=1) if self.is_fraction else np.ones((len(frames), 4))


def find_meaning(
    written: Floats, frames: Floats, areas: Floats, layout: str, is_fraction: bool, asked: str | None = None
) -> BoxMeaning:
    """How boxes are meant.

    Args:
        written: [n, 4], the four numbers of every box of a source.
        frames: [n, 2], width and height of its image in pixels, NaN where they are not known.
        areas: [n], as the source states them, NaN where it does not.
        layout: the format's own, one of `LAYOUTS`.
        is_fraction: whether the format's own are fractions.
        asked: the layout that a person names, which ends all doubts but those of the unit.
    """
    declared = BoxMeaning(asked or layout, is_fraction)
    known = np.isfinite(frames).all(axis=1)
    written, frames, areas = written[known], frames[known], areas[known]
    if not len(written):
        return declared
    found = _with_unit(declared, written, frames)
    if asked is not None or layout != DECLARED or found.problem:
        return found
    if found.is_fraction:
        frames = np.ones_like(frames)
        areas = np.where(areas <= _LARGEST_FRACTION, areas, np.nan)
    found = _with_layout(found, written, frames, areas)
    if found.is_fraction or found.problem or found.layout != DECLARED:
        return found
    return _from_one(found, written, frames)


def lone_fractions(written: Floats, meaning: BoxMeaning) -> npt.NDArray[np.bool_]:
    """[n], which boxes look like fractions of their image although the source's boxes are pixels."""
    if meaning.is_fraction:
        return np.zeros(len(written), np.bool_)
    small = ((written >= 0) & (written <= 1)).all(axis=1)
    return np.asarray(small & (written % 1 != 0).any(axis=1), np.bool_)


def _with_unit(declared: BoxMeaning, written: Floats, frames: Floats) -> BoxMeaning:
    """Fractions where the format says pixels, and the other way about."""
    size = np.abs(written).max(axis=1)
    if declared.is_fraction:
        corners = declared.corners(written)
        fits = ~_misfits(corners, frames, ROUNDING_PX)
        beyond = (corners[:, 2:] > 1 + _FAR_OF_SIDE).all(axis=1)
        if beyond.mean() >= 0.5 and corners.max() <= _MOST_PERCENT < frames.max():
            words = f"boxes are pixels or percentages ({_shown(written)}), where the format has fractions: write these"
            return replace(declared, problem=words)
        if beyond.mean() >= 0.5 and fits.all():
            note = "boxes are pixels although the format has fractions of the image, and are taken as pixels"
            return replace(declared, is_fraction=False, note=note)
        return declared
    if (size <= _LARGEST_FRACTION).all() and frames.max() > _SMALLEST_SIDE:
        words = f"boxes are fractions of their image ({_shown(written)}) and are multiplied by its width and height"
        return replace(declared, is_fraction=True, note=words)
    corners = declared.corners(written)
    if (
        len(written) >= _MANY
        and written.min() >= 0
        and corners.max() <= _MOST_PERCENT
        and frames.min() >= _PERCENT_SIDE
        and (corners[:, 2:].max(axis=0) > 90).all()
        and (written % 1 != 0).any(axis=1).mean() >= 0.5
    ):
        words = f"boxes look like percentages of their images ({_shown(written)}), all from 0 to 100: write pixels"
        return replace(declared, problem=words)
    return declared


def _with_layout(found: BoxMeaning, written: Floats, frames: Floats, areas: Floats) -> BoxMeaning:
    """Corners, centres and others where COCO has x, y, width, height."""
    unit = "" if found.is_fraction else " of pixels"
    misfit = {name: _misfits(to_corners(written), frames, ROUNDING_PX).mean() for name, to_corners in LAYOUTS.items()}
    few = 1 - _NEARLY_ALL
    if _area_says_corners(written, areas) and misfit[CORNERS] <= few:
        words = f"boxes are corners{unit} ({_shown(written)}), as their areas tell, and are taken as such"
        return replace(found, layout=CORNERS, note="; ".join(filter(None, (found.note, words))))
    sides = _of_sides(written)
    far = _far(sides, frames)
    others = [name for name in (CORNERS, "yxyx") if misfit[name] <= few]
    suspicious = _far(sides, frames, _SUSPICIOUS) if others else far
    if found.is_fraction or (len(far) >= _MANY and far.mean() > 0.05):
        others += [name for name in ("cxcywh", "yxhw") if misfit[name] <= few]
    if others and suspicious.mean() > 3 * min(misfit[name] for name in others):
        ways = " or ".join(f"{_WORDS[name]} (--boxes {name})" for name in others)
        words = (
            f"{int(suspicious.sum())} of {len(far)} boxes reach far out of their images as {_WORDS[DECLARED]} "
            f"({_shown(written[suspicious])}), and all fit as {ways}: say which; --boxes {DECLARED} clips them"
        )
        return replace(found, problem=words)
    if len(far) >= _MANY and far.mean() > 0.5:
        words = (
            f"{int(far.sum())} of {len(far)} boxes reach far out of their images ({_shown(written[far])}): are these "
            f"the images that were annotated, in this size? --boxes {DECLARED} clips them"
        )
        return replace(found, problem=words)
    if misfit[CORNERS] == 0 and len(written) > 1 and not _area_says_sides(written, areas):
        words = f"boxes would fit their images as corners, too ({_shown(written)}): if they are, say --boxes {CORNERS}"
        return replace(found, note="; ".join(filter(None, (found.note, words))))
    return found


def _from_one(found: BoxMeaning, written: Floats, frames: Floats) -> BoxMeaning:
    """Pixels that count from one: nothing touches 0, and the far edges are one pixel beyond the image."""
    corners = found.corners(written)
    over = corners[:, 2:] - frames
    if (
        (written % 1 == 0).all()
        and (corners[:, :2] == 1).any()
        and corners[:, :2].min() >= 1
        and over.max() == 1
        and np.count_nonzero(over == 1) > np.count_nonzero(over == 0)
    ):
        note = "pixels count from 1: none touches 0, and boxes end one pixel beyond their image; 1 is subtracted"
        return replace(found, first=1.0, note="; ".join(filter(None, (found.note, note))))
    return found


def _misfits(corners: Floats, frames: Floats, rounding: float) -> npt.NDArray[np.bool_]:
    """[n], which are no boxes inside their images."""
    slack = np.where(frames <= 1, _TOLERANCE, rounding + _TOLERANCE * frames)
    inside = (corners[:, :2] >= -slack).all(axis=1) & (corners[:, 2:] <= frames + slack).all(axis=1)
    return np.asarray(~(inside & (corners[:, 2:] > corners[:, :2]).all(axis=1)), np.bool_)


def _far(corners: Floats, frames: Floats, share: float = 1.0) -> npt.NDArray[np.bool_]:
    """[n], which stick out of their image by more than a box that was drawn there does, or by a share of that."""
    out = np.maximum(-corners[:, :2], corners[:, 2:] - frames)
    side = corners[:, 2:] - corners[:, :2]
    return np.asarray(
        ((out > share * _FAR_OF_SIDE * frames) & (out > share * _FAR_OF_BOX * side)).any(axis=1), np.bool_
    )


def _area_says_sides(written: Floats, areas: Floats) -> bool:
    """Whether an area is that of sides, and not of corners."""
    box, area = written[np.isfinite(areas)], areas[np.isfinite(areas)]
    return bool((np.abs(box[:, 2] * box[:, 3] - area) <= _TOLERANCE * area).any())


def _area_says_corners(written: Floats, areas: Floats) -> bool:
    """Whether the areas are those of corners, and not those of sides."""
    stated = np.isfinite(areas) & (areas > 0)
    if not stated.any():
        return False
    box, area = written[stated], areas[stated]
    as_sides = box[:, 2] * box[:, 3]
    as_corners = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    differ = np.abs(as_sides - as_corners) > 4 * _TOLERANCE * area  # a box at 0, 0 is the same either way
    if not differ.any():
        return False
    agree, contradict = (
        np.abs(each[differ] - area[differ]) <= _TOLERANCE * area[differ] for each in (as_corners, as_sides)
    )
    return bool(agree.mean() >= _NEARLY_ALL and contradict.mean() <= 1 - _NEARLY_ALL)


def _shown(written: Floats) -> str:
    """One of them, for people."""
    return ", ".join(f"{value:.4g}" for value in written[0])
