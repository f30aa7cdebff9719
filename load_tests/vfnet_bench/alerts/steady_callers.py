"""Callers that ask so often a second, whatever becomes of their requests, on a thread of their own."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

from vfnet_bench.callers_on_a_thread import CallersOnAThread
from vfnet_bench.http_callers import HTTPCallers
from vfnet_load.http_requests import score_request

_MOST_AT_ONCE = 500


class SteadyCallers(CallersOnAThread):
    """A context in which `rate` requests a second go to `/score` of a gateway, an image each; `rate` may be changed."""

    def __init__(self, port: int, image: bytes, rate: float) -> None:
        super().__init__()
        self._port, self._image, self.rate = port, image, rate
        self.statuses: Counter[int] = Counter()
        """Of HTTP; 0 for a connection that was lost."""

    async def _run(self) -> None:
        callers = HTTPCallers("127.0.0.1", self._port)
        request = callers.prepare(score_request(self._image))
        loop, tasks = asyncio.get_running_loop(), set[asyncio.Task[None]]()

        async def ask() -> None:
            status = 0
            with contextlib.suppress(OSError, EOFError):
                status, _ = await callers.ask(request)
            self.statuses[status] += 1

        due = loop.time()
        while not self._ends.is_set():
            due = max(due + 1 / self.rate, loop.time() - 1)
            await asyncio.sleep(max(0.0, due - loop.time()))
            if len(tasks) < _MOST_AT_ONCE:
                task = asyncio.create_task(ask())
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await callers.close()
