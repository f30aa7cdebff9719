"""When something is tried again, and when not."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfnet_client import retrying
from vfnet_client.exceptions import InferenceError, InvalidImageError, ServerBusyError, ServerUnavailableError
from vfnet_client.retrying import Deadline, jittered, retried


class Server:
    """Fails with these errors in turn, and answers then."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls = list(errors), 0

    async def answer(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_PAUSE_S", 0.001)


def run(server: Server, retries: int, seconds: float | None = None) -> str:
    async def once() -> str:
        return await retried(server.answer, retries, Deadline.after(seconds))

    return asyncio.run(once())


def test_a_server_that_is_back_within_the_tries_answers() -> None:
    server = Server(*[ServerUnavailableError("gone")] * 3)
    assert run(server, 3) == "answer"
    assert server.calls == 4


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_a_server_that_stays_away_is_asked_that_often_and_once_more(retries: int) -> None:
    server = Server(*[ServerUnavailableError("gone")] * 9)
    with pytest.raises(ServerUnavailableError):
        run(server, retries)
    assert server.calls == retries + 1


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
