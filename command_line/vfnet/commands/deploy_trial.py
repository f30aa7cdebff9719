"""The trial that `vfnet deploy --canary` puts before the turn of a public name."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from vfnet.commands.canary import gateway_of
from vfnet_client.commands.options import KEY_VARIABLE, percent
from vfnet_client.commands.settings_options import add_options, settings_from
from vfnet_client.exceptions import CommandError
from vfnet_deploy.deploying import TrialRun, TrialStep
from vfnet_deploy.errors import DeployError
from vfnet_gateway.traffic.canary import Canary, CanaryPlan
from vfnet_gateway.traffic.judging import CanaryLimits
from vfnet_serve.background import StateFolder

_OWN_LIMITS = ("max_error_increase", "max_silence", "min_images", "min_compared")
"""Those that `vfnet deploy` has no option for."""


def add_trial_options(parser: argparse.ArgumentParser) -> None:
    """How the new one is tried on the traffic, if it is."""
    trial = parser.add_argument_group(
        "tried on the gateway's traffic, before the name is turned",
        "--min-agreement (0.8 here) and --max-slowdown (1.5 here) hold in the trial too",
    )
    trial.add_argument(
        "--canary", type=percent, metavar="PERCENT", help="first share of the requests (default: it is not tried)"
    )
    trial.add_argument(
        "--promote", action="store_true", help="go on to 25 and 50 percent; without it only the first share is tried"
    )
    add_options(trial, CanaryPlan, "seconds", "mirror", "patience")
    add_options(trial, CanaryLimits, *_OWN_LIMITS)
    trial.add_argument(
        "--gateway", action="append", metavar="URL",
        help="a gateway that reads the traffic file; may be repeated (default: the one that vfnet up started)",
    )  # fmt: skip
    trial.add_argument(
        "--traffic-file", type=Path, metavar="FILE",
        help="the gateway's --traffic-file (default: that of vfnet up, traffic.toml in the state folder)",
    )  # fmt: skip


def trial_step(arguments: argparse.Namespace, say: Callable[[str], None]) -> TrialStep | None:
    """What `deploy` calls before the turn; None where no trial is asked for.

    Raises:
        CommandError: the options cannot be so, or there is no gateway to try it at.
    """
    if arguments.canary is None:
        return None
    folder = StateFolder(arguments.state)
    if arguments.state_file is not None and not (arguments.gateway and arguments.traffic_file):
        raise CommandError("--canary beside --state-file needs --gateway and --traffic-file, to know whose traffic")
    gateways = arguments.gateway or [gateway_of(folder)]
    chosen = {
        name: value for name in ("min_agreement", "max_slowdown") if (value := getattr(arguments, name)) is not None
    }
    try:
        limits = CanaryLimits(**chosen, **{name: getattr(arguments, name) for name in _OWN_LIMITS})
        settings_from(CanaryPlan, arguments, candidate="", model="")
    except ValueError as error:
        raise CommandError(str(error)) from error

    def run(trial: TrialRun) -> None:
        canary = Canary(
            settings_from(CanaryPlan, arguments, candidate=trial.candidate, model=trial.model),
            limits,
            gateways=gateways,
            traffic_file=arguments.traffic_file or folder.traffic,
            key=os.environ.get(KEY_VARIABLE),
            hands_back=True,
            say=say,
        )
        result = canary.run()
        if not result.passed:
            raise DeployError(result.reason)
        say(result.reason)

    return run
