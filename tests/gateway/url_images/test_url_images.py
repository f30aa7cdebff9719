"""Fetching for strangers, against local sites that do what a stranger's site may do.

The sites are on 127.0.0.1, which the operator of these tests allows; 127.0.0.2 stands for all that nobody allowed.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from typing import TypeVar

import pytest

from scripted_site import Script, ScriptedSite, answer, redirect, scripted_site
from vfnet_client.exceptions import InvalidImageError
from vfnet_gateway.address_policy import Address, AddressPolicy
from vfnet_gateway.url_images import FetchLimits, URLImageFetcher

T = TypeVar("T")
IMAGE = b"\x89PNG and so on"
HERE = AddressPolicy.allowing(["127.0.0.1"])


class Names:
    """A resolver that gives each name its answers in turn, the last one for ever."""

    def __init__(self, answers: Mapping[str, list[list[str]]]) -> None:
        self._answers = {name: list(turns) for name, turns in answers.items()}
        self.asked: list[str] = []

    async def resolve(self, host: str) -> list[Address]:
        self.asked.append(host)
        if host not in self._answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        turns = self._answers[host]
        return [ip_address(text) for text in (turns.pop(0) if len(turns) > 1 else turns[0])]

    async def close(self) -> None:
        pass


async def fetch_from(
    site: ScriptedSite, path: str, limits: FetchLimits | None = None, policy: AddressPolicy = HERE
) -> bytes:
    fetcher = URLImageFetcher(policy, limits)
    try:
        return await fetcher.fetch(site.url(path))
    finally:
        await fetcher.close()


def fetch_once(script: Script, limits: FetchLimits | None = None) -> bytes:
    async def run() -> bytes:
        async with scripted_site({"/image": script}) as site:
            return await fetch_from(site, "/image", limits)

    return asyncio.run(run())


def fetch_url(url: str, policy: AddressPolicy | None = None, resolver: Names | None = None) -> bytes:
    async def run() -> bytes:
        fetcher = URLImageFetcher(policy, FetchLimits(total_timeout=20), resolver)
        try:
            return await fetcher.fetch(url)
        finally:
            await fetcher.close()

    return asyncio.run(run())


# What is fetched


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


# What is not


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (answer(IMAGE, status="404 Not Found"), "status 404"),
        (answer(IMAGE, status="500 Oops"), "status 500"),
        (answer(IMAGE, status="304 Not Modified"), "status 304"),
        (answer(b"<html>", media_type="text/html"), "'text/html', which is not an image"),
        (answer(b"{}", media_type="application/json"), "'application/json', which is not an image"),
        (answer(b""), r"nothing \(0 bytes\)"),
        (answer(gzip.compress(bytes(10**6)), "Content-Encoding: gzip"), "compresses the image"),
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


# Where it will not go


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "0.0.0.0", "0x7f.1", "2130706433", "127.1", "0", "[::1]", "[::]", "[::ffff:127.0.0.1]",
     "[::ffff:7f00:1]", "127。0。0。1", "169.254.169.254", "168.63.129.16", "[64:ff9b::7f00:1]", "[fe80::1%25lo]",
     "LOCALHOST"],
)  # fmt: skip
def test_no_spelling_of_an_address_that_is_not_public_gets_through(host: str) -> None:
    async def run() -> None:
        async with scripted_site({"/": answer(IMAGE)}, host="0.0.0.0") as site:
            fetcher = URLImageFetcher()
            with pytest.raises(InvalidImageError, match="images may come from public hosts only"):
                await fetcher.fetch(f"http://{host}:{site.port}/")
            await fetcher.close()
            assert site.connections == 0

    asyncio.run(run())


def test_the_address_of_a_refused_name_is_not_told() -> None:
    with pytest.raises(InvalidImageError) as caught:
        fetch_url("http://intranet.example/", resolver=Names({"intranet.example": [["10.1.2.3"]]}))
    assert str(caught.value) == "images may come from public hosts only, and intranet.example is not: private"


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_into_private_space_is_refused_there(status: str) -> None:
    async def run() -> None:
        async with scripted_site({"/secret": answer(IMAGE)}, host="127.0.0.2") as private:
            async with scripted_site({"/a": redirect(private.url("/secret"), status)}) as site:
                with pytest.raises(InvalidImageError, match=r"public hosts only, and 127\.0\.0\.2 is not: loopback"):
                    await fetch_from(site, "/a")
            assert private.connections == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("file:///etc/passwd", "redirects to one that is not http"),
        ("gopher://127.0.0.2/", "redirects to one that is not http"),
        ("http://user@host/", "redirects to one that carries a user name"),
        ("http://[::1", "redirects to one that is not valid"),
        ("http://169.254.169.254/latest/meta-data/", "link-local"),
        ("//127.0.0.2/", "loopback"),
    ],
)
def test_every_hop_is_checked_like_the_first(location: str, reason: str) -> None:
    with pytest.raises(InvalidImageError, match=reason):
        fetch_once(redirect(location))


def test_a_few_redirects_are_followed_and_no_more() -> None:
    async def run() -> None:
        scripts = {f"/{i}": redirect(f"/{i - 1}" if i % 2 else f"./{i - 1}") for i in range(1, 9)}
        async with scripted_site({**scripts, "/0": answer(IMAGE)}) as site:
            assert await fetch_from(site, "/5") == IMAGE
            with pytest.raises(InvalidImageError, match="redirects more than 5 times"):
                await fetch_from(site, "/6")

    asyncio.run(run())


def test_the_body_of_a_redirect_is_not_read() -> None:
    async def run() -> None:
        async def endless(writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: /image\r\n\r\n")
            while True:
                writer.write(bytes(65536))
                await writer.drain()

        async with scripted_site({"/moved": endless, "/image": answer(IMAGE)}) as site:
            assert await fetch_from(site, "/moved") == IMAGE

    asyncio.run(run())


def test_a_name_that_turns_private_the_second_time_gains_nothing() -> None:
    async def run() -> None:
        names = Names({"rebinding.example": [["127.0.0.1"], ["127.0.0.2"]]})
        async with scripted_site({"/": answer(IMAGE, "Connection: close")}) as site:
            fetcher = URLImageFetcher(HERE, resolver=names)
            url = site.url("/", "rebinding.example")
            assert await fetcher.fetch(url) == IMAGE
            assert names.asked == ["rebinding.example"]  # looked up once, and the connection went where it pointed
            with pytest.raises(InvalidImageError, match="public hosts only"):
                await fetcher.fetch(url)
            await fetcher.close()

    asyncio.run(run())


def test_a_name_that_also_has_a_private_address_is_refused() -> None:
    async def run() -> None:
        names = Names({"both.example": [["127.0.0.1", "10.0.0.1"]]})
        async with scripted_site({"/": answer(IMAGE)}) as site:
            fetcher = URLImageFetcher(HERE, resolver=names)
            with pytest.raises(InvalidImageError, match="public hosts only"):
                await fetcher.fetch(site.url("/", "both.example"))
            await fetcher.close()
            assert site.connections == 0

    asyncio.run(run())


def test_an_allowed_host_is_fetched_from_private_space_under_its_name_only() -> None:
    async def run() -> None:
        names = Names({"images.internal": [["127.0.0.1"]], "alias.example": [["127.0.0.1"]]})
        async with scripted_site({"/": answer(IMAGE)}) as site:
            fetcher = URLImageFetcher(AddressPolicy.allowing(["images.internal"]), resolver=names)
            assert await fetcher.fetch(site.url("/", "images.internal")) == IMAGE
            assert await fetcher.fetch(site.url("/", "Images.Internal")) == IMAGE
            for host in ("alias.example", "127.0.0.1"):
                with pytest.raises(InvalidImageError, match="public hosts only"):
                    await fetcher.fetch(site.url("/", host))
            await fetcher.close()

    asyncio.run(run())


def test_proxies_cookies_and_netrc_are_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    (netrc := tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password secret\n")  # type: ignore[operator]
    monkeypatch.setenv("NETRC", str(netrc))
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.2:9")

    async def run() -> None:
        async with scripted_site({"/": answer(IMAGE, "Set-Cookie: session=1; Path=/")}) as site:
            fetcher = URLImageFetcher(HERE)
            assert [await fetcher.fetch(site.url("/")) for _ in range(2)] == [IMAGE, IMAGE]
            await fetcher.close()
            heads = "".join(site.requests).lower()
            assert "cookie" not in heads
            assert "authorization" not in heads

    asyncio.run(run())


# Connections


def test_a_second_address_is_tried_when_the_first_is_closed() -> None:
    async def run() -> None:
        names = Names({"two.example": [["127.0.0.3", "127.0.0.1"]]})
        async with scripted_site({"/": answer(IMAGE)}) as site:
            fetcher = URLImageFetcher(AddressPolicy.allowing(["127.0.0.0/8"]), resolver=names)
            assert await fetcher.fetch(site.url("/", "two.example")) == IMAGE
            await fetcher.close()

    asyncio.run(run())


def test_images_of_one_host_share_connections_and_those_of_two_names_never() -> None:
    async def run() -> None:
        names = Names({"a.example": [["127.0.0.1"]], "b.example": [["127.0.0.1"]]})
        async with scripted_site({"/": answer(IMAGE)}) as site:
            fetcher = URLImageFetcher(HERE, resolver=names)
            for host in ("a.example", "b.example") * 3:
                assert await fetcher.fetch(site.url("/", host)) == IMAGE
            await fetcher.close()
            assert site.connections == 2
            assert names.asked == ["a.example", "b.example"]

    asyncio.run(run())


def test_many_images_are_fetched_at_once_up_to_the_bound() -> None:
    async def run() -> None:
        at_once = most = 0

        async def slow(writer: asyncio.StreamWriter) -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.05)
            at_once -= 1
            writer.write(answer(IMAGE))

        async with scripted_site({"/": slow}) as site:
            fetcher = URLImageFetcher(HERE, FetchLimits(max_connections=8))
            assert await asyncio.gather(*(fetcher.fetch(site.url("/")) for _ in range(24))) == [IMAGE] * 24
            await fetcher.close()
        assert most == 8

    asyncio.run(run())


def test_a_failure_leaves_the_connection_to_nobody() -> None:
    async def cancelled(fetcher: URLImageFetcher, site: ScriptedSite) -> None:
        task = asyncio.create_task(fetcher.fetch(site.url("/hang")))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def refused(fetcher: URLImageFetcher, site: ScriptedSite) -> None:
        for path in ("/gone", "/large"):
            with pytest.raises(InvalidImageError):
                await fetcher.fetch(site.url(path))

    async def run(fail: Callable[[URLImageFetcher, ScriptedSite], Awaitable[None]]) -> None:
        async def hang(_: asyncio.StreamWriter) -> None:
            await asyncio.sleep(60)

        async with scripted_site({"/hang": hang, "/large": answer(bytes(5000)), "/": answer(IMAGE)}) as site:
            fetcher = URLImageFetcher(HERE, FetchLimits(max_bytes=1000, max_connections=1, total_timeout=20))
            for _ in range(3):
                await fail(fetcher, site)
                assert await fetcher.fetch(site.url("/")) == IMAGE  # the only connection is free again
            await fetcher.close()

    asyncio.run(run(cancelled))
    asyncio.run(run(refused))
