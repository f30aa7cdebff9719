"""What a server says of its own answer where it is asked: who gave it, by which checkpoint, and where its time went.

A header of the request asks, and the answer's JSON has one field more, which is taken out again here. A header, because
whoever does not know it leaves it alone: an older server, or a gateway in between.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from vfnet_client.bounded_json import parse_json

HEADER = "x-vfnet-about"
"""Names what is asked for, with commas between. `vfnet serve` has Triton hand it to the models."""
ORIGIN, STEPS = "origin", "steps"
_FIELD = b', "about": '
"""The last one of the document: inside a string of JSON its quotes would have backslashes before them."""
_NAME = re.compile(r"[A-Za-z][\w.-]{0,79}")
_CHECKPOINT = re.compile(r"[0-9a-f]{0,64}")
_STEP = re.compile(r"[a-z]+(\.[a-z]+)?")
_MOST_STEPS = 50
_MOST_VALUES = 10_000


@dataclass(frozen=True, slots=True)
class About:
    """Of one answer."""

    answered_by: str
    """The deployment, by the name that its ensemble has in Triton: `vfnet`, or `vfnet.2`."""
    checkpoint: str
    """Of whose file these are the first digits of the SHA-256 sum, in hexadecimal; empty: it is not known."""
    steps: tuple[tuple[str, float], ...] = ()
    """Milliseconds of each model and, after a point, of its steps, in an image's order; of this very image."""


_ASKED: ContextVar[str] = ContextVar("asked_about", default="")


@contextmanager
def asking_about(*what: str) -> Iterator[None]:
    """Inferences that are begun in the context ask for these, `ORIGIN` or `STEPS`."""
    token = _ASKED.set(",".join(what))
    try:
        yield
    finally:
        _ASKED.reset(token)


def about_headers() -> Mapping[str, str]:
    """What a request to a server carries of it; nothing where nobody asks."""
    asked = _ASKED.get()
    return {HEADER: asked} if asked else {}


def without_about(document: bytes) -> tuple[bytes, About | None]:
    """A `DETECTIONS` document as it is where nobody asks, and what the server said; None: it said nothing."""
    before, field, after = document.rpartition(_FIELD)
    if not field:
        return document, None
    return before + b"}", _read(after[:-1])


def _read(text: bytes) -> About | None:
    """None: it is not what it should be."""
    try:
        told: Any = parse_json(text, _MOST_VALUES, _MOST_VALUES)
        answered_by, checkpoint = told["answered_by"], told["checkpoint"]
        steps = tuple((name, float(milliseconds)) for name, milliseconds in told.get("steps", ())[:_MOST_STEPS])
        is_fine = bool(_NAME.fullmatch(answered_by) and _CHECKPOINT.fullmatch(checkpoint))
        is_fine &= all(_STEP.fullmatch(name) is not None and 0 <= each < math.inf for name, each in steps)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
        return None
    return About(answered_by, checkpoint, steps) if is_fine else None
