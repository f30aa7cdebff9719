"""`vfnet deploy`, `rollback` and `deployments` for a server on another machine."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from vfnet.commands.detection_settings import detection_settings_from
from vfnet_client.exceptions import CommandError
from vfnet_client.safe_text import printable_lines
from vfnet_deploy.remote_requests import DEPLOY, DEPLOYMENTS, read_secret
from vfnet_deploy.sending import pack, send

_ONLY_THERE = (
    "annotations", "annotated_images", "max_ap_loss", "canary", "gateway", "traffic_file", "calibration", "validation",
    "validation_images",
)  # fmt: skip
"""What names files or gateways of the server's machine."""


def deploy_there(arguments: argparse.Namespace, images: Sequence[Path]) -> int:
    """Send the checkpoint and have it deployed there; the exit code.

    Raises:
        CommandError: it cannot be asked for from here.
        DeployError: it was refused or lost.
    """
    given = [name.replace("_", "-") for name in _ONLY_THERE if getattr(arguments, name) is not None]
    if given:
        raise CommandError(f"--{given[0]} needs files or gateways of the server's machine: run vfnet deploy there")
    checkpoint = Path(arguments.checkpoint)
    if not checkpoint.exists():
        raise CommandError(f"--server is sent a file or a folder, and {arguments.checkpoint} is neither")
    if len(arguments.engine) > 1:
        raise CommandError("--server builds one --engine")
    options: dict[str, str | bool] = {
        "name": arguments.name,
        "engine": arguments.engine[0],
        "precision": arguments.precision,
        "spare-memory": f"{arguments.spare_memory / 2**30}",
    }
    settings = asdict(detection_settings_from(arguments))
    for name, value in ({name: getattr(arguments, name) for name in _WORDS} | settings).items():
        if value is not None:
            options[name.replace("_", "-")] = "x".join(map(str, value)) if isinstance(value, tuple) else str(value)
    options |= {name.replace("_", "-"): True for name in _SWITCHES if getattr(arguments, name)}
    with tempfile.TemporaryFile() as body:
        pack(checkpoint, arguments.classes, images, body)
        return send(arguments.server, read_secret(arguments.secret_file), DEPLOY, options, _tell, body)


_WORDS = ("architecture", "min_agreement", "max_slowdown")
_SWITCHES = ("keep", "beside", "accept_preprocessing")


def ask_there(arguments: argparse.Namespace, verb: str, options: Mapping[str, str | bool]) -> int:
    """Have another command run there; its exit code. Raises DeployError: it was refused or lost."""
    tell = _print if verb == DEPLOYMENTS else _tell
    return send(arguments.server, read_secret(arguments.secret_file), verb, options, tell)


def _tell(line: str) -> None:
    print(printable_lines(line), file=sys.stderr, flush=True)


def _print(line: str) -> None:
    print(printable_lines(line), flush=True)
