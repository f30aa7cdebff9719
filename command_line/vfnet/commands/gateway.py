"""`vfnet gateway`: /score and KServe v2 in front of a served repository, in the foreground."""

from __future__ import annotations

import argparse
import os
from dataclasses import fields

from vfnet_capture.settings import CaptureSettings
from vfnet_capture.storage import storage_at
from vfnet_client.byte_sizes import byte_count, shown_bytes
from vfnet_client.commands.options import chosen_server
from vfnet_client.commands.settings_options import add_options, settings_from
from vfnet_client.commands.settings_parser import SettingsParser
from vfnet_client.exceptions import CommandError
from vfnet_client.transport import DEFAULT_SERVER
from vfnet_client.url_images.address_policy import AddressPolicy
from vfnet_client.url_images.url_images import FetchLimits
from vfnet_gateway.host_policy import HostPolicy, is_loopback
from vfnet_gateway.keys import KEYS_VARIABLE, REVIEW_KEYS_VARIABLE, keys_in
from vfnet_gateway.server import Listening, serve
from vfnet_gateway.settings import GatewaySettings
from vfnet_supervision.ring import join_ring

PARSER = SettingsParser
_LIMITS = tuple(field.name for field in fields(GatewaySettings) if type(field.default) in (int, float))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet gateway`."""
    where, limits = parser.add_argument_group("where"), parser.add_argument_group("limits")
    access = parser.add_argument_group("access")
    where.add_argument(
        "--server", action="append", metavar="URL",
        help="Triton, or dns:///name:port for all addresses of a name; may be repeated: the least busy gets an image "
        f"(default: {DEFAULT_SERVER})",
    )  # fmt: skip
    where.add_argument(
        "--model", action="append", metavar="NAME", help="a model that callers may ask for; may be repeated, "
        f"/score asks the first (default: {', '.join(GatewaySettings.models)})",
    )  # fmt: skip
    add_options(
        where, Listening, "host", "port", "grpc_port", "workers", "certificate", "certificate_key", "state_file"
    )
    add_options(where, GatewaySettings, "manifest", "traffic_file", "drift_reference", "otlp", "trace_share")
    add_options(limits, GatewaySettings, *_LIMITS)
    add_options(limits, Listening, "lame_duck", "drain_timeout")
    limits.add_argument(
        "--max-url-bytes", type=byte_count, metavar="SIZE", default=FetchLimits.max_bytes,
        help=f"largest image fetched by URL (default: {shown_bytes(FetchLimits.max_bytes)})",
    )  # fmt: skip
    capture = parser.add_argument_group("capture")
    add_options(capture, CaptureSettings)
    add_options(capture, GatewaySettings, "review_keys_file")
    add_options(access, GatewaySettings, "keys_file", "protect_metrics")
    access.add_argument(
        "--without-keys", action="store_true",
        help="serve whoever reaches it, where no keys are configured: needed to listen beyond loopback without any",
    )  # fmt: skip
    access.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME",
        help="without keys: a name by which it may be asked beside localhost and its addresses, * for any; may be "
        "repeated. Any web page can have a name resolve to this machine",
    )  # fmt: skip
    access.add_argument(
        "--allow-urls-to", action="append", default=[], metavar="NETWORK|HOST",
        help="fetch images by URL from there although it is not public; may be repeated",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Serve; 0 when told to stop. Raises CommandError where it cannot start."""
    join_ring()
    try:
        settings = settings_from(
            GatewaySettings,
            arguments,
            server=chosen_server(arguments),
            models=tuple(arguments.model or GatewaySettings.models),
            url_policy=AddressPolicy.allowing(arguments.allow_urls_to),
            url_limits=FetchLimits(max_bytes=arguments.max_url_bytes),
            keys=keys_in(os.environ.get(KEYS_VARIABLE)),
            review_keys=keys_in(os.environ.get(REVIEW_KEYS_VARIABLE), REVIEW_KEYS_VARIABLE),
            capture=settings_from(CaptureSettings, arguments),
            host_policy=HostPolicy.of(arguments.host, arguments.allow_host),
        )
    except ValueError as error:
        raise CommandError(str(error)) from error
    if not (settings.keys or settings.keys_file or arguments.without_keys or is_loopback(arguments.host)):
        raise CommandError(
            f"--host {arguments.host} lets strangers in and no keys are configured: set {KEYS_VARIABLE}, give "
            "--keys-file, or say --without-keys"
        )
    if settings.capture.store is not None:
        storage_at(settings.capture.store)  # a URL that nothing opens is said now
    serve(settings, settings_from(Listening, arguments))
    return 0
