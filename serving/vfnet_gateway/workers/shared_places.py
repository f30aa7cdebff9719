"""Places in the ensemble that several processes share: one `ImagePlaces` for each model, and its users elsewhere."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from vfnet_client.exceptions import ServerBusyError
from vfnet_gateway.admission import ImagePlaces, Priority, RequestPlaces
from vfnet_gateway.settings import GatewaySettings
from vfnet_gateway.workers.link import Link

TAKE, LEAVE, GIVE, STATE = "take", "leave", "give", "state"
"""Of a worker: it wants a place, does not any more, gives one back; and how many there should be."""
GRANTED, REFUSED = "granted", "refused"


@dataclass
class _Ticket:
    """A place that a worker wants or has."""

    model: str
    request: int
    places: RequestPlaces
    task: asyncio.Task[None] | None = None
    has_left: bool = False
    """It is not wanted any more."""


@dataclass
class _Shared:
    """The places of one model, and what each worker knows of its servers."""

    places: ImagePlaces
    stalled: dict[Any, bool] = field(default_factory=dict)
    capacities: dict[Any, int] = field(default_factory=dict)


class PlacesKeeper:
    """Gives places to workers, all requests of all of them in one queue. To be used by one event loop."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._models: dict[str, _Shared] = {}

    @property
    def in_flight(self) -> int:
        """Images that have a place, of all models."""
        return sum(shared.places.in_flight for shared in self._models.values())

    def of_a_worker(self, link: Link) -> WorkerPlaces:
        """What one worker asks."""
        return WorkerPlaces(self, link)

    def shared(self, model: str) -> _Shared:
        """The places of a model, whoever speaks of it first."""
        if model not in self._models:
            settings, stalled = self._settings, dict[Any, bool]()
            places = ImagePlaces(
                settings.max_in_flight,
                settings.max_waiting,
                settings.queue_timeout,
                is_stalled=lambda: any(stalled.values()),
            )
            self._models[model] = _Shared(places, stalled)
        return self._models[model]


