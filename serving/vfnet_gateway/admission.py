"""Who may send an image into the ensemble, and when: one count over all requests, fair between them.

Who is served first: a person who waits for the answer, or a batch that has time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from enum import IntEnum
from typing import Any, Protocol

from vfnet_client.exceptions import RequestError, ServerBusyError
from vfnet_gateway.steps import WAIT, step

PRIORITY_HEADER = "x-vfnet-priority"
_STEPS_OF_PATIENCE = 10


class Priority(IntEnum):
    """Triton's priority levels, as the repository's models are configured."""

    INTERACTIVE = 1
    BATCH = 2


def priority_of(headers: Mapping[str, str]) -> Priority:
    """What a request's headers say; interactive where they do not.

    Raises:
        RequestError: 400, another word.
    """
    word = headers.get(PRIORITY_HEADER, Priority.INTERACTIVE.name)
    try:
        return Priority[word.upper()]
    except KeyError:
        known = " or ".join(priority.name.lower() for priority in Priority)
        raise RequestError(400, f"{PRIORITY_HEADER} must be {known}, not {word[:100]!r}") from None


class ImagePlaces:
    """Places for images in the ensemble.

    A place that becomes free goes to the waiting requests in turn, so that one of a thousand images holds up no other.
    A request that finds all places taken and as many requests as allowed waiting for their first is refused: one that
    fills the ensemble alone never is. Interactive requests come before batches, which a quarter of the places is kept
    from.

    Args:
        capacity: images in the ensemble at once.
        max_waiting: requests of each priority that may wait for their first place.
        queue_timeout: seconds they may wait for it.
        is_stalled: whether nothing can become free because the server is away: meanwhile nobody who waits is refused.
    """

    def __init__(
        self, capacity: int, max_waiting: int, queue_timeout: float, is_stalled: Callable[[], bool] = lambda: False
    ) -> None:
        self._is_stalled = is_stalled
        self.capacity, self.max_waiting, self.queue_timeout = capacity, max_waiting, queue_timeout
        self._places = _places_by_priority(capacity)
        self._taken = dict.fromkeys(Priority, 0)
        self._newcomers = dict.fromkeys(Priority, 0)
        self._queues: dict[Priority, deque[RequestPlaces]] = {priority: deque() for priority in Priority}
        """Requests with waiting images, in the order in which they get a place."""

    @property
    def in_flight(self) -> int:
        """Images that have a place."""
        return sum(self._taken.values())

    @property
    def newcomers(self) -> int:
        """Requests waiting for their first place."""
        return sum(self._newcomers.values())

    def of_a_request(self, priority: Priority = Priority.INTERACTIVE) -> RequestPlaces:
        """What one request asks for its places."""
        return RequestPlaces(self, priority)

    def resize(self, capacity: int) -> None:
        """So many places from now on; fewer take effect as those that are taken become free."""
        self.capacity, self._places = capacity, _places_by_priority(capacity)
        self._admit()

    async def take(self, request: RequestPlaces) -> None:
        """A place for one more image of a request; see `RequestPlaces.place`."""
        if self._has_room(request.priority):  # then nobody of that priority waits
            self._taken[request.priority] += 1
            request.has_started = True
        elif request.has_started or request.waiting:
            await self._wait(request)
        else:
            await self._wait_for_the_first(request)

    def give_back(self, request: RequestPlaces) -> None:
        """A place of this request's is free: the next one's turn."""
        self._taken[request.priority] -= 1
        self._admit()

    def _admit(self) -> None:
        for priority, queue in self._queues.items():
            while queue and self._has_room(priority):
                following = queue.popleft()
                waiter = following.waiting.popleft()
                if following.waiting:
                    queue.append(following)
                if not waiter.done():
                    self._taken[priority] += 1
                    following.has_started = True
                    waiter.set_result(None)

    def _has_room(self, priority: Priority) -> bool:
        return self.in_flight < self.capacity and self._taken[priority] < self._places[priority]

    async def _wait_for_the_first(self, request: RequestPlaces) -> None:
        if self._newcomers[request.priority] >= self.max_waiting:
            raise ServerBusyError("the server is busy with other requests; try again a little later")
        self._newcomers[request.priority] += 1
        try:
            async with asyncio.timeout(None) as patience:
                with self._losing(patience):
                    await self._wait(request)
        except TimeoutError as error:
            raise ServerBusyError(
                f"the server is busy with other requests: none was finished within {self.queue_timeout:g} s"
            ) from error
        finally:
            self._newcomers[request.priority] -= 1

    @contextmanager
    def _losing(self, patience: asyncio.Timeout) -> Iterator[None]:
        """Let `patience` end after `queue_timeout` seconds, those not counted in which the server is away."""
        loop = asyncio.get_running_loop()
        left = _STEPS_OF_PATIENCE

        timer: asyncio.TimerHandle

        def look_later() -> None:
            nonlocal timer
            timer = loop.call_later(self.queue_timeout / _STEPS_OF_PATIENCE, look)

        def look() -> None:
            nonlocal left
            left -= not self._is_stalled()
            if left > 0:
                look_later()
            else:
                patience.reschedule(loop.time())

        look_later()
        try:
            yield
        finally:
            timer.cancel()

    async def _wait(self, request: RequestPlaces) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._queues[request.priority]
        if not request.waiting:
            queue.append(request)
        request.waiting.append(waiter)
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():  # the place came at the same moment
                self.give_back(request)
            elif waiter in request.waiting:  # else `give_back` has just passed it over
                request.waiting.remove(waiter)
                if not request.waiting:
                    queue.remove(request)
            raise


def _places_by_priority(capacity: int) -> dict[Priority, int]:
    """How many each priority may have."""
    return {Priority.INTERACTIVE: capacity, Priority.BATCH: capacity - capacity // 4}


class Places(Protocol):
    """Who gives places to requests: `ImagePlaces`, or whoever asks another process for them."""

    @property
    def in_flight(self) -> int:
        """Images that have a place."""
        ...

    @property
    def newcomers(self) -> int:
        """Requests waiting for their first place."""
        ...

    def of_a_request(self, priority: Priority = Priority.INTERACTIVE) -> RequestPlaces:
        """What one request asks for its places."""
        ...

    def resize(self, capacity: int) -> None:
        """So many places from now on."""
        ...

    async def take(self, request: RequestPlaces) -> None:
        """A place for one more image of a request; see `RequestPlaces.place`."""
        ...

    def give_back(self, request: RequestPlaces) -> None:
        """A place of this request's is free."""
        ...


class RequestPlaces:
    """The images of one request."""

    def __init__(self, image_places: Places, priority: Priority) -> None:
        self._image_places, self.priority = image_places, priority
        self.has_started = False
        """Whether it ever had a place."""
        self.waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        """A place in the ensemble while in the context, and on until what `Place.keep_until` was told has ended.

        Raises:
            ServerBusyError: others keep the ensemble busy.
        """
        with step(WAIT):
            await self._image_places.take(self)
        place = Place(self.priority)
        try:
            yield place
        finally:
            place.when_free(lambda: self._image_places.give_back(self))


class Place:
    """One image's place in the ensemble."""

    def __init__(self, priority: Priority) -> None:
        self.priority = priority
        self._kept_by: asyncio.Future[Any] | None = None

    def keep_until(self, inference: asyncio.Future[Any]) -> None:
        """Triton goes on with this inference, for which nobody waits: it takes the place until it has ended."""
        self._kept_by = inference

    def when_free(self, give_back: Callable[[], None]) -> None:
        """Call `give_back` now, or once what keeps the place has ended."""
        if self._kept_by is None or self._kept_by.done():
            give_back()
        else:
            self._kept_by.add_done_callback(lambda _: give_back())
