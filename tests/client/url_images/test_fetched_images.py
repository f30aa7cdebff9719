"""What is fetched from a stranger's site, and what is refused as no image.

The sites are on 127.0.0.1, which the operator of these tests allows; 127.0.0.2 stands for all that nobody allowed.
"""

from __future__ import annotations

import asyncio
import gzip
from time import monotonic

import pytest

from scripted_site import answer, redirect, scripted_site
from url_fetching import HERE, IMAGE, Names, fetch_from, fetch_once, fetch_url
from vfnet_client.exceptions import InvalidImageError
from vfnet_client.url_images.address_policy import Address
from vfnet_client.url_images.url_images import FetchLimits, URLImageFetcher


@pytest.mark.parametrize("media_type", ["image/png", "IMAGE/JPEG; charset=x", "application/octet-stream", None])
def test_an_image_is_fetched_byte_for_byte(media_type: str | None) -> None:
    assert fetch_once(answer(IMAGE, media_type=media_type)) == IMAGE


def test_a_body_without_a_length_and_one_in_chunks_are_fetched() -> None:
    assert fetch_once(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
                      b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n") == b"abcde"  # fmt: skip

    async def until_closed(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n" + IMAGE)
        writer.close()

    assert fetch_once(until_closed) == IMAGE


def test_the_query_is_sent_and_the_fragment_is_not() -> None:
    async def run() -> None:
        async with scripted_site({"/a%20b?sig=x%2By&z": answer(IMAGE)}) as site:
            assert await fetch_from(site, "/a b?sig=x%2By&z#f") == IMAGE

    asyncio.run(run())


def test_any_case_of_the_scheme_and_an_international_name_are_fine() -> None:
    async def run() -> None:
        names = Names({"xn--bcher-kva.example": [["127.0.0.1"]]})
        async with scripted_site({"/": answer(IMAGE)}) as site:
            fetcher = URLImageFetcher(HERE, resolver=names)
            assert await fetcher.fetch(f"HTTP://BÜCHER.example:{site.port}") == IMAGE
            await fetcher.close()
            assert f"Host: xn--bcher-kva.example:{site.port}" in site.requests[0]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (answer(IMAGE, status="404 Not Found"), "status 404"),
        (answer(IMAGE, status="500 Oops"), "status 500"),
        (answer(IMAGE, status="304 Not Modified"), "status 304"),
        (answer(b"<html>", media_type="text/html"), "'text/html', which is not an image"),
        (answer(b"{}", media_type="application/json"), "'application/json', which is not an image"),
        (answer(b""), r"nothing \(0 bytes\)"),
        (answer(gzip.compress(bytes(10**6), mtime=0), "Content-Encoding: gzip"), "compresses the image"),
        (answer(IMAGE, status="302 Found"), "status 302 and no Location"),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "does not speak HTTP"),
    ],
)
def test_what_is_no_image_says_what_it_is(script: bytes, reason: str) -> None:
    with pytest.raises(InvalidImageError, match=reason):
        fetch_once(script)


