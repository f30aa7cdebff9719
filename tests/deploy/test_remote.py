"""`vfnet deploy --server`: what another machine may ask for, and what it may not."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import os
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from replaceable_server import Replaceable
from vfnet.commands import deploy as deploy_command
from vfnet.commands.detection_settings import detection_settings_from
from vfnet_client.exceptions import CommandError
from vfnet_client.free_ports import free_ports
from vfnet_deploy import remote_requests
from vfnet_deploy.deploying import rollback
from vfnet_deploy.errors import DeployError
from vfnet_deploy.listing import deployments
from vfnet_deploy.receiving import Receiver, receiving
from vfnet_deploy.remote_requests import DEPLOY, ROLLBACK, RemoteRequest, UsedNumbers, make_secret, read_secret
from vfnet_deploy.sending import address_of, pack, send
from waiting import eventually

SECRET = b"a secret that nobody will ever guess"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines that a receiver runs; instead of each, some words are printed."""
    found: list[list[str]] = []
    command = Receiver.command

    def stand_in(self: Receiver, request: RemoteRequest, received: Path | None) -> list[str]:
        found.append(command(self, request, received)[3:])
        return [sys.executable, "-c", "print('one'); print('two'); raise SystemExit(3)"]

    monkeypatch.setattr(Receiver, "command", stand_in)
    return found


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def address(tmp_path: Path, said: list[str]) -> Iterator[tuple[str, int]]:
    receiver = Receiver(tmp_path / "server.json", SECRET, 1 << 20, said.append)
    with receiving(receiver, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield "127.0.0.1", server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "new.pth"
    path.write_bytes(b"weights")
    return path


def archive(checkpoint: Path, *images: Path) -> io.BytesIO:
    body = io.BytesIO()
    pack(checkpoint, None, images, body)
    return body


def test_a_checkpoint_arrives_as_it_was_and_the_command_is_told_of(
    address: tuple[str, int], asked: list[list[str]], checkpoint: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "a.PNG"
    picture.write_bytes(b"pixels")
    told: list[str] = []
    options: dict[str, str | bool] = {"name": "small", "precision": "bf16", "keep": True, "min-agreement": "0.9"}
    assert send(address, SECRET, DEPLOY, options, told.append, archive(checkpoint, picture)) == 3
    assert told == ["one", "two"]
    (command,) = asked
    assert command[:2] == ["deploy", f"--state-file={tmp_path / 'server.json'}"]
    assert set(command[2:6]) == {"--name=small", "--precision=bf16", "--keep", "--min-agreement=0.9"}
    assert [Path(part).name for part in command[6:]] == ["new.pth", "--compare-on", "images"]
    assert eventually(lambda: [path.name for path in (tmp_path / "received").iterdir()] == [".lock"])


def test_a_rollback_needs_no_body(address: tuple[str, int], asked: list[list[str]]) -> None:
    assert send(address, SECRET, ROLLBACK, {"model": "vfnet"}, print) == 3
    assert asked[0][0] == "rollback"
    assert asked[0][-1] == "vfnet"


def test_another_secret_opens_nothing(address: tuple[str, int], asked: list[list[str]], checkpoint: Path) -> None:
    with pytest.raises(DeployError, match="is not signed with this server's secret"):
        send(address, SECRET[::-1], DEPLOY, {}, print, archive(checkpoint))
    assert asked == []


def test_what_was_overheard_cannot_be_sent_again(address: tuple[str, int], asked: list[list[str]]) -> None:
    headers = RemoteRequest(ROLLBACK, {"model": "vfnet"}).headers(SECRET) | {"content-length": "0"}
    statuses = []
    for path in (ROLLBACK, ROLLBACK, DEPLOY):
        connection = http.client.HTTPConnection(*address)
        connection.request("POST", f"/{path}", headers=headers)
        statuses.append(connection.getresponse().status)
        connection.close()
    assert statuses == [200, 403, 403]
    assert len(asked) == 1


def test_an_old_request_is_refused() -> None:
    headers = RemoteRequest(ROLLBACK, {}, seconds=time.time() - 3600).headers(SECRET)
    with pytest.raises(PermissionError, match="clocks of the two machines differ by 3600 s"):
        RemoteRequest.read(ROLLBACK, headers, SECRET)


def test_a_number_is_remembered_for_as_long_as_its_request_could_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers, now = UsedNumbers(), time.time()
    numbers.use("1", now)
    with pytest.raises(PermissionError, match="sent before"):
        numbers.use("1", now)
    with pytest.raises(PermissionError, match="older than this vfnet receive"):
        numbers.use("2", now - 1)
    monkeypatch.setattr(remote_requests.time, "time", lambda: now + 601)
    numbers.use("1", now)  # refused for its age, by whoever reads the request


@pytest.mark.parametrize(
    "options",
    [
        {"name": "../vfnet"},
        {"name": "vfnet --canary=5"},
        {"state": "/"},
        {"checkpoint": "/etc/passwd"},
        {"annotations": "/etc"},
        {"engine": "--help"},
        {"precision": "f32 x"},
        {"min-agreement": "x"},
        {"keep": "yes"},
        {"spare-memory": True},
    ],
)
def test_only_some_options_travel(options: dict[str, Any]) -> None:
    with pytest.raises(DeployError, match="cannot be asked for from another machine"):
        RemoteRequest(DEPLOY, options).arguments()


def test_what_is_no_archive_of_plain_files_is_refused(address: tuple[str, int], tmp_path: Path) -> None:
    def tar(*members: tarfile.TarInfo) -> io.BytesIO:
        body = io.BytesIO()
        with tarfile.open(fileobj=body, mode="w") as file:
            for each in members:
                file.addfile(each)
        return body

    link = tarfile.TarInfo("checkpoint/x")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    bodies = {
        "truncated|not a tar|invalid|ReadError|no checkpoint|could not be opened": io.BytesIO(b"x" * 2000),
        "is no file": tar(link),
        "outside": tar(tarfile.TarInfo("../../escaped")),
        "no checkpoint": tar(tarfile.TarInfo("classes.txt")),
        "more than --max-bytes": io.BytesIO(bytes(2 << 20)),
    }
    for reason, body in bodies.items():
        with pytest.raises(DeployError, match=reason):
            send(address, SECRET, DEPLOY, {}, print, body)
    assert not list(tmp_path.rglob("escaped"))


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_idle_connections_are_bounded(address: tuple[str, int], asked: list[list[str]]) -> None:
    idle = [socket.create_connection(address) for _ in range(70)]
    try:
        assert eventually(lambda: any(is_closed(each) for each in idle[64:]))
    finally:
        for each in idle:
            each.close()

    def is_served() -> bool:
        with contextlib.suppress(DeployError):
            return send(address, SECRET, ROLLBACK, {"model": "vfnet"}, print) == 3
        return False

    assert eventually(is_served)
    assert asked


def test_a_command_ends_with_whoever_asked_for_it(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch, said: list[str], tmp_path: Path
) -> None:
    ended = str(tmp_path / "ended")
    code = f"import time\nfrom pathlib import Path\ntry: time.sleep(60)\nfinally: Path({ended!r}).touch()"
    code = (
        f"import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(1))\nprint('begun', flush=True)\n{code}"
    )
    monkeypatch.setattr(Receiver, "command", lambda *_: [sys.executable, "-c", code])
    headers = RemoteRequest(ROLLBACK, {}).headers(SECRET) | {"content-length": "0"}
    connection = http.client.HTTPConnection(*address)
    connection.request("POST", f"/{ROLLBACK}", headers=headers)
    answer = connection.getresponse()
    assert answer.readline() == b"begun\n"
    answer.close()
    connection.close()
    assert eventually((tmp_path / "ended").exists)
    assert eventually(lambda: any("has gone" in line for line in said))


def test_the_secret_is_long_and_its_owners_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VFNET_DEPLOY_SECRET", raising=False)
    with pytest.raises(CommandError, match="put it into the variable VFNET_DEPLOY_SECRET"):
        read_secret(None)
    monkeypatch.setenv("VFNET_DEPLOY_SECRET", "short")
    with pytest.raises(CommandError, match="can be guessed"):
        read_secret(None)
    file = tmp_path / "secret"
    assert make_secret(file)
    assert not make_secret(file)
    assert len(read_secret(file)) > 32
    file.chmod(0o644)
    with pytest.raises(CommandError, match="chmod 600"):
        read_secret(file)


@pytest.mark.parametrize("text", ["host", "host:", ":5003", "host:x", "host:70000"])
def test_an_address_has_a_host_and_a_port(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        address_of(text)


def test_what_names_the_servers_own_files_is_given_there() -> None:
    parser = argparse.ArgumentParser()
    deploy_command.add_arguments(parser)
    for option, reason in (("--canary=5", "--canary needs"), ("--checkpoint=coco", "sent a file or a folder")):
        with pytest.raises(CommandError, match=reason):
            deploy_command.run(parser.parse_args(["--checkpoint=x.pth", "--server=localhost:1", option]))


def test_test_settings_travel(
    address: tuple[str, int], asked: list[list[str]], checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VFNET_DEPLOY_SECRET", SECRET.decode())
    settings = ["--scale=480x800", "--score-threshold=0.2", "--nms-iou=0.5", "--max-detections=7", "--nms-pre=50"]
    parser = argparse.ArgumentParser()
    deploy_command.add_arguments(parser)
    given = parser.parse_args([f"--checkpoint={checkpoint}", f"--server={address[0]}:{address[1]}", *settings])
    assert deploy_command.run(given) == 3
    (command,) = asked
    assert detection_settings_from(parser.parse_args(command[1:])) == detection_settings_from(given)
    assert given.scale == (800, 480)


@pytest.mark.served
def test_a_checkpoint_of_another_machine_takes_the_place_of_what_serves(
    replaceable: Replaceable, other_checkpoint: Path, tmp_path: Path
) -> None:
    before = replaceable.answer()
    with pytest.raises(DeployError, match="nothing is kept of vfnet"):
        rollback("vfnet", replaceable.server, replaceable.say)
    secret, (port,) = tmp_path / "secret", free_ports(1)
    vfnet = [sys.executable, "-m", "vfnet"]
    receive = [*vfnet, "receive", f"--state-file={replaceable.state_file}", f"--port={port}", f"--secret-file={secret}"]
    there = [f"--server=127.0.0.1:{port}", f"--secret-file={secret}"]
    with subprocess.Popen(receive, stderr=subprocess.PIPE, text=True, env=os.environ) as receiver:
        try:
            assert receiver.stderr is not None
            assert any("taking checkpoints" in line for line in receiver.stderr)
            command = [*vfnet, "deploy", *there, f"--checkpoint={other_checkpoint}", "--keep"]
            done = subprocess.run(
                [*command, f"--compare-on={replaceable.pictures[0]}"], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            assert "deployed: vfnet is vfnet.2" in done.stderr
            assert replaceable.answer() != before
            listed = subprocess.run([*vfnet, "deployments", *there], capture_output=True, text=True, check=True)
            assert "vfnet.2  live" in listed.stdout
            assert subprocess.run([*vfnet, "rollback", *there], capture_output=True, check=False).returncode == 0
            assert replaceable.answer() == before
            assert {each["serves"] for each in deployments(replaceable.server)} == {"live", "kept"}
        finally:
            receiver.terminate()
            receiver.communicate()
