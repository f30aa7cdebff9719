"""Which of several servers an image goes to, and what becomes of a server that fails, lags, goes or comes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from vfnet_client.exceptions import (
    DeadlineExceededError,
    InferenceError,
    InvalidImageError,
    ModelProcessDiedError,
    ServerBusyError,
    ServerUnavailableError,
    VFNetClientError,
    WrongServerError,
)
from vfnet_client.retry_policy import Deadline, RetryPolicy, proof_picture
from vfnet_client.servers import membership, pooled_server, proofs
from vfnet_client.servers.pool import ServerPool

ANSWER = {"DETECTIONS": [b"{}"]}
URLS = ("grpc://one:1", "grpc://two:1", "grpc://three:1")
GONE, FULL = ServerUnavailableError("gone"), ServerBusyError("full")


class FakeServer:
    """Answers at once, fails with `error`, or holds what it has while `is_hung`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.error: Exception | None = None
        self.is_hung = False
        self.seconds = 0.0
        self.images, self.proofs, self.is_closed = 0, 0, False
        self.woken = asyncio.Event()

    async def infer(self, image: bytes, **_others: Any) -> dict[str, Any]:
        if image == proof_picture():
            self.proofs += 1
        else:
            self.images += 1
        if self.is_hung:
            await self.woken.wait()
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return ANSWER

    async def step_parameters(self, step: str, **_others: Any) -> dict[str, str]:
        if self.error is not None:
            raise self.error
        return {"of": step}

    async def is_ready(self, **_others: Any) -> bool:
        return self.error is None

    async def close(self) -> None:
        self.is_closed = True

    def wake(self) -> None:
        self.is_hung = False
        self.woken.set()


class Servers:
    """A pool of them, and what it told."""

    def __init__(self, urls: tuple[str, ...] = URLS, addresses: dict[str, list[str]] | None = None) -> None:
        self.made: dict[str, FakeServer] = {}
        self.said: list[tuple[str, bool]] = []
        self.addresses = {} if addresses is None else addresses

        async def resolve(host: str, _port: int) -> list[str]:
            try:
                return self.addresses[host]
            except KeyError:
                raise OSError("no such name") from None

        self.pool = ServerPool(
            urls, self.open, told=lambda url, reason: self.said.append((url, reason is None)), resolve=resolve
        )

    def open(self, url: str) -> FakeServer:
        return self.made.setdefault(url, FakeServer(url))

    def __getitem__(self, position: int) -> FakeServer:
        return list(self.made.values())[position]

    async def ask(self, image: bytes = b"image", timeout: float | None = None) -> dict[str, Any]:
        return await self.pool.infer(image, timeout=timeout)

    async def many(self, number: int) -> Counter[str]:
        """What becomes of so many, at once."""
        done = await asyncio.gather(*(self.ask() for _ in range(number)), return_exceptions=True)
        return Counter("answer" if each is ANSWER else type(each).__name__ for each in done)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {
        "LOOK_EVERY_S": 0.01, "LOOK_UP_EVERY_S": 0.03, "SHORTEST_LAG_S": 0.1,
        "LAG_BEFORE_ANY_IS_KNOWN_S": 0.15,
    }.items():  # fmt: skip
        monkeypatch.setattr(membership, name, seconds)
    monkeypatch.setattr(proofs, "PROOF_TIMEOUT_S", 0.2)
    monkeypatch.setattr(pooled_server, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(pooled_server, "LONGEST_PAUSE_S", 0.05)


def run(
    scenario: Callable[[Servers], Coroutine[Any, Any, None]],
    urls: tuple[str, ...] = URLS,
    addresses: dict[str, list[str]] | None = None,
) -> None:
    complaints = list[dict[str, Any]]()

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
        servers = Servers(urls, addresses)
        try:
            async with asyncio.timeout(20):
                await scenario(servers)
        finally:
            await servers.pool.close()
        assert all(server.is_closed for server in servers.made.values())

    asyncio.run(main())
    assert not complaints


async def until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.005)


def test_a_server_that_does_not_tell_how_it_suppresses_still_gets_images() -> None:
    async def scenario(servers: Servers) -> None:
        assert await servers.pool.step_parameters("postprocess") == {"of": "postprocess"}
        for server in servers.made.values():
            server.error = WrongServerError("a gateway tells nothing of steps")
        with pytest.raises(WrongServerError):
            await servers.pool.step_parameters("postprocess")
        assert servers.said == []
        assert servers.pool.number_in == len(URLS)

    run(scenario)


def test_images_go_to_the_least_busy() -> None:
    async def scenario(servers: Servers) -> None:
        await servers.ask()
        for server in servers.made.values():
            server.images, server.seconds = 0, 0.02
        assert await servers.many(30) == {"answer": 30}
        assert [server.images for server in servers.made.values()] == [10, 10, 10]
        servers[0].seconds = 0.3
        slow = asyncio.gather(*(servers.ask() for _ in range(6)))
        await asyncio.sleep(0.05)
        for _ in range(5):
            await servers.many(4)
        assert servers[0].images <= 10 + 2 + 2  # others are free sooner
        await slow

    run(scenario)


