"""`vfnet deploy --server`: a checkpoint for a server on another machine, which builds and deploys it itself."""

from __future__ import annotations

import hashlib
import http.client
import io
import socket
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from vfnet_client.exceptions import CommandError
from vfnet_deploy.errors import DeployError
from vfnet_deploy.remote_requests import CHECKPOINT, CLASSES, IMAGES, RemoteRequest

_CONNECT_SECONDS = 10.0
_SILENT_SECONDS = 1800.0
"""A load may take 900 s, and so may the trial of a copy."""
_CHUNK = 1 << 20
_GO_ON = b"HTTP/1.1 100"
DONE = "exit code "
"""Begins the last line of an answer."""


def address_of(text: str) -> tuple[str, int]:
    """`HOST:PORT`, also with an IPv6 address in brackets. Raises ValueError: it is neither."""
    host, _, port = text.rpartition(":")
    if not host.strip("[]") or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def pack(checkpoint: Path, classes: Path | None, images: Sequence[Path], target: IO[bytes]) -> None:
    """Write what travels as one archive.

    Raises:
        CommandError: a file cannot be read.
    """
    try:
        with tarfile.open(fileobj=target, mode="w") as archive:
            archive.add(checkpoint, f"{CHECKPOINT}/{checkpoint.name}", filter=_plain)
            if classes is not None:
                archive.add(classes, CLASSES, filter=_plain)
            for number, image in enumerate(images):
                archive.add(image, f"{IMAGES}/{number:06}{image.suffix.lower()}", filter=_plain)
    except OSError as error:
        raise CommandError(f"{error.filename or checkpoint} cannot be read: {error.strerror or error}") from error


def send(
    address: tuple[str, int],
    secret: bytes,
    verb: str,
    options: Mapping[str, str | bool],
    say: Callable[[str], None],
    body: IO[bytes] | None = None,
) -> int:
    """Have a command run there; its exit code. Its lines are told as they come.

    Raises:
        DeployError: it is refused, or the connection was lost: then the command there is interrupted, as by Ctrl-C.
    """
    body = io.BytesIO() if body is None else body
    digest, size = hashlib.sha256(), 0
    body.seek(0)
    while chunk := body.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    body.seek(0)
    request = RemoteRequest(verb, options, digest.hexdigest())
    headers = request.headers(secret) | {"content-length": str(size)}
    host, port = address
    connection = http.client.HTTPConnection(host, port, timeout=_CONNECT_SECONDS)
    try:
        connection.connect()
        connection.sock.settimeout(_SILENT_SECONDS)
        connection.request("POST", f"/{verb}", headers=headers | {"expect": "100-continue"})
        if connection.sock.recv(len(_GO_ON), socket.MSG_PEEK | socket.MSG_WAITALL) == _GO_ON:
            while chunk := body.read(_CHUNK):
                connection.send(chunk)
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            reason = answer.read(4096).decode(errors="replace").strip()
            raise DeployError(f"{host}:{port} refuses it: {reason}")
        code: int | None = None
        for line in answer:
            text = line.decode(errors="replace").rstrip("\n")
            if text.startswith(DONE) and text.removeprefix(DONE).isdecimal():
                code = int(text.removeprefix(DONE))
            else:
                say(text)
    except (OSError, http.client.HTTPException) as error:
        raise DeployError(f"{host}:{port} was lost: {error or type(error).__name__}") from error
    finally:
        connection.close()
    if code is None:
        raise DeployError(f"{host}:{port} was lost before the end: vfnet deployments --server says what it serves")
    return code


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Files and folders only; whose they are here is nobody's matter there."""
    if not (member.isfile() or member.isdir()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() else 0o644
    return member
