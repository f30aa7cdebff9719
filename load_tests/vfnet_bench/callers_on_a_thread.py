"""Callers that go on asking on a thread of their own, while the benchmark does something to what they ask."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class CallersOnAThread(ABC):
    """A context: inside, `_run` runs in an event loop of its own, and ends soon after `_ends` is set."""

    def __init__(self) -> None:
        self._ends = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="callers")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.set()
        self._thread.join()

    @abstractmethod
    async def _run(self) -> None:
        """Ask until `_ends` is set."""
