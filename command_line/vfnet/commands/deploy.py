"""`vfnet deploy`: another checkpoint in place of the one that serves, without a lost request."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from vfnet.commands.build import add_checkpoint_arguments, build_from
from vfnet.commands.deploy_trial import add_trial_options, trial_step
from vfnet.commands.state_folder import add_running_server_arguments, state_file_of
from vfnet.remote import deploy_there
from vfnet_client.commands.options import at_least_one, fraction, public_name, seconds
from vfnet_client.exceptions import CommandError
from vfnet_client.model_names import MODEL
from vfnet_client.safe_text import printable_lines
from vfnet_deploy.comparing import Limits
from vfnet_deploy.comparison_images import find_images
from vfnet_deploy.deploying import DeployOptions, deploy
from vfnet_deploy.running_server import RunningServer
from vfnet_model.checkpoints.demo import SAMPLE_PICTURE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet deploy`."""
    parser.add_argument(
        "--name",
        type=public_name,
        default=MODEL,
        metavar="NAME",
        help="the model whose public name is to lead to the new one (default: %(default)s)",
    )
    add_running_server_arguments(parser)
    add_checkpoint_arguments(parser)
    parser.set_defaults(checkpoint=None)
    compared = parser.add_argument_group("compared with what serves, before anybody else asks it")
    compared.add_argument(
        "--compare-on",
        nargs="+",
        default=[],
        metavar="IMAGE|FOLDER|FILE",
        help="images to compare on: files, folders, annotations as vfnet evaluate reads them, or what vfnet gateway "
        "--capture has kept (default: those of --annotations, else the sample picture)",
    )
    compared.add_argument(
        "--compare-at-most", type=at_least_one, default=200, metavar="N",
        help="of these images, evenly among them (default: %(default)s)",
    )  # fmt: skip
    compared.add_argument(
        "--annotations", type=Path, metavar="FILE|FOLDER", help="of annotated images, to compare AP on"
    )
    compared.add_argument(
        "--annotated-images", type=Path, metavar="FOLDER", help="where those are (default: near the annotations)"
    )
    compared.add_argument(
        "--min-agreement", type=fraction, metavar="SHARE", help="of the boxes above 0.3, to be found again, 0 to 1"
    )
    compared.add_argument(
        "--max-slowdown", type=seconds, metavar="FACTOR", help="how many times as long an image may take"
    )
    compared.add_argument(
        "--max-ap-loss", type=fraction, metavar="SHARE", help="of AP, that it may lose, 0 to 1; needs --annotations"
    )
    after = parser.add_mutually_exclusive_group()
    after.add_argument(
        "--keep", action="store_true", help="keep the old one loaded, so that vfnet rollback takes no time"
    )
    after.add_argument(
        "--beside",
        action="store_true",
        help="leave the name where it is, and keep the new one beside, under a name of its own such as vfnet.2: for "
        "vfnet traffic and vfnet canary; vfnet rollback turns the name to it",
    )
    parser.add_argument(
        "--spare-memory", type=_gib, default=DeployOptions.spare_memory, metavar="GIB",
        help=f"memory to leave free while both are loaded (default: {DeployOptions.spare_memory / 2**30:g})",
    )  # fmt: skip
    add_trial_options(parser)
    parser.epilog = (
        "Whatever fails or is killed before the name is turned leaves the old one serving and nothing behind; what is "
        "killed after it is finished by the server. Exit code: 0 when it serves, 1 when the old one still does."
    )


def run(arguments: argparse.Namespace) -> int:
    """Deploy; 0 when the new one serves."""
    if arguments.checkpoint is None:
        raise CommandError("--checkpoint says what to deploy: a file, a folder, a URL, coco or demo")
    found = find_images(arguments.compare_on, arguments.annotations, arguments.annotated_images)
    if arguments.max_ap_loss is not None and found.dataset is None:
        raise CommandError("--max-ap-loss compares AP, which needs --annotations")
    found = found.at_most(arguments.compare_at_most)
    if arguments.server is not None:
        return deploy_there(arguments, found.paths)
    server = RunningServer.find(state_file_of(arguments))
    options = DeployOptions(
        model=arguments.name,
        images=found.paths or [SAMPLE_PICTURE],
        dataset=found.dataset,
        limits=Limits(arguments.min_agreement, arguments.max_slowdown, arguments.max_ap_loss),
        keep=arguments.keep,
        beside=arguments.beside,
        spare_memory=arguments.spare_memory,
    )
    tried = trial_step(arguments, say)
    with _interrupted_by_signals():
        deploy(options, server, lambda folder: build_from(arguments, folder, model=arguments.name), say, tried)
    return 0


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """SIGTERM and a terminal that closes undo what is done, as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say(message: str) -> None:
    """What a deployment tells, on stderr."""
    print(printable_lines(f"vfnet deploy: {message}"), file=sys.stderr, flush=True)


def _gib(text: str) -> int:
    return round(seconds(text) * 2**30)
