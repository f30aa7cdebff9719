"""Parts of a bounded amount, each in its turn."""

from __future__ import annotations

import asyncio

from vfnet_gateway.fair_budget import FairBudget


def test_nobody_overtakes_whoever_wants_more() -> None:
    async def run() -> None:
        budget, order = FairBudget(10), list[str]()

        async def want(name: str, amount: int) -> None:
            taken = await budget.take(amount)
            order.append(name)
            await asyncio.sleep(0.001)
            budget.give_back(taken)

        await asyncio.gather(want("a", 6), want("b", 4), want("whole", 99), want("c", 1))
        assert order == ["a", "b", "whole", "c"]
        assert budget.has(10)

    asyncio.run(run())


def test_who_leaves_takes_nothing_and_lets_those_behind_have_it() -> None:
    async def run() -> None:
        budget = FairBudget(10)
        taken = await budget.take(6)
        large = asyncio.create_task(budget.take(10))
        small = asyncio.create_task(budget.take(4))
        await asyncio.sleep(0)
        assert not small.done()
        large.cancel()
        assert await small == 4
        late = asyncio.create_task(budget.take(6))
        await asyncio.sleep(0)
        budget.give_back(taken)  # it is late's
        late.cancel()  # at the same moment
        await asyncio.gather(large, late, return_exceptions=True)
        budget.give_back(4)
        assert budget.has(10)

    asyncio.run(run())
