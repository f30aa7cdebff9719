"""Room for bodies: never more than there is, first come, first served, and never lost."""

from __future__ import annotations

import asyncio

import pytest

from vfnet_client.exceptions import ServerBusyError
from vfnet_gateway.byte_budget import ByteBudget


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Holder:
    """One body: waits for room, then holds it until let go."""

    def __init__(self, budget: ByteBudget, size: int, patience: float = 30) -> None:
        self.holds, self._release = False, asyncio.Event()
        self.task = asyncio.create_task(self._hold(budget, size, patience))

    async def _hold(self, budget: ByteBudget, size: int, patience: float) -> None:
        async with budget.hold(size, patience):
            self.holds = True
            await self._release.wait()

    async def let_go(self) -> None:
        self._release.set()
        await settle()


def test_the_next_in_line_gets_what_becomes_free() -> None:
    async def main() -> None:
        budget = ByteBudget(10)
        first, large, small = Holder(budget, 6), Holder(budget, 8), Holder(budget, 1)
        await settle()
        assert (first.holds, large.holds, small.holds) == (True, False, False)  # nobody overtakes
        await first.let_go()
        assert (large.holds, small.holds, budget.held) == (True, True, 9)
        await large.let_go()
        await small.let_go()
        assert budget.held == 0

    asyncio.run(main())


def test_a_body_larger_than_all_room_takes_all_of_it() -> None:
    async def main() -> None:
        budget = ByteBudget(10)
        async with budget.hold(99, 1):
            assert budget.held == 10
        assert budget.held == 0

    asyncio.run(main())


def test_who_finds_no_room_in_time_is_refused_and_holds_up_nobody() -> None:
    async def main() -> None:
        budget = ByteBudget(10)
        first, hasty = Holder(budget, 6), Holder(budget, 8, patience=0.01)
        await settle()
        behind = Holder(budget, 2)
        with pytest.raises(ServerBusyError):
            await hasty.task
        await settle()
        assert behind.holds
        await first.let_go()
        await behind.let_go()
        assert budget.held == 0

    asyncio.run(main())


def test_who_leaves_as_room_becomes_free_takes_nothing_along() -> None:
    async def main() -> None:
        budget = ByteBudget(10)
        async with budget.hold(6, 1):
            leaving = Holder(budget, 6)
            await settle()
            leaving.task.cancel()
        with pytest.raises(asyncio.CancelledError):  # which noticed after the room was there
            await leaving.task
        assert budget.held == 0

    asyncio.run(main())


@pytest.mark.parametrize("turn_has_come", [False, True])
def test_a_client_that_leaves_gives_its_room_back(turn_has_come: bool) -> None:
    async def main() -> None:
        budget = ByteBudget(10)
        first, leaving = Holder(budget, 6), Holder(budget, 6)
        await settle()
        if turn_has_come:
            first.task.cancel()
            await asyncio.sleep(0)
        leaving.task.cancel()
        await settle()
        await first.let_go()
        assert budget.held == 0
        async with budget.hold(10, 1):
            pass

    asyncio.run(main())
