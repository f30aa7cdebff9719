"""Who answered an image, as the server says with each answer, for whoever wants to know it of this very image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from vfnet_client.answer_about import ORIGIN, STEPS, About, asking_about, without_about
from vfnet_gateway.steps import current_steps

_DETECTIONS = "DETECTIONS"
_LAST: ContextVar[About | None] = ContextVar("about", default=None)


@contextmanager
def asking() -> Iterator[None]:
    """An inference that is begun in the context asks who answers it, and where its time goes if its caller wants it."""
    steps = current_steps()
    with asking_about(*((ORIGIN, STEPS) if steps is not None and steps.wants_models else (ORIGIN,))):
        yield


def taken_from(outputs: dict[str, Any]) -> dict[str, Any]:
    """Outputs as they are where nobody asks; what the server said is kept, of the image and of its request."""
    _LAST.set(None)
    if _DETECTIONS not in outputs:
        return outputs
    told = outputs[_DETECTIONS][0]
    document, about = without_about(told)
    if len(document) == len(told):
        return outputs
    _LAST.set(about)
    if about is not None and (steps := current_steps()) is not None:
        steps.hear(about)
    without = outputs[_DETECTIONS].copy()
    without[0] = document
    return {**outputs, _DETECTIONS: without}


def last_about() -> About | None:
    """Of the image that the running task, or the one that started it, had answered last; None: nothing was said."""
    return _LAST.get()
