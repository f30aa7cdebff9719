"""Options of a command, made from the dataclass of its settings: name, default and meaning are written once.

    @dataclass(frozen=True)
    class Limits:
        timeout: Seconds = 60.0
        '''For the answer to a request.

        From the end of its body.'''

becomes `--timeout SECONDS   for the answer to a request (default: 60)`. The first paragraph below a field is its help.
`Annotated` says how its text is read, and what is shown for a value: `Seconds` is
`Annotated[float, seconds, "SECONDS"]`.

Over argparse, because no library made the commands shorter and left them as they are. jsonargparse 4.53 writes
`--max_in_flight`, adds options and types to every help, and does not say in which file an unknown key stands. tyro 1.0
and cyclopts 5.5 replace argparse and its pages. pydantic-settings 2.16 wants settings to be its own models. They take
0.06 to 0.15 s to import.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from vfnet_client.byte_sizes import byte_count, shown_bytes
from vfnet_client.commands.options import at_least_one, port_number, seconds

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Settings = TypeVar("Settings", bound=DataclassInstance)

Count = Annotated[int, at_least_one, "N"]
Bytes = Annotated[int, byte_count, "SIZE"]
Seconds = Annotated[float, seconds, "SECONDS"]
Port = Annotated[int, port_number, "PORT"]
Folder = Annotated[Path, Path, "DIR"]
File = Annotated[Path, Path, "FILE"]

_PLAIN = (int, float, str, Path)


def add_options(
    group: argparse.ArgumentParser | argparse._ArgumentGroup, settings: type[DataclassInstance], *names: str
) -> None:
    """An option for each field that can be one, or for those named.

    What is read from one word can be one: a number, a text, a path, a switch, whatever `Annotated` says how to read,
    and a tuple of such. In `Annotated`, a function reads the word, a tuple holds the words allowed, a text is shown for
    the value, and a text such as `--save-every` is the option's name, where that is not the field's.
    """
    hints, told = get_type_hints(settings, include_extras=True), meanings(settings)
    by_name = {field.name: field for field in fields(settings)}
    for name in names or by_name:
        kind = _Kind.of(hints[name])
        if kind is not None:
            kind.add(group, by_name[name], told.get(name, ""))
        elif names:
            raise TypeError(f"{settings.__name__}.{name} cannot be read from one word")


def settings_from(settings: type[Settings], arguments: argparse.Namespace, /, **others: Any) -> Settings:
    """The settings that a command line gives; `others` are fields that are no options, or come from elsewhere."""
    hints = get_type_hints(settings, include_extras=True)
    values = {}
    for field in fields(settings):
        kind = _Kind.of(hints[field.name])
        destination = kind.option(field.name).strip("-").replace("-", "_") if kind else ""
        if field.name not in others and hasattr(arguments, destination):
            value = getattr(arguments, destination)
            values[field.name] = tuple(value) if isinstance(value, list) else value
    return settings(**values, **others)


def fields_by_option(settings: type[DataclassInstance]) -> dict[str, str]:
    """The fields that can be options, by the options' names without dashes before them, such as `save-every`."""
    hints = get_type_hints(settings, include_extras=True)
    kinds = {field.name: _Kind.of(hints[field.name]) for field in fields(settings)}
    return {kind.option(name).strip("-"): name for name, kind in kinds.items() if kind is not None}


def read_value(settings: type[DataclassInstance], field: str, value: object) -> Any:
    """What a field becomes of a value as TOML has it: a text, a number, true or false, or a list of such.

    Raises:
        ValueError: it is none of the field's; the message says why.
    """
    kind = _Kind.of(get_type_hints(settings, include_extras=True)[field])
    if kind is None:
        raise TypeError(f"{settings.__name__}.{field} cannot be read from one word")
    if kind.type is bool or isinstance(value, bool):
        if kind.type is not bool or not isinstance(value, bool):
            raise ValueError(f"{value!r} is {'neither true nor false' if kind.type is bool else 'no value of it'}")
        return value
    words = value if isinstance(value, list) else [value]
    if not words or (len(words) > 1 and not kind.is_many) or not all(isinstance(w, str | int | float) for w in words):
        raise ValueError(f"{value!r} is {'no list of values' if kind.is_many else 'not one value'} of it")
    read = tuple(kind.read_word(str(word)) for word in words)
    return read if kind.is_many else read[0]


@cache
def meanings(settings: type[DataclassInstance]) -> Mapping[str, str]:
    """What stands below each field of a dataclass at the top of its module: the first paragraph, as part of a line."""
    module = ast.parse(inspect.getsource(sys.modules[settings.__module__]))
    body = next(each for each in module.body if isinstance(each, ast.ClassDef) and each.name == settings.__name__).body
    return {
        field.target.id: _as_part_of_a_line(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


class _Kind:
    """How a field is written as an option."""

    def __init__(self, hint: Any, *, is_many: bool) -> None:
        marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        self.type = get_args(hint)[0] if marks else hint
        texts = [mark for mark in marks if isinstance(mark, str)]
        self.read: Callable[[str], Any] = next(filter(callable, marks), self.type)
        self.choices = next((mark for mark in marks if isinstance(mark, tuple)), None)
        self.metavar = next((text for text in texts if not text.startswith("--")), None)
        self.name = next((text for text in texts if text.startswith("--")), None)
        self.is_many, self.is_marked = is_many, bool(marks)

    @classmethod
    def of(cls, hint: Any) -> _Kind | None:
        """None: not to be read from one word."""
        if get_origin(hint) in (Union, UnionType):
            hint = next(each for each in get_args(hint) if each is not NoneType)
        is_many = get_origin(hint) is tuple
        kind = cls(get_args(hint)[0] if is_many else hint, is_many=is_many)
        return kind if kind.is_marked or kind.type in (*_PLAIN, bool) else None

    def read_word(self, text: str) -> Any:
        """The value that a word is; raises ValueError with the reason."""
        try:
            value = self.read(text)
        except argparse.ArgumentTypeError as error:
            raise ValueError(str(error)) from None
        except (TypeError, ValueError):
            raise ValueError(f"{text!r} is not valid") from None
        if self.choices is not None and value not in self.choices:
            raise ValueError(f"{text!r} is none of {', '.join(map(str, self.choices))}")
        return value

    def option(self, field: str) -> str:
        """Its name."""
        return self.name or f"--{field.replace('_', '-')}"

    def add(self, group: argparse.ArgumentParser | argparse._ArgumentGroup, field: Field[Any], meaning: str) -> None:
        """Add it."""
        default = None if field.default is MISSING else field.default
        meaning = meaning.replace("%", "%%")
        if self.type is bool:
            group.add_argument(self.option(field.name), action="store_true", help=meaning)
            return
        is_told = default is not None and default != ()
        shown = f"{default:g}" if isinstance(default, float) else str(default).replace("%", "%%")
        if isinstance(default, int) and self.read is byte_count:
            shown = shown_bytes(default)
        group.add_argument(
            self.option(field.name),
            type=self.read,
            default=default,
            required=field.default is MISSING,
            choices=self.choices,
            metavar=self.metavar,
            nargs="+" if self.is_many else None,
            help=f"{meaning} (default: {shown})".strip() if is_told else meaning,
        )


def _as_part_of_a_line(text: str) -> str:
    paragraph = " ".join(inspect.cleandoc(text).partition("\n\n")[0].split()).removesuffix(".")
    first, *_ = paragraph.split() or [""]
    is_a_name = any(map(str.isupper, first[1:]))  # AutoML, CPU
    return paragraph if is_a_name else paragraph[:1].lower() + paragraph[1:]
