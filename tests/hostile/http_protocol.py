"""HTTP as it should not be: framing, heads, rates, encodings, against both HTTP ports."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import re
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator

from attack import (
    DOOR,
    PATIENCE,
    TRITON,
    Attack,
    AttackList,
    Reply,
    answered,
    anything,
    chunked,
    exchange,
    http,
    http_port,
    refused,
    request,
)
from deployment import Deployment
from malformed_tensors import image_request
from score_requests import GOOD

_SCORE = json.dumps({"input_data": {"columns": ["image"], "data": [GOOD]}}).encode()
_JSON = "Content-Type: application/json\r\n"
_LENGTH_AND_CHUNKS = (
    "Triton's HTTP server (2.51) believes in chunks where a length stands too, and keeps the connection"
)
_CHUNKS = "Triton's HTTP server (2.51) keeps every chunk apart; one in front of it has to put them together"


def http_attacks() -> list[Attack]:
    """All of them."""
    found = AttackList("HTTP")
    for target, path, body in ((DOOR, "/score", _SCORE), (TRITON, "/v2/models/vfnet/infer", _infer_body())):
        _add_framing(found, target, path, body)
        _add_heads(found, target, path, body)
        _add_rates(found, target, path, body)
        _add_encodings(found, target, path)
    _add_many_chunks(found)
    _add_foreign_pages(found)
    return found.attacks


def _infer_body() -> bytes:
    return image_request().as_json_http().partition(b"\r\n\r\n")[2]


def _add_framing(found: AttackList, target: str, path: str, body: bytes) -> None:
    def post(*lines: str, data: bytes = body, version: str = "1.1") -> bytes:
        head = f"POST {path} HTTP/{version}\r\nHost: 127.0.0.1\r\n{_JSON}" + "".join(f"{line}\r\n" for line in lines)
        return head.encode("utf-8", "surrogateescape") + b"\r\n" + data

    size, hidden = len(body), b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    one_chunk = f"{size:x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    wrong = {
        "length -1": post("Content-Length: -1"),
        "length of letters": post("Content-Length: many"),
        "length in hexadecimal": post("Content-Length: 0x10"),
        "length +5": post("Content-Length: +5"),
        "length 2^63": post(f"Content-Length: {2**63}", data=b""),
        "length 2^64+5": post(f"Content-Length: {2**64 + 5}"),
        "length of 5,000 digits": post(f"Content-Length: {'9' * 5000}"),
        "two lengths": post("Content-Length: 5", f"Content-Length: {size}"),
        "two lengths in one": post(f"Content-Length: 5, {size}"),
        "length and chunks": post("Content-Length: 5", "Transfer-Encoding: chunked", data=one_chunk + hidden),
        "chunks and length": post("Transfer-Encoding: chunked", f"Content-Length: {size}", data=one_chunk),
        "chunked twice": post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", data=one_chunk),
        "chunked, identity": post("Transfer-Encoding: chunked, identity", data=one_chunk),
        "transfer encoding xchunked": post("Transfer-Encoding: xchunked", data=one_chunk),
        "transfer encoding with a tab": post("Transfer-Encoding:\tchunked", data=one_chunk),
        "transfer encoding with a blank before the colon": post("Transfer-Encoding : chunked", data=one_chunk),
        "chunk size of letters": post("Transfer-Encoding: chunked", data=b"xyz\r\n" + body),
        "chunk size -1": post("Transfer-Encoding: chunked", data=b"-1\r\n" + body),
        "chunk size that overflows": post("Transfer-Encoding: chunked", data=b"FFFFFFFFFFFFFFFF1\r\n" + body),
        "chunk size of 2^63-1": post("Transfer-Encoding: chunked", data=b"7fffffffffffffff\r\n" + body),
        "chunk longer than it says": post("Transfer-Encoding: chunked", data=b"5\r\n" + body + b"\r\n0\r\n\r\n"),
        "chunk extension of a megabyte": post(
            "Transfer-Encoding: chunked", data=f"{size:x};{'e' * 1_000_000}\r\n".encode() + body + b"\r\n0\r\n\r\n"),
        "chunks ended by a line feed": post(
            "Transfer-Encoding: chunked", data=f"{size:x}\n".encode() + body + b"\n0\n\n"),
        "trailers of a megabyte": post(
            "Transfer-Encoding: chunked", data=one_chunk[:-2] + b"x: y\r\n" * 150_000 + b"\r\n"),
        "version 1.0 with chunks": post("Transfer-Encoding: chunked", data=one_chunk, version="1.0"),
        "version 0.9": f"GET {path}\r\n\r\n".encode(),
        "version 3.7": post(f"Content-Length: {size}", version="3.7"),
        "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
        "TLS hello": bytes.fromhex("16030100c8010000c40303") + bytes(190),
        "random bytes": random.Random(17).randbytes(5000),
        "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
        "nothing but line ends": b"\r\n" * 50_000,
        "a second request inside the first's body": post("Content-Length: 4", data=b"nullPOST /score HTTP/1.1\r\n\r\n"),
        "upgrade to a web socket": post("Connection: Upgrade", "Upgrade: websocket", "Content-Length: 0", data=b""),
        "upgrade to h2c": post("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"),
        "expects the impossible": post("Expect: 200-ok", f"Content-Length: {size}"),
    }  # fmt: skip
    for name, data in wrong.items():
        # Some of these a lenient reader may serve; what counts is that nothing breaks and nothing is answered twice.
        # Those whose end the server cannot know it may wait for, as long as its own time-outs say.
        found.add(name, target, http(target, data, 25), allowed=_ended_or_waiting(target), is_quick=False)
    found.add("length beyond what comes, then closed", target, _half_closed(target, post(f"Content-Length: {size * 9}")),
              allowed=answered)  # fmt: skip
    found.add("smuggled request is not answered", target, _smuggled(target, path), allowed=refused,
              why_not_mended=_LENGTH_AND_CHUNKS if target == TRITON else "")  # fmt: skip


def _ended_or_waiting(target: str) -> Callable[[Reply], bool]:
    if target == TRITON:
        return anything  # libevhtp waits as it likes, for no one but this caller
    return lambda reply: answered(reply) or reply.outcome in ("501", "505")


def _half_closed(target: str, data: bytes) -> Callable[[Deployment], Reply]:
    def send(deployment: Deployment) -> Reply:
        with socket.create_connection(("127.0.0.1", http_port(deployment, target)), timeout=PATIENCE) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            try:
                received = connection.recv(1 << 16)
            except OSError:
                received = b""
        return Reply(received.split(None, 2)[1].decode() if received else "closed")

    return send


def _smuggled(target: str, path: str) -> Callable[[Deployment], Reply]:
    """A length and chunks: who believes in the length sees another request than who believes in the chunks."""

    def send(deployment: Deployment) -> Reply:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{_JSON}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        data = head.encode() + b"0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        with socket.create_connection(("127.0.0.1", http_port(deployment, target)), timeout=3) as connection:
            connection.sendall(data)
            received = b""
            try:
                while piece := connection.recv(1 << 16):
                    received += piece
            except OSError:
                pass
        answers = len(re.findall(rb"HTTP/1\.1 \d{3} ", received))
        return Reply("answered twice" if answers > 1 else "closed", received[:100].decode("utf-8", "replace"))

    return send


def _add_heads(found: AttackList, target: str, path: str, body: bytes) -> None:
    def post(head: str, data: bytes = body) -> bytes:
        text = f"POST {path} HTTP/1.1\r\n{_JSON}Content-Length: {len(data)}\r\n{head}\r\n"
        return text.encode("utf-8", "surrogateescape") + data

    host = "Host: 127.0.0.1\r\n"
    wrong = {
        "header of 1 MB": post(f"{host}X-Long: {'x' * 1_000_000}\r\n"),
        "header of 20 MB": post(f"{host}X-Long: {'x' * 20_000_000}\r\n"),
        "100,000 headers": post(host + "X-Many: y\r\n" * 100_000),
        "header name of 1 MB": post(f"{host}{'X' * 1_000_000}: y\r\n"),
        "request line of 1 MB": f"GET /{'x' * 1_000_000} HTTP/1.1\r\n{host}\r\n".encode(),
        "query of 1 MB": f"GET /?{'x=1&' * 250_000} HTTP/1.1\r\n{host}\r\n".encode(),
        "method of 1 MB": f"{'X' * 1_000_000} / HTTP/1.1\r\n{host}\r\n".encode(),
        "header without a colon": post(f"{host}nothing here\r\n"),
        "header with NUL": post(f"{host}X-Nul: a\0b\r\n"),
        "header with a bare carriage return": post(f"{host}X-Cr: a\rSet-Cookie: x\r\n"),
        "folded header": post(f"{host}X-Fold: a\r\n b\r\n"),
        "header name with a blank": post(f"{host}X Blank: y\r\n"),
        "path with NUL": f"GET /\0 HTTP/1.1\r\n{host}\r\n".encode(),
        "path with a bare carriage return": f"GET /a\rb HTTP/1.1\r\n{host}\r\n".encode(),
        "path of raw bytes": b"GET /\xff\xfe\x80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "path up and up": f"GET /{'../' * 3000}etc/passwd HTTP/1.1\r\n{host}\r\n".encode(),
        "path to a file": f"GET /ui/..%2f..%2f..%2f..%2fetc%2fpasswd HTTP/1.1\r\n{host}\r\n".encode(),
        "path half escaped": f"GET /%e2%28%a1%zz% HTTP/1.1\r\n{host}\r\n".encode(),
        "no host": post(""),
        "two hosts": post(f"{host}Host: elsewhere.test\r\n"),
        "request id with line ends": post(f"{host}X-Request-Id: a%0d%0aSet-Cookie:%20x\r\n"),
        "request id of raw bytes": post(f"{host}X-Request-Id: \udcff\udcfe\r\n"),
        "request id of 101": post(f"{host}X-Request-Id: {'i' * 101}\r\n"),
        "traceparent of nonsense": post(f"{host}traceparent: 00-zz\r\ntracestate: {'a=b,' * 5000}\r\n"),
        "forwarded for itself": post(f"{host}X-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n"),
        "priority of nonsense": post(f"{host}X-Priority: -99999999999999999999\r\n"),
        "range of everything": f"GET / HTTP/1.1\r\n{host}Range: bytes={'0-,' * 5000}\r\n\r\n".encode(),
    }  # fmt: skip
    for name, data in wrong.items():
        found.add(name, target, http(target, data), allowed=answered if target == DOOR else anything)


def _add_rates(found: AttackList, target: str, path: str, body: bytes) -> None:
    limits: dict[str, object] = {"allowed": anything, "is_quick": False}
    found.add("head that drips", target, _dripped(target, b"GET / HTTP/1.1\r\nX: " + b"y" * 40, 8), **limits)
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{_JSON}Content-Length: 67108864\r\n\r\n".encode()
    found.add("eight bodies of 64 MiB that drip", target, _held(target, head, 8, drip=True), **limits)
    found.add("eight bodies that never come", target, _held(target, head, 8, drip=False), **limits)
    found.add("200 connections that say nothing", target, _held(target, b"", 200, drip=False, seconds=3), **limits)
    found.add(
        "200 half heads", target, _held(target, b"POST /score HTTP/1.1\r\nHost:", 200, drip=False, seconds=3), **limits
    )
    found.add("200 connections reset", target, _reset(target, head, 200), **limits)
    whole = request("POST", path, body, {"Content-Type": "application/json"})
    found.add("30 requests hung up on", target, _reset(target, whole, 30), **limits)
    found.add("60 requests in a pipe, never read", target, _never_reading(target, whole * 60), **limits)
    many = f"GET /{'' if target == DOOR else 'v2'} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode() * 5000
    found.add("5,000 small requests in a pipe, never read", target, _never_reading(target, many), **limits)
    if target == DOOR:
        for get in ("/ui/picture", "/invocations", "/v2/models/vfnet/infer"):
            waiting = head.replace(path.encode(), get.encode())
            found.add(
                f"four bodies of {get} that drip", target, _held(target, waiting, 4, drip=True, seconds=6), **limits
            )
        late = head.replace(path.encode(), b"/ui/picture").replace(b"67108864", b"1000")
        found.add("a body of /ui/picture that does not come", target, http(target, late, 20), is_quick=False)
        late = head.replace(b"67108864", b"1000")
        found.add("a body of /score that does not come", target, http(target, late, 20), is_quick=False)
        late = head.replace(path.encode(), b"/v2/models/vfnet/infer").replace(b"67108864", b"1000")
        found.add("a body of KServe's that does not come", target, http(target, late, 20), is_quick=False)


def _dripped(target: str, data: bytes, seconds: float) -> Callable[[Deployment], Reply]:
    def pieces() -> Iterator[bytes]:
        for byte in data:
            yield bytes([byte])
            time.sleep(seconds / len(data))

    return lambda deployment: exchange(http_port(deployment, target), pieces(), 12)


def _connections(deployment: Deployment, target: str, count: int) -> list[socket.socket]:
    found = []
    for _ in range(count):
        try:
            found.append(socket.create_connection(("127.0.0.1", http_port(deployment, target)), timeout=5))
        except OSError:
            break
    return found


def _held(target: str, head: bytes, count: int, *, drip: bool, seconds: float = 12) -> Callable[[Deployment], Reply]:
    """Connections that stay, and send a byte now and then; how many of them the server gave up on."""

    def send(deployment: Deployment) -> Reply:
        connections = _connections(deployment, target, count)
        gone: set[int] = set()
        deadline = time.monotonic() + seconds
        for number, connection in enumerate(connections):
            try:
                connection.sendall(head)
            except OSError:
                gone.add(number)
        while time.monotonic() < deadline and len(gone) < len(connections):
            time.sleep(0.5)
            for number, connection in enumerate(connections):
                if drip and number not in gone:
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        gone.add(number)
        for connection in connections:
            connection.close()
        return Reply("held", f"{len(gone)} of {count} given up on within {seconds:g} s")

    return send


def _reset(target: str, data: bytes, count: int) -> Callable[[Deployment], Reply]:
    """Callers that send and go at once, by a reset."""

    def send(deployment: Deployment) -> Reply:
        for connection in _connections(deployment, target, count):
            try:
                connection.sendall(data)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
            connection.close()
        return Reply("reset", f"{count} times")

    return send


def _never_reading(target: str, data: bytes, seconds: float = 8) -> Callable[[Deployment], Reply]:
    """Callers that send on and on, and take no answer."""

    def send(deployment: Deployment) -> Reply:
        connections = _connections(deployment, target, 4)

        def push(connection: socket.socket) -> None:
            connection.settimeout(seconds)
            with contextlib.suppress(OSError):
                connection.sendall(data)

        threads = [threading.Thread(target=push, args=(each,), daemon=True) for each in connections]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        for connection in connections:
            connection.close()
        for thread in threads:
            thread.join(seconds)
        return Reply("held", f"for {seconds:g} s")

    return send


def _add_encodings(found: AttackList, target: str, path: str) -> None:
    zeros = b'{"input_data": "' + b"0" * 100_000_000 + b'"}'
    packed = gzip.compress(zeros, 9)
    deflated = zlib.compress(zeros, 9)
    raw = zlib.compressobj(9, wbits=-15)
    bombs = {
        "gzip": packed,
        "deflate": deflated,
        "deflate, raw": raw.compress(zeros) + raw.flush(),
        "gzip, gzip": gzip.compress(packed, 9),
        "x-gzip": packed,
        "br": bytes.fromhex("0b028003"),
        "zstd": b"\x28\xb5\x2f\xfd" + bytes(20),
        "identity": b"{}",
        "nonsense": b"{}",
    }
    for name, body in bombs.items():
        data = request(
            "POST", path, body, {"Content-Type": "application/json", "Content-Encoding": name.split(", raw")[0]}
        )
        found.add(
            f"content encoding {name}", target, http(target, data), allowed=refused if target == DOOR else anything
        )
    cut = request("POST", path, packed[:5000], {"Content-Type": "application/json", "Content-Encoding": "gzip"})
    found.add("gzip cut off", target, http(target, cut), allowed=refused if target == DOOR else anything)
    if target == TRITON:
        binary = request("POST", path, gzip.compress(bytes(300_000_000), 9),
                         {"Content-Encoding": "gzip", "Inference-Header-Content-Length": "100"})  # fmt: skip
        found.add("gzip of 300 MB", target, http(target, binary), allowed=anything)


def _add_many_chunks(found: AttackList) -> None:
    """A body in chunks of one byte each."""

    def sent(target: str, path: str, count: int) -> Callable[[Deployment], Reply]:
        body = b" " * (count - 2) + b"{}"
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{_JSON}Transfer-Encoding: chunked\r\n\r\n".encode()

        def data() -> Iterable[bytes]:
            yield head
            text = b"".join(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in body)
            for start in range(0, len(text), 1 << 16):
                yield text[start : start + (1 << 16)]
            yield b"0\r\n\r\n"

        return lambda deployment: exchange(http_port(deployment, target), data(), 60)

    for path in ("/score", "/invocations", "/v2/models/vfnet/infer", "/ui/picture"):
        found.add(f"{path} in 600,000 chunks", DOOR, sent(DOOR, path, 600_000), is_quick=False)
    found.add("600,000 chunks", TRITON, sent(TRITON, "/v2/models/vfnet/infer", 600_000), allowed=anything,
              why_not_mended=_CHUNKS, is_quick=False)  # fmt: skip
    pieces = [b"x" * 65_536] * 1200
    head = f"POST /score HTTP/1.1\r\nHost: 127.0.0.1\r\n{_JSON}Transfer-Encoding: chunked\r\n\r\n".encode()
    found.add("75 MiB in chunks", DOOR, lambda deployment: exchange(
        deployment.score_port, (head, *chunked(pieces)), 30), is_quick=False)  # fmt: skip


def _add_foreign_pages(found: AttackList) -> None:
    """What a web page can send from a browser: "simple" requests, and any at all once it has rebound a name."""
    page = {"Origin": "https://page.test", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        headers = page | ({"Content-Type": kind} if kind else {})
        for path in ("/score", "/invocations", "/v2/models/vfnet/infer"):
            body = _SCORE if path != "/v2/models/vfnet/infer" else _infer_body()
            found.add(
                f"{path} as {kind or 'nothing'} from a page", DOOR, http(DOOR, request("POST", path, body, headers))
            )
    rebound = ("rebound.test", "rebound.test:5001", "127.0.0.1.rebound.test", "localhost.rebound.test", "[::ffff:6.6.6.6]",
               "0x7f.1.rebound.test", "localhost:5001@rebound.test", "127.0.0.1\t.rebound.test")  # fmt: skip
    for host in rebound:
        for method, path in (
            ("POST", "/score"),
            ("GET", "/ui"),
            ("GET", "/ui/info"),
            ("GET", "/metrics"),
            ("GET", "/v2"),
        ):
            body = _SCORE if method == "POST" else b""
            headers = {"Host": host, "Content-Type": "application/json"}
            found.add(f"{path} of host {host!r}", DOOR, http(DOOR, request(method, path, body, headers)))
