"""`vfnet completion`: what a shell reads to complete commands, options and their words.

The script is made of the commands' own parsers, once; completing itself starts no Python.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from vfnet_client.cli import GROUPS, Subcommand, all_commands
from vfnet_client.exceptions import CommandError

SHELLS = ("bash", "zsh", "fish", "tcsh")
_FOLDERS = ("DIR", "FOLDER")
"""How options that take one are shown."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subcommand."""
    parser.add_argument("shell", choices=SHELLS, metavar="|".join(SHELLS), help="whose script to print")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "For this shell and later ones:\n"
        "  bash  vfnet completion bash > ~/.local/share/bash-completion/completions/vfnet\n"
        '  zsh   vfnet completion zsh > "${fpath[1]}/_vfnet"\n'
        "  fish  vfnet completion fish > ~/.config/fish/completions/vfnet.fish\n"
        "  tcsh  vfnet completion tcsh > ~/.vfnet.tcsh, and source it in ~/.tcshrc"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the script; 0."""
    try:
        import shtab
    except ImportError as error:
        raise CommandError("needs the package 'shtab': pip install shtab") from error
    whole = whole_parser(all_commands())
    for parser in (whole, *_commands_of(whole)):
        for action in parser._actions:
            if action.type is Path or (not action.option_strings and not action.choices):
                action.complete = shtab.DIRECTORY if action.metavar in _FOLDERS else shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(whole, arguments.shell))
    return 0


def _commands_of(whole: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    return [
        parser
        for action in whole._actions
        if isinstance(action, argparse._SubParsersAction)
        for parser in action.choices.values()
    ]


def whole_parser(commands: dict[str, Subcommand]) -> argparse.ArgumentParser:
    """One parser of all commands, with their options as far as what they need is installed."""
    whole = argparse.ArgumentParser(prog="vfnet")
    whole.add_argument("--version", action="store_true", help="show the version")
    choices = whole.add_subparsers(title=", ".join(GROUPS.values()))
    for name, command in commands.items():
        parser = choices.add_parser(name, help=command.help, description=command.help)
        try:
            module = import_module(command.module)
        except ImportError:  # an extra that is not installed: its name is completed all the same
            continue
        made: argparse.ArgumentParser = getattr(module, "PARSER", argparse.ArgumentParser)(prog=f"vfnet {name}")
        module.add_arguments(made)
        for action in made._actions:
            if not isinstance(action, argparse._HelpAction):
                parser._add_action(action)
    return whole
