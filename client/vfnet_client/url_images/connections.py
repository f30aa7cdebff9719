"""How the host of an image's URL is reached: its name resolved, its addresses looked at before one is connected to.

Or by the proxy that the environment names, where the URL is a person's own.
"""

from __future__ import annotations

import asyncio
import socket
import urllib.request
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import ip_address
from time import monotonic
from typing import Protocol
from urllib.parse import unquote, urlsplit

import httpcore

from vfnet_client.exceptions import InvalidImageError
from vfnet_client.url_images.address_policy import Address, AddressPolicy

_LOOKUPS_AT_ONCE = 16


class AddressRefusedError(Exception):
    """The policy does not permit an address of this host. `str()` says what the address is."""


class NameNotFoundError(Exception):
    """The host's name has no address."""


class Resolver(Protocol):
    """How a name becomes addresses."""

    async def resolve(self, host: str) -> list[Address]:
        """All addresses of a name, in the order to try them.

        Raises:
            OSError: there are none.
        """
        ...

    async def close(self) -> None:
        """Give threads and sockets back."""
        ...


class SystemResolver:
    """The operating system's: hosts file, DNS, and the odd spellings of IPv4 (`0x7f.1`, `2130706433`).

    It has threads of its own: names that resolve slowly would otherwise keep the loop's from decoding images.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="name-resolution")

    async def resolve(self, host: str) -> list[Address]:
        """See `Resolver.resolve`."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _addresses, host)

    async def close(self) -> None:
        """See `Resolver.close`. Lookups that run are left to end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _addresses(host: str) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label over 63 characters, in Python's own encoding of names
        raise OSError(str(error)) from error
    return list(dict.fromkeys(ip_address(entry[4][0]) for entry in found))


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


@dataclass(frozen=True)
class Proxies:
    """Which URLs go by which proxy; none by default."""

    by_scheme: Mapping[str, str] = field(default_factory=dict)
    """A proxy's URL by `http`, `https` and `all`."""

    @classmethod
    def of_the_environment(cls) -> Proxies:
        """As it is now; NO_PROXY as it is when a URL is asked about."""
        return cls(urllib.request.getproxies())

    def of(self, scheme: str, host: str, port: int | None) -> str | None:
        """The proxy's URL; None where there is none, or NO_PROXY names the host."""
        proxy = self.by_scheme.get(scheme) or self.by_scheme.get("all")
        if not proxy:
            return None
        place = host if port is None else f"{host}:{port}"
        return None if urllib.request.proxy_bypass(place) else proxy


def http_proxy(url: str) -> httpcore.Proxy:
    """httpcore's words for a proxy's URL.

    Raises:
        InvalidImageError: it is none that speaks HTTP.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"it speaks {parts.scheme}")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        auth = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
        return httpcore.Proxy(f"{parts.scheme}://{host}:{port}", auth=auth)
    except ValueError as error:
        raise InvalidImageError(
            f"images cannot be fetched by the proxy that this environment names ({error}): "
            "name one that speaks HTTP, or put the image's host into NO_PROXY"
        ) from error
