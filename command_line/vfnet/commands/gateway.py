"""`vfnet gateway`: /score and KServe v2 in front of a served repository, in the foreground."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from vfnet_client.commands.options import GivenOnce, at_least_one, port_number, seconds
from vfnet_client.exceptions import CommandError
from vfnet_client.transport import parse_server_url
from vfnet_client.url_images.address_policy import AddressPolicy
from vfnet_client.url_images.url_images import FetchLimits
from vfnet_gateway.host_policy import HostPolicy, is_loopback
from vfnet_gateway.keys import KEYS_VARIABLE, keys_in
from vfnet_gateway.server import Listening, serve
from vfnet_gateway.settings import GatewaySettings
from vfnet_supervision.ring import join_ring

_TIMES = {
    "timeout": "for the answer to a request, from the end of its body",
    "queue-timeout": "a request waits for room before it is refused with 429",
    "body-idle-timeout": "without a byte after which a body is given up",
    "body-timeout": "for a whole body to arrive",
    "header-timeout": "for the head of a request to arrive",
    "write-timeout": "without progress after which a client that does not read its answer is hung up on",
}
_COUNTS = {
    "max-body-bytes": "largest body accepted",
    "max-image-bytes": "largest encoded image in a KServe v2 request",
    "max-images": "images of one request",
    "max-held-bytes": "all bodies read or worked on together; others are left unread until there is room",
    "min-body-rate": "bytes a second that a body has to arrive with; eight times as many while others wait for room",
    "max-connections": "connections at once",
    "max-peer-connections": "connections at once from one address",
    "max-in-flight": "images in the ensemble at once",
    "request-window": "images of one request in the ensemble at once",
    "max-waiting": "requests of each priority waiting for a first place in the ensemble; one more is refused with 429",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet gateway`."""
    where, limits = parser.add_argument_group("where"), parser.add_argument_group("limits")
    access = parser.add_argument_group("access")
    default = Listening()
    where.add_argument(
        "--server", metavar="URL", action=GivenOnce, default=GatewaySettings.server,
        help="Triton (default: %(default)s)",
    )  # fmt: skip
    where.add_argument(
        "--model", action="append", metavar="NAME", help="a model that callers may ask for; may be repeated, "
        f"/score asks the first (default: {', '.join(GatewaySettings.models)})",
    )  # fmt: skip
    where.add_argument("--host", default=default.host, help="address to listen on (default: %(default)s)")
    where.add_argument("--port", type=port_number, default=default.port, help="(default: %(default)s)")
    where.add_argument(
        "--grpc-port",
        type=port_number,
        default=default.grpc_port,
        help="of KServe v2 over gRPC; 0: none (default: %(default)s)",
    )
    where.add_argument("--certificate", type=Path, metavar="FILE", help="PEM chain: serve with TLS")
    where.add_argument("--certificate-key", type=Path, metavar="FILE", help="its key, if not in the same file")
    where.add_argument("--state-file", type=Path, metavar="FILE", help="while ready, holds process number and address")
    where.add_argument("--manifest", type=Path, metavar="FILE", help="the repository's vfnet_build.json, for /ui/info")
    for name, meaning in _TIMES.items():
        _add(limits, name, "SECONDS", seconds, meaning)
    for name, meaning in _COUNTS.items():
        _add(limits, name, "N", at_least_one, meaning)
    limits.add_argument(
        "--drain-timeout", type=int, metavar="SECONDS", default=default.drain_timeout,
        help="for requests in flight to finish when stopping (default: %(default)s)",
    )  # fmt: skip
    limits.add_argument(
        "--max-url-bytes", type=at_least_one, metavar="N", default=FetchLimits.max_bytes,
        help="largest image fetched by URL (default: %(default)s)",
    )  # fmt: skip
    access.add_argument(
        "--keys-file", type=Path, metavar="FILE",
        help=f"bearer keys, one a line, read again when it changes; more in ${KEYS_VARIABLE}, separated by commas",
    )  # fmt: skip
    access.add_argument(
        "--without-keys", action="store_true",
        help="serve whoever reaches it, where no keys are configured: needed to listen beyond loopback without any",
    )  # fmt: skip
    access.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME",
        help="without keys: a name by which it may be asked beside localhost and its addresses, * for any; may be "
        "repeated. Any web page can have a name resolve to this machine",
    )  # fmt: skip
    access.add_argument("--protect-metrics", action="store_true", help="ask for a key at /metrics too")
    access.add_argument(
        "--allow-urls-to", action="append", default=[], metavar="NETWORK|HOST",
        help="fetch images by URL from there although it is not public; may be repeated",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Serve; 0 when told to stop. Raises CommandError where it cannot start."""
    join_ring()
    try:
        limited = {name.replace("-", "_"): getattr(arguments, name.replace("-", "_")) for name in (*_TIMES, *_COUNTS)}
        parse_server_url(arguments.server)
        settings = GatewaySettings(
            server=arguments.server,
            models=tuple(arguments.model or GatewaySettings.models),
            **limited,
            url_policy=AddressPolicy.allowing(arguments.allow_urls_to),
            url_limits=FetchLimits(max_bytes=arguments.max_url_bytes),
            keys_file=arguments.keys_file,
            keys=keys_in(os.environ.get(KEYS_VARIABLE)),
            host_policy=HostPolicy.of(arguments.host, arguments.allow_host),
            protect_metrics=arguments.protect_metrics,
            manifest=arguments.manifest,
        )
    except ValueError as error:
        raise CommandError(str(error)) from error
    if not (settings.keys or settings.keys_file or arguments.without_keys or is_loopback(arguments.host)):
        raise CommandError(
            f"--host {arguments.host} lets strangers in and no keys are configured: set {KEYS_VARIABLE}, give "
            "--keys-file, or say --without-keys"
        )
    serve(
        settings,
        Listening(
            arguments.host,
            arguments.port,
            arguments.certificate,
            arguments.certificate_key,
            arguments.drain_timeout,
            arguments.state_file,
            arguments.grpc_port,
        ),
    )
    return 0


def _add(group: argparse._ArgumentGroup, name: str, metavar: str, kind: object, meaning: str) -> None:
    default = getattr(GatewaySettings, name.replace("-", "_"))
    group.add_argument(
        f"--{name}", type=kind, metavar=metavar, default=default, help=f"{meaning} (default: {default:g})"  # type: ignore[arg-type]
    )  # fmt: skip
