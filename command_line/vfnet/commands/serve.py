"""`vfnet serve`: the real Triton server on a built repository, in the foreground."""

from __future__ import annotations

import argparse
import re

from vfnet_client.commands.settings_options import add_options, settings_from
from vfnet_client.commands.settings_parser import SettingsParser
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.open_files import ensure_open_files
from vfnet_serve.serving import ServeOptions, serve
from vfnet_serve.serving_settings import GivenSettings
from vfnet_supervision.ring import join_ring

PARSER = SettingsParser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet serve`."""
    add_options(parser, ServeOptions, "repository")
    add_server_arguments(parser)
    add_options(parser, ServeOptions, "model_config_name")
    parser.add_argument(
        "--gpus",
        type=visible_gpus,
        metavar="all|none|N,N,...",
        help="GPUs to serve on, one instance of the detector on each (default: all; with openvino none is used)",
    )
    add_options(
        parser,
        ServeOptions,
        "state_file",
        "expose_triton",
        "max_restarts",
        "until_rebuilt",
        "otlp",
        "log_format",
        "verbose",
    )
    settings = parser.add_argument_group(
        "settings", "chosen from the cores and GPUs at hand, and printed, unless given"
    )
    add_options(settings, GivenSettings)


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Where and how the server runs, shared with `vfnet up`."""
    add_options(parser, Endpoints)
    add_options(parser, ServeOptions, "stall_timeout", "exit_timeout", "lame_duck", "triton")
    add_options(parser, ServeOptions, "health_port", "health_host")


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


def run(arguments: argparse.Namespace) -> int:
    """Serve; 0 when told to stop."""
    join_ring()
    options = settings_from(
        ServeOptions,
        arguments,
        endpoints=settings_from(Endpoints, arguments),
        settings=settings_from(GivenSettings, arguments),
    )
    ensure_open_files()
    serve(options)
    return 0
