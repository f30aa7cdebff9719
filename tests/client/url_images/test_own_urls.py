"""URLs of a person's own command line: anywhere that person may go, with the same bounds as a stranger's."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable

import pytest

from scripted_site import Script, ScriptedSite, answer, redirect, scripted_site
from url_fetching import IMAGE
from vfnet_client.exceptions import InvalidImageError
from vfnet_client.images import ImageLoader
from vfnet_client.url_images.address_policy import AddressPolicy


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def with_site(scripts: dict[str, Script], use: Callable[[ScriptedSite, ImageLoader], Awaitable[bytes]]) -> bytes:
    async def run() -> bytes:
        loader = ImageLoader()
        try:
            async with scripted_site(scripts) as site:
                return await use(site, loader)
        finally:
            await loader.close()

    return asyncio.run(run())


def load(body: Script) -> bytes:
    return with_site({"/image": body}, lambda site, loader: loader.load(site.url("/image")))


def test_an_image_on_this_machine_is_fetched_whatever_it_is_called() -> None:
    assert load(answer(IMAGE)) == IMAGE
    assert load(answer(IMAGE, media_type="text/plain")) == IMAGE


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "br", "deflate", "zstd"])
def test_a_compressed_answer_is_refused_instead_of_grown(encoding: str) -> None:
    twice = gzip.compress(gzip.compress(bytes(1 << 20)))
    with pytest.raises(InvalidImageError, match="compresses the image"):
        load(answer(twice, f"Content-Encoding: {encoding}"))


def test_the_body_of_a_redirect_is_not_read() -> None:
    moved = answer(gzip.compress(bytes(1 << 20)), "Location: /image", "Content-Encoding: gzip", status="302 Found")

    async def use(site: ScriptedSite, loader: ImageLoader) -> bytes:
        return await loader.load(site.url("/moved"))

    assert with_site({"/moved": moved, "/image": answer(IMAGE)}, use) == IMAGE


def test_a_user_and_password_go_to_their_own_host_alone() -> None:
    asked: list[str] = []

    async def use(site: ScriptedSite, loader: ImageLoader) -> bytes:
        async with scripted_site({"/image": answer(IMAGE)}) as other:
            here = site.url("/image").replace("http://", "http://me:p%40ss@")
            assert await loader.load(here) == IMAGE
            away = with_target(site, other)
            found = await loader.load(away)
            asked.extend((*site.requests, "other", *other.requests))
            return found

    def with_target(site: ScriptedSite, other: ScriptedSite) -> str:
        scripts["/away"] = redirect(other.url("/image"))
        return site.url("/away").replace("http://", "http://me:p%40ss@")

    scripts: dict[str, Script] = {"/image": answer(IMAGE)}
    assert with_site(scripts, use) == IMAGE
    here, elsewhere = " ".join(asked).split(" other ")
    assert here.count("Authorization: Basic bWU6cEBzcw==") == 2
    assert "Authorization" not in elsewhere


def test_the_proxy_of_the_environment_is_used_unless_the_host_goes_past_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(proxy: ScriptedSite, loader: ImageLoader) -> bytes:
        monkeypatch.setenv("http_proxy", proxy.url(""))
        assert await loader.load("http://images.invalid/a.png") == IMAGE
        assert proxy.requests[0].startswith("GET http://images.invalid/a.png ")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        return await loader.load(proxy.url("/straight"))

    straight = b"straight " + IMAGE
    scripts: dict[str, Script] = {"http://images.invalid/a.png": answer(IMAGE), "/straight": answer(straight)}
    assert with_site(scripts, use) == straight


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "socks://127.0.0.1:1080/", "nonsense://", "http://x:y"])
def test_a_proxy_of_another_kind_is_one_sentence(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setenv("all_proxy", proxy)
    with pytest.raises(InvalidImageError, match="cannot be fetched by the proxy"):
        load(answer(IMAGE))


def test_a_policy_goes_past_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with scripted_site({}) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url(""))
            loader = ImageLoader(AddressPolicy())
            try:
                await loader.load(proxy.url("/image"))
            finally:
                await loader.close()
                assert proxy.requests == []

    with pytest.raises(InvalidImageError, match="public hosts only"):
        asyncio.run(run())
