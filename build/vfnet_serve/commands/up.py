"""`vfnet up`: build, start in the background, detect in a picture. What `make up` runs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from vfnet_build.checkpoints.errors import CheckpointError
from vfnet_build.commands.build import add_checkpoint_arguments, build_from
from vfnet_build.repository import Manifest, RepositoryError
from vfnet_build.sample_scene import write_sample_scene
from vfnet_client.client import VFNetClient
from vfnet_client.drawing import annotate
from vfnet_client.exceptions import VFNetClientError
from vfnet_client.writing import write_whole
from vfnet_serve.background import RunningServer, StateFolder, find_running, start, stop
from vfnet_serve.commands.serve import add_server_arguments, endpoints_from
from vfnet_serve.installation import ServerError, find_triton


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet up`."""
    add_state_folder_argument(parser)
    add_checkpoint_arguments(parser)
    add_server_arguments(parser)
    parser.add_argument("--image", type=Path, metavar="FILE", help="a picture to detect in, instead of the sample")


def add_state_folder_argument(parser: argparse.ArgumentParser) -> None:
    """Shared by `up`, `down` and `logs`."""
    parser.add_argument(
        "--state", type=Path, default=Path("var"), metavar="DIR", help="folder for all that is written (default: var)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Bring the server up and show it; 0, or 1 with the reason on stderr."""
    folder = StateFolder(arguments.state)
    try:
        with folder.locked():
            _ensure_running(folder, arguments)
        _show(folder, arguments.image)
    except (CheckpointError, RepositoryError, ServerError, VFNetClientError) as error:
        print(f"vfnet up: {error}", file=sys.stderr)
        return 1
    return 0


def _ensure_running(folder: StateFolder, arguments: argparse.Namespace) -> None:
    find_triton(arguments.triton)  # before any long work
    rebuilt = build_from(arguments, folder.repository)
    endpoints = endpoints_from(arguments)
    running = find_running(folder)
    if running is not None and not rebuilt and running.endpoints == endpoints:
        _say("already running")
        return
    if running is not None:
        _say("stopping the server that runs, to start the new one")
        stop(folder)
    options = [f"--stall-timeout={arguments.stall_timeout}", f"--exit-timeout={arguments.exit_timeout}"]
    if arguments.triton is not None:
        options.append(f"--triton={arguments.triton}")
    _say(f"starting Triton (its log: {folder.log})")
    start(folder, endpoints, options)


def _show(folder: StateFolder, image: Path | None) -> None:
    """Detect in a picture and say what to do next."""
    running = find_running(folder)
    if running is None:
        raise ServerError(f"the server has ended, see {folder.log}")
    sample = image or write_sample_scene(folder.root / "sample.png")
    encoded = sample.read_bytes()
    with VFNetClient(running.endpoints.grpc_url) as client:
        detections = client.detect(encoded)
    print(json.dumps(detections.to_json(), indent=2), flush=True)
    picture, suffix = annotate(encoded, detections)
    annotated = folder.root / f"detections{suffix}"
    write_whole(annotated, picture)
    _say(f"{len(detections.boxes)} detections in {sample}, drawn in {annotated}")
    manifest = Manifest.read(folder.repository)
    if manifest is not None and manifest.untrained:
        _say("WARNING: these weights are UNTRAINED, so the boxes mean nothing; see the README for trained ones")
    _say_endpoints(running)


def _say_endpoints(running: RunningServer) -> None:
    where = running.endpoints
    _say(f"gRPC    {where.grpc_url}    try: {sys.argv[0]} detect PHOTO.jpg --server {where.grpc_url}")
    _say(f"HTTP    {where.http_url}    KServe v2: POST /v2/models/vfnet/infer")
    _say(f"metrics {where.metrics_url}")


def _say(message: str) -> None:
    print(f"vfnet up: {message}", file=sys.stderr, flush=True)
