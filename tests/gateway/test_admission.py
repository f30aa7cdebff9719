"""Places in the ensemble: counted over all requests, given in turn, never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from vfnet_client.exceptions import ServerBusyError
from vfnet_gateway.admission import ImagePlaces, Priority, RequestPlaces


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Ensemble:
    """Images that stay until they are let go; `order` tells whose got a place, in which order."""

    def __init__(self, image_places: ImagePlaces) -> None:
        self.image_places, self.order = image_places, list[str]()
        self._landings = list[asyncio.Event]()

    def send(self, places: RequestPlaces, name: str) -> asyncio.Task[None]:
        async def fly() -> None:
            async with places.place():
                self.order.append(name)
                landing = asyncio.Event()
                self._landings.append(landing)
                await landing.wait()

        return asyncio.create_task(fly())

    async def land_one(self) -> None:
        self._landings.pop(0).set()
        await settle()

    async def land_all(self) -> None:
        while self._landings:
            await self.land_one()


def run(scenario: Callable[[Ensemble], Coroutine[Any, Any, None]], capacity: int = 2, max_waiting: int = 2) -> None:
    async def main() -> None:
        ensemble = Ensemble(ImagePlaces(capacity, max_waiting, queue_timeout=30))
        await scenario(ensemble)
        await ensemble.land_all()
        assert (ensemble.image_places.in_flight, ensemble.image_places.newcomers) == (0, 0)

    asyncio.run(main())


def test_waiting_requests_take_turns_whatever_their_size() -> None:
    async def scenario(ensemble: Ensemble) -> None:
        large, small, late = (ensemble.image_places.of_a_request() for _ in range(3))
        for _ in range(6):
            ensemble.send(large, "large")
        await settle()
        ensemble.send(small, "small")
        ensemble.send(late, "late")
        await settle()
        assert ensemble.order == ["large", "large"]
        for _ in range(6):
            await ensemble.land_one()
        assert ensemble.order == ["large", "large", "large", "small", "late", "large", "large", "large"]

    run(scenario)


def test_one_request_alone_is_never_refused() -> None:
    async def scenario(ensemble: Ensemble) -> None:
        alone = ensemble.image_places.of_a_request()
        tasks = [ensemble.send(alone, "alone") for _ in range(50)]
        await settle()
        assert ensemble.image_places.in_flight == 2
        await ensemble.land_all()
        await asyncio.gather(*tasks)

    run(scenario, max_waiting=0)


def test_one_more_than_may_wait_is_refused_at_once() -> None:
    async def scenario(ensemble: Ensemble) -> None:
        ensemble.send(ensemble.image_places.of_a_request(), "first")
        ensemble.send(ensemble.image_places.of_a_request(), "second")
        await settle()
        waiting = [ensemble.send(ensemble.image_places.of_a_request(), "waiting") for _ in range(2)]
        await settle()
        with pytest.raises(ServerBusyError):
            await ensemble.send(ensemble.image_places.of_a_request(), "refused")
        assert not any(task.done() for task in waiting)

    run(scenario)


def test_who_waits_too_long_for_a_first_place_is_refused() -> None:
    async def main() -> None:
        image_places = ImagePlaces(capacity=1, max_waiting=5, queue_timeout=0.01)
        async with image_places.of_a_request().place():
            with pytest.raises(ServerBusyError):
                async with image_places.of_a_request().place():
                    pass
        assert (image_places.in_flight, image_places.newcomers) == (0, 0)

    asyncio.run(main())


def test_who_leaves_as_a_place_becomes_free_takes_nothing_along() -> None:
    async def main() -> None:
        image_places = ImagePlaces(capacity=1, max_waiting=5, queue_timeout=30)
        ensemble, first = Ensemble(image_places), image_places.of_a_request()
        await image_places.take(first)
        leaving = ensemble.send(image_places.of_a_request(), "leaving")
        await settle()
        leaving.cancel()
        image_places.give_back(first)  # before the one that leaves has noticed
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert (image_places.in_flight, image_places.newcomers) == (0, 0)

    asyncio.run(main())


def test_interactive_requests_come_before_batches_that_came_earlier() -> None:
    async def scenario(ensemble: Ensemble) -> None:
        image_places = ensemble.image_places
        ensemble.send(image_places.of_a_request(), "first")
        ensemble.send(image_places.of_a_request(), "second")
        await settle()
        for priority in (Priority.BATCH, Priority.INTERACTIVE):
            for _ in range(2):
                ensemble.send(image_places.of_a_request(priority), priority.name)
        await settle()
        await ensemble.land_all()
        assert ensemble.order[2:] == ["INTERACTIVE", "INTERACTIVE", "BATCH", "BATCH"]

    run(scenario)


def test_batches_leave_a_quarter_of_the_places_to_others() -> None:
    async def scenario(ensemble: Ensemble) -> None:
        image_places = ensemble.image_places
        batch = image_places.of_a_request(Priority.BATCH)
        for _ in range(20):
            ensemble.send(batch, "batch")
        await settle()
        assert image_places.in_flight == 6
        for _ in range(3):
            ensemble.send(image_places.of_a_request(), "interactive")
        await settle()
        assert ensemble.order == ["batch"] * 6 + ["interactive"] * 2
        await ensemble.land_one()  # a batch image leaves
        assert ensemble.order[8:] == ["interactive"]
        await ensemble.land_all()
        assert ensemble.order[9:] == ["batch"] * 14

    run(scenario, capacity=8)


def test_each_priority_has_a_queue_of_its_own() -> None:
    async def scenario(ensemble: Ensemble) -> None:
        image_places = ensemble.image_places
        ensemble.send(image_places.of_a_request(), "first")
        await settle()
        waiting = [ensemble.send(image_places.of_a_request(Priority.BATCH), "batch") for _ in range(2)]
        await settle()
        with pytest.raises(ServerBusyError):
            await ensemble.send(image_places.of_a_request(Priority.BATCH), "refused")
        waiting.append(ensemble.send(image_places.of_a_request(), "interactive"))
        await settle()
        assert not any(task.done() for task in waiting)

    run(scenario, capacity=1)


@pytest.mark.parametrize("when", ["waiting", "at the moment of its turn"])
def test_a_cancelled_image_leaves_its_place_to_the_next(when: str) -> None:
    async def scenario(ensemble: Ensemble) -> None:
        first = ensemble.send(ensemble.image_places.of_a_request(), "first")
        await settle()
        gone = ensemble.send(ensemble.image_places.of_a_request(), "gone")
        ensemble.send(ensemble.image_places.of_a_request(), "next")
        await settle()
        if when == "waiting":
            gone.cancel()
            await settle()
            await ensemble.land_one()
        else:
            first.cancel()  # its place goes to `gone` ...
            await asyncio.sleep(0)
            gone.cancel()  # ... which may not have noticed yet
            await settle()
        assert ensemble.order[-1] == "next"
        await _ended(first, gone)

    run(scenario, capacity=1)


async def _ended(*tasks: Awaitable[None]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
