"""Room for bodies: never more than there is, first come, first served, never lost, and none for mere announcements."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from vfnet_client.exceptions import ServerBusyError
from vfnet_gateway.bodies import ByteBudget


@pytest.fixture(autouse=True)
def _nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfnet_gateway.bodies.SMALL", 0)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Body:
    """One body: grows by these pieces, each when told to, and holds them until let go."""

    def __init__(self, budget: ByteBudget, *pieces: int, patience: float = 30, whole: bool = True) -> None:
        self.size, self._release = 0, asyncio.Event()
        self._pieces, self._patience, self._whole = pieces, patience, whole
        self.task = asyncio.create_task(self._hold(budget))

    async def _hold(self, budget: ByteBudget) -> None:
        async with budget.hold() as holding:
            for piece in self._pieces:
                await holding.grow(piece, self._patience)
                self.size += piece
            if self._whole:
                holding.finish()
            await self._release.wait()

    async def let_go(self) -> None:
        self._release.set()
        await settle()


def scenario(capacity: int) -> Callable[[Callable[[ByteBudget], Coroutine[Any, Any, None]]], None]:
    def run(steps: Callable[[ByteBudget], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            budget = ByteBudget(capacity)
            await steps(budget)
            assert budget.held == 0
            assert not budget.is_wanted

        asyncio.run(main())

    return run


def test_the_next_in_line_gets_what_becomes_free() -> None:
    @scenario(20)
    async def steps(budget: ByteBudget) -> None:
        first, large, small = Body(budget, 12), Body(budget, 14), Body(budget, 1)
        await settle()
        assert (first.size, large.size, small.size) == (12, 0, 0)  # nobody overtakes
        assert budget.is_wanted
        await first.let_go()
        assert (large.size, small.size, budget.held) == (14, 1, 15)
        await large.let_go()
        await small.let_go()


def test_a_body_larger_than_all_room_is_held_alone() -> None:
    @scenario(10)
    async def steps(budget: ByteBudget) -> None:
        async with budget.hold() as holding:
            await holding.grow(99, 1)
            other = Body(budget, 1)
            await settle()
            assert other.size == 0
        await other.let_go()


def test_bodies_that_have_sent_little_leave_room_whatever_they_announced() -> None:
    @scenario(100)
    async def steps(budget: ByteBudget) -> None:
        dripping = [Body(budget, 1, whole=False) for _ in range(50)]
        honest = Body(budget, 20)
        await settle()
        assert honest.size == 20
        for body in (*dripping, honest):
            await body.let_go()


def test_bodies_that_are_half_read_do_not_wait_for_each_other() -> None:
    @scenario(100)
    async def steps(budget: ByteBudget) -> None:
        bodies = [Body(budget, *[10] * 4) for _ in range(10)]
        most = 0
        for body in bodies:
            await settle()
            assert body.size == 40
            most = max(most, budget.held)
            await body.let_go()
        assert most <= 140


def test_large_bodies_leave_a_quarter_to_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfnet_gateway.bodies.SMALL", 5)

    @scenario(100)
    async def steps(budget: ByteBudget) -> None:
        large = [Body(budget, 30) for _ in range(4)]
        small = Body(budget, 5, 5)
        await settle()
        assert [body.size for body in large] == [30, 30, 0, 0]
        await large[0].let_go()
        await large[1].let_go()
        assert small.size == 10
        for body in (*large, small):
            await body.let_go()


def test_a_small_body_finds_room_beside_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfnet_gateway.bodies.SMALL", 5)

    @scenario(100)
    async def steps(budget: ByteBudget) -> None:
        large = [Body(budget, 37) for _ in range(2)]
        small = Body(budget, 5)
        await settle()
        assert ([body.size for body in large], small.size) == ([37, 37], 5)
        for body in (*large, small):
            await body.let_go()


def test_who_finds_no_room_in_time_is_refused_and_holds_up_nobody() -> None:
    @scenario(20)
    async def steps(budget: ByteBudget) -> None:
        first, hasty = Body(budget, 12), Body(budget, 16, patience=0.01)
        await settle()
        behind = Body(budget, 3)
        with pytest.raises(ServerBusyError):
            await hasty.task
        await settle()
        assert behind.size == 3
        await first.let_go()
        await behind.let_go()


def test_who_leaves_as_room_becomes_free_takes_nothing_along() -> None:
    @scenario(10)
    async def steps(budget: ByteBudget) -> None:
        async with budget.hold() as holding:
            await holding.grow(6, 1)
            holding.finish()
            leaving = Body(budget, 6)
            await settle()
            leaving.task.cancel()
        with pytest.raises(asyncio.CancelledError):  # which noticed after the room was there
            await leaving.task


@pytest.mark.parametrize("turn_has_come", [False, True])
def test_a_client_that_leaves_gives_its_room_back(turn_has_come: bool) -> None:
    @scenario(10)
    async def steps(budget: ByteBudget) -> None:
        first, leaving = Body(budget, 6), Body(budget, 6)
        await settle()
        if turn_has_come:
            first.task.cancel()
            await asyncio.sleep(0)
        leaving.task.cancel()
        await settle()
        await first.let_go()
        async with budget.hold() as holding:
            await holding.grow(10, 1)
