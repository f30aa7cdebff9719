"""A comparison for people: a few lines of text, and one page that asks for nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from vfnet_drift.comparison import DRIFT, SAME, TOO_FEW, TRIFLING, Comparison, FeatureResult
from vfnet_drift.pictures import draw_feature, telling_images
from vfnet_profile.features import MEANINGS

_PICTURES = 6
_WORDS = {DRIFT: "drift", TRIFLING: "small", SAME: "none found", TOO_FEW: "too few"}


@dataclass(frozen=True)
class _Shown:
    """One feature on the page."""

    result: FeatureResult
    meaning: str
    drawing: str
    now: list[tuple[str, str]]
    before: list[tuple[str, str]]


def to_text(comparison: Comparison) -> str:
    """For a terminal: the sentence first, then a line a feature."""
    reference, current = comparison.reference, comparison.current
    rows = [("feature", "verdict", "effect V", "q", "found from V", "what has changed")]
    for each in comparison.results:
        change = each.remark or each.in_words()
        rows.append((each.feature, _WORDS[each.verdict], _figure(each.cramers_v), _chance(each.q),
                     _figure(each.smallest_found), change))  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        comparison.verdict,
        f"reference: {reference.title}, {reference.images} images",
        f"current:   {current.title}, {current.images} images",
        "",
        *(
            "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[5]]).rstrip()
            for row in rows
        ),
    ]
    lines += [f"{feature}: {reason}" for feature, reason in comparison.left_out.items()]
    return "\n".join([*lines, *(f"note: {note}" for note in comparison.notes)])


def to_html(comparison: Comparison) -> str:
    """One file with its pictures in it."""
    order = {DRIFT: 0, TRIFLING: 1, TOO_FEW: 2, SAME: 3}
    shown = []
    for each in sorted(comparison.results, key=lambda each: (order[each.verdict], -_or_zero(each.cramers_v))):
        count = _PICTURES if each.verdict == DRIFT else 0
        shown.append(
            _Shown(
                each,
                MEANINGS[each.feature],
                draw_feature(each, comparison.reference, comparison.current),
                telling_images(each, comparison.current, count, is_reference=False) if count else [],
                telling_images(each, comparison.reference, count, is_reference=True) if count else [],
            )
        )
    environment = Environment(
        loader=PackageLoader("vfnet_drift"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    template = environment.get_template("page.html")
    return template.render(
        comparison=comparison, shown=shown, words=_WORDS, figure=_figure, chance=_chance, drift=DRIFT
    )


def _figure(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _chance(value: float | None) -> str:
    return "-" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value
