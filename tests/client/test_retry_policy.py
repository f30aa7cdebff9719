"""When something is tried again, and when not."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vfnet_client import retry_policy
from vfnet_client.exceptions import (
    FatalImageError,
    InferenceError,
    InvalidImageError,
    ModelProcessDiedError,
    ServerBusyError,
    ServerUnavailableError,
    VFNetClientError,
    WrongServerError,
)
from vfnet_client.retry_policy import Deadline, RetryPolicy, jittered, proof_picture

DIED = ModelProcessDiedError("Stub process 'x_0_0' is not healthy.", 2)
GONE = ServerUnavailableError("gone")


class Server:
    """Fails with these errors in turn, and answers then; its proofs likewise."""

    def __init__(self, *errors: Exception, proofs: tuple[Exception, ...] = ()) -> None:
        self.errors, self.calls = list(errors), 0
        self.proofs, self.proven = list(proofs), 0

    async def answer(self, _left: float | None) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"

    async def prove(self, timeout: float) -> None:
        assert timeout > 0
        self.proven += 1
        if self.proofs:
            raise self.proofs.pop(0)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_policy, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(retry_policy, "LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr(retry_policy, "SECOND_DEATH_PAUSE_S", 0.01)


def run(server: Server, retries: int | None = None, seconds: float | None = None) -> str:
    async def once() -> str:
        return await RetryPolicy(server.prove, retries).ask(server.answer, Deadline.after(seconds))

    return asyncio.run(once())


def test_a_server_that_is_back_within_the_tries_answers() -> None:
    server = Server(*[GONE] * 3)
    assert run(server, 3) == "answer"
    assert server.calls == 4


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_server_that_stays_away_is_asked_that_often_and_once_more(retries: int) -> None:
    server = Server(*[GONE] * 9)
    with pytest.raises(ServerUnavailableError):
        run(server, retries)
    assert server.calls == retries + 1


def test_without_a_number_of_tries_a_server_is_asked_until_the_deadline() -> None:
    server = Server(*[GONE] * 10_000)
    started = monotonic()
    with pytest.raises(ServerUnavailableError, match="gone"):
        run(server, seconds=0.5)
    assert server.calls > 10
    assert 0.4 < monotonic() - started < 5


@pytest.mark.parametrize("error", [InvalidImageError("bad"), InferenceError("broken"), ServerBusyError("full")])
def test_what_another_try_does_not_help_is_passed_on_at_once(error: Exception) -> None:
    server = Server(error)
    with pytest.raises(type(error)):
        run(server, 3)
    assert server.calls == 1


def test_no_try_starts_after_the_deadline_and_none_is_waited_for() -> None:
    server = Server(*[ServerUnavailableError("come back in a minute", retry_after=60)] * 2)
    started = monotonic()
    with pytest.raises(ServerUnavailableError, match="in a minute"):
        run(server, 3, seconds=30)
    assert server.calls == 1
    assert monotonic() - started < 30


def test_a_server_is_not_asked_again_before_it_said() -> None:
    server = Server(ServerUnavailableError("a little later", retry_after=0.2))
    started = monotonic()
    assert run(server, 1, seconds=30) == "answer"
    assert monotonic() - started >= 0.2


def test_a_wrong_url_is_told_soon() -> None:
    server = Server(*[WrongServerError("status 404")] * 99)
    with pytest.raises(WrongServerError):
        run(server, seconds=30)
    assert server.calls == 4


@pytest.mark.parametrize("deaths", [1, 2])
def test_an_image_in_a_process_that_died_is_sent_again_once_a_good_picture_is_answered(deaths: int) -> None:
    server = Server(*[DIED] * deaths, proofs=(DIED, GONE, ServerBusyError("full"), InferenceError("loading")))
    assert run(server, seconds=30) == "answer"
    assert server.calls == deaths + 1
    assert server.proven == deaths + 4


def test_an_image_that_kills_three_processes_is_given_up_with_the_reason() -> None:
    server = Server(*[DIED] * 9)
    with pytest.raises(FatalImageError, match="each of the 3 times"):
        run(server)
    assert server.calls == 3


def test_without_retries_a_death_is_told_at_once_and_nothing_is_proven() -> None:
    server = Server(DIED)
    with pytest.raises(ModelProcessDiedError):
        run(server, 0)
    assert (server.calls, server.proven) == (1, 0)


def test_a_server_that_does_not_heal_in_time_is_unavailable() -> None:
    server = Server(DIED, proofs=(DIED,) * 10_000)
    with pytest.raises(ModelProcessDiedError, match="not healthy"):
        run(server, seconds=0.3)
    assert server.calls == 1


def test_a_server_that_has_room_for_nobody_does_not_keep_an_image_waiting_for_proof() -> None:
    server = Server(DIED, proofs=(ServerBusyError("full"),) * 10_000)
    assert run(server, seconds=30) == "answer"


class Detector:
    """Some images kill its only process, and with it fails whatever is inside, or comes until it is replaced."""

    def __init__(self) -> None:
        self.generation = 0
        self.back_at = 0.0

    def call(self, *, kills: bool) -> Callable[[float | None], Awaitable[str]]:
        async def infer(_left: float | None) -> str:
            generation = self.generation
            if monotonic() < self.back_at:
                raise DIED
            await asyncio.sleep(0.005)
            if generation == self.generation and kills:
                self.generation += 1
                self.back_at = monotonic() + 0.05
            if generation != self.generation:
                raise DIED
            return "answer"

        return infer

    async def prove(self, _timeout: float) -> None:
        await self.call(kills=False)(None)


def test_the_image_that_kills_is_told_apart_from_those_beside_it() -> None:
    detector = Detector()

    async def ask(policy: RetryPolicy, position: int) -> str:
        try:
            return await policy.ask(detector.call(kills=position == 5), Deadline.after(30))
        except VFNetClientError as error:
            return type(error).__name__

    async def main() -> list[str]:
        policy = RetryPolicy(detector.prove)
        return await asyncio.gather(*(ask(policy, position) for position in range(12)))

    answers = asyncio.run(main())
    assert answers.pop(5) == "FatalImageError"
    assert answers == ["answer"] * 11
    assert detector.generation == 3


def test_who_waits_is_counted() -> None:
    async def main() -> None:
        server = Server(*[ServerUnavailableError("later", 0.05)] * 2)
        policy = RetryPolicy(server.prove)
        asking = asyncio.create_task(policy.ask(server.answer, Deadline.after(30)))
        await asyncio.sleep(0.02)
        assert policy.waiting == 1
        await asking
        assert policy.waiting == 0

    asyncio.run(main())


def test_who_asked_to_be_told_is_told_once_of_each_time_that_the_server_stays_away() -> None:
    told: list[str] = []
    server = Server(*[GONE] * 9)

    async def main() -> None:
        policy = RetryPolicy(server.prove, on_waiting=lambda error: told.append(str(error)))
        await asyncio.gather(*(policy.ask(server.answer, Deadline.after(30)) for _ in range(2)))
        assert told == ["gone"]
        server.errors = [GONE]
        await policy.ask(server.answer, Deadline.after(30))
        assert told == ["gone"]
        server.errors = [GONE] * 4
        await policy.ask(server.answer, Deadline.after(30))
        assert told == ["gone"] * 2

    asyncio.run(main())


def test_the_picture_that_proves_is_a_picture() -> None:
    with Image.open(io.BytesIO(proof_picture())) as picture:
        picture.load()
        assert (picture.size, picture.mode) == ((1333, 32), "L")
        assert picture.getextrema() == (0, 254)
    assert len(proof_picture()) < 2000


@given(st.floats(0, 60), st.none() | st.floats(0, 60))
def test_a_pause_is_jittered_and_never_shorter_than_asked_for(pause: float, retry_after: float | None) -> None:
    wait = jittered(pause, retry_after)
    assert wait >= pause / 2
    assert wait <= max(pause, retry_after or 0)
    assert wait >= (retry_after or 0)


def test_a_deadline_counts_down_to_nothing() -> None:
    assert Deadline.after(None).remaining() is None
    assert Deadline(monotonic() - 1).remaining() == 0
    left = Deadline.after(50).remaining()
    assert left is not None
    assert 0 < left <= 50
