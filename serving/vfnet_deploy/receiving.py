"""`vfnet receive`: takes checkpoints from other machines, and has this machine's `vfnet deploy` do the rest.

What is signed with the secret may replace what is served. It may not choose a file of this machine, an address, or
anything that runs: the options are read one by one, and the checkpoint is data.
"""

from __future__ import annotations

import contextlib
import hashlib
import queue
import select
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from vfnet_client.atomic_files import locked_file, make_folder_inside
from vfnet_client.exceptions import CommandError
from vfnet_client.safe_text import printable_lines
from vfnet_deploy.errors import DeployError
from vfnet_deploy.remote_requests import CHECKPOINT, CLASSES, DEPLOY, IMAGES, RemoteRequest, UsedNumbers
from vfnet_deploy.sending import DONE
from vfnet_serve.parent_death import terminated_with_parent
from vfnet_supervision.listening import family_of

_CHUNK = 1 << 20
_QUIET_SECONDS = 30.0
"""Without a byte of a request."""
_LOOK_SECONDS = 0.5
_MOST_AT_ONCE, _MOST_CONNECTIONS = 8, 64
_MOST_FILES = 20_000
_CONTINUE, _REFUSED, _NOT_ALLOWED, _TOO_MUCH, _BUSY = 100, 400, 403, 413, 503


@dataclass(frozen=True)
class Receiver:
    """What one `vfnet receive` knows."""

    state_file: Path
    """Of the `vfnet serve` that is deployed to."""
    secret: bytes = field(repr=False)
    most_bytes: int
    """Of one request."""
    say: Callable[[str], None]
    numbers: UsedNumbers = field(default_factory=UsedNumbers)
    places: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(_MOST_AT_ONCE))

    @property
    def folder(self) -> Path:
        """Where what arrives lies meanwhile."""
        return self.state_file.with_name("received")

    def command(self, request: RemoteRequest, received: Path | None) -> list[str]:
        """That is run here. Raises DeployError: it may not be asked for, or the archive lacks something."""
        command = [sys.executable, "-m", "vfnet", request.verb, f"--state-file={self.state_file}", *request.arguments()]
        if received is None:
            return command
        checkpoints = list((received / CHECKPOINT).glob("*"))
        if len(checkpoints) != 1:
            raise DeployError("the archive holds no checkpoint")
        command.append(f"--checkpoint={checkpoints[0]}")
        if (received / CLASSES).is_file():
            command.append(f"--classes={received / CLASSES}")
        if (received / IMAGES).is_dir():
            command += ["--compare-on", str(received / IMAGES)]
        return command


