"""`vfnet up`: build, start server and gateway in the background, detect in a picture. What `make up` runs."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

from vfnet.commands.build import add_checkpoint_arguments, build_from, planned_from
from vfnet.commands.serve import add_server_arguments
from vfnet.commands.state_folder import add_state_folder_argument
from vfnet.replacing import AskedModel
from vfnet_client.atomic_files import write_inside
from vfnet_client.bounded_files import read_text
from vfnet_client.commands.settings_options import add_options, settings_from
from vfnet_client.commands.settings_parser import LARGEST_FILE, SettingsParser
from vfnet_client.detections import Detections
from vfnet_model.checkpoints.demo import SAMPLE_PICTURE
from vfnet_model.manifest import MANIFEST, Manifest, built_models, file_of
from vfnet_serve.background import BackgroundProcess, StateFolder
from vfnet_serve.endpoints import Endpoints, check_free
from vfnet_serve.installation import ServerError, find_triton
from vfnet_serve.open_files import ensure_open_files
from vfnet_serve.serving import ServeOptions
from vfnet_serve.starting import (
    GATEWAY_START_TIMEOUT,
    KEYS_VARIABLE,
    SERVER_START_TIMEOUT,
    GatewayOptions,
    gateway_keys,
    ports_of_running,
    running_endpoints,
    server_command,
)
from vfnet_serve.supervision.control import Supervision
from vfnet_serve.supervision.wanted import Listener, WantedProcess, code_version

_DRAWN_SCORE = 0.5
_COMMON_PACKAGES = ("vfnet_supervision", "vfnet_client", "vfnet_images")
SERVER_PACKAGES = (*_COMMON_PACKAGES, "vfnet_serve", "vfnet_model", "vfnet_build", "vfnet_runtime")
GATEWAY_PACKAGES = (*_COMMON_PACKAGES, "vfnet_gateway")
"""Whose code a running one must be of: where that has changed it is started anew."""
_PORTS = ("http-port", "grpc-port", "metrics-port", "score-port", "score-grpc-port")
_HEALTH_PORT = "health-port"


PARSER = SettingsParser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vfnet up`."""
    add_state_folder_argument(parser)
    add_checkpoint_arguments(parser)
    add_server_arguments(parser)
    add_options(parser, GatewayOptions, "port", "grpc_port", "keys_file")
    add_options(parser, ServeOptions, "otlp", "log_format")
    parser.add_argument("--image", type=Path, metavar="FILE", help="a picture to detect in, instead of the sample")


def run(arguments: argparse.Namespace) -> int:
    """Bring the server up and show it; 0."""
    folder = StateFolder(arguments.state)
    ensure_open_files()
    with folder.locked():
        planned = _ensure_running(folder, arguments)
    _show(folder, planned, arguments.image, has_keys=bool(gateway_keys() or arguments.keys_file))
    return 0


def _ensure_running(folder: StateFolder, arguments: argparse.Namespace) -> Manifest:
    """Build, and have server and gateway run, supervised, as they are asked for; what was asked to be built."""
    find_triton(arguments.triton)  # before any long work
    supervision = Supervision(folder.root)
    _check_ports(folder, arguments)
    planned = planned_from(arguments)
    asked = AskedModel(folder, planned)
    in_place = StateFolder(folder.root.absolute())
    server_stays = "server" not in supervision.changed(wanted_processes(in_place, arguments))
    if server_stays and asked.is_new():
        if folder.server.find() is None:  # it is being started again at this moment
            supervision.wait_until_running("server", wanted_processes(in_place, arguments)["server"])
        server_stays = asked.replace(lambda target: build_from(arguments, target), _say)
    if not server_stays and asked.build_anew(lambda target: build_from(arguments, target)):
        _check_ports(folder, arguments)  # that took a while
    wanted = wanted_processes(in_place, arguments)
    changed = supervision.changed(wanted)
    if not changed and supervision.is_current():
        _say("already running")
        return planned
    unsupervised = [each for each in (folder.gateway, folder.server) if _is_unsupervised(each, supervision)]
    for name in supervision.running():
        if name in changed:
            _say(f"stopping the {name} that runs, to start the new one")
    for old in unsupervised:  # of a version that had no supervisor
        old.stop()
    logs = {"server": folder.server.log, "gateway": folder.gateway.log}
    for name in changed:
        _say(f"starting {'Triton' if name == 'server' else f'the {name}'} (its log: {logs[name]})")
    supervision.ask_for(wanted)
    for name, process in wanted.items():
        supervision.wait_until_running(name, process)
    return planned


def wanted_processes(folder: StateFolder, arguments: argparse.Namespace) -> dict[str, WantedProcess]:
    """Server and gateway as the options, and the file of `--config`, want them."""
    config = [] if arguments.config is None else [f"--config={arguments.config.absolute()}"]
    endpoints = _triton_endpoints(arguments)
    options = [f"--stall-timeout={arguments.stall_timeout}", f"--exit-timeout={arguments.exit_timeout}"]
    lame_duck = f"--lame-duck={arguments.lame_duck:g}"
    options += [lame_duck, f"--health-port={arguments.health_port}", f"--health-host={arguments.health_host}"]
    if arguments.triton is not None:
        options.append(f"--triton={arguments.triton.absolute()}")
    traces = [] if arguments.otlp is None else [f"--otlp={arguments.otlp}"]
    options += [f"--log-format={arguments.log_format}", *traces, *config]
    server = WantedProcess(
        command=server_command(folder, endpoints, options),
        state_file=str(folder.server.state_file),
        log=str(folder.server.log),
        code=f"{code_version(SERVER_PACKAGES)} {_build_of(folder)} {_settings_of('serve', arguments.config)}",
        environment={KEYS_VARIABLE: None},  # neither Triton nor its models need the gateway's keys
        health_url=f"{endpoints.http_url}/v2/health/ready",
        serves_by_others=True,
        start_timeout=SERVER_START_TIMEOUT,
        stop_timeout=arguments.lame_duck + 2 * arguments.exit_timeout + 20,
    )
    gateway = WantedProcess(
        command=[*settings_from(GatewayOptions, arguments).command(folder, endpoints), lame_duck, *traces, *config],
        state_file=str(folder.gateway.state_file),
        log=str(folder.gateway.log),
        code=f"{code_version(GATEWAY_PACKAGES)} {_settings_of('gateway', arguments.config)}",
        environment={KEYS_VARIABLE: gateway_keys()},
        listener=Listener(arguments.host, arguments.score_port),
        health_url=f"{Endpoints(arguments.host, arguments.score_port).http_url}/health",
        start_timeout=GATEWAY_START_TIMEOUT,
        stop_timeout=arguments.lame_duck + 50,
    )
    return {"server": server, "gateway": gateway}


