"""Whether a candidate does as well as the live deployment, by what was counted of both, within limits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from vfnet_client.commands.options import fraction
from vfnet_client.commands.settings_options import Count, Seconds
from vfnet_gateway.traffic.evidence import Evidence

SURE = 2.33
"""Standard deviations: 99 % on one side. A candidate goes back before its time only where that much says so."""
_PERCENTILE = 0.95
_LEAST_ERRORS = 3
_LEAST_COMPARED = 5
_LEAST_TIMED = 20
"""Fewer say too little to be looked at."""
_NOISE_S = 0.01
"""A difference in time that is none."""


@dataclass(frozen=True)
class CanaryLimits:
    """Beyond which a candidate is taken back."""

    max_error_increase: Annotated[float, fraction, "FRACTION"] = 0.01
    """Images that the candidate fails on, beyond the share that the live one fails on."""
    max_slowdown: Annotated[float, float, "TIMES"] = 1.5
    """Of the candidate's time for an image, 95th percentile, as a multiple of the live one's."""
    min_agreement: Annotated[float, fraction, "FRACTION"] = 0.8
    """Share of the boxes above 0.3 of either answer that the other has too, at IoU 0.5 and of the same class."""
    max_silence: Seconds = 15.0
    """Without an answer of the candidate while images wait in it."""
    min_images: Count = 30
    """Images that the candidate answers before a step can end."""
    min_compared: Count = 20
    """Images that both answer before callers get the candidate's answers."""

    def __post_init__(self) -> None:
        if not self.max_slowdown >= 1 or math.isinf(self.max_slowdown):
            raise ValueError(f"--max-slowdown {self.max_slowdown:g} would not let the live one itself pass: from 1 on")


def complaint(candidate: Evidence, live: Evidence, limits: CanaryLimits, *, is_final: bool = False) -> str | None:
    """What speaks against the candidate, as part of a sentence; None: nothing does.

    Args:
        is_final: at the end of a step, where doubt counts against it: errors and agreement as they are, not as they
            are sure to be.
    """
    sure = 0.0 if is_final else SURE
    return _errors(candidate, live, limits, sure) or _disagreement(candidate, limits, sure) or _time(
        candidate, live, limits
    )  # fmt: skip


def describe(candidate: Evidence, live: Evidence) -> str:
    """The figures, as a sentence."""
    said = (
        f"It answered {candidate.answered:g} images (the live one {live.answered:g}), and did not answer "
        f"{candidate.failed + candidate.unreadable:g} ({live.failed + live.unreadable:g})"
    )
    if candidate.timed and live.timed:
        said += (
            f"; 95 % took at most {_milliseconds(candidate.quantile(_PERCENTILE))} "
            f"({_milliseconds(live.quantile(_PERCENTILE))})"
        )
    copies = f"{candidate.compared:g} copies were compared, {candidate.dropped:g} dropped because the server was busy"
    if candidate.failed_copies:
        copies += f", {candidate.failed_copies:g} failed"
    if candidate.boxes:
        copies += f"; of {candidate.boxes:g} boxes above 0.3 both have {100 * candidate.agreement:.1f} %"
    return f"{said}. {copies[0].upper()}{copies[1:]}."


def wilson(hits: float, of: float, deviations: float) -> tuple[float, float]:
    """Bounds of a share of which `hits` of so many were seen (Wilson, JASA 22, 1927)."""
    if not of:
        return 0.0, 1.0
    share, square = hits / of, deviations**2
    middle = share + square / (2 * of)
    reach = deviations * math.sqrt(share * (1 - share) / of + square / (4 * of * of))
    return max(0.0, (middle - reach) / (1 + square / of)), min(1.0, (middle + reach) / (1 + square / of))


def _errors(candidate: Evidence, live: Evidence, limits: CanaryLimits, sure: float) -> str | None:
    if candidate.errors < _LEAST_ERRORS:
        return None
    usual = live.errors / live.seen if live.seen else 0.0
    if wilson(candidate.errors, candidate.seen, sure)[0] <= usual + limits.max_error_increase:
        return None
    share = candidate.errors / candidate.seen
    return (
        f"it failed on {candidate.errors:g} of {candidate.seen:g} images ({100 * share:.1f} %), where the live one "
        f"fails on {100 * usual:.1f} % and {100 * limits.max_error_increase:g} points more are allowed"
    )


def _disagreement(candidate: Evidence, limits: CanaryLimits, sure: float) -> str | None:
    images = candidate.compared
    if images < _LEAST_COMPARED or not candidate.boxes:
        return None
    # The boxes of an image are right or wrong together: it is images that are counted.
    if wilson(candidate.agreement * images, images, sure)[1] >= limits.min_agreement:
        return None
    said = (
        f"its answers to {images:g} images are not those of the live one: both have {100 * candidate.agreement:.1f} % "
        f"of {candidate.boxes:g} boxes, and {100 * limits.min_agreement:g} % are asked for"
    )
    if candidate.another_class > candidate.one:
        said += (
            f"; {100 * candidate.another_class / candidate.boxes:.1f} % are in the same place with another class, as "
            "where the classes are in another order"
        )
    return said


def _time(candidate: Evidence, live: Evidence, limits: CanaryLimits) -> str | None:
    if min(candidate.timed, live.timed) < _LEAST_TIMED:
        return None
    # Ranks between which the true percentile lies, whatever the distribution.
    low = _PERCENTILE - SURE * math.sqrt(_PERCENTILE * (1 - _PERCENTILE) / candidate.timed)
    high = _PERCENTILE + SURE * math.sqrt(_PERCENTILE * (1 - _PERCENTILE) / live.timed)
    if candidate.quantile(low) <= limits.max_slowdown * live.quantile(high) + _NOISE_S:
        return None
    took, usual = (_milliseconds(each.quantile(_PERCENTILE)) for each in (candidate, live))
    return (
        f"it is slow: 95 % of {candidate.timed:g} images took at most {took}, {usual} at the live one, and "
        f"{limits.max_slowdown:g} times as much is allowed"
    )


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"
