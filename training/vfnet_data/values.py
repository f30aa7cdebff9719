"""Single values of an annotation file. Each function raises ValueError with words that fit behind the value's name."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Callable, Mapping
from typing import TypeGuard, TypeVar

from vfnet_client.safe_text import is_printable_line

T = TypeVar("T")

LARGEST_ID = 2**128 - 1
"""UUIDs are ids too."""
_LARGEST_WHOLE_FLOAT = 2**53 - 1
"""Floating point numbers beyond this stand for several whole ones."""
MOST_BYTES = 2 << 30
"""Of a file of annotations. The largest of COCO's own, instances_train2017.json, has 0.45 GB."""
LONGEST_LINE = 64 << 20
"""Characters of a line of JSONL."""
LONGEST_LABEL = 200
"""Characters of a class's name."""
MOST_CLASSES = 20_000
"""Public data sets go up to 13,204 (V3Det)."""
_LARGEST_SIDE = 10**6
_LONGEST_REFERENCE = 8192
"""Characters: twice the longest path of Linux; signed URLs have some hundred."""
_SIZE = re.compile(r"\s*(\d{1,9})\s*(?:px)?\s*", re.IGNORECASE | re.ASCII)
_ID = re.compile(r"0|[1-9]\d{0,37}", re.ASCII)
"""Of digits alone; two texts are two numbers."""
_FLAGS = {"0": False, "1": True, "false": False, "true": True}


def shown(value: object, limit: int = 60) -> str:
    """`repr` of a JSON value as one printable line, cut to a readable length; no more of it is looked at."""
    if isinstance(value, int) and abs(value) > LARGEST_ID:
        return "a very large number"  # Python refuses to print some
    if isinstance(value, str):
        text = repr(value[:limit])
        return text if len(value) <= limit and len(text) <= limit else text[: limit - 3] + "..."
    text = _SHORT.repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _short_repr() -> reprlib.Repr:
    short = reprlib.Repr()
    short.maxlevel, short.maxlist, short.maxdict, short.maxstring, short.maxlong = 3, 6, 4, 40, 40
    return short


_SHORT = _short_repr()


def is_object(value: object) -> TypeGuard[Mapping[str, object]]:
    """Whether it is a JSON object."""
    return isinstance(value, dict)


def number(value: object) -> float:
    """A finite number; text that spells one is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"is {shown(value)}, not a number")
    try:
        converted = float(value)
    except OverflowError:
        converted = math.inf
    if not math.isfinite(converted):
        raise ValueError(f"is {shown(value)}, not a finite number")
    return converted


def side(value: object) -> int:
    """A width or height in pixels: 499, 499.0, "499" or "499px"."""
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        pixels = int(match[1])
    elif (
        isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _LARGEST_SIDE and value % 1 == 0
    ):
        pixels = int(value)
    else:
        pixels = 0
    if not 0 < pixels <= _LARGEST_SIDE:
        raise ValueError(f"is {shown(value)}; expected are pixels, such as 499 or '499px'")
    return pixels


def side_or_unknown(value: object) -> int | None:
    """A width or height in pixels; None where it is left out, null, 0 or -1, which exporters write for what they do
    not know.
    """
    return None if value in (None, 0, "0", "", -1) else side(value)


def crowd_flag(value: object) -> bool:
    """0, 1, true, false, or one of them as text; null, which pandas writes for what is not there, is 0."""
    if value is None or (isinstance(value, float) and value in (0.0, 1.0)):
        return bool(value)
    flag = _FLAGS.get(str(value).strip().lower()) if isinstance(value, bool | int | str) and value != "" else None
    if flag is None:
        raise ValueError(f"is {shown(value)}; expected is 0 or 1")
    return flag


def label(value: object) -> str:
    """A class name."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"is {shown(value)}, not the name of a class")
    if len(value) > LONGEST_LABEL or not is_printable_line(value):
        raise ValueError(f"is {shown(value)}; expected is a name of up to {LONGEST_LABEL} characters in one line")
    return value


def reference(value: object) -> str:
    """What an annotation calls an image file: a path or a URL."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"is {shown(value)}, not the name of a file")
    if len(value) > _LONGEST_REFERENCE or "\0" in value:
        raise ValueError(f"is {shown(value)}, which no file can be called")
    return value


def identifier(value: object) -> int:
    """A whole number that names an image or a category; 7.0, as pandas writes it, and "7", as VIA does, are ones."""
    if isinstance(value, str) and _ID.fullmatch(value):
        return int(value)
    if isinstance(value, float) and value % 1 == 0 and abs(value) <= _LARGEST_WHOLE_FLOAT:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST_ID:
        raise ValueError(f"is {shown(value)}, not a whole number")
    return value


def field(name: str, read: Callable[[object], T], value: object) -> T:
    """`read(value)`, the error's words behind the field's name."""
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
