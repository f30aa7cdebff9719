"""How the images of one call share a queue: against a queue that refuses what it has no room for."""

from __future__ import annotations

import asyncio

import pytest

from vfnet_client.exceptions import InferenceError, ServerBusyError
from vfnet_client.window import Window


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


async def send_many(window: Window, queue: Queue, count: int) -> list[str | BaseException]:
    async def send() -> str:
        async with window.slots:
            return await window.send(queue.infer)

    return await asyncio.gather(*(send() for _ in range(count)), return_exceptions=True)


@pytest.mark.parametrize("room", [1, 3, 8, 100])
def test_more_images_than_an_idle_server_holds_are_all_served(room: int) -> None:
    queue = Queue(room)
    answers = asyncio.run(send_many(Window(16, patience=0), queue, 100))
    assert answers == ["answer"] * 100
    assert queue.most == min(room, 16)


def test_refused_images_ask_again_only_when_there_may_be_room() -> None:
    queue = Queue(4)
    asyncio.run(send_many(Window(16, patience=0), queue, 100))
    assert queue.refusals <= 12 + 100  # the first crowd, then at most one vain try per answer


def test_a_server_that_others_keep_busy_refuses_in_the_end() -> None:
    answers = asyncio.run(send_many(Window(4, patience=0.1), Queue(5, others=5), 6))
    assert [type(answer) for answer in answers] == [ServerBusyError] * 6


def test_patience_outlasts_a_short_rush_of_others() -> None:
    async def rush() -> list[str | BaseException]:
        queue = Queue(5, others=5)
        asyncio.get_running_loop().call_later(0.15, lambda: setattr(queue, "held", 0))
        return await send_many(Window(4, patience=5), queue, 6)

    assert asyncio.run(rush()) == ["answer"] * 6


def test_another_error_is_passed_on_at_once() -> None:
    tries = []

    async def fail() -> None:
        tries.append(1)
        raise InferenceError("broken")

    async def send() -> None:
        await Window(4, patience=10).send(fail)

    with pytest.raises(InferenceError, match="broken"):
        asyncio.run(send())
    assert len(tries) == 1
