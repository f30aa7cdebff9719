"""Which of the model's labels is which of the data's."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from vfnet_evaluate.errors import EvaluationError

_SEPARATORS = re.compile(r"[\s_-]+")
_SOME = 20


@dataclass(frozen=True)
class LabelMap:
    """How a model's labels lead to those of the data."""

    index_of: Mapping[str, int]
    """By the model's name: index into the data's classes. What is missing has no counterpart."""
    notes: tuple[str, ...]
    """What a person should know: names that were taken for each other, names that only one side has."""


def reconcile(
    model: Sequence[str], data: Sequence[str], *, all_known: bool = True, annotated: Container[str] | None = None
) -> LabelMap:
    """Match exact names first, then those that differ in case, spaces, underscores, hyphens and Unicode's form only.

    Objects of a label that only the data have count as missed; detections of one that only the model has are left out.

    Args:
        all_known: `model` lists all its labels; otherwise only those that it was seen to detect.
        annotated: the labels of the data that a box has; None: all.

    Raises:
        EvaluationError: no name matches, or names that differ in spelling only are on one side.
    """
    positions = {name: index for index, name in enumerate(data)}
    index_of = {name: positions[name] for name in model if name in positions}
    rest_of_model = [name for name in model if name not in index_of]
    rest_of_data = [name for name in data if name not in index_of]
    notes = []
    spelt = {_plain(name): name for name in rest_of_data}
    _check_unambiguous(rest_of_model, rest_of_data)
    for name in rest_of_model:
        if (other := spelt.get(_plain(name))) is not None:
            index_of[name] = positions[other]
            notes.append(f"the model's {name!r} is taken for the data's {other!r}")
    if not index_of:
        who, whose = ("the model", "Model") if all_known else ("what the model detected", "Detected")
        raise EvaluationError(
            f"{who} and the data have no label in common. {whose}: {listed(model)}. Data: {listed(data)}. "
            "Is it the right model? Otherwise rename the labels in the annotations"
        )
    found = set(index_of.values())
    unknown = [name for index, name in enumerate(data) if index not in found]
    if without := [name for name in unknown if annotated is not None and name not in annotated]:
        notes.append(f"these labels of the data have no box, so none is missed: {listed(without)}")
    if unknown := [name for name in unknown if name not in without]:
        has_none = "does not know" if all_known else "detected none of"
        notes.append(f"the model {has_none} these labels of the data; their objects count as missed: {listed(unknown)}")
    if extra := [name for name in model if name not in index_of]:
        notes.append(f"the data do not have these labels of the model; their detections are left out: {listed(extra)}")
    return LabelMap(index_of, tuple(notes))


def listed(names: Sequence[str]) -> str:
    """Names for people, the first few of many."""
    more = f" and {len(names) - _SOME} more" if len(names) > _SOME else ""
    return ", ".join(names[:_SOME]) + more


def _check_unambiguous(model: Sequence[str], data: Sequence[str]) -> None:
    shared = {_plain(name) for name in model} & {_plain(name) for name in data}
    for side, names in (("model", model), ("data", data)):
        counts = Counter(_plain(name) for name in names)
        for plain in shared:
            if counts[plain] > 1:
                alike = ", ".join(repr(name) for name in names if _plain(name) == plain)
                raise EvaluationError(f"labels of the {side} differ in spelling only, so none can be matched: {alike}")


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", _SEPARATORS.sub("", unicodedata.normalize("NFC", name)).casefold())
