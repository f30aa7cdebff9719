"""A site on loopback that answers requests for images as no honest site would."""

from __future__ import annotations

import functools
import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from score_requests import strip_png

Script = Callable[[socket.socket], None]
HOST = "images.hostile.test"
"""What its own name is, to the gateways that may fetch from it."""
_LONGEST_S = 20.0


def _answer(body: bytes, *lines: str, status: str = "200 OK", media_type: str = "image/png") -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Type: {media_type}", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


def _sends(data: bytes) -> Script:
    return lambda connection: connection.sendall(data)


def _redirects(target: str, status: str = "302 Found") -> Script:
    return _sends(f"HTTP/1.1 {status}\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())


def _drips(head: bytes, piece: bytes, pause: float) -> Script:
    def script(connection: socket.socket) -> None:
        connection.sendall(head)
        end = time.monotonic() + _LONGEST_S
        while time.monotonic() < end:
            connection.sendall(piece)
            time.sleep(pause)

    return script


def _bytewise_chunks(count: int) -> Script:
    def script(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n")
        end = time.monotonic() + _LONGEST_S
        for _ in range(count // 5000):
            if time.monotonic() > end:
                return
            connection.sendall(b"1\r\nx\r\n" * 5000)
        connection.sendall(b"0\r\n\r\n")

    return script


def _endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n")
    for _ in range(3000):
        connection.sendall(bytes(1 << 16))


def _says_nothing(connection: socket.socket) -> None:
    time.sleep(_LONGEST_S)
    del connection


_CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"


@functools.cache
def _zeros(times: int) -> bytes:
    """200 MB of zeros, compressed so many times. Made when the site opens: that takes seconds."""
    return gzip.compress(_zeros(times - 1) if times > 1 else bytes(200_000_000), 9)


def _unpacks_to_zeros(times: int) -> Script:
    encodings = ", ".join(["gzip"] * times)
    return lambda connection: connection.sendall(_answer(_zeros(times), f"Content-Encoding: {encodings}"))


SCRIPTS: dict[str, Script] = {
    "good": _sends(_answer(strip_png())),
    "html": _sends(_answer(b"<html>secret</html>", media_type="text/html")),
    "missing": _sends(_answer(b"", status="404 Not Found")),
    "failing": _sends(_answer(b"secret of the site", status="500 Oops\x1b[31m")),
    "not-http": _sends(b"SSH-2.0-OpenSSH\r\n"),
    "nothing": lambda connection: connection.close(),
    "silent": _says_nothing,
    "drip-body": _drips(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1000000\r\n\r\n", b"x", 0.3),
    "drip-head": _drips(b"HTTP/1.1 200 OK\r\n", b"X", 0.3),
    "drip-headers": _drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", 0.1),
    "one-byte-chunks": _bytewise_chunks(2_000_000),
    "endless": _endless,
    "claims-much": _sends(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 99999999999\r\n\r\nx"),
    "negative-length": _sends(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: -5\r\n\r\nx"),
    "two-lengths": _sends(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxxx"),
    "bad-chunk": _sends(_CHUNKED + b"zz\r\nx"),
    "huge-chunk": _sends(_CHUNKED + b"ffffffffffffffff\r\nx"),
    "huge-header": _sends(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000_000 + b"\r\n\r\n"),
    "many-headers": _sends(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500_000 + b"\r\n"),
    "gzip": _unpacks_to_zeros(1),
    "gzip-gzip": _unpacks_to_zeros(2),
    "brotli": _sends(_answer(b"\x0b\x02\x80\x03", "Content-Encoding: br")),
    "cookie": _sends(_answer(strip_png()[:50], "Set-Cookie: a=b")),
    "continue-for-ever": _drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.02),
    "to-itself": _redirects("to-itself"),
    "to-metadata": _redirects("http://169.254.169.254/latest/meta-data/"),
    "to-metadata-name": _redirects("http://metadata.hostile.test/"),
    "to-azure": _redirects("http://168.63.129.16/"),
    "to-loopback": _redirects("http://127.0.0.1/"),
    "to-loopback-6": _redirects("http://[::1]/"),
    "to-private": _redirects("//10.0.0.1/x", "301 Moved Permanently"),
    "to-file": _redirects("file:///etc/passwd", "307 Temporary Redirect"),
    "to-ftp": _redirects("ftp://10.0.0.1/", "308 Permanent Redirect"),
    "to-gopher": _redirects("gopher://10.0.0.1:6379/_x"),
    "to-data": _redirects("data:image/png;base64,AAAA"),
    "to-decimal": _redirects("http://2852039166/"),
    "to-user-info": _redirects("http://images.hostile.test@169.254.169.254/"),
    "to-nothing": _redirects(""),
    "to-line-end": _redirects("http://images.hostile.test/\r\n\tx"),
    "to-long": _redirects("http://images.hostile.test/" + "x" * 200_000),
    "to-mixed": _redirects("http://mixed.hostile.test/"),
}
"""What it does, by the request's path."""


@contextmanager
def image_site() -> Iterator[int]:
    """The site's port, while in the context."""
    _zeros(2)
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_converse, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def _converse(connection: socket.socket) -> None:
    with connection:
        connection.settimeout(_LONGEST_S)
        try:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(1 << 16)
                if not piece:
                    return
                head += piece
            path = head.split()[1].decode("latin-1").lstrip("/")
            SCRIPTS.get(path.partition("?")[0], SCRIPTS["missing"])(connection)
        except OSError:
            return
