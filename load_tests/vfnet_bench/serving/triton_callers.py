"""Callers of Triton itself, over HTTP: any number of them, on connections that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from vfnet_bench.http_caller import HTTPCaller, post
from vfnet_bench.load import Call
from vfnet_load.http_requests import triton_request
from vfnet_serve.endpoints import Endpoints

INTERACTIVE, BATCH = 1, 2
"""Triton's priority levels, as the repository's models are configured."""


class TritonCallers:
    """Sends images. To be used by one event loop."""

    def __init__(self, endpoints: Endpoints, images: Sequence[bytes]) -> None:
        """
        Args:
            images: encoded; each call takes the next.
        """
        self._host, self._port = endpoints.local_host, endpoints.http_port
        self._requests = {
            priority: [post(self._host, triton_request(image, priority)) for image in images]
            for priority in (INTERACTIVE, BATCH)
        }
        self._calls = 0
        self._idle: list[HTTPCaller] = []

    def of_priority(self, priority: int) -> Call:
        """`call` of one level."""
        return partial(self.call, priority)

    async def call(self, priority: int = INTERACTIVE) -> int:
        """One image; HTTP's status."""
        requests = self._requests[priority]
        request, self._calls = requests[self._calls % len(requests)], self._calls + 1
        connection = self._idle.pop() if self._idle else await HTTPCaller.connect(self._host, self._port)
        status, _body = await connection.ask(request)
        self._idle.append(connection)
        return status

    async def close(self) -> None:
        """Give the connections back."""
        for connection in self._idle:
            await connection.close()