def test_a_lost_server_costs_no_image_and_is_back_once_it_answers() -> None:
    async def scenario(servers: Servers) -> None:
        await servers.ask()
        servers[1].error = GONE
        for _ in range(20):
            assert await servers.many(6) == {"answer": 6}
        assert servers[1].images <= 6  # and none after the first were lost
        assert servers.said == [(URLS[1], False)]
        assert servers.pool.number_in == 2
        await until(lambda: servers[1].proofs >= 2)
        servers[1].error = None
        await until(lambda: servers.pool.number_in == 3)
        assert servers.said == [(URLS[1], False), (URLS[1], True)]
        before = servers[1].images
        await servers.many(6)
        assert servers[1].images == before + 2

    run(scenario)


def test_a_server_that_hangs_is_left_out_and_its_images_are_answered_elsewhere() -> None:
    async def scenario(servers: Servers) -> None:
        for _ in range(5):
            await servers.many(6)
        servers[0].is_hung = True

        async def go_on() -> Counter[str]:
            found = Counter[str]()
            while servers.pool.number_in == 3:
                found += await servers.many(3)
                await asyncio.sleep(0.01)
            return found

        held = asyncio.create_task(servers.many(6))
        found = await asyncio.gather(go_on(), go_on(), held)
        assert sum(found, Counter[str]()).keys() == {"answer"}
        assert servers.said == [(URLS[0], False)]
        servers[0].wake()
        await until(lambda: servers.pool.number_in == 3)

    run(scenario)


def test_a_server_that_hangs_is_found_out_by_a_single_image_too() -> None:
    async def scenario(servers: Servers) -> None:
        await servers.ask()
        for server in servers.made.values():
            server.images, server.is_hung = 0, True
        asked = asyncio.create_task(servers.ask())
        await asyncio.sleep(0.02)
        for server in servers.made.values():
            if not server.images:
                server.wake()
        assert await asked == ANSWER
        assert servers.pool.number_in == 2

    run(scenario)


def test_a_server_is_not_blamed_for_lag_that_all_have() -> None:
    async def scenario(servers: Servers) -> None:
        await servers.many(30)
        for server in servers.made.values():
            server.seconds = 0.4
        assert await servers.many(9) == {"answer": 9}
        assert servers.said == []

    run(scenario)


def test_a_slow_server_is_in_again_with_its_first_answer() -> None:
    async def scenario(servers: Servers) -> None:
        for _ in range(5):
            await servers.many(6)
        servers[0].seconds = 0.3
        held = [asyncio.create_task(servers.ask()) for _ in range(3)]
        await asyncio.sleep(0.02)
        while not servers.said:
            await servers.many(2)
        assert servers.said == [(URLS[0], False)]
        servers[0].seconds = 0.0
        await until(lambda: servers.said == [(URLS[0], False), (URLS[0], True)])
        await asyncio.gather(*held)

    run(scenario)


def test_when_all_are_away_it_is_said_and_the_retry_policy_waits() -> None:
    async def scenario(servers: Servers) -> None:
        await servers.ask()
        for server in servers.made.values():
            server.error = GONE
        with pytest.raises(ServerUnavailableError, match="gone"):
            await servers.ask()
        with pytest.raises(ServerUnavailableError, match="gone"):  # without asking any
            await servers.ask()
        assert not await servers.pool.is_ready()
        assert not await servers.pool.has_one_in(0.05)
        policy = RetryPolicy(lambda timeout: servers.ask(timeout=timeout))
        waiting = asyncio.create_task(policy.ask(lambda left: servers.ask(timeout=left), Deadline.after(10)))
        await asyncio.sleep(0.1)
        servers[2].error = None
        assert await waiting == ANSWER
        assert await servers.pool.is_ready()
        assert await servers.pool.has_one_in(0.05)

    run(scenario)


@pytest.mark.parametrize("reason", [WrongServerError("status 404"), ModelProcessDiedError("died")])
def test_what_is_wrong_with_all_is_said_and_blames_no_image(reason: ServerUnavailableError) -> None:
    async def scenario(servers: Servers) -> None:
        await servers.ask()
        for server in servers.made.values():
            server.error = reason
        for _ in range(3):
            with pytest.raises(ServerUnavailableError):
                await servers.ask()
        with pytest.raises(ServerUnavailableError, match=str(reason)) as raised:  # without asking any
            await servers.ask()
        is_wrong = isinstance(reason, WrongServerError)
        assert type(raised.value) is (WrongServerError if is_wrong else ServerUnavailableError)

    run(scenario)


def test_a_full_server_does_not_refuse_what_another_has_room_for() -> None:
    async def scenario(servers: Servers) -> None:
        await servers.ask()
        servers[0].error = FULL
        assert await servers.many(12) == {"answer": 12}
        assert servers.said == []
        servers[1].error = servers[2].error = FULL
        before = sum(server.images for server in servers.made.values())
        assert await servers.many(30) == {"ServerBusyError": 30}
        assert sum(server.images for server in servers.made.values()) - before <= 3 * 3 + 30  # not each by each
        assert servers.pool.number_in == 3

    run(scenario)


