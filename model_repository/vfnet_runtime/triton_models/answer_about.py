"""What an answer says of itself where its request asks: who gave it, by which checkpoint, and where the time went.

The request's header `x-vfnet-about` asks, which Triton hands to every model of the ensemble. An answer that nobody asks
has nothing of it. The steps of the models before are handed on in the ledger of tickets, for as long as the image has
its place.
"""

from __future__ import annotations

import json
from time import monotonic_ns
from typing import Any

from vfnet_runtime.step_times import CANDIDATES, DECODE, NETWORK, RESIZE, SUPPRESS, WAIT, WRITE, ImageSteps
from vfnet_runtime.tickets import TicketLedger
from vfnet_runtime.triton_models.step_histograms import DETECTOR, POSTPROCESS, PREPROCESS, QUEUE

HEADER = "x-vfnet-about"
ORIGIN, STEPS = "origin", "steps"
_HANDED_ON = {PREPROCESS: (WAIT, DECODE, RESIZE), DETECTOR: (WAIT, NETWORK, CANDIDATES)}
"""Of each model that is followed by another; each takes as many notes as it has steps here, and two."""
_OWN = (SUPPRESS, WRITE)
_DIGITS = 16
"""Of the checkpoint's SHA-256 sum."""


def asked_about(request: Any) -> frozenset[str]:
    """`ORIGIN` or `STEPS`, or both."""
    try:
        text = request.parameters()  # also what a caller made up, which need not be UTF-8: then it raises
        if not text or HEADER not in text:
            return frozenset()
        asked = json.loads(text)[HEADER]
    except (ValueError, KeyError, TypeError):
        return frozenset()
    return frozenset(asked.split(",")) if isinstance(asked, str) else frozenset()


def hand_on(ledger: TicketLedger, ticket: int, model: str, image: ImageSteps) -> None:
    """Say for the models after this one what an image's steps took, if its request asks for it."""
    if ticket and STEPS in asked_about(image.request):
        took = [_milliseconds(image, step) for step in _HANDED_ON[model]]
        ledger.note(ticket, _first_note(model), [image.started, monotonic_ns(), *(round(1e6 * each) for each in took)])


class AnswerAbout:
    """Of one process of `vfnet_postprocess`.

    Args:
        model: its name in Triton.
        checkpoint: the checkpoint's SHA-256 sum, in hexadecimal; empty: it is not known.
    """

    def __init__(self, model: str, checkpoint: str, ledger: TicketLedger) -> None:
        self._origin = {"answered_by": model.rpartition("_")[0], "checkpoint": checkpoint[:_DIGITS]}
        self._ledger = ledger

    def added_to(self, document: str, ticket: int, image: ImageSteps) -> str:
        """The answer's JSON with what its request asks for, as its last field."""
        asked = asked_about(image.request)
        if not asked & {ORIGIN, STEPS}:
            return document
        about: dict[str, Any] = dict(self._origin)
        if STEPS in asked:
            about["steps"] = self._steps(ticket, image)
        return f'{document[:-1]}, "about": {json.dumps(about)}}}'

    def _steps(self, ticket: int, image: ImageSteps) -> list[tuple[str, float]]:
        """Names and milliseconds, in the order of an image."""
        found: list[tuple[str, float]] = []
        notes, left = self._ledger.notes(ticket), 0
        for model, steps in _HANDED_ON.items():
            first = _first_note(model)
            started, ended, *took = (int(note) for note in notes[first : first + len(steps) + 2])
            if not ended:
                continue  # one of Triton's own backends
            found += _rows(model, started, ended, left, [(s, t / 1e6) for s, t in zip(steps, took, strict=True)])
            left = ended
        own = [(step, _milliseconds(image, step)) for step in _OWN]
        return found + _rows(POSTPROCESS, image.started, monotonic_ns(), left, own)


def _rows(model: str, started: int, ended: int, left: int, steps: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """A model's: all it did, how long the image was on its way from the model before, and each step."""
    queue = [(f"{model}.{QUEUE}", (started - left) / 1e6)] if left else []
    rows = [(model, (ended - started) / 1e6), *queue, *((f"{model}.{step}", took) for step, took in steps)]
    return [(name, round(max(0.0, took), 3)) for name, took in rows]


def _first_note(model: str) -> int:
    before = list(_HANDED_ON)[: list(_HANDED_ON).index(model)]
    return sum(len(_HANDED_ON[each]) + 2 for each in before)


def _milliseconds(image: ImageSteps, name: str) -> float:
    """All steps of this name together: what is tried again has several."""
    return 1000 * sum(step.seconds for step in image.steps if step.name == name)