class WorkerPlaces:
    """The places that one worker wants or has."""

    def __init__(self, keeper: PlacesKeeper, link: Link) -> None:
        self._keeper, self._link = keeper, link
        self._tickets: dict[int, _Ticket] = {}
        self._requests: dict[tuple[str, int], tuple[RequestPlaces, int]] = {}
        """With the number of their tickets."""

    def hear(self, message: list[Any]) -> None:
        """One message of the worker; others than those of this module are not for here."""
        match message:
            case [str(kind), str(model), int(number), int(request), int(priority), bool(has_started)] if kind == TAKE:
                self._take(model, number, request, Priority(priority), has_started=has_started)
            case [str(kind), int(number)] if kind in (LEAVE, GIVE):
                self._leave(number)
            case [str(kind), str(model), int(capacity), bool(is_stalled)] if kind == STATE:
                shared = self._keeper.shared(model)
                shared.stalled[self], shared.capacities[self] = is_stalled, capacity
                most = max(shared.capacities.values())
                if most != shared.places.capacity:
                    shared.places.resize(most)

    def end(self) -> None:
        """The worker has ended: what it had is free."""
        for number in list(self._tickets):
            self._leave(number)
        for shared in self._keeper._models.values():
            shared.stalled.pop(self, None)
            shared.capacities.pop(self, None)

    def _take(self, model: str, number: int, request: int, priority: Priority, *, has_started: bool) -> None:
        image_places = self._keeper.shared(model).places
        key = (model, request)
        places, tickets = self._requests.get(key) or (image_places.of_a_request(priority), 0)
        places.has_started = places.has_started or has_started
        self._requests[key] = (places, tickets + 1)
        ticket = self._tickets[number] = _Ticket(model, request, places)
        ticket.task = asyncio.create_task(image_places.take(places))
        ticket.task.add_done_callback(lambda task: self._taken(number, ticket, task))

    def _taken(self, number: int, ticket: _Ticket, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            self._forget(number, ticket)
            if not ticket.has_left:
                self._link.send(REFUSED, number, str(error) if isinstance(error, ServerBusyError) else "no place")
        elif ticket.has_left:
            self._give_back(number, ticket)
        else:
            self._link.send(GRANTED, number)

    def _leave(self, number: int) -> None:
        ticket = self._tickets.get(number)
        if ticket is None or ticket.has_left:
            return
        ticket.has_left = True
        assert ticket.task is not None
        if not ticket.task.done():
            ticket.task.cancel()  # where its place comes at the same moment, `_taken` gives it back
        elif not ticket.task.cancelled() and ticket.task.exception() is None:
            self._give_back(number, ticket)

    def _give_back(self, number: int, ticket: _Ticket) -> None:
        self._forget(number, ticket)
        self._keeper.shared(ticket.model).places.give_back(ticket.places)

    def _forget(self, number: int, ticket: _Ticket) -> None:
        if self._tickets.pop(number, None) is None:
            return
        key = (ticket.model, ticket.request)
        places, tickets = self._requests[key]
        if tickets == 1:
            del self._requests[key]
        else:
            self._requests[key] = (places, tickets - 1)


class SharedPlaces:
    """A worker's `ImagePlaces` of one model: what it does, where all workers ask for places.

    Args:
        places: of this worker, by which it asks.
        model: its name.
        is_stalled: as of `ImagePlaces`.
    """

    def __init__(self, places: AskedPlaces, model: str, capacity: int, is_stalled: Callable[[], bool]) -> None:
        self._asked, self._model, self._is_stalled = places, model, is_stalled
        self.capacity = capacity
        self.in_flight = self.newcomers = 0
        self._numbers: defaultdict[RequestPlaces, deque[int]] = defaultdict(deque)
        """Of the places that each request has."""
        self._requests: WeakKeyDictionary[RequestPlaces, int] = WeakKeyDictionary()

    def of_a_request(self, priority: Priority = Priority.INTERACTIVE) -> RequestPlaces:
        """See `ImagePlaces.of_a_request`."""
        return RequestPlaces(self, priority)

    def resize(self, capacity: int) -> None:
        """See `ImagePlaces.resize`."""
        self.capacity = capacity
        self.tell()

    def tell(self) -> None:
        """How many places there should be, and whether the servers are away."""
        self._asked.link.send(STATE, self._model, self.capacity, self._is_stalled())

    async def take(self, request: RequestPlaces) -> None:
        """See `ImagePlaces.take`."""
        if request not in self._requests:
            self._requests[request] = self._asked.next_number()
        number, granted = self._asked.next_number(), asyncio.get_running_loop().create_future()
        self._asked.waiting[number] = granted
        is_newcomer = not request.has_started and not request.waiting
        request.waiting.append(granted)
        self.newcomers += is_newcomer
        self._asked.link.send(
            TAKE, self._model, number, self._requests[request], int(request.priority), request.has_started
        )
        try:
            await granted
        except asyncio.CancelledError:
            self._asked.link.send(LEAVE, number)
            raise
        finally:
            self.newcomers -= is_newcomer
            self._asked.waiting.pop(number, None)
            request.waiting.remove(granted)
        request.has_started = True
        self.in_flight += 1
        self._numbers[request].append(number)

    def give_back(self, request: RequestPlaces) -> None:
        """See `ImagePlaces.give_back`."""
        numbers = self._numbers[request]
        self._asked.link.send(GIVE, numbers.popleft())
        if not numbers:
            del self._numbers[request]
        self.in_flight -= 1


class AskedPlaces:
    """All places that one worker asks for, by its link. To be used by one event loop."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.waiting: dict[int, asyncio.Future[None]] = {}
        self._numbers = itertools.count(1)
        self._models: list[SharedPlaces] = []

    def next_number(self) -> int:
        """One that no other place or request of this worker has."""
        return next(self._numbers)

    def of_model(self, model: str, capacity: int, is_stalled: Callable[[], bool]) -> SharedPlaces:
        """The places of one model."""
        places = SharedPlaces(self, model, capacity, is_stalled)
        self._models.append(places)
        return places

    def tell(self) -> None:
        """What this worker knows of the servers; from time to time."""
        for places in self._models:
            places.tell()

    def hear(self, message: list[Any]) -> None:
        """One message of who has the places."""
        match message:
            case [str(kind), int(number)] if kind == GRANTED:
                if (granted := self.waiting.get(number)) is not None and not granted.done():
                    granted.set_result(None)
            case [str(kind), int(number), str(reason)] if kind == REFUSED:
                if (granted := self.waiting.get(number)) is not None and not granted.done():
                    granted.set_exception(ServerBusyError(reason))
