"""Where a stranger's URL does not lead: private space, by whatever spelling, redirect or name.

The sites are on 127.0.0.1, which the operator of these tests allows; 127.0.0.2 stands for all that nobody allowed.
"""

from __future__ import annotations

import asyncio

import pytest

from scripted_site import answer, redirect, scripted_site
from url_fetching import HERE, IMAGE, Names, fetch_from, fetch_once, fetch_url
from vfnet_client.exceptions import InvalidImageError
from vfnet_client.url_images.address_policy import AddressPolicy
from vfnet_client.url_images.url_images import URLImageFetcher


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
