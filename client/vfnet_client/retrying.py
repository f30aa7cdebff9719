"""Asking again where that may help and cannot hurt: an inference changes nothing, so that twice is as good as once."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from vfnet_client.exceptions import ServerUnavailableError

T = TypeVar("T")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0


@dataclass(frozen=True)
class Deadline:
    """A point in time that all tries together have to keep."""

    at: float
    """By `time.monotonic`; infinite for none."""

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """So many seconds from now; None for never."""
        return cls(math.inf if seconds is None else monotonic() + seconds)

    def remaining(self) -> float | None:
        """Seconds left, never below 0; None where there is no deadline."""
        return None if math.isinf(self.at) else max(0.0, self.at - monotonic())


def jittered(pause: float, retry_after: float | None = None) -> float:
    """Between half of `pause` and all of it, so that clients refused together do not come back together.

    Never sooner than the server asked for.
    """
    return max(random.uniform(0.5, 1.0) * pause, retry_after or 0.0)


async def retried(call: Callable[[], Awaitable[T]], retries: int, deadline: Deadline) -> T:
    """Await `call()`, up to `retries` times more while the server cannot be reached or loses the connection.

    Raises:
        ServerUnavailableError: the last one, when the tries are used up or the next would start after the deadline.
            What else `call` raises is passed on at once: a busy server is `turns.Turns`' affair.
    """
    pause = FIRST_PAUSE_S
    for _ in range(retries):
        try:
            return await call()
        except ServerUnavailableError as error:
            wait = jittered(pause, error.retry_after)
            if monotonic() + wait >= deadline.at:
                raise
        await asyncio.sleep(wait)
        pause = min(2 * pause, LONGEST_PAUSE_S)
    return await call()