def _check_ports(folder: StateFolder, arguments: argparse.Namespace) -> None:
    """Before anything that works is stopped.

    Raises:
        ServerError: another program listens on one of them, or two are the same.
    """
    named = (*_PORTS, _HEALTH_PORT)
    ports = {name: port for name in named if (port := getattr(arguments, name.replace("-", "_")))}  # 0: none
    if len(set(ports.values())) < len(ports):
        raise ServerError("the ports must differ: " + ", ".join(f"--{name} {port}" for name, port in ports.items()))
    ports.pop(_HEALTH_PORT, None)  # at an address of its own, which the server tries
    ours = ports_of_running(folder) | Supervision(folder.root).ports()
    for host, is_score in ((_triton_endpoints(arguments).host, False), (arguments.host, True)):
        check_free(
            host, {n: port for n, port in ports.items() if n.startswith("score") is is_score and port not in ours}
        )


def _triton_endpoints(arguments: argparse.Namespace) -> Endpoints:
    """Triton stays on this machine, whatever address the gateway listens on, which is the door for others."""
    given = settings_from(Endpoints, arguments)
    return given if given.is_loopback else replace(given, host=Endpoints().host)


def _build_of(folder: StateFolder) -> str:
    """Which builds the repository holds."""
    digest = hashlib.sha256()
    for model in built_models(folder.repository):
        with contextlib.suppress(OSError):
            digest.update((folder.repository / file_of(MANIFEST, model)).read_bytes())
    return digest.hexdigest()[:16]


def _settings_of(command: str, config: Path | None) -> str:
    """Which settings a command finds beside its command line: with others it is started anew."""
    prefixes = (f"VFNET_{command.upper()}_", "OTEL_")
    names = sorted(name for name in os.environ if name.startswith(prefixes) and name != KEYS_VARIABLE)
    file = {} if config is None else tomllib.loads(read_text(config, LARGEST_FILE))  # it was read for us before
    found = [[(name, os.environ[name]) for name in names], file.get(command)]
    return hashlib.sha256(json.dumps(found, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _is_unsupervised(process: BackgroundProcess, supervision: Supervision) -> bool:
    return process.find() is not None and process.name not in supervision.running()


def _show(folder: StateFolder, planned: Manifest, image: Path | None, *, has_keys: bool) -> None:
    """Detect in a picture and say what to do next."""
    from vfnet_client.client import VFNetClient
    from vfnet_client.drawing import annotate

    endpoints, gateway = running_endpoints(folder), folder.gateway.find()
    if endpoints is None:
        raise ServerError(f"the server has ended, see {folder.server.log}")
    if gateway is None:
        raise ServerError(f"the gateway has ended, see {folder.gateway.log}")
    sample = image or folder.root / "sample.png"
    if image is None:
        write_inside(sample, SAMPLE_PICTURE.read_bytes())
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
    if planned.untrained:
        _say("WARNING: these weights are UNTRAINED, so the boxes mean nothing; trained ones: docs/checkpoints.md")
    _say_endpoints(endpoints, gateway.state["address"], gateway.state.get("grpc_address"), sample, has_keys=has_keys)


def reachable(address: str) -> str:
    """An address as it can be asked from this machine: one listens on 0.0.0.0, and nobody connects to it."""
    return address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def _say_endpoints(where: Endpoints, gateway: str, grpc_gateway: str | None, sample: Path, *, has_keys: bool) -> None:
    gateway = reachable(gateway)
    _say(f"gRPC    {where.grpc_url}    try: {sys.argv[0]} detect PHOTO.jpg --server {where.grpc_url}")
    _say(f"HTTP    {where.http_url}    KServe v2: POST /v2/models/vfnet/infer")
    _say(f"metrics {where.metrics_url}")
    if grpc_gateway is not None:
        _say(f"KServe v2 for others than local callers: {gateway} and {reachable(grpc_gateway)}")
    _say(f"page    {gateway}/ui")
    _say(f"score   {gateway}/score    try:")
    body = """echo '{"input_data": {"columns": ["image"], "data": ["'$(base64 -w0 SAMPLE)'"]}}'"""
    key = """ -H "Authorization: Bearer $KEY\"""" if has_keys else ""  # not the key itself: this may be a log
    post = f"curl -s -H 'Content-Type: application/json'{key} --data-binary @-"
    print(f"  {body.replace('SAMPLE', str(sample))} |\n  {post} {gateway}/score", file=sys.stderr, flush=True)


def _say(message: str) -> None:
    print(f"vfnet up: {message}", file=sys.stderr, flush=True)
