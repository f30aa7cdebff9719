"""Reads one `dict(...)` of an mmdet config key by key, refusing what it does not know and what is beyond `LIMITS`."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from vfnet_model.checkpoints.errors import UnsupportedModelError


class Limit(NamedTuple):
    """Inclusive."""

    minimum: int
    maximum: int

    def __contains__(self, value: object) -> bool:
        return type(value) in (int, float) and self.minimum <= value <= self.maximum  # type: ignore[operator]

    def __str__(self) -> str:
        return f"{self.minimum:,} to {self.maximum:,}"


LIMITS = {
    # backbone: MMDetection's widest has 64 channels, 64 groups, a base width of 26
    "base_channels": Limit(1, 256),
    "stem_channels": Limit(1, 1024),
    "groups": Limit(1, 256),
    "base_width": Limit(1, 256),
    "scales": Limit(2, 16),
    "deform_groups": Limit(1, 64),
    "deformable_groups": Limit(1, 64),
    "frozen_stages": Limit(-1, 4),
    # neck
    "out_channels": Limit(1, 2048),
    "num_outs": Limit(1, 8),
    # head
    "num_classes": Limit(1, 5_000),
    "feat_channels": Limit(1, 2048),
    "stacked_convs": Limit(1, 16),
    "num_groups": Limit(1, 2048),
    "strides": Limit(1, 1024),
    "regress_ranges": Limit(-1, 10**8),
    # test_cfg: five levels of nms_pre candidates go through suppression
    "nms_pre": Limit(1, 10_000),
    "max_per_img": Limit(1, 5_000),
    # pipeline, in pixels; sides of 1333 and 800 take the network a gigabyte
    "img_scale": Limit(32, 4096),
    "scale": Limit(32, 4096),
    "size_divisor": Limit(1, 1024),
    "pad_size_divisor": Limit(1, 1024),
    "pad_height_divisor": Limit(1, 1024),
    "pad_width_divisor": Limit(1, 1024),
    "mean": Limit(-100_000, 100_000),
    "std": Limit(0, 100_000),
}
"""By setting. What exceeds one of them is refused with a sentence that names it."""

MAX_PARAMETERS = 500_000_000
"""Of a network, 2 GB: the largest of MMDetection's VFNets has 110 million."""
REQUIRED = object()
"""As a default: the key must be there."""


class Settings:
    """The keys of a dict, each read at most once; `finish` refuses the ones that nobody asked for.

    Whatever sizes something is read by `integer`, `integers` or `numbers` and has a row in `LIMITS`.

    MMDetection itself fails on a keyword that its class does not take, so an unknown key means
    another version's or somebody's own code, whose effect on the result is unknown.
    """

    def __init__(self, values: object, where: str) -> None:
        """`where` names the dict in messages, such as `model.backbone`."""
        if not isinstance(values, dict):
            raise UnsupportedModelError(f"{where} is {shorten(values)}; expected is a dict(...)")
        self.where = where
        self._values = {key: freeze(value) for key, value in values.items()}
        if (odd := next((key for key in values if not isinstance(key, str)), None)) is not None:
            raise UnsupportedModelError(f"{where} has the key {shorten(odd)}; expected are names")

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def is_none(self, key: str) -> bool:
        """Whether it is there and says `None`."""
        return self._values.get(key, REQUIRED) is None

    def refuse(self, key: str, value: object, supported: str) -> NoReturn:
        """Raise the error that names setting, value and what is supported."""
        setting = f"{self.where}.{key}" if key.isidentifier() else f"{self.where}[{shorten(key)}]"
        raise UnsupportedModelError(f"{setting} is {shorten(value)}; supported: {supported}")

    def take(self, key: str, default: Any = REQUIRED) -> Any:
        """The value as it is, lists as tuples."""
        value = self._values.pop(key, default)
        if value is REQUIRED:
            raise UnsupportedModelError(f"{self.where}.{key} is missing")
        return value

    def one_of(self, key: str, supported: Sequence[Any], default: Any = REQUIRED) -> Any:
        """The one of the supported that the value equals."""
        value = self.take(key, default)
        equal = [other for other in supported if value == other and isinstance(value, bool) == isinstance(other, bool)]
        if not equal:
            self.refuse(key, value, ", ".join(repr(other) for other in supported))
        return equal[0]  # 1 where the config says 1.0, by which nothing can be counted

    def only(self, key: str, *supported: Any) -> None:
        """The key must be absent or hold one of the values that change nothing."""
        self.one_of(key, supported, default=supported[0])

    def flag(self, key: str, default: Any = REQUIRED) -> bool:
        """True or False."""
        value: bool = self.one_of(key, (True, False), default)
        return value

    def integer(self, key: str, default: Any = REQUIRED) -> int:
        """An integer within its row of `LIMITS`."""
        value = self.take(key, default)
        if type(value) is not int or value not in LIMITS[key]:
            self.refuse(key, value, f"an integer from {LIMITS[key]}")
        return value

    def number(self, key: str, default: Any = REQUIRED) -> float:
        """A number from 0 to 1."""
        value = self.take(key, default)
        if type(value) not in (int, float) or not 0 <= value <= 1:
            self.refuse(key, value, "a number from 0 to 1")
        return float(value)

    def integers(self, key: str, default: Any = REQUIRED) -> tuple[int, ...]:
        """Integers, at least one, each within the row of `LIMITS`."""
        value = self.take(key, default)
        if type(value) is not tuple or not value or any(type(i) is not int or i not in LIMITS[key] for i in value):
            self.refuse(key, value, f"a list of integers from {LIMITS[key]}")
        return value

    def numbers(self, key: str, count: int) -> tuple[float, ...]:
        """So many finite numbers within the row of `LIMITS`."""
        value = self.take(key)
        if type(value) is not tuple or len(value) != count or any(item not in LIMITS[key] for item in value):
            self.refuse(key, value, f"{count} numbers from {LIMITS[key]}")
        return tuple(float(item) for item in value)

    def ignore(self, *keys: str) -> None:
        """Keys that do not change what the network computes at test time."""
        for key in keys:
            self._values.pop(key, None)

    def section(self, key: str, default: Any = REQUIRED) -> Settings:
        """A dict within this one."""
        return Settings(self.take(key, default), f"{self.where}.{key}")

    def finish(self) -> None:
        """Refuse what has not been read."""
        for key, value in self._values.items():
            self.refuse(key, value, "configs without this key")


def freeze(value: object) -> object:
    """Lists, however deep in lists and tuples, as tuples."""
    return tuple(freeze(item) for item in value) if isinstance(value, (list, tuple)) else value


def shorten(value: object, limit: int = 100) -> str:
    """`repr`, cut to a readable length; what cannot be shown is escaped.

    A value that shares parts of itself a billion times is not written out: few items of few levels are.
    """
    text = _REPR.repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxlist, _REPR.maxtuple, _REPR.maxdict = 4, 8, 8, 8
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 400
