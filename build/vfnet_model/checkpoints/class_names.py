"""Class names as a line of `labels.txt` and a word of an answer can hold them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from vfnet_client.safe_text import is_printable_line
from vfnet_model.checkpoints.errors import CheckpointError
from vfnet_model.checkpoints.input_files import read_input_text
from vfnet_model.checkpoints.settings import LIMITS, shorten

MAX_NAME = 200
"""Characters."""
MAX_LIST_FILE = 4 * 2**20
"""Bytes of a file of class names."""
_OF_A_TABLE = re.compile(r".*\S\s*[,;|\t]\s*\d*", re.ASCII)
"""A cell and what separates it from the next, which is empty or a number."""
_NUMBERED = re.compile(r"(\d{1,6})\s*[\s,;:.)=]\s*\S", re.ASCII)


def _is_of_a_table(line: str) -> bool:
    # The pattern takes time that grows with the square of the tabs. A longer line is no name anyway.
    return len(line) <= 2 * MAX_NAME and _OF_A_TABLE.fullmatch(line) is not None


def check_class_names(names: Sequence[object], source: object) -> tuple[str, ...]:
    """The names, if each of them is a line that can be shown, and each is another.

    Neither is anything changed nor left out: what is served has to say what the checkpoint says.

    Args:
        source: where they are from, for the message.

    Raises:
        CheckpointError: names the one that cannot be.
    """
    most = LIMITS["num_classes"].maximum
    if len(names) > most:
        raise CheckpointError(f"{source} has {len(names):,} class names; at most {most:,} are supported")
    seen: dict[str, int] = {}
    for label, name in enumerate(names):
        if not isinstance(name, str):
            raise CheckpointError(f"{source}: class names must be texts; that of label {label} is {shorten(name)}")
        if not name.strip():
            raise CheckpointError(f"{source}: the class name of label {label} is empty")
        if len(name) > MAX_NAME:
            raise CheckpointError(
                f"{source}: the class name of label {label} has {len(name):,} characters; at most {MAX_NAME} are "
                "supported"
            )
        if not is_printable_line(name):
            raise CheckpointError(
                f"{source}: the class name of label {label}, {name!a}, holds a line break or another character "
                "that cannot be shown; give other names (--classes)"
            )
        if name in seen:
            raise CheckpointError(
                f"{source}: labels {seen[name]} and {label} have the same class name, {name!r}; give other names "
                "(--classes)"
            )
        seen[name] = label
    return tuple(str(name) for name in names)


def read_class_list(path: Path) -> list[str]:
    """A text file of class names, one a line, in label order; blank lines at its end and spaces around names go.

    Raises:
        CheckpointError: it cannot be read, is too large or no text of Unicode, or a line is no class name.
    """
    text = read_input_text(path, MAX_LIST_FILE, "a text file of class names")
    if not text.strip():
        raise CheckpointError(f"{path} names no classes; expected is one name a line")
    if text.lstrip()[0] in "[{":
        raise CheckpointError(f"{path} is JSON; expected is a text of class names, one a line")
    lines = [line.strip() for line in text.rstrip().split("\n")]  # not splitlines: it breaks at other characters
    numbers = [int(match[1]) if (match := _NUMBERED.match(line)) else -1 for line in lines]
    if len(lines) > 1 and numbers in (list(range(len(lines))), list(range(1, len(lines) + 1))):
        raise CheckpointError(f"{path} numbers its lines ({lines[0]!a}); expected are names alone, one a line")
    is_enumeration = len(lines) > 1 and all(line[-1:] in (",", ";") for line in lines[:-1])  # the last may end without
    if is_enumeration or (len(lines) > 1 and all(map(_is_of_a_table, lines))):
        raise CheckpointError(f"{path} has several cells a line ({lines[0]!a}); expected are names alone, one a line")
    if len(lines) > 1 and all(line.startswith("- ") for line in lines):
        raise CheckpointError(f"{path} is a YAML list ({lines[0]!a}); expected are names alone, one a line")
    if all(len(line) > 1 and line[0] == line[-1] and line[0] in "\"'" for line in lines):
        raise CheckpointError(f"{path} has quotes around its lines ({lines[0]!a}); expected are bare names, one a line")
    return list(check_class_names(lines, path))
