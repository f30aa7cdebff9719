"""How many bytes of request bodies the process holds at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from vfnet_client.exceptions import ServerBusyError

SMALL = 1 << 20


class ByteBudget:
    """Room for what has arrived of bodies, first come, first served: whoever wants more while there is none waits.

    What a body announces takes no room, so that a few that announce much and send little lock out nobody. A quarter is
    kept for the first `SMALL` bytes of each, so that large bodies do not lock out small ones. The oldest body that is
    being read does not wait for those that came after it, or all could wait for each other: by one body at most the
    capacity is exceeded.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.held = 0
        self._reading: dict[Holding, None] = {}
        """In the order in which they came."""
        self._waiting: deque[tuple[Holding, int, asyncio.Future[None]]] = deque()

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for room."""
        return bool(self._waiting)

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[Holding]:
        """Room that grows, and is given back at the end of the context."""
        holding = Holding(self)
        self._reading[holding] = None
        try:
            yield holding
        finally:
            self._reading.pop(holding, None)
            self.held -= holding.size
            holding.size = 0
            self._serve()

    async def grow(self, holding: Holding, size: int, patience: float) -> None:
        """See `Holding.grow`."""
        if not self._waiting and self._fits(holding, size):
            self._take(holding, size)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (holding, size, waiter)
        self._waiting.append(entry)
        self._serve()  # the oldest does not wait behind the others
        try:
            async with asyncio.timeout(patience):
                await waiter
        except BaseException as error:
            # What came at the same moment is given back with the rest of the holding.
            if entry in self._waiting:
                self._waiting.remove(entry)
                self._serve()  # a smaller one behind may fit
            if isinstance(error, TimeoutError):
                raise ServerBusyError("the gateway holds as many bodies as it may; try again a little later") from error
            raise

    def finish(self, holding: Holding) -> None:
        """See `Holding.finish`."""
        self._reading.pop(holding, None)
        self._serve()

    def _fits(self, holding: Holding, size: int) -> bool:
        if self.held == holding.size:  # nobody else is here
            return True
        is_small = holding.size + size <= SMALL
        if self.held + size <= (self.capacity if is_small else self.capacity - self.capacity // 4):
            return True
        oldest = next(iter(self._reading), None)
        return oldest is holding and sum(other.size for other in self._reading) > holding.size

    def _take(self, holding: Holding, size: int) -> None:
        self.held += size
        holding.size += size

    def _serve(self) -> None:
        oldest = next(iter(self._reading), None)
        for entry in [entry for entry in self._waiting if entry[0] is oldest]:
            if self._fits(*entry[:2]):
                self._waiting.remove(entry)
                self._let(*entry)
        while self._waiting and self._fits(*self._waiting[0][:2]):
            self._let(*self._waiting.popleft())

    def _let(self, holding: Holding, size: int, waiter: asyncio.Future[None]) -> None:
        if not waiter.done():
            self._take(holding, size)
            waiter.set_result(None)


class Holding:
    """The room of one body."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self.size = 0

    async def grow(self, size: int, patience: float) -> None:
        """Room for `size` bytes more.

        Raises:
            ServerBusyError: there was none within `patience` seconds.
        """
        await self._budget.grow(self, size, patience)

    def finish(self) -> None:
        """All has arrived: another body is the oldest that is being read."""
        self._budget.finish(self)
