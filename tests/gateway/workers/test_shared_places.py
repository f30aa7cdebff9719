"""Places that several processes ask for: counted over all of them, given in turn, never lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from vfnet_client.exceptions import ServerBusyError
from vfnet_gateway.admission import Priority, RequestPlaces
from vfnet_gateway.settings import GatewaySettings
from vfnet_gateway.workers.link import Link
from vfnet_gateway.workers.shared_places import AskedPlaces, PlacesKeeper, SharedPlaces

MODEL = "vfnet"


class Worker:
    """One that asks for places, its end of the link and the keeper's."""

    def __init__(self) -> None:
        self.is_away = False
        self.order = list[str]()

    async def connect(self, keeper: PlacesKeeper, capacity: int) -> None:
        theirs, ours = socket.socketpair()
        self.link, self.keepers_link = await Link.of(ours), await Link.of(theirs)
        self.asked = AskedPlaces(self.link)
        self.places: SharedPlaces = self.asked.of_model(MODEL, capacity, lambda: self.is_away)
        kept = keeper.of_a_worker(self.keepers_link)

        async def keep() -> None:
            async for message in self.keepers_link.messages():
                kept.hear(message)
            kept.end()

        async def hear() -> None:
            async for message in self.link.messages():
                self.asked.hear(message)

        self.tasks = [asyncio.create_task(work) for work in (keep(), hear())]

    async def close(self) -> None:
        self.link.close()
        self.keepers_link.close()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class World:
    """A keeper and two workers."""

    def __init__(self, **settings: Any) -> None:
        self.settings = GatewaySettings(**settings)
        self.keeper = PlacesKeeper(self.settings)
        self.workers = [Worker(), Worker()]
        self.order = list[str]()
        self.landings = list[asyncio.Event]()

    def send(self, request: RequestPlaces, name: str = "") -> asyncio.Task[None]:
        async def fly() -> None:
            async with request.place():
                self.order.append(name)
                self.landings.append(landing := asyncio.Event())
                await landing.wait()

        return asyncio.create_task(fly())

    async def land_one(self) -> None:
        self.landings.pop(0).set()
        await settle()

    def request(self, worker: int, priority: Priority = Priority.INTERACTIVE) -> RequestPlaces:
        return self.workers[worker].places.of_a_request(priority)


async def settle() -> None:
    """What is sent over a pair of sockets arrives when the loop has looked at them."""
    for _ in range(20):
        await asyncio.sleep(0.001)


def run(scenario: Callable[[World], Coroutine[Any, Any, None]], **settings: Any) -> None:
    async def main() -> None:
        world = World(**{"max_in_flight": 2, "max_waiting": 2, "queue_timeout": 30} | settings)
        for worker in world.workers:
            await worker.connect(world.keeper, world.settings.max_in_flight)
        async with asyncio.timeout(30):
            await scenario(world)
            while world.landings:
                await world.land_one()
            await settle()
            assert world.keeper.in_flight == 0
            assert [worker.places.in_flight for worker in world.workers] == [0, 0]
        for worker in world.workers:
            await worker.close()

    asyncio.run(main())


def test_requests_of_all_workers_take_turns_whatever_their_size() -> None:
    async def scenario(world: World) -> None:
        large, small, late = world.request(0), world.request(1), world.request(1)
        for _ in range(6):
            world.send(large, "large")
        await settle()
        world.send(small, "small")
        world.send(small, "small")
        await settle()
        world.send(late, "late")
        await settle()
        assert world.order == ["large", "large"]
        assert (world.keeper.in_flight, world.workers[1].places.newcomers) == (2, 2)
        while world.landings:
            await world.land_one()
        assert world.order == ["large", "large", "large", "small", "late", "large", "small", "large", "large"]

    run(scenario)


def test_those_that_wait_are_counted_over_all_workers() -> None:
    async def scenario(world: World) -> None:
        for _ in range(2):
            world.send(world.request(0))
        await settle()
        for worker in (0, 1):
            world.send(world.request(worker))
        await settle()
        for worker in (0, 1):
            with pytest.raises(ServerBusyError, match="busy with other requests"):
                await world.send(world.request(worker))
        world.send(world.request(0, Priority.BATCH))  # they have room of their own to wait in
        await settle()
        assert sum(worker.places.newcomers for worker in world.workers) == 3

    run(scenario)


def test_a_request_that_has_begun_is_refused_by_nobody() -> None:
    async def scenario(world: World) -> None:
        begun = world.request(0)
        first = world.send(begun)
        await settle()
        await world.land_one()
        await first
        for _ in range(4):
            world.send(world.request(1))
        await settle()
        again = world.send(begun)  # though as many wait as may
        await settle()
        assert not again.done()

    run(scenario)


def test_what_a_worker_had_is_free_when_it_ends() -> None:
    async def scenario(world: World) -> None:
        for _ in range(2):
            world.send(world.request(0))
        await settle()
        lost = world.send(world.request(0))
        waiting = world.send(world.request(1), "other")
        await settle()
        assert "other" not in world.order
        world.workers[0].link.close()
        await settle()
        assert "other" in world.order
        lost.cancel()
        await asyncio.gather(lost, return_exceptions=True)
        assert world.keeper.in_flight == 1
        assert not waiting.done()

    run(scenario)


def test_who_leaves_keeps_no_place_whenever_that_is() -> None:
    async def scenario(world: World) -> None:
        source = random.Random(7)

        async def fly(worker: int) -> None:
            async with world.request(worker).place():
                assert sum(each.places.in_flight for each in world.workers) <= 2
                await asyncio.sleep(source.uniform(0, 0.003))

        async def leave(task: asyncio.Task[None], after: float) -> None:
            await asyncio.sleep(after)
            task.cancel()

        for _ in range(30):
            tasks = [asyncio.create_task(fly(number % 2)) for number in range(8)]
            await asyncio.gather(*(leave(task, source.uniform(0, 0.004)) for task in tasks[::2]))
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError, ServerBusyError):
                    await task
        await settle()
        assert world.keeper.in_flight == 0
        assert world.workers[0].places.newcomers == world.workers[1].places.newcomers == 0

    run(scenario)


def test_there_are_more_places_where_there_are_more_servers() -> None:
    async def scenario(world: World) -> None:
        for _ in range(4):
            world.send(world.request(0))
        await settle()
        assert world.keeper.in_flight == 2
        world.workers[1].places.resize(4)
        await settle()
        assert world.keeper.in_flight == 4
        world.workers[1].places.resize(2)
        await settle()
        await world.land_one()
        assert world.keeper.in_flight == 3  # who has one keeps it

    run(scenario)


def test_nobody_who_waits_is_refused_while_the_servers_are_away() -> None:
    async def scenario(world: World) -> None:
        world.workers[0].is_away = True
        world.workers[0].asked.tell()
        for _ in range(2):
            world.send(world.request(0))
        await settle()
        waiting = world.send(world.request(1))
        await asyncio.sleep(0.4)
        assert not waiting.done()
        world.workers[0].is_away = False
        world.workers[0].asked.tell()
        with pytest.raises(ServerBusyError, match="none was finished within"):
            await waiting

    run(scenario, queue_timeout=0.2)
