"""In which order a caller's images ask a server again that has no room for all of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, TypeVar

from vfnet_client.exceptions import ServerBusyError
from vfnet_client.retry_policy import jittered

T = TypeVar("T")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
_WOKEN_BY_AN_ANSWER = 2
"""More than one, so that more are in flight again after a full queue squeezed them."""


class FairRetry:
    """Who asks next, of one caller's images. Any of them may be cancelled.

    A refused image waits for an answer to another of the same caller and goes again: a queue that only this caller
    fills never refuses it for good. With none of its own left in there, it is others that keep the server busy.

    Args:
        patience: seconds to keep asking a server that others keep busy.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._in_flight = 0
        self._refused: deque[asyncio.Future[None]] = deque()

    async def send(self, infer: Callable[[], Awaitable[T]]) -> T:
        """Await `infer()`, again and again while the server refuses it.

        Raises:
            ServerBusyError: patience ran out. Anything else `infer` raises is passed on at once.
        """
        has_waited = bool(self._refused)
        if has_waited:  # no pushing in
            await self._turn()
        pause, give_up_at = _FIRST_PAUSE_S, monotonic() + self._patience
        while True:
            self._in_flight += 1
            alone = False
            try:
                answer = await infer()
            except ServerBusyError as error:
                alone, wait = self._in_flight == 1, jittered(pause, error.retry_after)
                if alone and monotonic() + wait > give_up_at:
                    self._wake()
                    raise
            except BaseException:
                self._wake()
                raise
            else:
                self._wake()
                return answer
            finally:
                self._in_flight -= 1
            if alone:
                try:
                    await asyncio.sleep(wait)
                except BaseException:
                    self._wake()
                    raise
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            else:
                await self._turn(again=has_waited)
                has_waited = True

    def keep(self, inference: asyncio.Future[Any]) -> None:
        """Count one as in flight until it has ended, for whose answer its caller in `send` no longer waits."""
        self._in_flight += 1
        inference.add_done_callback(self._ended)

    def _ended(self, _inference: asyncio.Future[Any]) -> None:
        self._in_flight -= 1
        self._wake()

    async def _turn(self, *, again: bool = False) -> None:
        """Wait to be woken: behind the others, or before them where it was its turn in vain."""
        # Whoever waits here is woken: it came while another was in flight or pausing, which wakes it.
        turn = asyncio.get_running_loop().create_future()
        if again:
            self._refused.appendleft(turn)
        else:
            self._refused.append(turn)
        try:
            await turn
        except BaseException:
            if turn in self._refused:
                self._refused.remove(turn)
            elif not turn.cancelled():  # its turn came at the same moment, and is now another's
                self._wake()
            raise

    def _wake(self) -> None:
        woken = 0
        while self._refused and woken < _WOKEN_BY_AN_ANSWER:
            turn = self._refused.popleft()
            if not turn.done():
                turn.set_result(None)
                woken += 1
