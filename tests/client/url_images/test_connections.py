"""Connections to strangers' sites: tried in turn, shared per name, bounded.

The sites are on 127.0.0.1, which the operator of these tests allows; 127.0.0.2 stands for all that nobody allowed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from scripted_site import ScriptedSite, answer, scripted_site
from url_fetching import HERE, IMAGE, Names
from vfnet_client.exceptions import InvalidImageError
from vfnet_client.url_images.address_policy import AddressPolicy
from vfnet_client.url_images.url_images import FetchLimits, URLImageFetcher


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
