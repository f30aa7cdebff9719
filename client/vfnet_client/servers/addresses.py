"""Which servers there are: those named one by one, and those behind a name, whose addresses change while they serve."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

from vfnet_client.exceptions import ServerUnavailableError
from vfnet_client.safe_text import printable_line
from vfnet_client.transport import DNS, parse_server_url

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""From a host's name and a port to the addresses in numbers. Raises OSError."""


class ServerAddresses:
    """The URLs of the servers that `urls` name. To be used by one event loop.

    Args:
        urls: of servers, and `dns:///name:port`, which stands for `grpc://ADDRESS:port` of every address of the name.
        resolve: how a name is looked up.

    Raises:
        ValueError: one of them is none of these, or there is none.
    """

    def __init__(self, urls: Sequence[str], resolve: Resolve | None = None) -> None:
        if not urls:
            raise ValueError("at least one server must be named")
        self._resolve = resolve or look_up
        # Once each: one that is named twice is not twice as fast.
        self._parts = {parse_server_url(url): url for url in urls}
        self._known: dict[str, list[str]] = {}

    def __len__(self) -> int:
        """What was named, a name as one."""
        return len(self._parts)

    @property
    def can_change(self) -> bool:
        """Whether it is worth looking again."""
        return any(parts.scheme == DNS for parts in self._parts)

    async def find(self) -> list[str]:
        """All URLs, once each, as they are now. A name that cannot be looked up keeps the addresses that it had.

        Raises:
            ServerUnavailableError: there is none, for a name has no address.
        """
        found, reason = dict[str, None](), ""
        for parts, url in self._parts.items():
            if parts.scheme != DNS:
                found[url] = None
                continue
            assert parts.hostname is not None
            assert parts.port is not None
            try:
                addresses = sorted(await self._resolve(parts.hostname, parts.port))
                self._known[url] = [f"grpc://{f'[{a}]' if ':' in a else a}:{parts.port}" for a in addresses]
            except OSError as error:
                reason = f"{url} cannot be looked up: {error.strerror or error}"
            found.update(dict.fromkeys(self._known.get(url, [])))
        if not found:
            raise ServerUnavailableError(printable_line(reason or f"{', '.join(self._parts.values())}: no address"))
        return list(found)


async def look_up(host: str, port: int) -> list[str]:
    """As the system does, by its hosts file and name servers. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list({str(address[0]) for *_, address in found})
