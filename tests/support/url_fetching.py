"""Fetching as the tests of URL images do it: from local sites, with resolvers that say what they are told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from ipaddress import ip_address
from typing import TypeVar

from scripted_site import Script, ScriptedSite, scripted_site
from vfnet_client.url_images.address_policy import Address, AddressPolicy
from vfnet_client.url_images.url_images import FetchLimits, URLImageFetcher

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
