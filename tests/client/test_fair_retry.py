"""How the images of one call share a queue: against a queue that refuses what it has no room for."""

from __future__ import annotations

import asyncio

import pytest

from vfnet_client.exceptions import InferenceError, ServerBusyError
from vfnet_client.fair_retry import FairRetry


class Queue:
    """A server that holds `room` requests, `others` of them not ours."""

    def __init__(self, room: int, others: int = 0) -> None:
        self.room, self.held, self.most, self.refusals = room, others, others, 0

    async def infer(self) -> str:
        await asyncio.sleep(0)
        if self.held >= self.room:
            self.refusals += 1
            raise ServerBusyError("Exceeds maximum queue size")
        self.held += 1
        self.most = max(self.most, self.held)
        await asyncio.sleep(0.002)
        self.held -= 1
        return "answer"


async def send_many(turns: FairRetry, queue: Queue, count: int, at_once: int) -> list[str | BaseException]:
    slots = asyncio.Semaphore(at_once)

    async def send() -> str:
        async with slots:
            return await turns.send(queue.infer)

    return await asyncio.gather(*(send() for _ in range(count)), return_exceptions=True)


@pytest.mark.parametrize("room", [1, 3, 8, 100])
def test_more_images_than_an_idle_server_holds_are_all_served(room: int) -> None:
    queue = Queue(room)
    answers = asyncio.run(send_many(FairRetry(patience=0), queue, 100, at_once=16))
    assert answers == ["answer"] * 100
    assert queue.most == min(room, 16)


def test_refused_images_ask_again_only_when_there_may_be_room() -> None:
    queue = Queue(4)
    asyncio.run(send_many(FairRetry(patience=0), queue, 100, at_once=16))
    assert queue.refusals <= 12 + 100  # the first crowd, then at most one vain try per answer


def test_a_server_that_others_keep_busy_refuses_in_the_end() -> None:
    answers = asyncio.run(send_many(FairRetry(patience=0.1), Queue(5, others=5), 6, at_once=4))
    assert [type(answer) for answer in answers] == [ServerBusyError] * 6


def test_patience_outlasts_a_short_rush_of_others() -> None:
    async def rush() -> list[str | BaseException]:
        queue = Queue(5, others=5)
        asyncio.get_running_loop().call_later(0.15, lambda: setattr(queue, "held", 0))
        return await send_many(FairRetry(patience=5), queue, 6, at_once=4)

    assert asyncio.run(rush()) == ["answer"] * 6


def test_another_error_is_passed_on_at_once() -> None:
    tries = []

    async def fail() -> None:
        tries.append(1)
        raise InferenceError("broken")

    async def send() -> None:
        await FairRetry(patience=10).send(fail)

    with pytest.raises(InferenceError, match="broken"):
        asyncio.run(send())
    assert len(tries) == 1


@pytest.mark.parametrize("moment", ["while they wait", "when it is their turn"])
def test_the_turn_of_who_is_cancelled_is_somebody_elses(moment: str) -> None:
    async def cancel_two() -> str:
        queue, turns = Queue(1), FairRetry(patience=10)

        async def be_first() -> None:
            await turns.send(queue.infer)  # and gives two others their turns
            if moment == "when it is their turn":
                second.cancel()
                third.cancel()

        first = asyncio.create_task(be_first())
        second, third, fourth = (asyncio.create_task(turns.send(queue.infer)) for _ in range(3))
        while queue.refusals < 3:
            await asyncio.sleep(0)
        if moment == "while they wait":
            second.cancel()
            third.cancel()
        await first
        return await asyncio.wait_for(fourth, 2)

    assert asyncio.run(cancel_two()) == "answer"


def test_who_pauses_and_is_cancelled_leaves_others_their_turn() -> None:
    async def cancel_the_pausing() -> str:
        queue, turns = Queue(1, others=1), FairRetry(patience=10)
        waits, pauses = (asyncio.create_task(turns.send(queue.infer)) for _ in range(2))
        while queue.refusals < 2:
            await asyncio.sleep(0)
        queue.held = 0
        pauses.cancel()
        return await asyncio.wait_for(waits, 2)

    assert asyncio.run(cancel_the_pausing()) == "answer"
