"""Host names to addresses, off the event loop."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Protocol

from vfnet_client.url_images.address_policy import Address

_LOOKUPS_AT_ONCE = 16


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