def test_a_body_shorter_than_its_length_is_broken_off() -> None:
    async def cut_short(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 100\r\n\r\n" + IMAGE)
        writer.close()

    with pytest.raises(InvalidImageError, match="broke off"):
        fetch_once(cut_short)


def test_a_body_longer_than_its_length_ends_where_it_said() -> None:
    assert fetch_once(answer(IMAGE) + b"HTTP/1.1 200 OK and more, for the next caller") == IMAGE


def test_a_length_over_the_cap_is_refused_before_the_body() -> None:
    async def announce(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 2097153\r\n\r\n")

    with pytest.raises(InvalidImageError, match="larger than 2 MiB"):
        fetch_once(announce, FetchLimits(max_bytes=2 * 2**20))


def test_an_endless_body_ends_at_the_cap() -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n")
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    with pytest.raises(InvalidImageError, match=r"larger than 0\.5 MiB"):
        fetch_once(endless, FetchLimits(max_bytes=2**19))


def test_exactly_the_cap_is_fetched() -> None:
    assert fetch_once(answer(bytes(1000)), FetchLimits(max_bytes=1000)) == bytes(1000)
    with pytest.raises(InvalidImageError, match="larger than"):
        fetch_once(answer(bytes(1001)), FetchLimits(max_bytes=1000))


def test_a_dripping_body_runs_into_the_total_time_out() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n")
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.01)

    with pytest.raises(InvalidImageError, match=r"did not arrive from its URL within 0\.3 s"):
        fetch_once(drip, FetchLimits(total_timeout=0.3))


def test_a_dripping_head_runs_into_the_total_time_out_over_all_redirects() -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(redirect("/image"))

    with pytest.raises(InvalidImageError, match=r"within 0\.5 s"):
        fetch_once(slow, FetchLimits(total_timeout=0.5))


def test_a_name_that_resolves_too_slowly_is_no_connection() -> None:
    class Slow(Names):
        async def resolve(self, host: str) -> list[Address]:
            await asyncio.sleep(60)
            return await super().resolve(host)

    async def run() -> None:
        fetcher = URLImageFetcher(HERE, FetchLimits(connect_timeout=0.1), Slow({}))
        with pytest.raises(InvalidImageError, match=r"no connection to slow\.example within 0\.1 s"):
            await fetcher.fetch("http://slow.example/")
        await fetcher.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.com/a.png", "not http or https"),
        ("file:///etc/passwd", "not http or https"),
        ("//example.com/a.png", "not http or https"),
        ("http:///a.png", "no host"),
        ("http://", "no host"),
        ("http://example.com:0/", "impossible"),
        ("http://example.com:65536/", "impossible"),
        ("http://example.com:x/", "not valid"),
        (f"http://{'a.' * 130}com/", "impossible"),
        ("http://[::1", "not valid"),
        ("http://①②⑦.⓪.⓪.①/", "not valid"),
        ("http://xn--zzzzzz--/", "not valid"),
        ("http://host/\r\nX-Injected: 1", "not valid"),
        ("http://user:secret@example.com/", "user name or password"),
        ("http://127.0.0.1:1/", "no connection to 127.0.0.1"),
    ],
)
def test_what_cannot_be_a_url_of_an_image_is_refused(url: str, reason: str) -> None:
    with pytest.raises(InvalidImageError, match=reason) as caught:
        fetch_url(url, HERE, Names({}))
    assert "secret" not in str(caught.value)


def test_a_name_that_nobody_has_is_said_to_be_none() -> None:
    with pytest.raises(InvalidImageError, match="there is no host named nowhere"):
        fetch_url("http://nowhere.invalid/", resolver=Names({}))
    with pytest.raises(InvalidImageError, match="there is no host named nowhere"):
        fetch_url("http://nowhere.invalid/")  # by the operating system


def in_chunks(body: bytes, size: int) -> bytes:
    chunks = (body[start : start + size] for start in range(0, len(body), size))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def test_an_image_in_chunks_of_a_byte_is_refused_and_holds_up_nobody() -> None:
    async def run() -> float:
        slowest = 0.0

        async def others() -> None:
            nonlocal slowest
            while True:
                started = monotonic()
                await asyncio.sleep(0.001)
                slowest = max(slowest, monotonic() - started)

        async with scripted_site({"/image": in_chunks(b"x" * 300_000, 1)}) as site:
            watching = asyncio.create_task(others())
            await asyncio.sleep(0.01)
            with pytest.raises(InvalidImageError, match="pieces of a few bytes"):
                await fetch_from(site, "/image")
            watching.cancel()
        return slowest

    assert asyncio.run(run()) < 1


def test_an_image_in_ordinary_chunks_is_fetched() -> None:
    image = bytes(range(256)) * 1000
    assert fetch_once(in_chunks(image, 100)) == image


def test_an_image_that_drips_is_given_up() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x" * 10)
            await writer.drain()
            await asyncio.sleep(0.02)

    started = monotonic()
    with pytest.raises(InvalidImageError, match="too slowly"):
        fetch_once(drip, FetchLimits(rate_window=0.3))
    assert monotonic() - started < 10
