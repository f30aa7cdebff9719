"""Connections to addresses that were looked at first, and to no others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from ipaddress import ip_address
from time import monotonic

import httpcore

from vfnet_client.url_images.address_policy import Address, AddressPolicy
from vfnet_client.url_images.name_resolution import Resolver


class AddressRefusedError(Exception):
    """The policy does not permit an address of this host. `str()` says what the address is."""


class NameNotFoundError(Exception):
    """The host's name has no address."""


class CheckedConnections(httpcore.AsyncNetworkBackend):
    """httpcore's way to the network, with a look at the address between resolving and connecting.

    A name is resolved once per connection, and the connection goes to the very addresses that were looked at: a name
    that resolves to another address the second time gains nothing. It sits below httpcore's pool, which knows
    connections by name: the Host header and the certificate are the name's, and a connection made for one name is
    never used for another that happens to share its address.

    Args:
        policy: which addresses may be connected to.
        resolver: how names become addresses; literal addresses do not pass through it.
    """

    def __init__(self, policy: AddressPolicy, resolver: Resolver) -> None:
        self._policy = policy
        self._resolver = resolver
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to one of the host's addresses; `timeout` is for all of them and the look-up together.

        Raises:
            AddressRefusedError: one of its addresses may not be connected to. A name with both kinds is a trap.
            NameNotFoundError: it has none.
            httpcore.ConnectError, httpcore.ConnectTimeout: no connection.
        """
        give_up_at = None if timeout is None else monotonic() + timeout
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._permitted(host)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"{host} did not resolve in time") from error
        last: Exception = httpcore.ConnectError(host)
        for position, address in enumerate(addresses):
            remaining = None if give_up_at is None else max(0.0, give_up_at - monotonic())
            share = None if remaining is None else remaining / (len(addresses) - position)
            try:
                return await self._network.connect_tcp(str(address), port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """No image comes from a Unix socket."""
        raise AddressRefusedError(f"{path} is a Unix socket")

    async def sleep(self, seconds: float) -> None:
        """httpcore's pause between retries."""
        await self._network.sleep(seconds)

    async def _permitted(self, host: str) -> list[Address]:
        addresses = await self._addresses(host)
        for address in addresses:
            refusal = self._policy.refusal(host, address)
            if refusal is not None:
                raise AddressRefusedError(refusal)
        return addresses

    async def _addresses(self, host: str) -> list[Address]:
        try:
            return [ip_address(host)]
        except ValueError:
            pass
        try:
            addresses = await self._resolver.resolve(host)
        except OSError as error:
            raise NameNotFoundError(host) from error
        if not addresses:
            raise NameNotFoundError(host)
        return addresses
