"""Callers of Triton itself, over HTTP: any number of them, on connections that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import cycle

from vfnet_bench.http_callers import HTTPCallers
from vfnet_bench.load import Call
from vfnet_client.model_names import MODEL
from vfnet_load.http_requests import triton_request
from vfnet_serve.endpoints import Endpoints

INTERACTIVE, BATCH = 1, 2
"""Triton's priority levels, as the repository's models are configured."""


class TritonCallers:
    """Sends images. To be used by one event loop."""

    def __init__(self, endpoints: Endpoints, images: Sequence[bytes], model: str = MODEL) -> None:
        """
        Args:
            images: encoded; each call of a level takes the next.
            model: its public name.
        """
        self._connections = HTTPCallers(endpoints.local_host, endpoints.http_port)
        self._requests = {
            priority: cycle([self._connections.prepare(triton_request(image, priority, model)) for image in images])
            for priority in (INTERACTIVE, BATCH)
        }

    def of_priority(self, priority: int) -> Call:
        """`call` of one level."""
        return partial(self.call, priority)

    async def call(self, priority: int = INTERACTIVE) -> int:
        """One image; HTTP's status."""
        status, _body = await self._connections.ask(next(self._requests[priority]))
        return status

    async def close(self) -> None:
        """Give the connections back."""
        await self._connections.close()
