"""`vfnet serve`: the real Triton server on a built repository, in the foreground."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from vfnet_client.commands.options import at_least_one, milliseconds, port_number, seconds
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.open_files import ensure_open_files
from vfnet_serve.serving import ServeOptions, serve
from vfnet_serve.serving_settings import MEANINGS, GivenSettings
from vfnet_supervision.ring import join_ring


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet serve`."""
    parser.add_argument("--repository", type=Path, required=True, metavar="DIR", help="written by vfnet build")
    add_server_arguments(parser)
    parser.add_argument("--model-config-name", metavar="NAME", help="another configuration of vfnet_detector")
    parser.add_argument(
        "--gpus",
        type=visible_gpus,
        metavar="all|none|N,N,...",
        help="GPUs to serve on, one instance of the detector on each (default: all; with openvino none is used)",
    )
    parser.add_argument(
        "--state-file", type=Path, metavar="FILE", help="while ready, holds the process number and ports as JSON"
    )
    parser.add_argument(
        "--expose-triton",
        action="store_true",
        help="let --host be an address that other machines reach; who reaches Triton's ports can end it: strangers "
        "belong in front of vfnet gateway",
    )
    parser.add_argument(
        "--max-restarts",
        type=int,
        default=ServeOptions.max_restarts,
        metavar="N",
        help="starts of Triton in a row that may fail; one that served is always started again (default: %(default)s)",
    )
    parser.add_argument(
        "--until-rebuilt",
        action="store_true",
        help="stop, after what is in flight, when the repository is built anew: for who starts it again by itself",
    )
    parser.add_argument("--verbose", action="store_true", help="print all that Triton logs")
    settings = parser.add_argument_group(
        "settings", "chosen from the cores and GPUs at hand, and printed, unless given"
    )
    for name, meaning in MEANINGS.items():
        kind, metavar = _KINDS.get(name, (at_least_one, "N"))
        settings.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=metavar, help=meaning)


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Where and how the server runs, shared with `vfnet up`."""
    default = Endpoints()
    parser.add_argument("--host", default=default.host, help="address to listen on (default: %(default)s)")
    parser.add_argument("--http-port", type=port_number, default=default.http_port, metavar="PORT", help="%(default)s")
    parser.add_argument("--grpc-port", type=port_number, default=default.grpc_port, metavar="PORT", help="%(default)s")
    parser.add_argument(
        "--metrics-port", type=port_number, default=default.metrics_port, metavar="PORT", help="%(default)s"
    )
    parser.add_argument(
        "--stall-timeout",
        type=float,
        default=ServeOptions.stall_timeout,
        metavar="SECONDS",
        help="replace a model process that has work and completes nothing for so long (default: %(default)g)",
    )
    parser.add_argument(
        "--exit-timeout",
        type=int,
        default=ServeOptions.exit_timeout,
        metavar="SECONDS",
        help="let requests in flight finish for so long when stopping (default: %(default)s)",
    )
    parser.add_argument(
        "--triton", type=Path, metavar="DIR", help="where the Triton server is, if not in this environment"
    )


_KINDS = {
    "queue_delay": (milliseconds, "MS"),
    "queue_timeout": (seconds, "SECONDS"),
    "max_wait": (seconds, "SECONDS"),
}


def visible_gpus(text: str) -> str | None:
    """`all` -> None; `none` or numbers (also NVIDIA's GPU-... names) -> what CUDA_VISIBLE_DEVICES says for them."""
    if text == "all":
        return None
    if text == "none":
        return ""
    names = text.split(",")
    if not all(re.fullmatch(r"\d+|(GPU|MIG)-[\w-]+", name) for name in names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} is neither all, none nor a list of GPUs such as 0,1")
    return text


def endpoints_from(arguments: argparse.Namespace) -> Endpoints:
    """The listening addresses that the options name."""
    return Endpoints(arguments.host, arguments.http_port, arguments.grpc_port, arguments.metrics_port)


def run(arguments: argparse.Namespace) -> int:
    """Serve; 0 when told to stop."""
    join_ring()
    options = ServeOptions(
        repository=arguments.repository,
        endpoints=endpoints_from(arguments),
        model_config_name=arguments.model_config_name,
        gpus=arguments.gpus,
        settings=GivenSettings(**{name: getattr(arguments, name) for name in MEANINGS}),
        stall_timeout=arguments.stall_timeout,
        exit_timeout=arguments.exit_timeout,
        triton=arguments.triton,
        state_file=arguments.state_file,
        expose_triton=arguments.expose_triton,
        max_restarts=arguments.max_restarts,
        until_rebuilt=arguments.until_rebuilt,
        verbose=arguments.verbose,
    )
    ensure_open_files()
    serve(options)
    return 0
