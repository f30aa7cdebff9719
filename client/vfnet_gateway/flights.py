"""Who may send an image into the ensemble, and when: one count over all requests, fair between them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from vfnet_client.exceptions import ServerBusyError


class Flights:
    """Places for images in the ensemble.

    A place that becomes free goes to the waiting requests in turn, so that one of a thousand images holds up no other.
    A request that finds all places taken and as many requests as allowed waiting for their first is refused: one that
    fills the ensemble alone never is.

    Args:
        capacity: images in the ensemble at once.
        max_waiting: requests that may wait for their first place.
        queue_timeout: seconds they may wait for it.
    """

    def __init__(self, capacity: int, max_waiting: int, queue_timeout: float) -> None:
        self.capacity, self.max_waiting, self.queue_timeout = capacity, max_waiting, queue_timeout
        self.in_flight = 0
        self.newcomers = 0
        """Requests waiting for their first place."""
        self._turns: deque[Flight] = deque()
        """Requests with waiting images, in the order in which they get a place."""

    def of_a_request(self) -> Flight:
        """What one request asks for its places."""
        return Flight(self)

    async def take(self, flight: Flight) -> None:
        """A place for one more image of a request; see `Flight.place`."""
        if self.in_flight < self.capacity:  # then nobody waits
            self.in_flight += 1
            flight.has_started = True
        elif flight.has_started or flight.waiting:
            await self._wait(flight)
        else:
            await self._wait_for_the_first(flight)

    def give_back(self) -> None:
        """A place is free: the next request's turn."""
        while self._turns:
            flight = self._turns.popleft()
            turn = flight.waiting.popleft()
            if flight.waiting:
                self._turns.append(flight)
            if not turn.done():
                flight.has_started = True
                turn.set_result(None)  # the place changes hands, the count stays
                return
        self.in_flight -= 1

    async def _wait_for_the_first(self, flight: Flight) -> None:
        if self.newcomers >= self.max_waiting:
            raise ServerBusyError("the server is busy with other requests; try again a little later")
        self.newcomers += 1
        try:
            async with asyncio.timeout(self.queue_timeout):
                await self._wait(flight)
        except TimeoutError as error:
            raise ServerBusyError(
                f"the server is busy with other requests: none was finished within {self.queue_timeout:g} s"
            ) from error
        finally:
            self.newcomers -= 1

    async def _wait(self, flight: Flight) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not flight.waiting:
            self._turns.append(flight)
        flight.waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():  # the place came at the same moment
                self.give_back()
            else:
                flight.waiting.remove(turn)
                if not flight.waiting:
                    self._turns.remove(flight)
            raise


class Flight:
    """The images of one request."""

    def __init__(self, flights: Flights) -> None:
        self._flights = flights
        self.has_started = False
        """Whether it ever had a place."""
        self.waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place in the ensemble while in the context.

        Raises:
            ServerBusyError: others keep the ensemble busy.
        """
        await self._flights.take(self)
        try:
            yield
        finally:
            self._flights.give_back()
