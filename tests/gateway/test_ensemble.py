"""What was sent to Triton is finished there and keeps its place, whoever leaves; what was not is dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from vfnet_client.exceptions import DeadlineExceededError, ServerBusyError
from vfnet_client.retry_policy import Deadline
from vfnet_gateway import ensemble as ensemble_module
from vfnet_gateway.ensemble import Ensemble
from vfnet_gateway.settings import GatewaySettings

ANSWER = {"DETECTIONS": [b"{}"]}


class HeldTriton:
    """A transport that answers when it is told to."""

    def __init__(self) -> None:
        self.inferences = list[asyncio.Future[dict[str, Any]]]()
        self.images = list[bytes]()
        self.timeouts = list[float | None]()

    async def infer(self, image: bytes, *, timeout: float | None = None, **_others: Any) -> dict[str, Any]:
        inference: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.inferences.append(inference)
        self.images.append(image)
        self.timeouts.append(timeout)
        return await inference

    async def is_ready(self, **_others: Any) -> bool:
        return True

    async def close(self) -> None:
        assert all(inference.done() for inference in self.inferences)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def send(ensemble: Ensemble, image: bytes, seconds: float | None = None) -> asyncio.Task[dict[str, Any]]:
    places = ensemble.of_a_request()

    async def fly() -> dict[str, Any]:
        async with places.place() as place:
            return await ensemble.infer(place, image, Deadline.after(seconds))

    return asyncio.create_task(fly())


def run(scenario: Callable[[Ensemble, HeldTriton], Coroutine[Any, Any, None]], max_in_flight: int = 1) -> None:
    complaints = list[dict[str, Any]]()

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
        triton = HeldTriton()
        ensemble = Ensemble(GatewaySettings(server="grpc://127.0.0.1:8001", max_in_flight=max_in_flight), triton)
        await scenario(ensemble, triton)
        assert ensemble.in_flight == 0
        assert triton.timeouts == [None] * len(triton.timeouts)  # Triton, too, cancels what has run out of time

    asyncio.run(main())
    assert not complaints


@pytest.mark.parametrize("answer", [ANSWER, ServerBusyError("full"), RuntimeError("broken")])
def test_who_leaves_does_not_cancel_what_was_sent(answer: dict[str, Any] | Exception) -> None:
    async def scenario(ensemble: Ensemble, triton: HeldTriton) -> None:
        leaving, following = send(ensemble, b"left"), send(ensemble, b"next")
        await settle()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving  # at once
        await settle()
        (inference,) = triton.inferences
        assert not inference.cancelled()
        assert (ensemble.in_flight, ensemble.newcomers) == (1, 1)  # the next one waits for its place
        if isinstance(answer, Exception):
            inference.set_exception(answer)
        else:
            inference.set_result(answer)
        await settle()
        assert triton.images == [b"left", b"next"]  # and nothing is sent again for nobody
        triton.inferences[1].set_result(ANSWER)
        assert await following == ANSWER

    run(scenario)


def test_who_leaves_before_it_was_sent_is_dropped() -> None:
    async def scenario(ensemble: Ensemble, triton: HeldTriton) -> None:
        first, leaving, last = (send(ensemble, image) for image in (b"first", b"left", b"last"))
        await settle()
        leaving.cancel()
        await settle()
        assert (leaving.cancelled(), ensemble.newcomers) == (True, 1)
        for position in range(2):
            triton.inferences[position].set_result(ANSWER)
            await settle()
        assert triton.images == [b"first", b"last"]
        assert await first == await last == ANSWER

    run(scenario)


def test_a_deadline_does_not_cancel_what_was_sent() -> None:
    async def scenario(ensemble: Ensemble, triton: HeldTriton) -> None:
        with pytest.raises(DeadlineExceededError):
            await send(ensemble, b"late", seconds=0.05)
        (inference,) = triton.inferences
        assert not inference.cancelled()
        assert ensemble.in_flight == 1
        inference.set_result(ANSWER)
        await settle()

    run(scenario)


def test_one_that_triton_refuses_waits_for_one_that_nobody_waits_for() -> None:
    async def scenario(ensemble: Ensemble, triton: HeldTriton) -> None:
        leaving, refused = send(ensemble, b"left"), send(ensemble, b"refused")
        await settle()
        leaving.cancel()
        await settle()
        triton.inferences[1].set_exception(ServerBusyError("full"))
        await settle()
        await asyncio.sleep(0.1)  # alone it would have asked again by now
        assert triton.images == [b"left", b"refused"]
        triton.inferences[0].set_result(ANSWER)
        await settle()
        assert triton.images == [b"left", b"refused", b"refused"]
        triton.inferences[2].set_result(ANSWER)
        assert await refused == ANSWER

    run(scenario, max_in_flight=2)


def test_a_way_to_triton_that_has_broken_does_not_keep_places_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensemble_module, "_ABANDONED_AT_MOST_S", 0.05)

    async def scenario(ensemble: Ensemble, triton: HeldTriton) -> None:
        leaving = send(ensemble, b"left")
        await settle()
        leaving.cancel()
        await settle()
        assert ensemble.in_flight == 1
        await asyncio.sleep(0.2)
        assert triton.inferences[0].cancelled()

    run(scenario)


def test_stopping_waits_for_what_nobody_waits_for() -> None:
    async def scenario(ensemble: Ensemble, triton: HeldTriton) -> None:
        leaving = send(ensemble, b"left")
        await settle()
        leaving.cancel()
        await settle()
        await ensemble.finish(0.01)
        assert ensemble.in_flight == 1
        finishing = asyncio.create_task(ensemble.finish(30))
        await settle()
        assert not finishing.done()
        triton.inferences[0].set_result(ANSWER)
        await finishing
        await triton.close()

    run(scenario)
