"""What runs beside the rest of an event loop, and ends at the latest when its owner is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")
ABANDONED_AT_MOST_S = 60.0
"""How long a call may go on that nobody waits for any more: then it is given up."""


class KeptTasks:
    """To be used by one event loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def keep(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something beside the rest until it ends, or all is closed: in nobody's trace."""
        task = asyncio.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def abandon(self, task: asyncio.Task[Any]) -> None:
        """Nobody waits for it any more; it is not cancelled, which some versions of Triton do not survive."""
        if task.done():
            if not task.cancelled():
                task.exception()  # it may be looked at or not
            return
        limit = asyncio.get_running_loop().call_later(ABANDONED_AT_MOST_S, task.cancel)
        self._tasks.add(task)

        def ended(_: asyncio.Task[Any]) -> None:
            limit.cancel()
            self._tasks.discard(task)
            if not task.cancelled():
                task.exception()  # which concerns nobody any more

        task.add_done_callback(ended)

    async def close(self) -> None:
        """Cancel all, and wait until they have ended."""
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