@contextmanager
def receiving(receiver: Receiver, host: str, port: int) -> Iterator[ThreadingHTTPServer]:
    """Answer while in the context; `serve_forever` of what is yielded does the work.

    Raises:
        CommandError: it cannot listen there, or another one receives for the same server.
    """
    with contextlib.ExitStack() as held:
        try:
            make_folder_inside(receiver.folder)
            held.enter_context(locked_file(receiver.folder / ".lock", wait=False))
        except BlockingIOError:
            raise CommandError(f"another vfnet receive takes checkpoints for {receiver.state_file}") from None
        for left in receiver.folder.iterdir():  # by one that was killed
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)

        class Handler(_Handler):
            of = receiver

        connections = threading.BoundedSemaphore(_MOST_CONNECTIONS)

        class Server(ThreadingHTTPServer):
            address_family = family_of(host)
            daemon_threads = True
            request_queue_size = 2 * _MOST_CONNECTIONS

            def process_request(self, request: Any, client_address: Any) -> None:
                if connections.acquire(blocking=False):
                    super().process_request(request, client_address)
                else:
                    self.shutdown_request(request)

            def process_request_thread(self, request: Any, client_address: Any) -> None:
                try:
                    super().process_request_thread(request, client_address)
                finally:
                    connections.release()

            def handle_error(self, _request: object, client_address: object) -> None:
                error = sys.exc_info()[1]
                if not isinstance(error, OSError):
                    receiver.say(f"{client_address}: {type(error).__name__}: {error}")

        try:
            server = held.enter_context(Server((host, port), Handler))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise CommandError(f"cannot listen on {host} port {port} ({reason}): choose another with --port") from None
        yield server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _QUIET_SECONDS
    of: Receiver

    def handle_expect_100(self) -> bool:
        """Answered when it is known who asks."""
        return True

    def do_POST(self) -> None:
        self.close_connection = True
        if not self.of.places.acquire(blocking=False):
            self._refuse(_BUSY, "too many requests at once")
            return
        try:
            self._answer()
        finally:
            self.of.places.release()

    def _answer(self) -> None:
        try:
            request = RemoteRequest.read(
                self.path.strip("/"), {k.lower(): v for k, v in self.headers.items()}, self.of.secret
            )
            self.of.numbers.use(request.number, request.seconds)
            size = int(self.headers.get("content-length") or "")
        except PermissionError as error:
            self._refuse(_NOT_ALLOWED, str(error))
            return
        except (ValueError, DeployError) as error:
            self._refuse(
                _REFUSED, str(error) if isinstance(error, DeployError) else "the length of the body is not stated"
            )
            return
        if size > self.of.most_bytes:
            self._refuse(_TOO_MUCH, f"{size} bytes are more than --max-bytes {self.of.most_bytes}")
            return
        with tempfile.TemporaryDirectory(dir=self.of.folder) as name:
            self.send_response_only(_CONTINUE)  # only now: who is refused need not send gigabytes first
            self.end_headers()
            try:
                received = self._receive(request, size, Path(name))
                command = self.of.command(request, received)
            except (DeployError, tarfile.TarError, ValueError) as error:
                self._refuse(_REFUSED, str(error))
                return
            except TimeoutError:
                self._refuse(_REFUSED, f"nothing came for {_QUIET_SECONDS:g} s")
                return
            except OSError as error:
                self._refuse(_BUSY, f"it cannot be kept here: {error.strerror or error}")
                return
            self.of.say(f"{self.client_address[0]}: {request.verb} {' '.join(request.arguments())}")
            self._run(command)

    def _receive(self, request: RemoteRequest, size: int, folder: Path) -> Path | None:
        """The unpacked body of `DEPLOY`. Raises DeployError: it is not what was signed."""
        archive, digest = folder / "archive", hashlib.sha256()
        with archive.open("wb") as file:
            while size > 0:
                chunk = self.rfile.read(min(size, _CHUNK))
                if not chunk:
                    raise DeployError("the connection ended before all had come")
                digest.update(chunk)
                file.write(chunk)
                size -= len(chunk)
        if digest.hexdigest() != request.body_sha256:
            raise DeployError("what came is not what was signed")
        if request.verb != DEPLOY:
            return None
        target = folder / "unpacked"
        with tarfile.open(archive, "r:") as members:
            if sum(1 for _ in members) > _MOST_FILES:
                raise DeployError(f"the archive holds more than {_MOST_FILES} files")
            if any(not (member.isfile() or member.isdir()) or member.issparse() for member in members):
                raise DeployError("the archive holds something that is no file")
            members.extractall(target, filter="data")
        archive.unlink()
        return target

    def _run(self, command: list[str]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("connection", "close")
        self.end_headers()
        lines = queue.Queue[bytes | None]()
        # It ends with this process; and with whoever asked for it, as by Ctrl-C.
        with subprocess.Popen(
            terminated_with_parent(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            try:
                reader = threading.Thread(target=_hand_on, args=(process, lines), daemon=True)
                reader.start()
                while (line := self._next(lines)) is not None:
                    self.wfile.write(line)
                    self.wfile.flush()
                code = process.wait()
            except OSError:
                process.terminate()
                self.of.say(f"{self.client_address[0]} has gone: its command is interrupted")
                return
        self.of.say(f"{self.client_address[0]}: {DONE}{code}")
        self.wfile.write(f"{DONE}{code if code >= 0 else 128 - code}\n".encode())

    def _next(self, lines: queue.Queue[bytes | None]) -> bytes | None:
        while True:
            with contextlib.suppress(queue.Empty):
                return lines.get(timeout=_LOOK_SECONDS)
            readable, _, _ = select.select([self.connection], [], [], 0)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                raise ConnectionAbortedError

    def _refuse(self, status: int, reason: str) -> None:
        self.of.say(f"{self.client_address[0]} is refused: {reason}")
        body = f"{printable_lines(reason)}\n".encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """What matters is told by others."""


def _hand_on(process: subprocess.Popen[bytes], lines: queue.Queue[bytes | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)
