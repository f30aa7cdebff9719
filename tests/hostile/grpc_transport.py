"""What lies below a gRPC call: HTTP/2 frames, compression, metadata, streams, against both gRPC ports."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time
from collections.abc import Callable

import grpc
from tritonclient.grpc import service_pb2 as kserve

from attack import DOOR, PATIENCE, TRITON, Attack, AttackList, Reply, answered, anything, call, grpc_port, refused
from deployment import Deployment
from reference_answers import infer_request
from score_requests import strip_png

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _PRIORITY, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW, _CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
_SERVICE = "/inference.GRPCInferenceService/"
_CANCELLED_AT_ONCE, _NO_TIME = "20 calls cancelled at once", "20 calls with no time"
_CANCELLED_AT_TRITON = (_CANCELLED_AT_ONCE, _NO_TIME)
_CANCELLING = (
    "Triton's gRPC front end races between a call's end and its cancellation (server pull requests 7840, 8078)"
)


def grpc_transport_attacks() -> list[Attack]:
    """All of them."""
    found = AttackList("gRPC transport")
    for target in (DOOR, TRITON):
        for name, data in _byte_streams().items():
            found.add(name, target, _sent(target, data), allowed=anything)
        for name, send, allowed in _calls(target):
            why = _CANCELLING if target == TRITON and name in _CANCELLED_AT_TRITON else ""
            found.add(name, target, send, allowed=allowed if target == DOOR else anything, why_not_mended=why)
    return found.attacks


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"", length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _literal(name: str, value: str) -> bytes:
    """A header of HPACK, neither indexed nor compressed."""

    def text(words: str) -> bytes:
        raw = words.encode("latin-1")
        if len(raw) < 127:
            return bytes([len(raw)]) + raw
        rest, size = len(raw) - 127, b"\x7f"
        while rest >= 128:
            size, rest = size + bytes([rest % 128 + 128]), rest // 128
        return size + bytes([rest]) + raw

    return b"\0" + text(name) + text(value)


def _head(path: str = _SERVICE + "ModelInfer", **more: str) -> bytes:
    headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "127.0.0.1", "te": "trailers",
               "content-type": "application/grpc"} | more  # fmt: skip
    return b"".join(_literal(name, value) for name, value in headers.items())


def _byte_streams() -> dict[str, bytes]:
    start = _PREFACE + _frame(_SETTINGS, 0, 0)
    opened = b"".join(_frame(_HEADERS, 4, 2 * i + 1, _head()) for i in range(1000))
    reset = b"".join(
        _frame(_HEADERS, 4, 2 * i + 1, _head()) + _frame(_RST, 0, 2 * i + 1, bytes(4)) for i in range(5000)
    )
    return {
        "HTTP/1.1": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        "TLS hello": bytes.fromhex("16030100c8010000c40303") + bytes(190),
        "random bytes": random.Random(17).randbytes(20_000),
        "preface and no more": _PREFACE,
        "preface twice": _PREFACE * 2,
        "random frames": start + random.Random(18).randbytes(50_000),
        "a frame of 16 MB": start + _frame(_DATA, 0, 1, b"", 0xFFFFFF) + bytes(100_000),
        "100,000 settings": start + _frame(_SETTINGS, 0, 0, struct.pack(">HI", 3, 1)) * 100_000,
        "settings beyond reason": _PREFACE + _frame(_SETTINGS, 0, 0, struct.pack(">HIHI", 4, 2**32 - 1, 5, 2**32 - 1)),
        "100,000 pings": start + _frame(_PING, 0, 0, bytes(8)) * 100_000,
        "100,000 empty frames": start + _frame(_HEADERS, 4, 1, _head()) + _frame(_DATA, 0, 1) * 100_000,
        "1,000 streams left open": start + opened,
        "5,000 streams reset at once": start + reset,
        "headers continued for ever": start + _frame(_HEADERS, 0, 1, _head()) + _frame(_CONTINUATION, 0, 1, bytes(16_000)) * 300,
        "HPACK table beyond reason": start + _frame(_HEADERS, 4, 1, b"\x3f\xff\xff\xff\xff\xff\xff\xff\x7f"),
        "HPACK index of nothing": start + _frame(_HEADERS, 4, 1, b"\xff\xff\xff\xff\x0f"),
        "an even stream": start + _frame(_HEADERS, 4, 2, _head()),
        "data before headers": start + _frame(_DATA, 0, 1, bytes(100)),
        "padding longer than the frame": start + _frame(_DATA, 8, 1, b"\xff" + bytes(10)),
        "window overflow": start + _frame(_WINDOW, 0, 0, struct.pack(">I", 2**31 - 1)) * 3,
        "window of 0": start + _frame(_WINDOW, 0, 0, bytes(4)),
        "a stream that depends on itself": start + _frame(_PRIORITY, 0, 1, struct.pack(">IB", 1, 255)),
        "goodbye and on": start + _frame(_GOAWAY, 0, 0, bytes(8)) + _frame(_HEADERS, 4, 1, _head()),
        "a message that is 4 GB long": start + _frame(_HEADERS, 4, 1, _head()) + _frame(_DATA, 0, 1, b"\0\xff\xff\xff\xff"),
        "a message of an unknown flag": start + _frame(_HEADERS, 4, 1, _head()) + _frame(_DATA, 1, 1, b"\x7f\0\0\0\1x"),
        "no path": start + _frame(_HEADERS, 5, 1, _literal(":method", "POST")),
        "path of 100,000 letters": start + _frame(_HEADERS, 5, 1, _literal(":path", "/" + "x" * 10_000)),
        "GET": start + _frame(_HEADERS, 5, 1, _head().replace(b"\x04POST", b"\x03GET")),
        "content type of a page": start + _frame(_HEADERS, 5, 1, _head(**{"content-type": "text/plain"})),
        "time-out of nonsense": start + _frame(_HEADERS, 5, 1, _head(**{"grpc-timeout": "-1S"})),
        "encoding of nonsense": start + _frame(_HEADERS, 4, 1, _head(**{"grpc-encoding": "lzma"})) + _frame(
            _DATA, 1, 1, b"\1\0\0\0\4abcd"),
    }  # fmt: skip


def _sent(target: str, data: bytes, seconds: float = 1.0) -> Callable[[Deployment], Reply]:
    """Send, and listen for a moment: what an HTTP/2 server says to that matters less than that it goes on."""

    def send(deployment: Deployment) -> Reply:
        received, end = b"", time.monotonic() + seconds
        address = ("127.0.0.1", grpc_port(deployment, target))
        with contextlib.suppress(OSError), socket.create_connection(address, timeout=seconds) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(data)
            while time.monotonic() < end and (piece := connection.recv(1 << 16)):
                received += piece
        return Reply("frames" if received else "closed", f"{len(received)} bytes")

    return send


def _calls(target: str) -> list[tuple[str, Callable[[Deployment], Reply], Callable[[Reply], bool]]]:
    image = infer_request(strip_png())

    def one(method: str, message: bytes, *metadata: tuple[str, str | bytes]) -> Callable[[Deployment], Reply]:
        return lambda deployment: call(grpc_port(deployment, target), method, message, metadata)

    def zeros(size: int) -> bytes:
        message = kserve.ModelInferRequest(model_name="vfnet")
        message.inputs.add(name="IMAGE", datatype="BYTES", shape=[1])
        message.raw_input_contents.append(bytes(size))
        return bytes(message.SerializeToString())

    good = image.SerializeToString()
    return [
        ("unknown method", one("Nothing", b""), refused),
        ("method of another service", one("../grpc.reflection.v1.ServerReflection/ServerReflectionInfo", b""), refused),
        ("100 MB of zeros", one("ModelInfer", zeros(100_000_000)), refused),
        ("300 MB of zeros, in gzip", _compressed(target, zeros, 300_000_000), refused),
        ("metadata of 1 MB", one("ModelInfer", good, ("x-long", "x" * 1_000_000)), _refused_or_cut),
        ("5,000 pieces of metadata", one("ModelInfer", good, *((f"x-{i}", "y") for i in range(5000))), _refused_or_cut),
        ("binary metadata", one("ModelInfer", good, ("x-bin", b"\xff\xfe")), answered),
        ("a stream of inference", _stream(target, good, 1), _refused_or_cut),
        ("a stream of 300 inferences, never read", _stream(target, good, 300), _refused_or_cut),
        (_CANCELLED_AT_ONCE, _cancelled(target, good, 20), anything),
        (_NO_TIME, _hurried(target, good, 20), anything),
    ]  # fmt: skip


def _refused_or_cut(reply: Reply) -> bool:
    """gRPC's own C++ ends some of these before any code of the server."""
    return answered(reply) or reply.outcome in ("INTERNAL", "UNAVAILABLE", "CANCELLED", "UNKNOWN")


