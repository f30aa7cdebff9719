"""How many bytes of request bodies the process holds at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from vfnet_client.exceptions import ServerBusyError


class ByteBudget:
    """Room for bodies, first come, first served: whoever asks while there is none waits."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, size: int, patience: float) -> AsyncIterator[None]:
        """Room for `size` bytes while in the context.

        Raises:
            ServerBusyError: there was none within `patience` seconds.
        """
        size = min(size, self.capacity)
        await self._take(size, patience)
        try:
            yield
        finally:
            self._give_back(size)

    async def _take(self, size: int, patience: float) -> None:
        if not self._waiting and self.held + size <= self.capacity:
            self.held += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            async with asyncio.timeout(patience):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # it came at the same moment
                self._give_back(size)
            elif (size, turn) in self._waiting:  # else `_serve` has just passed it over
                self._waiting.remove((size, turn))
                self._serve()  # a smaller one behind may fit
            if isinstance(error, TimeoutError):
                raise ServerBusyError("the gateway holds as many bodies as it may; try again a little later") from error
            raise

    def _give_back(self, size: int) -> None:
        self.held -= size
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self.held + self._waiting[0][0] <= self.capacity:
            size, turn = self._waiting.popleft()
            if not turn.done():
                self.held += size
                turn.set_result(None)
