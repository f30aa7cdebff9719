"""Options that several subcommands share."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vfnet_client.credentials import Credentials
from vfnet_client.detection_options import DetectionOptions, check_option
from vfnet_client.exceptions import CommandError, ServerUnavailableError
from vfnet_client.model_names import MODEL, check_ensemble_name, check_model_name
from vfnet_client.transport import DEFAULT_SERVER, parse_server_url

if TYPE_CHECKING:
    from vfnet_client.client import VFNetClient

KEY_VARIABLE = "VFNET_API_KEY"


def add_server_options(parser: argparse.ArgumentParser, timeout: float = 60.0, retries: int | None = None) -> None:
    """Which servers, how long to wait for them, and who we are to them. `connected` reads them."""
    parser.add_argument(
        "--server",
        metavar="URL",
        type=server_url,
        action="append",
        help="Triton at grpc://host:port, grpcs://, http:// or https://; an endpoint, https://host/score; or "
        "dns:///name:port for gRPC at all addresses of a name. May be repeated: the least busy is asked, and another "
        f"where it fails (default: {DEFAULT_SERVER})",
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        type=ensemble_name,
        action=GivenOnce,
        default=None,
        help=f"the model to ask, where the server has several (default: {MODEL}, of an endpoint its own)",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=seconds,
        default=timeout,
        help="how long to wait for the answer to one image, all tries together (default: %(default)g)",
    )
    parser.add_argument(
        "--retries",
        metavar="N",
        type=count,
        default=retries,
        help="how often to try again when the connection is refused or lost; 0 also does not wait for a busy server "
        f"(default: {'as often as --timeout allows' if retries is None else retries})",
    )
    parser.add_argument(
        "--key",
        metavar="KEY",
        default=os.environ.get(KEY_VARIABLE),
        help=f"bearer key of an endpoint; better in the environment's {KEY_VARIABLE}, where other users do not see it",
    )
    parser.add_argument("--ca-file", metavar="PEM", type=Path, help="trust these authorities instead of the usual ones")
    parser.add_argument("--certificate", metavar="PEM", type=Path, help="the certificate to show to the server")
    parser.add_argument("--private-key", metavar="PEM", type=Path, help="its key, if in another file")


def add_detection_options(parser: argparse.ArgumentParser) -> None:
    """What is wanted of the detections otherwise than the model was built. `detection_options` reads them."""
    parser.add_argument("--threshold", metavar="T", type=fraction, help="only boxes that score higher")
    parser.add_argument(
        "--classes",
        metavar="CLASS",
        type=class_name,
        action="append",
        default=[],
        help="only boxes of this class: its name or, where none is called so, its number; may be repeated",
    )
    parser.add_argument(
        "--max-detections", metavar="N", type=box_count, help="at most so many boxes of an image, of those classes"
    )
    parser.add_argument(
        "--nms-iou", metavar="IOU", type=fraction, help="of two boxes of a class that overlap more, the better stays"
    )


def detection_options(arguments: argparse.Namespace) -> DetectionOptions:
    """What was given of `add_detection_options`."""
    return DetectionOptions.chosen(
        score_threshold=arguments.threshold,
        classes=arguments.classes or None,
        max_detections=arguments.max_detections,
        nms_iou=arguments.nms_iou,
    )


class GivenOnce(argparse.Action):
    """Stores an option's value, and refuses a second one instead of forgetting the first."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        """Raises as argparse wants it."""
        given: set[str] = namespace.__dict__.setdefault("_given_once", set())
        if self.dest in given:
            raise argparse.ArgumentError(self, "may be given once only")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


def connected(arguments: argparse.Namespace, concurrency: int = 16, server: str | None = None) -> VFNetClient:
    """A client as `add_server_options` describes it, of all servers named or of one of them.

    Raises:
        CommandError: the key or the certificate cannot be used.
    """
    from vfnet_client.client import VFNetClient

    def say(error: ServerUnavailableError) -> None:
        print(f"vfnet: {error}; asking again for up to {arguments.timeout:g} s", file=sys.stderr, flush=True)

    return VFNetClient(
        chosen_server(arguments) if server is None else server,
        concurrency,
        arguments.timeout,
        retries=arguments.retries,
        credentials=credentials_from(arguments),
        on_waiting=say,
        model=arguments.model,
    )


def chosen_server(arguments: argparse.Namespace) -> str | tuple[str, ...]:
    """The server that `--server` names, or all where it names several."""
    servers = tuple(arguments.server or [DEFAULT_SERVER])
    return servers[0] if len(servers) == 1 else servers


def credentials_from(arguments: argparse.Namespace) -> Credentials:
    """Who we are to a server. Raises as `connected` does."""
    try:
        return Credentials(arguments.key, arguments.ca_file, arguments.certificate, arguments.private_key)
    except ValueError as error:
        raise CommandError(str(error)) from error


def server_url(text: str) -> str:
    """An argument that names a server."""
    try:
        parse_server_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def public_name(text: str) -> str:
    """An argument that names a model."""
    return _named(text, check_model_name)


def ensemble_name(text: str) -> str:
    """An argument that names a model, or one deployment of it."""
    return _named(text, check_ensemble_name)


def _named(text: str, check: Callable[[str], str]) -> str:
    try:
        return check(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def seconds(text: str) -> float:
    """An argument that is a time, above 0."""
    return _number(text, "a time above 0 in seconds", lambda value: value > 0)


def seconds_or_none(text: str) -> float:
    """An argument that is a time; 0 for none."""
    return _number(text, "a time in seconds, or 0", lambda value: value >= 0)


def milliseconds(text: str) -> float:
    """An argument that is a time, possibly none."""
    return _number(text, "a time in milliseconds", lambda value: value >= 0)


def fraction(text: str) -> float:
    """An argument from 0 to 1."""
    return _number(text, "a number from 0 to 1", lambda value: 0 <= value <= 1)


def class_name(text: str) -> str:
    """An argument that names a class, or gives its number."""
    try:
        check_option("classes", [text], "a class")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def box_count(text: str) -> int:
    """An argument that says how many boxes an image may have."""
    number = at_least_one(text)
    try:
        check_option("max_detections", number, text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"no model gives as many boxes as {text}") from error
    return number


def percent(text: str) -> float:
    """An argument from 0 to 100."""
    return _number(text, "a number of percent from 0 to 100", lambda value: 0 <= value <= 100)


def duration(text: str) -> float:
    """An argument that is a time, above 0: seconds, or `90s`, `10m`, `2h`."""
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    return (unit or 1) * _number(text[:-1] if unit else text, "a time such as 90s, 10m or 2h", lambda value: value > 0)


def port_number(text: str) -> int:
    """An argument that is a TCP port; 0 is any that is free."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def at_least_one(text: str) -> int:
    """An argument that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def count(text: str) -> int:
    """An argument that counts something that may be absent."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def scale(text: str) -> tuple[int, int]:
    """An argument that is what images are resized to fit: `1333x800`, whichever comes first.

    Returns:
        Longest and shortest side in pixels.
    """
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r} is not a scale such as 1333x800")
    return max(map(int, sides)), min(map(int, sides))


def _number(text: str, meaning: str, holds: Callable[[float], bool]) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not holds(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {meaning}")
    return value
