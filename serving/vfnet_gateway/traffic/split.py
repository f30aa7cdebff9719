"""The traffic file: which deployment gets which share of a public model's requests, and of which copies are sent.

    [vfnet]
    sticky-header = "x-user"
    share = { "vfnet" = 90, "vfnet.2" = 10 }
    mirror = { "vfnet.2" = 5 }

A table for each public model that is split. Shares are percent of its requests and make 100. The first that is named
is the live one: copies are made of what it answers, and compared with it. `vfnet traffic` writes the file.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vfnet_client.atomic_files import locked_file, write_whole
from vfnet_client.bounded_files import read_text
from vfnet_client.exceptions import CommandError
from vfnet_client.model_names import check_ensemble_name, check_model_name
from vfnet_client.safe_text import printable_line

WHOLE = 100.0
_MOST_DEPLOYMENTS = 16
_LARGEST_FILE = 64 << 10
PLACES = 3
"""Decimals of a share."""
_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,100}")
"""A header's name, RFC 9110, 5.1, in small letters."""
_SHOWN = 60


@dataclass(frozen=True)
class TrafficSplit:
    """How the requests for one public model are shared out.

    Raises:
        ValueError: it cannot be so; the message says what is accepted.
    """

    share: Mapping[str, float]
    """Percent by deployment, in the order in which they are named; the first is the live one."""
    mirror: Mapping[str, float] = field(default_factory=dict)
    """By deployment, percent of the live one's images of which it gets a copy."""
    sticky_header: str | None = None
    """Requests with the same value of this header go to the same deployment."""

    def __post_init__(self) -> None:
        if not self.share:
            raise ValueError("no deployment has a share: name each with its percent, such as vfnet=90 vfnet.2=10")
        for name in (*self.share, *self.mirror):
            check_ensemble_name(name)
        if len(self.names) > _MOST_DEPLOYMENTS:
            raise ValueError(f"{len(self.names)} deployments are named, and at most {_MOST_DEPLOYMENTS} can be")
        for name, percent in (*self.share.items(), *self.mirror.items()):
            _check_percent(name, percent)
        total = round(math.fsum(self.share.values()), PLACES)
        if total != WHOLE:
            named = " + ".join(f"{percent:g}" for percent in self.share.values())
            raise ValueError(f"the shares make {named} = {total:g} and have to make 100")
        if self.live in self.mirror:
            raise ValueError(f"{self.live} is the live one, named first, and needs no copies of its own images")
        if self.sticky_header is not None and not _HEADER.fullmatch(self.sticky_header):
            raise ValueError(f"{_shown(self.sticky_header)} is no name of a header: x-user is one")

    @property
    def live(self) -> str:
        """The deployment that the others are compared with."""
        return next(iter(self.share))

    @property
    def names(self) -> tuple[str, ...]:
        """All deployments that are named, the live one first."""
        return tuple(dict.fromkeys((*self.share, *self.mirror)))

    def describe(self) -> str:
        """As a part of a sentence."""
        said = ", ".join(f"{name} {percent:g} %" for name, percent in self.share.items())
        if self.mirror:
            said += "; copies: " + ", ".join(f"{name} {percent:g} %" for name, percent in self.mirror.items())
        return said if self.sticky_header is None else f"{said}; sticky by {self.sticky_header}"


def read_percents(words: Iterable[str]) -> dict[str, float]:
    """`NAME=PERCENT` each, in their order.

    Raises:
        ValueError: one is something else, or names a deployment again.
    """
    found: dict[str, float] = {}
    for word in words:
        name, equals, text = word.partition("=")
        try:
            percent = float(text)
        except ValueError:
            percent = math.nan
        if not equals or math.isnan(percent):
            raise ValueError(f"{_shown(word)} should read NAME=PERCENT, such as vfnet.2=10")
        check_ensemble_name(name)
        _check_percent(name, percent)
        if name in found:
            raise ValueError(f"{name} is named twice")
        found[name] = percent
    return found


def parse_traffic(text: str) -> dict[str, TrafficSplit]:
    """The splits of a traffic file, by public model.

    Raises:
        ValueError: it is none; the message says what is wrong and where.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        raise ValueError(f"it is no TOML: {error}") from None
    return {model: _split(model, table) for model, table in document.items()}


def _split(model: str, table: Any) -> TrafficSplit:
    where = f"[{printable_line(model, _SHOWN)}]"
    if not isinstance(table, dict):
        raise ValueError(f"{where[1:-1]} stands below no model: write [vfnet] above it")
    keys = {"share": "share", "mirror": "mirror", "sticky-header": "sticky_header"}
    for key in table:
        if key not in keys:
            raise ValueError(f"{where} has {_shown(key)}; there are: {', '.join(keys)}")
    for key in ("share", "mirror"):
        percents = table.get(key, {})
        if not isinstance(percents, dict) or not all(
            isinstance(each, int | float) and not isinstance(each, bool) for each in percents.values()
        ):
            raise ValueError(
                f'{where} {key} should read {{ "vfnet" = 90, "vfnet.2" = 10 }}: a dot in a name needs quotes'
            )
    header = table.get("sticky-header")
    if header is not None and not isinstance(header, str):
        raise ValueError(f"{where} sticky-header is no text")
    try:
        check_model_name(model)
        return TrafficSplit(table.get("share", {}), table.get("mirror", {}), None if header is None else header.lower())
    except ValueError as error:
        raise ValueError(f"{where} {error}") from None


def render_traffic(splits: Mapping[str, TrafficSplit]) -> str:
    """The text of a traffic file; what `parse_traffic` reads."""
    lines = ["# Percent of the requests for each public model; the first that is named is the live one.", ""]
    for model, split in splits.items():
        lines.append(f"[{model}]")
        if split.sticky_header is not None:
            lines.append(f'sticky-header = "{split.sticky_header}"')
        lines.append(f"share = {_table(split.share)}")
        if split.mirror:
            lines.append(f"mirror = {_table(split.mirror)}")
        lines.append("")
    return "\n".join(lines)


def read_traffic(path: Path) -> dict[str, TrafficSplit]:
    """The splits in a file; none where it is not there.

    Raises:
        CommandError: it cannot be read, or is no traffic file.
    """
    try:
        return parse_traffic(read_text(path, _LARGEST_FILE))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CommandError(f"{path}: {reason}") from error


def change_split(path: Path, model: str, split: TrafficSplit | None) -> None:
    """Write the split of one public model into a traffic file, or take it out; the others stay.

    Raises:
        CommandError: what is there is no traffic file, or it cannot be written.
    """
    try:
        with locked_file(path.with_name(f".{path.name}.lock")):
            splits = read_traffic(path)
            if split is None:
                splits.pop(model, None)
            else:
                splits[model] = split
            if splits or path.exists():
                write_whole(path, render_traffic(splits).encode())
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error


def _table(percents: Mapping[str, float]) -> str:
    return "{ " + ", ".join(f'"{name}" = {percent:g}' for name, percent in percents.items()) + " }"


def _check_percent(name: str, percent: float) -> None:
    if not 0 <= percent <= WHOLE or round(percent, PLACES) != percent:  # NaN neither
        raise ValueError(
            f"{percent:g} cannot be the share of {name}: that is percent from 0 to 100, with at most {PLACES} decimals"
        )


def _shown(text: str) -> str:
    return f"'{printable_line(text, _SHOWN)}'"
