"""Asking again where that may help and cannot hurt: an inference changes nothing, so that twice is as good as once.

A server that is away (refused, lost, restarting, reloading) is asked until the deadline. A model process that died
may have been killed by the image itself: such an image is sent at most twice more, after a picture known to be good
was answered, and the last time no other suspect is in flight beside it.
"""

from __future__ import annotations

import asyncio
import math
import random
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from time import monotonic
from typing import TypeVar

from vfnet_client.exceptions import (
    DeadlineExceededError,
    FatalImageError,
    InferenceError,
    InvalidImageError,
    ModelProcessDiedError,
    RequestError,
    ServerBusyError,
    ServerUnavailableError,
    VFNetClientError,
    WrongServerError,
)

T = TypeVar("T")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.0
MOST_DEATHS = 2
"""How often an image is sent again that was in a model process when it died."""
SECOND_DEATH_PAUSE_S = 3.0
"""Before an image's last chance: of several instances of a model a dead one answers fastest, and has to be replaced."""
A_FEW_TRIES = 3
"""How often a server is asked again that knows of no such model or path, or is known to be away for long."""
_TELL_FROM = 3
"""The first pauses together are half a second."""
_PROOF_TIMEOUT_S = 10.0
_BUSY_IS_PROOF_FROM = 5
_PROOF_WIDTH, _PROOF_HEIGHT = 1333, 32


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


class RetryPolicy:
    """When a server is asked again. Shared by all images that go to one server; to be used by one event loop.

    Args:
        prove: sends a picture known to be good (`proof_picture`) and waits at most so many seconds; raises as
            `Transport.infer` does.
        retries: at most so many times an image is sent again; None: as often as the deadline allows. 0 also means
            that nothing is waited for.
        on_waiting: is told once of each time that the server stays away for more than a moment.
    """

    def __init__(
        self,
        prove: Callable[[float], Awaitable[object]],
        retries: int | None = None,
        on_waiting: Callable[[ServerUnavailableError], None] | None = None,
    ) -> None:
        self._prove, self._retries, self._on_waiting = prove, retries, on_waiting
        self._told_at = -math.inf
        self._proving = asyncio.Lock()
        self._proven_at = 0.0
        self._last_chance = asyncio.Lock()
        """Of two that may have killed a process, only one is in flight: so the other is not blamed."""
        self._answered_at = self._away_at = self._died_at = -math.inf
        self.waiting = 0
        """Images that wait for a server that is away or heals."""

    @property
    def is_away(self) -> bool:
        """Whether the last that was heard of the server is that it is away, or has lost a model's process."""
        return self._away_at > self._answered_at

    def seconds_since_answer(self) -> float:
        """Since the server last answered an image or a proof; infinite before the first."""
        return monotonic() - self._answered_at

    async def is_proven(self, timeout: float) -> bool:
        """Whether the server answers a good picture within so many seconds, or has no room for it beside others."""
        try:
            await self._prove(timeout)
        except ServerBusyError:
            pass
        except VFNetClientError:
            self._away_at = monotonic()
            return False
        self._answered_at = monotonic()
        return True

    async def ask(
        self, call: Callable[[float | None], Awaitable[T]], deadline: Deadline, *, is_known_to_be_away: bool = False
    ) -> T:
        """Await `call(seconds left)`, again and again while that may help.

        Args:
            is_known_to_be_away: whether somebody has waited for this server in vain: then it is asked a few times only.

        Raises:
            FatalImageError: a model process died each time that it had this image.
            ServerUnavailableError: the last one, when the tries are used up or the next would start after the deadline.
            DeadlineExceededError: no answer in time. What else `call` raises is passed on at once: a busy server is
                `FairRetry`'s affair.
        """
        last: ServerUnavailableError | None = None
        try:
            async with asyncio.timeout(deadline.remaining()):
                pause, tries, deaths = FIRST_PAUSE_S, 0, 0
                while True:
                    try:
                        return await self._attempt(call, deadline, is_last_chance=deaths == MOST_DEATHS)
                    except ModelProcessDiedError as error:
                        last, died_at = error, monotonic()
                        deaths += 1
                        if self._retries is not None and deaths > self._retries:
                            raise
                        if deaths > MOST_DEATHS:
                            raise FatalImageError(
                                f"a process of the detector died each of the {deaths} times that it had this image"
                            ) from error
                        with self._counted():
                            await asyncio.sleep(jittered(FIRST_PAUSE_S if deaths == 1 else SECOND_DEATH_PAUSE_S))
                            await self._healed(died_at, deadline)
                    except ServerUnavailableError as error:
                        last = error
                        tries += 1
                        wait = jittered(pause, error.retry_after)
                        few = is_known_to_be_away or isinstance(error, WrongServerError)
                        if tries > self._most_tries(few) or monotonic() + wait >= deadline.at:
                            raise
                        if tries == _TELL_FROM:
                            self._tell(error)
                        with self._counted():
                            await asyncio.sleep(wait)
                        pause = min(2 * pause, LONGEST_PAUSE_S)
        except TimeoutError as error:
            raise last or DeadlineExceededError("no answer in the time allowed") from error

    def _tell(self, error: ServerUnavailableError) -> None:
        if self._on_waiting is not None and self._told_at <= self._answered_at:
            self._told_at = monotonic()
            self._on_waiting(error)

    def _most_tries(self, few: bool) -> float:
        most = math.inf if self._retries is None else self._retries
        return min(most, A_FEW_TRIES) if few else most

    async def _attempt(
        self, call: Callable[[float | None], Awaitable[T]], deadline: Deadline, *, is_last_chance: bool
    ) -> T:
        if is_last_chance:
            async with self._last_chance:
                await self._healed(self._died_at, deadline)  # of the suspect before this one
                return await self._attempt(call, deadline, is_last_chance=False)
        try:
            answer = await call(deadline.remaining())
        except ServerUnavailableError as error:
            self._away_at = monotonic()
            if isinstance(error, ModelProcessDiedError):
                self._died_at = self._away_at
            raise
        except (InvalidImageError, RequestError, ServerBusyError):
            self._answered_at = monotonic()
            raise
        self._answered_at = monotonic()
        return answer

    async def _healed(self, died_at: float, deadline: Deadline) -> None:
        """Wait until a good picture is answered, one at a time for all who wait."""
        async with self._proving:
            pause, refusals = FIRST_PAUSE_S, 0
            while self._proven_at <= died_at:
                left = deadline.remaining()
                asked_at = monotonic()
                try:
                    await self._prove(_PROOF_TIMEOUT_S if left is None else max(min(left, _PROOF_TIMEOUT_S), 1e-3))
                    self._proven_at = asked_at
                except (ServerUnavailableError, ServerBusyError, DeadlineExceededError, InferenceError) as error:
                    refusals += isinstance(error, ServerBusyError)
                    if refusals == _BUSY_IS_PROOF_FROM:  # others are served there, and leave no room
                        return
                    await asyncio.sleep(jittered(pause))
                    pause = min(2 * pause, LONGEST_PAUSE_S)
                except VFNetClientError:  # it answers, and the image itself will be told the same
                    return

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1


@cache
def proof_picture() -> bytes:
    """A picture that any server detects in, quickly: a grey PNG as wide as the network's input and 32 high."""
    row = b"\0" + bytes(column * 255 // _PROOF_WIDTH for column in range(_PROOF_WIDTH))
    header = struct.pack(">IIBBBBB", _PROOF_WIDTH, _PROOF_HEIGHT, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(row * _PROOF_HEIGHT, 9)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
