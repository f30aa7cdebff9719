"""The `vfnet` command: a table of subcommands, each imported only when it is chosen.

The thin client has its own; a distribution that is installed beside it adds more by an entry point of the group
`vfnet_client.commands`, which names such a table.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shlex
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, entry_points, version
from urllib.parse import unquote, urlsplit

from vfnet_client import json_log
from vfnet_client.exceptions import InterruptedWorkError, VFNetError
from vfnet_client.safe_text import without_url_secrets

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 1, 2, 130, 141
"""Of a command that says why on stderr, of a line that cannot be understood, after Ctrl-C, after a reader left."""

DEBUG_OPTION, DEBUG_VARIABLE = "--debug", "VFNET_DEBUG"
"""Of any command: show what led to an error."""
_LONGEST_SURPRISE = 300

GROUPS = {
    "serve": "serve a model",
    "detect": "detect",
    "train": "train",
    "measure": "measure",
    "shell": "shell",
}
"""What a person wants to do, as `vfnet --help` heads its list."""


@dataclass(frozen=True)
class Subcommand:
    """Where a subcommand lives. The module offers `add_arguments(parser)` and `run(arguments) -> exit code`.

    It may name a class of parsers, `PARSER`, where argparse's own is not enough.
    """

    module: str
    help: str
    group: str
    """One of `GROUPS`."""
    extra: str | None = None
    """The extra of the distribution that brings what the module imports."""


OWN_COMMANDS = {
    "detect": Subcommand(
        "vfnet_client.commands.detect", "detect on images, URLs or folders; print, save or draw", "detect"
    ),
    "score": Subcommand("vfnet_client.commands.score", "answer a documented scoring request from a file", "detect"),
    "health": Subcommand("vfnet_client.commands.health", "prove with a real inference that the server works", "detect"),
    "completion": Subcommand("vfnet_client.commands.completion", "let a shell complete commands and options", "shell"),
}

RENAMED = {
    **{f"bench-{name}": f"vfnet bench {name}" for name in ("gateway", "batch", "gpu", "overload", "mixed", "training")},
    "cost-growth": "vfnet bench growth",
    "demonstration": "python -m demonstration, in a checkout",
}
"""Commands of earlier versions, and what they are called now."""


def all_commands() -> dict[str, Subcommand]:
    """The client's own, and those of the distributions that are installed beside it."""
    commands = dict(OWN_COMMANDS)
    for entry in entry_points(group="vfnet_client.commands"):
        table: Mapping[str, Subcommand] = entry.load()
        commands.update(table)
    return commands


def main(argv: Sequence[str] | None = None, more: Mapping[str, Subcommand] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        more: commands beside the client's own; None: those of the distributions that are installed beside it.
    """
    # torch's threads spin while they wait for each other. Where others compute too, as decoders do, everything takes up
    # to five times as long by that. Read when torch is imported, here and in what is started from here.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal's encoding lacks; as stderr has it
    given = sys.argv[1:] if argv is None else list(argv)
    if DEBUG_OPTION in given:
        given = [word for word in given if word != DEBUG_OPTION]
        os.environ[DEBUG_VARIABLE] = "1"  # also of what is started from here
    try:
        try:
            code = _main(
                given,
                all_commands() if more is None else {**OWN_COMMANDS, **more},
            )
        except SystemExit as leaving:  # argparse's way out
            code = leaving.code if isinstance(leaving.code, int) else EXIT_USAGE
        sys.stdout.flush()  # here, where a reader that went away is expected
        return code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes once more on its way out; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE


def _open_closed_streams() -> None:
    """Let what is said on a standard stream that was closed (`>&-`, some schedulers) go nowhere.

    Python has None for such a stream, and the next file that is opened gets its number: what is said of an error would
    be written into that.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number, inheritable=True)
                os.close(opened)
            os.set_inheritable(number, True)
        setattr(sys, name, open(os.devnull, "w" if number else "r", encoding="utf-8"))  # noqa: PTH123, SIM115


