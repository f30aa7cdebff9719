"""How servers are named."""

from __future__ import annotations

import asyncio
import socket

import pytest

from vfnet_client import AsyncVFNetClient
from vfnet_client.servers.addresses import ServerAddresses, look_up
from vfnet_client.servers.pool import ServerPool
from vfnet_client.transport import open_transport, parse_server_url


@pytest.mark.parametrize("url", ["dns:///triton:9001", "dns:///triton", "dns:///[::1]:8001"])
def test_a_name_stands_for_its_addresses(url: str) -> None:
    parts = parse_server_url(url)
    assert (parts.scheme, parts.port) == ("dns", 9001 if "9001" in url else 8001)
    assert ServerAddresses([url]).can_change


@pytest.mark.parametrize(
    "url", ["dns://server/triton:8001", "dns:triton:8001", "dns:///", "dns:///a:8001/b", "dns:///a:x"]
)
def test_another_writing_of_a_name_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="dns:///name:port"):
        parse_server_url(url)


def test_a_server_named_twice_is_one() -> None:
    addresses = ServerAddresses(["grpc://host:8001", "grpc://host", "http://host"])
    assert asyncio.run(addresses.find()) == ["grpc://host", "http://host"]
    assert not addresses.can_change


def test_there_is_at_least_one_server() -> None:
    with pytest.raises(ValueError, match="at least one server"):
        ServerAddresses([])
    with pytest.raises(ValueError, match="at least one server"):
        AsyncVFNetClient([])


def test_the_system_looks_a_name_up() -> None:
    assert set(asyncio.run(look_up("localhost", 8001))) & {"127.0.0.1", "::1"}
    with pytest.raises(socket.gaierror):
        asyncio.run(look_up("no-such-host.invalid", 8001))


def test_several_servers_are_a_pool_and_one_is_none() -> None:
    async def kinds() -> list[bool]:
        found = []
        for url in ("grpc://127.0.0.1:1", ["grpc://127.0.0.1:1"], "dns:///localhost:1"):
            transport = open_transport(url)
            found.append(isinstance(transport, ServerPool))
            await transport.close()
        return found

    assert asyncio.run(kinds()) == [False, True, True]