def _channel(deployment: Deployment, target: str) -> grpc.Channel:
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.insecure_channel(f"127.0.0.1:{grpc_port(deployment, target)}", options=options)


def _compressed(target: str, make: Callable[[int], bytes], size: int) -> Callable[[Deployment], Reply]:
    def send(deployment: Deployment) -> Reply:
        with _channel(deployment, target) as channel:
            ask = channel.unary_unary(_SERVICE + "ModelInfer")
            try:
                ask(make(size), timeout=PATIENCE, compression=grpc.Compression.Gzip)
                return Reply("OK")
            except grpc.RpcError as error:
                return Reply(error.code().name, error.details() or "")

    return send


def _stream(target: str, message: bytes, count: int) -> Callable[[Deployment], Reply]:
    def send(deployment: Deployment) -> Reply:
        with _channel(deployment, target) as channel:
            answers = channel.stream_stream(_SERVICE + "ModelStreamInfer")(iter([message] * count), timeout=5)
            try:
                if count > 1:
                    time.sleep(3)
                    answers.cancel()
                return Reply("OK", f"{len(next(iter(answers)))} bytes")
            except (grpc.RpcError, StopIteration) as error:
                code = error.code().name if isinstance(error, grpc.RpcError) else "OK"
                return Reply(code, "the stream")

    return send


def _cancelled(target: str, message: bytes, count: int) -> Callable[[Deployment], Reply]:
    def send(deployment: Deployment) -> Reply:
        with _channel(deployment, target) as channel:
            ask = channel.unary_unary(_SERVICE + "ModelInfer")
            for _ in range(count):
                future = ask.future(message, timeout=5)
                time.sleep(0.005)
                future.cancel()
        return Reply("cancelled")

    return send


def _hurried(target: str, message: bytes, count: int) -> Callable[[Deployment], Reply]:
    def send(deployment: Deployment) -> Reply:
        with _channel(deployment, target) as channel:
            ask = channel.unary_unary(_SERVICE + "ModelInfer")
            for i in range(count):
                with contextlib.suppress(grpc.RpcError):
                    ask(message, timeout=0.001 * (i + 1))
        return Reply("no time")

    return send
