"""Options that also come from the environment and from a TOML file: command line before environment before file."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from vfnet_client.bounded_files import read_text
from vfnet_client.cli import all_commands
from vfnet_client.safe_text import printable_line

LARGEST_FILE = 1 << 20
"""Bytes of the file of `--config`."""
_SECRETS = {"key": "VFNET_API_KEY", "keys": "VFNET_GATEWAY_KEYS"}
"""What never stands in such a file, and the variables that hold it."""
_SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_LINK = re.compile(r"(tcp|udp|sctp)://")
"""Kubernetes tells every container of its services so: VFNET_GATEWAY_PORT is tcp://10.0.0.1:5001 where one is called
vfnet-gateway."""


class SettingsParser(argparse.ArgumentParser):
    """Takes options that the command line leaves out from `VFNET_COMMAND_OPTION`, then from the file of `--config`.

    The file holds a table for each command, with the options' names: `[serve]`, `max-in-flight = 8`. What stands for
    other commands is not looked at. An option of several values is an array there, and has commas in a variable.
    A variable that is empty counts as absent. Positional arguments and secrets come from neither.

    What is wrong there is one sentence that says where, and exit code 2.
    """

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self._command = self.prog.split()[-1]
        self._config = self.add_argument(
            "--config",
            type=Path,
            default=os.environ.get(self._variable("config")) or None,
            metavar="FILE",
            help=f"TOML: these options by name, below [{self._command}]; each can also be a variable of the "
            f"environment, such as {self._variable('config')}. The command line comes first, then the environment",
        )

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse's, with what else was given in the place of defaults."""
        argv = sys.argv[1:] if args is None else list(args)
        namespace = argparse.Namespace() if namespace is None else namespace
        if {"-h", "--help"} & set(argv):
            return super().parse_known_args(argv, namespace)
        given = self._from_elsewhere(argv)
        for action, value in given.items():
            action.required = False
            # What is given several times would be added to a default.
            setattr(namespace, action.dest, None if _is_repeated(action) else value)
        parsed, rest = super().parse_known_args(argv, namespace)
        for action, value in given.items():
            if _is_repeated(action) and getattr(parsed, action.dest) is None:
                setattr(parsed, action.dest, value)
            if any(getattr(parsed, rival.dest) != rival.default for rival in self._rivals(action)):
                setattr(parsed, action.dest, action.default)
        return parsed, rest

    def _from_elsewhere(self, argv: Sequence[str]) -> dict[argparse.Action, Any]:
        actions = {
            action.dest: action
            for action in self._actions
            if action.option_strings and action.dest not in ("help", "config", *_SECRETS)
        }
        file: dict[argparse.Action, Any] = {}
        path = self._config_file(argv)
        for key, value in ({} if path is None else self._table(path)).items():
            name = key.replace("-", "_")
            where = f"{path}: [{self._command}] {key}"
            if name in _SECRETS:
                self._refuse(f"{where}: a secret stays out of files such as this one: {_SECRETS[name]} is for it")
            if name not in actions:
                self._refuse(f"{where}: there is no such option{_perhaps(name, actions)}")
            file[actions[name]] = self._value(where, actions[name], value)
        environment: dict[argparse.Action, Any] = {}
        for name, action in actions.items():
            variable = self._variable(name)
            text = os.environ.get(variable, "")
            if text and not _LINK.match(text):
                texts = [part.strip() for part in text.split(",")] if _is_many(action) else text
                environment[action] = self._value(variable, action, texts)
        for where, source in ((str(path), file), ("the environment", environment)):
            for action in source:
                for rival in self._rivals(action) & source.keys():
                    self._refuse(f"{where}: {_key(action.dest)} and {_key(rival.dest)} exclude each other")
        beaten = {rival for action in environment for rival in self._rivals(action)}
        return {action: value for action, value in file.items() if action not in beaten} | environment

    def _rivals(self, action: argparse.Action) -> set[argparse.Action]:
        """What cannot be given beside it."""
        groups = [group._group_actions for group in self._mutually_exclusive_groups]
        return {rival for group in groups if action in group for rival in group} - {action}

    def _config_file(self, argv: Sequence[str]) -> Path | None:
        finder = argparse.ArgumentParser(add_help=False, exit_on_error=False)
        finder.add_argument("--config", default=self._config.default)
        try:
            found = finder.parse_known_args(argv)[0].config
        except argparse.ArgumentError:  # it lacks its value, as will be said
            found = None
        return None if found is None else Path(found)

    def _table(self, path: Path) -> dict[str, Any]:
        try:
            document = tomllib.loads(read_text(path, LARGEST_FILE))
        except OSError as error:
            self._refuse(f"{path}: {error.strerror}")
        except (ValueError, RecursionError) as error:  # also a number of thousands of digits
            self._refuse(f"{path}: this is no TOML: {error}")
        for name, table in document.items():
            if not isinstance(table, dict):
                self._refuse(f"{path}: {name}: stands below no command: write [{self._command}] above it")
            if name not in all_commands():
                self._refuse(f"{path}: [{name}]: there is no such command{_perhaps(name, all_commands())}")
        found: dict[str, Any] = document.get(self._command, {})
        return found

    def _value(self, where: str, action: argparse.Action, value: Any) -> Any:
        """What the option would make of it."""
        if action.nargs == 0:
            switch = value if isinstance(value, bool) else _SWITCH.get(str(value).lower())
            if switch is None:
                self._refuse(f"{where}: {str(value)!r} is neither true nor false")
            return switch
        values = value if isinstance(value, list) else [value]
        if (len(values) > 1 and not _is_many(action)) or not values:
            self._refuse(f"{where}: {len(values)} values are given for {'one or more' if not values else 'one'}")
        read = [self._word(where, action, each) for each in values]
        return read if _is_many(action) else read[0]

    def _word(self, where: str, action: argparse.Action, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            self._refuse(f"{where}: neither a text nor a number")
        text = str(value)
        read = action.type or str
        try:
            word = read(text)  # type: ignore[operator]
        except argparse.ArgumentTypeError as error:
            self._refuse(f"{where}: {error}")
        except (TypeError, ValueError):
            self._refuse(f"{where}: {text!r} is not valid")
        if action.choices is not None and word not in action.choices:
            self._refuse(f"{where}: {text!r} is none of {', '.join(map(str, action.choices))}")
        return word

    def _variable(self, name: str) -> str:
        return f"VFNET_{self._command}_{name}".upper()

    def _refuse(self, reason: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {printable_line(reason, 1000)}\n")


def _is_repeated(action: argparse.Action) -> bool:
    return isinstance(action, argparse._AppendAction)  # what extends is one, too


def _is_many(action: argparse.Action) -> bool:
    return _is_repeated(action) or action.nargs == "+"


def _perhaps(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f": {_key(near[0])} perhaps?" if near else ""


def _key(name: str) -> str:
    return name.replace("_", "-")
