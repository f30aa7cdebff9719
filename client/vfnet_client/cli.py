"""The `vfnet` command: a table of subcommands, each imported only when it is chosen."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version

from vfnet_client.exceptions import VFNetClientError
from vfnet_client.installing import install_command
from vfnet_client.safe_text import printable_lines

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE = 1, 2, 130, 141


@dataclass(frozen=True)
class Subcommand:
    """Where a subcommand lives. The module offers `add_arguments(parser)` and `run(arguments) -> exit code`."""

    module: str
    help: str
    extra: str | None = None
    """The extra of the distribution that brings what the module imports."""


SUBCOMMANDS = {
    "detect": Subcommand("vfnet_client.commands.detect", "detect on images, URLs or folders; print, save or draw"),
    "score": Subcommand("vfnet_client.commands.score", "answer a documented scoring request from a file"),
    "health": Subcommand("vfnet_client.commands.health", "prove with a real inference that the server works"),
    "build": Subcommand("vfnet.commands.build", "turn a checkpoint into a model repository", "build"),
    "serve": Subcommand("vfnet.commands.serve", "run Triton on a model repository, and watch it", "serve"),
    "up": Subcommand("vfnet.commands.up", "build what is missing and serve in the background", "build,gateway,serve"),
    "down": Subcommand("vfnet.commands.down", "stop what `up` started", "serve"),
    "logs": Subcommand("vfnet.commands.logs", "show the log of what `up` started", "serve"),
    "evaluate": Subcommand("vfnet.commands.evaluate", "score a server or a checkpoint as COCO does", "build,train"),
    "finetune": Subcommand("vfnet.commands.finetune", "train a checkpoint on your own annotated images", "build,train"),
    "demonstration": Subcommand("demonstration.command", "make the demonstration checkpoint anew", "build,train"),
    "gateway": Subcommand("vfnet.commands.gateway", "answer POST /score in front of Triton", "gateway"),
    "bench-gateway": Subcommand(
        "vfnet_bench.commands.gateway", "measure /score against direct gRPC", "gateway,build,serve"
    ),
    "batch": Subcommand("vfnet.commands.batch", "score very many images, restartable, also on a cluster", "batch"),
    "bench-batch": Subcommand(
        "vfnet_bench.commands.batch", "measure a batch against the server's best", "batch,build,serve"
    ),
    "bench-gpu": Subcommand("vfnet_bench.commands.gpu", "measure the torch engine on a GPU", "build,serve"),
    "bench": Subcommand(
        "vfnet_bench.commands.network", "measure serving against the bare network and others that detect", "bench"
    ),
    "cost-growth": Subcommand(
        "vfnet_bench.commands.growth", "plot images/s and memory against size, concurrency, detections", "load,build"
    ),
    "bench-overload": Subcommand(
        "vfnet_bench.commands.overload", "measure a server asked for more than it can do", "build,gateway,serve"
    ),
    "bench-mixed": Subcommand(
        "vfnet_bench.commands.mixed", "measure photos of many shapes at once", "build,gateway,serve"
    ),
    "bench-training": Subcommand(
        "vfnet_bench.commands.training", "measure a training step against MMDetection's", "build,train"
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    # torch's threads spin while they wait for each other. Where others compute too, as decoders do, everything takes up
    # to five times as long by that. Read when torch is imported, here and in what is started from here.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the terminal's encoding lacks; as stderr has it
    try:
        try:
            code = _main(sys.argv[1:] if argv is None else list(argv))
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


def _main(argv: list[str]) -> int:
    name = argv[0] if argv else ""
    if name not in SUBCOMMANDS:
        _overview().parse_args(argv)
        _overview().print_help(sys.stderr)
        return EXIT_USAGE
    subcommand = SUBCOMMANDS[name]
    try:
        module = import_module(subcommand.module)
        parser = argparse.ArgumentParser(prog=f"vfnet {name}", description=f"{_sentence(subcommand.help)}.")
        module.add_arguments(parser)
        code: int = module.run(parser.parse_args(argv[1:]))
        return code
    except ModuleNotFoundError as error:
        if subcommand.extra is None or (error.name or "").startswith("vfnet_"):
            raise  # our own fault, no extra would help
        hint = f"needs the package {error.name!r}: {install_command(subcommand.extra)}"
        return _fail(name, hint)
    except VFNetClientError as error:
        return _fail(name, str(error))
    except BrokenPipeError:
        raise
    except MemoryError:
        return _fail(name, "there is not enough memory for that")
    except OSError as error:
        return _fail(name, f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _overview() -> argparse.ArgumentParser:
    width = max(map(len, SUBCOMMANDS))
    listing = "\n".join(f"  {name:<{width}}  {subcommand.help}" for name, subcommand in SUBCOMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="vfnet",
        description="VFNet object detection, served by Triton.",
        epilog=f"commands:\n{listing}\n\n`vfnet COMMAND --help` says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="vfnet [--help] [--version] COMMAND ...",
    )
    parser.add_argument("--version", action="version", version=f"vfnet {version('vfnet')}")
    parser.add_argument("command", nargs="?", choices=list(SUBCOMMANDS), metavar="COMMAND", help=argparse.SUPPRESS)
    return parser


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _fail(name: str, reason: str) -> int:
    print(f"vfnet {name}: {printable_lines(reason)}", file=sys.stderr)
    return EXIT_FAILED
