"""Whether the gateway is ready is proven by an inference, where none of late says so; each server has its places."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from vfnet_client.exceptions import InferenceError, ModelProcessDiedError, ServerBusyError, ServerUnavailableError
from vfnet_client.retry_policy import Deadline, proof_picture
from vfnet_client.servers.pool import ServerPool
from vfnet_gateway import ensemble as ensemble_module
from vfnet_gateway.ensemble import Ensemble
from vfnet_gateway.settings import GatewaySettings

ANSWER = {"DETECTIONS": [b"{}"]}


class Triton:
    """Says that it is ready, whatever becomes of its models."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.says_ready = True
        self.proofs = 0

    async def infer(self, image: bytes, **_others: Any) -> dict[str, Any]:
        self.proofs += image == proof_picture()
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return ANSWER

    async def is_ready(self, **_others: Any) -> bool:
        return self.says_ready

    async def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensemble_module, "_READY_FOR_S", 0.0)


def run(scenario: Callable[[Ensemble, Triton], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        triton = Triton()
        ensemble = Ensemble(GatewaySettings(), triton)
        await scenario(ensemble, triton)
        await ensemble.finish(1)

    asyncio.run(main())


async def ask(ensemble: Ensemble) -> None:
    async with ensemble.of_a_request().place() as place:
        await ensemble.infer(place, b"image", Deadline.after(5))


@pytest.mark.parametrize("error", [InferenceError("broken"), ModelProcessDiedError("not healthy")])
def test_a_triton_that_only_says_so_is_not_ready(error: Exception) -> None:
    async def scenario(ensemble: Ensemble, triton: Triton) -> None:
        triton.error = error
        assert not await ensemble.is_ready()
        triton.error = None
        assert await ensemble.is_ready()
        triton.says_ready = False
        assert not await ensemble.is_ready()

    run(scenario)


def test_one_that_has_no_room_is_ready() -> None:
    async def scenario(ensemble: Ensemble, triton: Triton) -> None:
        triton.error = ServerBusyError("full")
        assert await ensemble.is_ready()

    run(scenario)


def test_an_answer_of_late_is_proof_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(ensemble: Ensemble, triton: Triton) -> None:
        await ask(ensemble)
        assert all([await ensemble.is_ready() for _ in range(5)])
        assert triton.proofs == 0
        monkeypatch.setattr(ensemble_module, "_PROVEN_FOR_S", 0.0)
        assert await ensemble.is_ready()
        assert triton.proofs == 1

    run(scenario)


def test_all_who_want_to_know_at_once_send_one_picture() -> None:
    async def scenario(ensemble: Ensemble, triton: Triton) -> None:
        assert all(await asyncio.gather(*(ensemble.is_ready() for _ in range(20))))
        assert triton.proofs == 1

    run(scenario)


def test_each_server_that_is_in_has_places() -> None:
    async def main() -> None:
        tritons = dict[str, Triton]()

        def open_one(url: str) -> Triton:
            return tritons.setdefault(url, Triton())

        pool = ServerPool(["grpc://one:1", "grpc://two:1"], open_one)
        ensemble = Ensemble(GatewaySettings(max_in_flight=3), pool)
        assert ensemble.servers == 2

        async def places() -> int:
            """That can be taken without waiting."""
            request, taken = ensemble.of_a_request(), list[asyncio.Task[None]]()
            release = asyncio.Event()

            async def hold() -> None:
                async with request.place():
                    await release.wait()

            taken += [asyncio.create_task(hold()) for _ in range(20)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            found = ensemble.in_flight
            release.set()
            await asyncio.gather(*taken)
            return found

        assert await places() == 6
        await ask(ensemble)
        tritons["grpc://one:1"].error = ServerUnavailableError("gone")
        for _ in range(20):
            await ask(ensemble)
        assert ensemble.servers == 1
        assert await places() == 3
        tritons["grpc://two:1"].error = ServerUnavailableError("gone")
        with pytest.raises(ServerUnavailableError):
            await pool.infer(b"image")
        assert await places() == 3  # for what waits until one is back
        await ensemble.close(1)

    asyncio.run(main())
