"""A bounded amount of something that many want parts of at once, each in its turn."""

from __future__ import annotations

import asyncio
from collections import deque


class FairBudget:
    """Given in the order in which it is asked for. Who wants more than there ever is gets all of it, alone.

    No `ByteBudget` is made of it: there a part grows while others wait, and neither order nor capacity is strict.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = self._free = capacity
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def has(self, amount: int) -> bool:
        """Whether `take` would not wait."""
        return not self._waiting and min(amount, self._capacity) <= self._free

    async def take(self, amount: int) -> int:
        """Wait for it; what to give back. Cancelling it takes nothing."""
        amount = min(amount, self._capacity)
        if self.has(amount):
            self._free -= amount
            return amount
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, turn))
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():  # it came at the same moment
                self._free += amount
            elif (amount, turn) in self._waiting:
                self._waiting.remove((amount, turn))
            self._serve()  # those behind may want less
            raise
        return amount

    def give_back(self, amount: int) -> None:
        """What `take` returned."""
        self._free += amount
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            amount, turn = self._waiting.popleft()
            if not turn.done():
                self._free -= amount
                turn.set_result(None)
