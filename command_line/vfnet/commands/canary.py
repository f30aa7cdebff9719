"""`vfnet canary`: try a deployment on a growing share of the traffic; it goes back by itself when it does worse."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from types import FrameType

from vfnet.commands.traffic import add_traffic_file_arguments, check_served, traffic_file
from vfnet_client.cli import EXIT_FAILED
from vfnet_client.commands.options import KEY_VARIABLE
from vfnet_client.commands.settings_options import add_options, settings_from
from vfnet_client.exceptions import CommandError
from vfnet_client.model_names import check_ensemble_name
from vfnet_gateway.traffic.canary import Canary, CanaryPlan
from vfnet_gateway.traffic.judging import CanaryLimits
from vfnet_serve.background import StateFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet canary`."""
    parser.add_argument("candidate", metavar="NAME", help="the deployment to try, which Triton serves already")
    add_options(parser, CanaryPlan, "model", "promote")
    add_canary_options(parser)
    add_traffic_file_arguments(parser)
    parser.add_argument(
        "--gateway", action="append", metavar="URL",
        help="a gateway that reads the file; may be repeated (default: the one that vfnet up started)",
    )  # fmt: skip


def add_canary_options(parser: argparse.ArgumentParser) -> None:
    """How a candidate is tried, and its limits."""
    add_options(parser.add_argument_group("trial"), CanaryPlan, "canary", "seconds", "mirror", "patience")
    add_options(parser.add_argument_group("limits: beyond one the candidate goes back"), CanaryLimits)


def run(arguments: argparse.Namespace) -> int:
    """Try it and say what became of it; 0 if it passed, 1 if it was taken back."""
    try:
        check_ensemble_name(arguments.candidate)
        plan, limits = settings_from(CanaryPlan, arguments), settings_from(CanaryLimits, arguments)
    except ValueError as error:
        raise CommandError(str(error)) from error
    check_served(arguments, plan.candidate)
    signal.signal(signal.SIGTERM, _interrupt)  # the traffic goes back, as after Ctrl-C
    canary = Canary(
        plan,
        limits,
        gateways=arguments.gateway or [gateway_of(StateFolder(arguments.state))],
        traffic_file=traffic_file(arguments),
        key=os.environ.get(KEY_VARIABLE),
        say=lambda line: print(f"vfnet canary: {line}", file=sys.stderr, flush=True),
    )
    result = canary.run()
    print(result.reason, flush=True)
    return 0 if result.passed else EXIT_FAILED


def gateway_of(folder: StateFolder) -> str:
    """The address of the gateway that `vfnet up` started. Raises CommandError: none runs."""
    running = folder.gateway.find()
    if running is None:
        raise CommandError(f"no gateway runs in {folder.root}: start one with vfnet up, or name it with --gateway")
    address = str(running.state["address"])
    return address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
