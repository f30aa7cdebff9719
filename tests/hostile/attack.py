"""One attack, what may come back of it, and the two ways to send one: raw HTTP and raw gRPC."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc

from deployment import Deployment

DOOR = "door"
"""The gateway's ports."""
TRITON = "triton"
"""Triton's own ports, which strangers do not reach."""
PATIENCE = 20.0
"""Seconds until an answer that does not come is called missing."""

CLOSED, SILENT = "closed", "silent"
_READ_AT_MOST = 1 << 20
_GRPC_REFUSALS = frozenset(
    {
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "UNIMPLEMENTED",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "RESOURCE_EXHAUSTED",
        "OUT_OF_RANGE",
        "FAILED_PRECONDITION",
    }
)
_BUSY = frozenset({"503", "504", "UNAVAILABLE"})


@dataclass(frozen=True)
class Reply:
    """What came back: an HTTP status, the name of a gRPC code, `closed` without an answer, or `silent`."""

    outcome: str
    text: str = ""

    def __str__(self) -> str:
        line = " ".join(self.text.split())
        return f"{self.outcome} {line[:90]}".strip()


Allowed = Callable[[Reply], bool]


def refused(reply: Reply) -> bool:
    """Whether the caller was told that it is the caller's fault, or was hung up on."""
    return reply.outcome[:1] == "4" or reply.outcome in _GRPC_REFUSALS or reply.outcome == CLOSED


def answered(reply: Reply) -> bool:
    """Whether it was served or refused: for what is odd, but may be meant well."""
    return refused(reply) or reply.outcome[:1] in "23" or reply.outcome == "OK"


def answered_or_busy(reply: Reply) -> bool:
    """For many at once: whether it was served, refused, or told that there is too much to do for it now."""
    return answered(reply) or reply.outcome in _BUSY


def restricted(reply: Reply) -> bool:
    """Whether Triton's control plane said no. Over gRPC its word for that is UNAVAILABLE."""
    return refused(reply) or "restricted" in reply.text


def never_answered(reply: Reply) -> bool:
    """Whether waiting for what the caller does not send ended some way."""
    return answered(reply)


def anything(_reply: Reply) -> bool:
    """For attacks whose answer does not matter, but whether the others are still served."""
    return True


@dataclass(frozen=True)
class Attack:
    """Something that a stranger may try."""

    group: str
    name: str
    target: str
    """`DOOR` or `TRITON`."""
    send: Callable[[Deployment], Reply]
    allowed: Allowed = refused
    why_not_mended: str = ""
    """Of what brings Triton down through its own ports: why nothing in front of it can keep that from happening."""
    is_quick: bool = True
    """Whether it takes a second at most where it does not come through."""

    def __str__(self) -> str:
        return f"{self.target} {self.group}: {self.name}"


@dataclass
class AttackList:
    """Attacks of one group, being written down."""

    group: str
    attacks: list[Attack] = field(default_factory=list)

    def add(self, name: str, target: str, send: Callable[[Deployment], Reply], **options: Any) -> None:
        """See `Attack`."""
        self.attacks.append(Attack(self.group, name, target, send, **options))


def http_port(deployment: Deployment, target: str) -> int:
    """The target's port for HTTP."""
    return deployment.score_port if target == DOOR else deployment.http_port


def grpc_port(deployment: Deployment, target: str) -> int:
    """The target's port for gRPC."""
    return deployment.score_grpc_port if target == DOOR else deployment.grpc_port


def request(
    method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, *, length: bool = True
) -> bytes:
    """An HTTP/1.1 request's bytes, nothing of it checked."""
    lines = {"Host": "127.0.0.1"} | ({"Content-Length": str(len(body))} if length else {}) | dict(headers or {})
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return head.encode("utf-8", "surrogateescape") + b"\r\n" + body


def post_json(path: str, document: Any, headers: Mapping[str, str] | None = None) -> bytes:
    """A POST of a document, or of the text of one."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return request("POST", path, body, {"Content-Type": "application/json"} | dict(headers or {}))


def exchange(port: int, data: bytes | Iterable[bytes], patience: float = PATIENCE) -> Reply:
    """Send bytes, or pieces of them as they come, and read the first answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=patience) as connection:
            broken = False
            try:
                for piece in (data,) if isinstance(data, bytes) else data:
                    connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                broken = True  # an answer may have come before
            return _read(connection, patience, broken)
    except TimeoutError:
        return Reply(SILENT)
    except ConnectionResetError:
        return Reply(CLOSED)
    except OSError as error:
        return Reply("no connection", str(error))


def _read(connection: socket.socket, patience: float, broken: bool) -> Reply:
    received, deadline = b"", time.monotonic() + patience
    while len(received) < _READ_AT_MOST:
        connection.settimeout(max(deadline - time.monotonic(), 0.01))
        try:
            piece = connection.recv(1 << 16)
        except TimeoutError:
            if received:
                break
            return Reply(SILENT)
        except ConnectionResetError:
            break
        received += piece
        if not piece or _is_whole(received):
            break
    if not received:
        return Reply(CLOSED, "while it was sent" if broken else "")
    head, _, body = received.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    status = words[1].decode("ascii", "replace") if head.startswith(b"HTTP/") and len(words) > 1 else "not HTTP"
    return Reply(status, body[:4000].decode("utf-8", "replace"))


def _is_whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    if not end or head.startswith(b"HTTP/1.1 100"):
        return False
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return b"transfer-encoding: chunked" not in head.lower() or body.endswith(b"0\r\n\r\n")


def chunked(pieces: Iterable[bytes]) -> Iterable[bytes]:
    """Pieces as chunks of HTTP, the end included."""
    for piece in pieces:
        yield f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    yield b"0\r\n\r\n"


def http(target: str, data: bytes | Callable[[], bytes], patience: float = PATIENCE) -> Callable[[Deployment], Reply]:
    """An attack of one request's bytes, or of what makes them, which is for large ones."""
    return lambda deployment: exchange(
        http_port(deployment, target), data if isinstance(data, bytes) else data(), patience
    )


def call(port: int, method: str, message: Any, metadata: Iterable[tuple[str, str | bytes]] = ()) -> Reply:
    """One gRPC call of KServe v2; `message` is a protobuf message or the bytes of one."""
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        data = message if isinstance(message, bytes) else message.SerializeToString()
        ask = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        try:
            answer: bytes = ask(data, timeout=PATIENCE, metadata=tuple(metadata))
            return Reply("OK", answer[:200].decode("ascii", "replace"))
        except grpc.RpcError as error:
            code = error.code().name
            return Reply(SILENT if code == "DEADLINE_EXCEEDED" else code, error.details() or "")


def grpc_call(
    target: str, method: str, message: Any, metadata: Iterable[tuple[str, str]] = ()
) -> Callable[[Deployment], Reply]:
    """An attack of one gRPC call."""

    def send(deployment: Deployment) -> Reply:
        return call(grpc_port(deployment, target), method, message, metadata)

    return send
