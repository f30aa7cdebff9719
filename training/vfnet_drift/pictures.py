"""The page's drawings: how a feature is distributed on both sides, and images that show what has changed."""

from __future__ import annotations

import base64
import io
import random

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from vfnet_client.safe_text import printable_line
from vfnet_drift.comparison import FeatureResult
from vfnet_drift.side import Example, Side
from vfnet_images.decoding import ImageError, decode_image
from vfnet_profile.bins import NameBins
from vfnet_profile.features import CLASS, Observation

_BEFORE, _NOW = "#4477aa", "#cc6677"
"""Colours that those who do not see red or green can tell apart: Paul Tol's bright scheme."""
_MOST_CLASSES = 20
_THUMBNAIL = 240
_MOST_PIXELS = 30_000_000
_LONGEST_NAME = 30
_MOST_TRIED = 40
_FLOOR = 1e-3
"""Of a share, so that a bin that is empty on one side has a logarithm."""
Weight = npt.NDArray[np.float64]


def draw_feature(result: FeatureResult, reference: Side, current: Side) -> str:
    """Both distributions, as the address of an SVG."""
    with rc_context({"text.parse_math": False, "text.usetex": False, "svg.hashsalt": "vfnet"}):
        figure = Figure(figsize=(5.4, 2.9), layout="constrained")
        axes = figure.subplots()
        if result.feature != CLASS and reference.observations is not None and current.observations is not None:
            sides = (reference.values(result.feature), current.values(result.feature))
            edges = np.histogram_bin_edges(np.concatenate(sides), bins=40).tolist()
            for values, colour, name in zip(sides, (_BEFORE, _NOW), ("reference", "current"), strict=True):
                weights = np.full(len(values), 1 / len(values))
                axes.hist(values, edges, weights=weights, color=colour, alpha=0.55, label=name)
            axes.set_xlabel(result.feature)
        else:
            _draw_bins(axes, result)
        axes.set_ylabel("share")
        axes.legend(loc="best", fontsize=8)
        axes.grid(alpha=0.25)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(drawn.getvalue()).decode()}"


def _draw_bins(axes: Axes, result: FeatureResult) -> None:
    before, now = result.shares()
    bins = result.expected.bins
    if isinstance(bins, NameBins):
        order = np.argsort(-np.maximum(before, now))[:_MOST_CLASSES]
        names = [printable_line(bins.names[index], _LONGEST_NAME) for index in order]
    else:
        order = np.arange(len(bins))
        names = [f"< {edge:.3g}" for edge in bins.edges] + [f">= {bins.edges[-1]:.3g}"]
    places = np.arange(len(order))
    axes.bar(places - 0.2, before[order], 0.4, color=_BEFORE, label="reference")
    axes.bar(places + 0.2, now[order], 0.4, color=_NOW, label="current")
    axes.set_xticks(places, names, rotation=90 if len(order) > 5 else 0, fontsize=8)


def telling_images(result: FeatureResult, side: Side, count: int, *, is_reference: bool) -> list[tuple[str, str]]:
    """Names and addresses of the images that show best what this side has more of than the other."""
    if side.observations is None or not side.examples:
        return []
    before, now = result.shares()
    weight = np.log((now + _FLOOR) / (before + _FLOOR))
    return _most(result, side, count, -weight if is_reference else weight)


def _most(result: FeatureResult, side: Side, count: int, weight: Weight) -> list[tuple[str, str]]:
    assert side.observations is not None
    scores = [_score(each, result, weight) for each in side.observations]
    order = list(range(len(scores)))
    random.Random(0).shuffle(order)  # of equals, not the first of the folder
    order.sort(key=lambda index: -scores[index])
    found: list[tuple[str, str]] = []
    for index in order[:_MOST_TRIED]:
        address = thumbnail(side.examples[index])
        if address is not None:
            found.append((printable_line(side.examples[index].name, 80), address))
        if len(found) == count:
            break
    return found


def _score(observation: Observation, result: FeatureResult, weight: Weight) -> float:
    bins = result.expected.bins
    if isinstance(bins, NameBins):
        places = [bins.index(label) for label in observation.labels or ()]
    else:
        places = [bins.index(value) for value in observation.numbers.get(result.feature, ())]
    return float(np.mean([weight[place] for place in places])) if places else -np.inf


def thumbnail(example: Example) -> str | None:
    """A small JPEG with the boxes drawn, as an address; None where it cannot be read."""
    try:
        image = Image.fromarray(decode_image(example.read(), _MOST_PIXELS))
    except (OSError, ImageError):
        return None
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    pen = ImageDraw.Draw(image)
    for x1, y1, x2, y2, _label in example.corners:
        corners = (x1 * image.width, y1 * image.height, x2 * image.width, y2 * image.height)
        if corners[0] <= corners[2] and corners[1] <= corners[3]:
            pen.rectangle(corners, outline="#ffd400", width=2)
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.getvalue()).decode()}"
