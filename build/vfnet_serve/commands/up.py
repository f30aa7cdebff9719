"""`vfnet up`: build, start server and gateway in the background, detect in a picture. What `make up` runs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from vfnet_build.checkpoints.errors import CheckpointError
from vfnet_build.commands.build import add_checkpoint_arguments, build_from
from vfnet_build.manifest import Manifest
from vfnet_build.repository import RepositoryError
from vfnet_client.client import VFNetClient
from vfnet_client.detections import Detections
from vfnet_client.drawing import annotate
from vfnet_client.exceptions import VFNetClientError
from vfnet_client.writing import write_inside
from vfnet_data.rendered_scenes.sample import write_sample_scene
from vfnet_serve.background import StateFolder
from vfnet_serve.commands.serve import add_server_arguments, endpoints_from
from vfnet_serve.commands.state_folder import add_state_folder_argument
from vfnet_serve.endpoints import Endpoints
from vfnet_serve.installation import ServerError, find_triton
from vfnet_serve.starting import GatewayOptions, ensure_gateway, running_endpoints, start_server

_DRAWN_SCORE = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet up`."""
    add_state_folder_argument(parser)
    add_checkpoint_arguments(parser)
    add_server_arguments(parser)
    parser.add_argument(
        "--score-port", type=int, default=GatewayOptions.port, metavar="PORT", help="of /score and /ui: %(default)s"
    )
    parser.add_argument(
        "--keys-file",
        type=Path,
        metavar="FILE",
        help="bearer keys that /score asks for, one a line",
    )
    parser.add_argument("--image", type=Path, metavar="FILE", help="a picture to detect in, instead of the sample")


def run(arguments: argparse.Namespace) -> int:
    """Bring the server up and show it; 0, or 1 with the reason on stderr."""
    folder = StateFolder(arguments.state)
    try:
        with folder.locked():
            _ensure_running(folder, arguments)
            _ensure_gateway(folder, arguments)
        _show(folder, arguments.image)
    except (CheckpointError, RepositoryError, ServerError, VFNetClientError) as error:
        print(f"vfnet up: {error}", file=sys.stderr)
        return 1
    return 0


def _ensure_running(folder: StateFolder, arguments: argparse.Namespace) -> None:
    find_triton(arguments.triton)  # before any long work
    rebuilt = build_from(arguments, folder.repository)
    endpoints = endpoints_from(arguments)
    running = running_endpoints(folder)
    if running == endpoints and not rebuilt:
        _say("already running")
        return
    if folder.server.find() is not None:
        _say("stopping the server that runs, to start the new one")
        folder.server.stop()
    options = [f"--stall-timeout={arguments.stall_timeout}", f"--exit-timeout={arguments.exit_timeout}"]
    if arguments.triton is not None:
        options.append(f"--triton={arguments.triton}")
    _say(f"starting Triton (its log: {folder.server.log})")
    start_server(folder, endpoints, options)


def _ensure_gateway(folder: StateFolder, arguments: argparse.Namespace) -> None:
    options = GatewayOptions(arguments.score_port, arguments.keys_file)
    if ensure_gateway(folder, endpoints_from(arguments), options):
        _say(f"started the gateway (its log: {folder.gateway.log})")


def _show(folder: StateFolder, image: Path | None) -> None:
    """Detect in a picture and say what to do next."""
    endpoints, gateway = running_endpoints(folder), folder.gateway.find()
    if endpoints is None:
        raise ServerError(f"the server has ended, see {folder.server.log}")
    if gateway is None:
        raise ServerError(f"the gateway has ended, see {folder.gateway.log}")
    sample = image or folder.root / "sample.png"
    if image is None and not sample.exists():  # rendering it takes seconds
        write_sample_scene(sample)
    encoded = sample.read_bytes()
    with VFNetClient(endpoints.grpc_url) as client:
        detections = client.detect(encoded)
    print(json.dumps(detections.to_json(), indent=2), flush=True)
    drawn = Detections([box for box in detections.boxes if box.score >= _DRAWN_SCORE])
    picture, suffix = annotate(encoded, drawn)
    annotated = folder.root / f"detections{suffix}"
    write_inside(annotated, picture)
    _say(
        f"{len(detections.boxes)} detections in {sample}; the {len(drawn.boxes)} with scores from {_DRAWN_SCORE} on "
        f"are drawn in {annotated}"
    )
    manifest = Manifest.read(folder.repository)
    if manifest is not None and manifest.untrained:
        _say("WARNING: these weights are UNTRAINED, so the boxes mean nothing; see the README for trained ones")
    _say_endpoints(endpoints, gateway.state["address"], sample)


def _say_endpoints(where: Endpoints, gateway: str, sample: Path) -> None:
    gateway = gateway.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//127.0.0.1:")
    _say(f"gRPC    {where.grpc_url}    try: {sys.argv[0]} detect PHOTO.jpg --server {where.grpc_url}")
    _say(f"HTTP    {where.http_url}    KServe v2: POST /v2/models/vfnet/infer")
    _say(f"metrics {where.metrics_url}")
    _say(f"page    {gateway}/ui")
    _say(f"score   {gateway}/score    try:")
    body = """echo '{"input_data": {"columns": ["image"], "data": ["'$(base64 -w0 SAMPLE)'"]}}'"""
    post = "curl -s -H 'Content-Type: application/json' --data-binary @-"
    print(f"  {body.replace('SAMPLE', str(sample))} |\n  {post} {gateway}/score", file=sys.stderr, flush=True)


def _say(message: str) -> None:
    print(f"vfnet up: {message}", file=sys.stderr, flush=True)