def _main(argv: list[str], commands: Mapping[str, Subcommand]) -> int:
    name = argv[0] if argv else ""
    if name in RENAMED:
        return _fail(f"vfnet {name}", f"this is now {RENAMED[name]}")
    if name not in commands:
        overview = _overview(commands)
        overview.parse_args(argv)
        overview.print_help(sys.stderr)
        return EXIT_USAGE
    return run_command(f"vfnet {name}", commands[name], argv[1:])


def run_command(title: str, command: Subcommand, argv: Sequence[str]) -> int:
    """Import a command, parse its arguments, run it; its exit code.

    Whatever is raised becomes one line on stderr, with what led to it before that line where DEBUG_VARIABLE is set. No
    command catches an error just to print it.

    Args:
        title: as it was typed, `vfnet detect`.
    """
    try:
        module = import_module(command.module)
        parser_class: type[argparse.ArgumentParser] = getattr(module, "PARSER", argparse.ArgumentParser)
        parser = parser_class(prog=title, description=f"{_sentence(command.help)}.")
        module.add_arguments(parser)
        code: int = module.run(parser.parse_args(argv))
        return code
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            traceback.print_exc()
        _fail(title, _in_words(error, command))
        return error.exit_code if isinstance(error, InterruptedWorkError) else EXIT_FAILED


def _in_words(error: Exception, command: Subcommand) -> str:
    """One sentence for the person who gave the command."""
    if isinstance(error, VFNetError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and command.extra and not (error.name or "").startswith("vfnet_"):
        return f"needs the package {error.name!r}: {install_command(command.extra)}"
    if isinstance(error, MemoryError):
        return "there is not enough memory for that"
    if isinstance(error, UnicodeEncodeError):
        return (
            f"{error.object!r} cannot be written in this environment's encoding ({error.encoding}): set PYTHONUTF8=1, "
            "or a locale such as C.UTF-8"
        )
    if isinstance(error, UnicodeDecodeError):
        return f"this is no {error.encoding} text: byte {error.start} is none of it"
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    said = f"{type(error).__name__}: {error}"[:_LONGEST_SURPRISE]
    return f"this should not have happened ({said}); the same command with {DEBUG_OPTION} shows where it did"


def install_command(extras: str) -> str:
    """A command that installs some extras, separated by commas, beside what is installed.

    From where that came: the project's name on PyPI may be somebody else's.
    """
    return f"pip install {shlex.quote(f'{_own_source()}[{extras}]')}"


def _own_source() -> str:
    """What pip installed this from: a folder, or a URL that pip takes; `.` where it did not write that down."""
    with suppress(PackageNotFoundError, OSError, ValueError, KeyError, TypeError):
        direct = json.loads(distribution("vfnet").read_text("direct_url.json") or "")
        url, version_control = str(direct["url"]), direct.get("vcs_info")
        if urlsplit(url).scheme == "file":
            return unquote(urlsplit(url).path)
        return f"vfnet @ {version_control['vcs']}+{url}" if version_control else f"vfnet @ {url}"
    return "."


def _overview(commands: Mapping[str, Subcommand]) -> argparse.ArgumentParser:
    width = max(map(len, commands))
    listing = ""
    for group, heading in GROUPS.items():
        members = {name: each for name, each in commands.items() if each.group == group}
        if members:
            rows = "\n".join(f"  {name:<{width}}  {each.help}" for name, each in members.items())
            listing += f"{heading}:\n{rows}\n\n"
    parser = argparse.ArgumentParser(
        prog="vfnet",
        description="VFNet object detection, served by Triton.",
        epilog=f"{listing}`vfnet COMMAND --help` says more. With {DEBUG_OPTION}, an error shows what led to it.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="vfnet [--help] [--version] COMMAND ...",
    )
    parser.add_argument("--version", action="version", version=f"vfnet {_version()}")
    parser.add_argument("command", nargs="?", choices=list(commands), metavar="COMMAND", help=argparse.SUPPRESS)
    return parser


def _version() -> str:
    for name in ("vfnet", "vfnet-client"):
        try:
            return version(name)
        except PackageNotFoundError:  # the thin client alone, or nothing is installed
            continue
    return "not installed"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _fail(title: str, reason: str) -> int:
    json_log.say(title, without_url_secrets(reason), "ERROR")
    return EXIT_FAILED
