"""The file of a search space: which options are tried out, and with what.

    learning-rate = { loguniform = [1e-5, 1e-3] }
    schedule = ["warmup_linear", "warmup_cosine"]
    warmup-steps = { randint = [0, 100] }

Distributions are named as Ray Tune's and AutoML's. Bounds are those of the values, also for `loguniform`, as in Ray
Tune; AutoML writes their logarithms there. A list is a `choice`.
"""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vfnet_client.bounded_files import read_text
from vfnet_client.safe_text import printable_line
from vfnet_train.errors import FinetuneError

Value = str | int | float | bool | list[Any]
Point = dict[str, Value]
"""A trial's values by option."""

_BOUNDS = {"uniform": 2, "loguniform": 2, "randint": 2, "quniform": 3, "qloguniform": 3}
"""Numbers of each distribution: the least, the most (of randint: one more than the most), and what values are
multiples of."""
_MOST_BYTES = 1 << 20
_MOST_POINTS = 10_000
DRAWS = 100
"""For one new point, before a space counts as exhausted."""
_LARGEST, _LARGEST_WHOLE = 1e100, 1e15
"""Of all numbers, so that no difference or quotient is infinite; of randint's, which NumPy draws as 64 bits."""
_DIGITS = 6
"""Significant ones of a random value, so that it can be written down and typed again."""


@dataclass(frozen=True)
class Parameter:
    """One option that is tried out."""

    name: str
    """The option's, without dashes before it."""
    distribution: str
    """`choice`, or one of `_BOUNDS`."""
    values: tuple[Value, ...]
    """What is chosen from, or the numbers of the distribution."""

    def draw(self, random: np.random.Generator) -> Value:
        """A value of it."""
        if self.distribution == "choice":
            return self.values[int(random.integers(len(self.values)))]
        low, high = self.bounds
        if self.distribution == "randint":
            return int(random.integers(int(low), int(high)))
        if self.is_logarithmic:
            return self.rounded(math.exp(random.uniform(math.log(low), math.log(high))))
        return self.rounded(random.uniform(low, high))

    @property
    def bounds(self) -> tuple[float, float]:
        """Of a distribution: the least and the most; of randint, one more than the most."""
        low, high, *_ = (float(value) for value in self.values if isinstance(value, int | float))
        return low, high

    @property
    def is_logarithmic(self) -> bool:
        """Whether the logarithm of a value is distributed evenly."""
        return "log" in self.distribution

    def rounded(self, value: float) -> int | float:
        """A number of the distribution as it is tried: a multiple of the step, if there is one, and short."""
        if self.distribution == "randint":
            return int(value)
        low, high = self.bounds
        steps = [float(step) for step in self.values[2:] if isinstance(step, int | float)]
        if steps:
            value = min(max(round(value / steps[0]) * steps[0], low), high)
        rounded = float(f"{value:.{_DIGITS}g}")
        return int(rounded) if steps and steps[0].is_integer() and low.is_integer() else rounded


