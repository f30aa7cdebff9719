"""Bodies that come as gzip: unpacked as they arrive, to the same limits as any other."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import Mapping

import pytest

from vfnet_client.bounded_gzip import GzipError, gunzip
from vfnet_client.exceptions import RequestError
from vfnet_gateway.bodies import BodyReader
from vfnet_gateway.settings import GatewaySettings

GZIP = {"content-encoding": "gzip"}
LIMIT = 1_000_000


def read(body: bytes, headers: Mapping[str, str] = GZIP, piece: int = 1000) -> bytes:
    """The body as `BodyReader` has it, arriving in pieces."""
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)] or [b""]
    last = len(pieces) - 1
    waiting = iter([{"type": "http.request", "body": each, "more_body": at < last} for at, each in enumerate(pieces)])

    async def receive() -> dict[str, object]:
        return next(waiting)

    async def whole() -> bytes:
        reader = BodyReader(GatewaySettings(max_body_bytes=LIMIT, max_held_bytes=2 * LIMIT))
        try:
            async with reader.reading(headers, receive) as body:
                assert reader.budget.held == len(body)
                return bytes(body)
        finally:
            assert reader.budget.held == 0

    return asyncio.run(whole())


@pytest.mark.parametrize("piece", [1, 7, 1000, 10**6])
@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", " GZIP "])
def test_it_is_unpacked_however_it_arrives(piece: int, encoding: str) -> None:
    text = b'{"input_data": ' + bytes(range(256)) * 20 + b"}"
    headers = {"content-encoding": encoding}
    assert read(gzip.compress(text), headers, piece) == text
    assert read(gzip.compress(text) + gzip.compress(b"more"), headers, piece) == text + b"more"
    assert read(gzip.compress(text) + bytes(512), headers, piece) == text  # as tapes fill their blocks


def test_without_a_word_of_it_nothing_is_unpacked() -> None:
    packed = gzip.compress(b"{}")
    assert read(packed, {}) == packed
    assert read(packed, {"content-encoding": "identity"}) == packed


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [  # without the time of day, which would be in the names of the tests
        (gzip.compress(b"{}", mtime=0)[:-3], GZIP, 400, "cut short"),
        (b"", GZIP, 400, "cut short"),
        (b"{}", GZIP, 400, "not gzip, or damaged"),
        (gzip.compress(b"{}", mtime=0) + b"more", GZIP, 400, "not gzip, or damaged"),
        (gzip.compress(b"{}" * 1000, mtime=0)[:-6] + bytes(6), GZIP, 400, "not gzip, or damaged"),
        (gzip.compress(bytes(LIMIT + 1), mtime=0), GZIP, 413, "larger than the 1000000 bytes allowed"),
        (b"{}", {"content-encoding": "br"}, 415, "Content-Encoding br is not read"),
        (b"{}", {"content-encoding": "gzip, gzip"}, 415, "Content-Encoding gzip, gzip is not read"),
    ],
)
def test_what_is_not_gzip_or_too_much_is_refused(
    body: bytes, headers: Mapping[str, str], status: int, words: str
) -> None:
    with pytest.raises(RequestError, match=words) as refused:
        read(body, headers)
    assert refused.value.status == status


def test_a_bomb_takes_no_more_than_the_limit() -> None:
    bomb = gzip.compress(bytes(300_000_000), 1)
    tracemalloc.start()
    with pytest.raises(RequestError, match="larger than"):
        read(bomb, piece=len(bomb))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * LIMIT
    with pytest.raises(GzipError, match="larger than 1000 bytes"):
        gunzip(bomb, 1000)


@pytest.mark.parametrize("size", [LIMIT, 3 * 2**20, 2**20, 2**20 + 1])
def test_a_body_of_exactly_the_limit_is_taken(size: int) -> None:
    assert gunzip(gzip.compress(bytes(size)), size) == bytes(size)
    if size <= LIMIT:
        assert len(read(gzip.compress(bytes(size)))) == size