@pytest.mark.parametrize("error", [InvalidImageError("bad"), ModelProcessDiedError("died"), DeadlineExceededError("")])
def test_what_may_be_the_image_is_told_and_asked_of_nobody_else(error: VFNetClientError) -> None:
    async def scenario(servers: Servers) -> None:
        await servers.ask()
        for server in servers.made.values():
            server.images, server.error = 0, error
        with pytest.raises(type(error)):
            await servers.ask()
        assert sum(server.images for server in servers.made.values()) == 1
        is_left_out = isinstance(error, ModelProcessDiedError)
        await asyncio.sleep(0)
        assert servers.pool.number_in == (2 if is_left_out else 3)

    run(scenario)


def test_an_error_is_asked_of_one_more_and_then_it_is_the_image() -> None:
    async def scenario(servers: Servers) -> None:
        await servers.ask()
        servers[0].error = InferenceError("broken")
        assert await servers.many(3) == {"answer": 3}
        await until(lambda: servers.pool.number_in == 2)  # it cannot prove itself
        servers[1].error = servers[2].error = InferenceError("broken")
        servers[1].images = servers[2].images = 0
        with pytest.raises(InferenceError):
            await servers.ask()
        assert servers[1].images + servers[2].images == 2

    run(scenario)


def test_a_server_that_answers_the_picture_alone_is_left_out_after_five_failures() -> None:
    class Picky(FakeServer):
        async def infer(self, image: bytes, **others: Any) -> dict[str, Any]:
            answer = await super().infer(image, **others)
            if image != proof_picture():
                raise InferenceError("out of memory")
            return answer

    async def scenario(servers: Servers) -> None:
        servers.made[URLS[0]] = Picky(URLS[0])
        while not servers.said:
            assert await servers.many(3) == {"answer": 3}
        assert servers.made[URLS[0]].images == membership.MOST_FAILURES

    run(scenario)


def test_a_deadline_that_passes_makes_a_server_prove_itself() -> None:
    async def scenario(servers: Servers) -> None:
        await servers.ask()
        servers[0].is_hung = True
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await servers.ask()
        assert not await servers.pool.has_one_in(0.5)
        servers[0].wake()
        assert await servers.pool.has_one_in(2)

    run(scenario, URLS[:1])


def test_who_leaves_takes_the_image_along() -> None:
    async def scenario(servers: Servers) -> None:
        await servers.ask()
        servers[0].is_hung = True
        leaving = asyncio.create_task(servers.ask())
        await asyncio.sleep(0.01)
        assert servers.pool.servers[0].in_flight == 1
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await asyncio.sleep(0)
        assert servers.pool.servers[0].in_flight == 0

    run(scenario, URLS[:1])


def test_each_server_is_checked() -> None:
    async def scenario(servers: Servers) -> None:
        await servers.pool.check()
        assert [server.proofs for server in servers.made.values()] == [1, 1, 1]
        servers[2].error = InferenceError("no network")
        with pytest.raises(InferenceError, match="no network"):
            await servers.pool.check()

    run(scenario)


def test_the_addresses_of_a_name_are_looked_up_again() -> None:
    addresses = {"triton": ["10.0.0.1", "10.0.0.2"]}

    async def scenario(servers: Servers) -> None:
        assert await servers.many(4) == {"answer": 4}
        assert list(servers.made) == ["grpc://10.0.0.1:8001", "grpc://10.0.0.2:8001"]
        held, gone = servers[0], servers[1]
        gone.is_hung = True
        waiting = [asyncio.create_task(servers.ask()) for _ in range(2)]
        await asyncio.sleep(0.01)
        addresses["triton"] = ["10.0.0.1", "fd00::3"]
        await until(lambda: "grpc://[fd00::3]:8001" in servers.made)
        new = servers.made["grpc://[fd00::3]:8001"]
        await until(lambda: servers.pool.number_in == 2)
        assert new.proofs == 1  # before it got an image
        assert not gone.is_closed  # what it has it may finish
        gone.wake()
        assert await asyncio.gather(*waiting) == [ANSWER] * 2
        await until(lambda: gone.is_closed)
        del addresses["triton"]  # the name server is away
        await asyncio.sleep(0.1)
        held.images = new.images = 0
        assert await servers.many(4) == {"answer": 4}
        assert (held.images, new.images) == (2, 2)

    run(scenario, ("dns:///triton",), addresses)


def test_a_name_without_an_address_is_unavailable_until_it_has_one() -> None:
    addresses = dict[str, list[str]]()

    async def scenario(servers: Servers) -> None:
        with pytest.raises(ServerUnavailableError, match="dns:///triton:9 cannot be looked up: no such name"):
            await servers.ask()
        assert not await servers.pool.is_ready()
        addresses["triton"] = ["10.0.0.1"]
        assert await servers.ask() == ANSWER

    run(scenario, ("dns:///triton:9",), addresses)