@dataclass(frozen=True)
class SearchSpace:
    """All of them, in the order of the file."""

    parameters: tuple[Parameter, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The options'."""
        return tuple(parameter.name for parameter in self.parameters)

    def points(self, sampling: str, most: int | None, seed: int) -> list[Point]:
        """The trials, no two the same. The first of a longer list are those of a shorter one.

        Args:
            sampling: `random` or `grid`.
            most: how many; fewer where the space has no more. None: the whole grid.
            seed: of what is random.

        Raises:
            FinetuneError: a grid has more than 10,000 points, or is asked for of a range.
        """
        if sampling == "grid":
            return list(itertools.islice(self._grid(), most))
        random = np.random.default_rng(seed)
        found: list[Point] = []
        while len(found) < (most or 0):
            drawn = itertools.islice(self.draws(random), DRAWS)
            point = next((each for each in drawn if each not in found), None)
            if point is None:
                break
            found.append(point)
        return found

    def draws(self, random: np.random.Generator) -> Iterator[Point]:
        """Random points, without end."""
        while True:
            yield {parameter.name: parameter.draw(random) for parameter in self.parameters}

    def _grid(self) -> Iterator[Point]:
        for parameter in self.parameters:
            if parameter.distribution != "choice":
                raise FinetuneError(
                    f"a grid needs values to choose from, and {parameter.name} is {parameter.distribution}: list some, "
                    "or take --sampling random"
                )
        size = math.prod(len(parameter.values) for parameter in self.parameters)
        if size > _MOST_POINTS:
            raise FinetuneError(f"the grid has {size:,} points, and may have {_MOST_POINTS:,}: take --sampling random")
        for values in itertools.product(*(parameter.values for parameter in self.parameters)):
            yield dict(zip(self.names, values, strict=True))


def read_search_space(path: Path, known: Sequence[str]) -> SearchSpace:
    """Read the file.

    Args:
        known: options that may be tried out.

    Raises:
        FinetuneError: it cannot be read, or says something that makes no sense; the message says where.
    """
    try:
        document = tomllib.loads(read_text(path, _MOST_BYTES))
    except OSError as error:
        raise FinetuneError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        raise FinetuneError(f"{path}: this is no TOML: {error}") from None
    parameters: dict[str, Parameter] = {}
    for key, value in document.items():
        name = key.replace("_", "-")
        where = f"{path}: {printable_line(key, 60)}"
        if name not in known:
            raise FinetuneError(f"{where} is no option that can be tried out; there are: {', '.join(known)}")
        if name in parameters:
            raise FinetuneError(f"{where} stands there twice")
        try:
            parameters[name] = Parameter(name, *_parsed(value))
        except ValueError as error:
            raise FinetuneError(f"{where}: {error}") from None
    if not parameters:
        raise FinetuneError(f"{path} has nothing to try out, such as: learning-rate = {{ loguniform = [1e-5, 1e-3] }}")
    return SearchSpace(tuple(parameters.values()))


def shown(point: Point) -> str:
    """A point as part of a line."""
    return ", ".join(f"{name} {shown_value(value)}" for name, value in point.items())


def shown_value(value: Value) -> str:
    """A value as it is written on a command line."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parsed(value: object) -> tuple[str, tuple[Value, ...]]:
    """Distribution and values."""
    if isinstance(value, dict) and len(value) == 1:
        ((distribution, numbers),) = value.items()
    elif isinstance(value, list):
        distribution, numbers = "choice", value
    else:
        raise ValueError("a list of values is expected, or a distribution such as { uniform = [0, 1] }")
    if distribution == "choice":
        return distribution, _choices(numbers)
    if distribution not in _BOUNDS:
        known = ", ".join(("choice", *_BOUNDS))
        raise ValueError(f"there is no distribution {printable_line(distribution, 40)!r}; there are {known}")
    return distribution, _bounds(distribution, numbers)


def _choices(values: object) -> tuple[Value, ...]:
    if not isinstance(values, list) or not values:
        raise ValueError("it has no values to choose from")
    if not all(isinstance(each, str | int | float | bool | list) for each in values):
        raise ValueError("values are texts, numbers, true and false, or lists of such")
    for each in values:
        if isinstance(each, int | float) and not _is_usual(each):
            raise ValueError("numbers are finite, and up to 1e100")
    distinct = {repr(each) for each in values}
    if len(distinct) != len(values):
        raise ValueError("a value stands there twice")
    return tuple(values)


def _bounds(distribution: str, numbers: object) -> tuple[Value, ...]:
    count = _BOUNDS[distribution]
    expected = f"{distribution} = [{', '.join(('low', 'high', 'step')[:count])}]"
    if (
        not isinstance(numbers, list)
        or len(numbers) != count
        or not all(isinstance(each, int | float) and not isinstance(each, bool) for each in numbers)
        or not all(map(_is_usual, numbers))
    ):
        raise ValueError(f"{expected} is expected, finite numbers up to 1e100")
    if numbers[0] >= numbers[1]:
        raise ValueError(f"{numbers[0]} is not below {numbers[1]}: {expected}")
    if "log" in distribution and numbers[0] <= 0:
        raise ValueError(f"{numbers[0]} has no logarithm: bounds are those of the values, and above 0")
    if distribution == "randint" and not all(isinstance(each, int) and abs(each) <= _LARGEST_WHOLE for each in numbers):
        raise ValueError("whole numbers up to 1e15 are expected")
    if count == 3 and numbers[2] <= 0:
        raise ValueError(f"the step is {numbers[2]}; it is above 0")
    if count == 3 and not math.isfinite(numbers[1] / numbers[2]):
        raise ValueError(f"the step {numbers[2]} is too small for {numbers[1]}")
    return tuple(numbers)


def _is_usual(number: int | float) -> bool:
    return -_LARGEST <= number <= _LARGEST  # false for NaN
