"""Places in the ensemble, counted by several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from vfnet_runtime import admission, tickets
from vfnet_runtime.admission import Admission, CallerGoneError
from vfnet_runtime.tickets import TicketLedger, ledger_path
from vfnet_serve.activity_records import void_tickets


class Clock:
    """Stands still unless it is told otherwise."""

    def __init__(self) -> None:
        self.now = 10**12

    def monotonic_ns(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The one that tickets are stamped by."""
    clock = Clock()
    monkeypatch.setattr(tickets, "time", SimpleNamespace(monotonic_ns=clock.monotonic_ns))
    return clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tickets-some"


@pytest.fixture
def ledger(path: Path) -> Iterator[TicketLedger]:
    opened = TicketLedger(path)
    yield opened
    opened.close()


def test_no_more_are_out_than_there_are_places(ledger: TicketLedger) -> None:
    taken = [ledger.take(3) for _ in range(4)]
    assert None not in taken[:3]
    assert len(set(taken[:3])) == 3
    assert taken[3] is None
    assert ledger.count() == 3
    ledger.give_back(taken[1] or 0)
    assert ledger.take(3) is not None
    assert ledger.take(3) is None


def test_a_ticket_counts_once_and_an_unknown_one_never(ledger: TicketLedger) -> None:
    first, second = ledger.take(2), ledger.take(2)
    assert first is not None
    assert second is not None
    for _ in range(3):
        ledger.give_back(first)
    for strange in (0, -1, 10**12):
        ledger.give_back(strange)
    assert ledger.count() == 1
    assert ledger.take(2) is not None
    assert ledger.take(2) is None


def prepared(ledger: TicketLedger) -> int:
    """The ticket of an image that was preprocessed."""
    ticket = ledger.take(1)
    assert ticket is not None
    ledger.pass_on(ticket)
    return ticket


def test_without_a_detector_that_tells_an_image_is_forgotten_once_it_is_much_slower_than_others(
    ledger: TicketLedger, clock: Clock
) -> None:
    quick = prepared(ledger)
    clock.advance(0.1)
    ledger.give_back(quick)
    lost = prepared(ledger)
    clock.advance(0.39)
    assert ledger.take(1) is None
    clock.advance(0.02)
    assert ledger.take(1) is not None
    ledger.give_back(lost)  # it came out after all: its place is somebody else's
    assert ledger.take(1) is None


def test_how_long_images_take_is_learnt_from_those_that_come_out(ledger: TicketLedger, clock: Clock) -> None:
    slow = prepared(ledger)
    clock.advance(0.4)
    ledger.give_back(slow)
    prepared(ledger)
    clock.advance(0.84)  # half as long again and a quarter of a second are 0.85
    assert ledger.take(1) is None
    clock.advance(0.02)
    assert ledger.take(1) is not None


def test_who_makes_a_number_up_changes_nothing(ledger: TicketLedger, clock: Clock) -> None:
    ledger.end_batch()
    first = prepared(ledger)
    for forged in (1, clock.now, first + 1, first - 1):
        ledger.give_back(forged)  # a small one would have been out since the machine started
        assert ledger.begin_batch([forged], is_full=True) == frozenset()
        ledger.leave_detector(forged)
    assert ledger.count() == 1
    assert ledger.begin_batch([first], is_full=True) == {first}
    assert ledger.take(1) is None


def test_a_ticket_that_is_kept_is_void_soon_after_the_detector_had_nothing_to_do(
    ledger: TicketLedger, clock: Clock
) -> None:
    ledger.end_batch()  # a detector is there, and idle
    clock.advance(5)
    prepared(ledger)
    clock.advance(0.24)
    assert ledger.take(1) is None
    clock.advance(0.02)
    assert ledger.take(1) is not None


def test_a_ticket_that_is_kept_is_void_when_a_batch_had_room_for_its_image(ledger: TicketLedger, clock: Clock) -> None:
    ledger.end_batch()
    honest = prepared(ledger)
    assert ledger.begin_batch([honest], is_full=False) == {honest}
    kept = ledger.take(2)
    assert kept is not None
    ledger.pass_on(kept)
    clock.advance(3)  # the batch takes its time: the image may wait for its end
    assert ledger.take(2) is None
    ledger.leave_detector(honest)
    ledger.give_back(honest)
    ledger.end_batch()
    assert ledger.begin_batch([], is_full=False) == frozenset()
    assert ledger.take(1) is not None


def test_images_wait_for_the_detector_as_long_as_it_has_full_batches(ledger: TicketLedger, clock: Clock) -> None:
    ledger.end_batch()
    waiting = prepared(ledger)
    for _ in range(10):
        assert not ledger.begin_batch([], is_full=True)
        clock.advance(2)
        ledger.end_batch()
        clock.advance(0.01)
    assert ledger.take(1) is None
    assert ledger.begin_batch([waiting], is_full=True) == {waiting}


def test_the_detector_keeps_an_image_while_it_computes_and_postprocessing_has_half_a_second(
    ledger: TicketLedger, clock: Clock
) -> None:
    ledger.end_batch()
    ticket = prepared(ledger)
    ledger.begin_batch([ticket], is_full=False)
    clock.advance(20)
    assert ledger.take(1) is None
    ledger.leave_detector(ticket)
    ledger.end_batch()
    clock.advance(0.49)
    assert ledger.take(1) is None
    clock.advance(0.02)
    assert ledger.take(1) is not None


def test_a_ticket_goes_through_the_detector_once(ledger: TicketLedger) -> None:
    ledger.end_batch()
    unprepared = ledger.take(2)
    ticket = ledger.take(2)
    assert unprepared is not None
    assert ticket is not None
    ledger.pass_on(ticket)
    assert ledger.begin_batch([ticket, unprepared], is_full=False) == {ticket}
    assert ledger.begin_batch([ticket], is_full=False) == frozenset()
    ledger.leave_detector(ticket)
    assert ledger.begin_batch([ticket], is_full=False) == frozenset()


def test_a_detector_that_died_is_not_taken_for_idle(path: Path, ledger: TicketLedger, clock: Clock) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", f"import os, tickets, pathlib as p;ledger = tickets.TicketLedger(p.Path({str(path)!r}));"
         "ledger.end_batch(); os._exit(0)"],
        env=os.environ | {"PYTHONPATH": str(Path(tickets.__file__).parent)}, check=True,
    )  # fmt: skip
    assert dead.returncode == 0
    assert ledger.begin_batch([], is_full=True) == frozenset()  # the one in its place
    waiting = prepared(ledger)
    clock.advance(5)
    assert ledger.take(1) is None
    assert ledger.begin_batch([waiting], is_full=True) == {waiting}


def test_when_nothing_comes_out_places_are_free_after_a_while(path: Path, clock: Clock) -> None:
    ledger = TicketLedger(path, lifetime=0.05)
    assert ledger.take(1) is not None
    assert ledger.take(1) is None
    clock.advance(0.06)
    assert ledger.take(1) is not None
    ledger.close()


def test_the_watchdog_makes_all_tickets_void(ledger: TicketLedger, path: Path) -> None:
    taken = [ledger.take(2), ledger.take(2)]
    void_tickets(path.parent, "some")
    assert ledger.count() == 0
    following = [ledger.take(2), ledger.take(2)]
    assert not set(taken) & set(following)
    ledger.give_back(taken[0] or 0)
    assert ledger.take(2) is None


def test_a_server_without_tickets_has_none_to_make_void(tmp_path: Path) -> None:
    void_tickets(tmp_path, "some")
    assert list(tmp_path.iterdir()) == []


SCRIPT = """
import sys; from vfnet_runtime import tickets
from pathlib import Path
ledger, most = tickets.TicketLedger(Path(sys.argv[1])), 0
for _ in range(400):
    ticket = ledger.take(3)
    most = max(most, ledger.count())
    if ticket is not None:
        ledger.give_back(ticket)
ledger.close()
print(most)
"""


def test_processes_count_together(path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    most = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert max(most) <= 3
    assert not path.exists()  # the last one has put it away


def test_the_file_stays_while_somebody_counts_there(path: Path) -> None:
    first, second = TicketLedger(path), TicketLedger(path)
    first.close()
    assert path.exists()
    assert second.take(1) is not None
    third = TicketLedger(path)
    assert third.count() == 1
    second.close()
    third.close()
    assert not path.exists()


def test_every_ensemble_of_every_server_has_a_file_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VFNET_ACTIVITY_DIR", str(tmp_path))
    assert ledger_path("a_b_detector") == tmp_path / "tickets-a_b"
    monkeypatch.delenv("VFNET_ACTIVITY_DIR")
    alone = ledger_path("vfnet.2_preprocess")
    assert alone.parent == Path("/dev/shm")
    assert f"-{os.getppid()}-" in alone.name
    assert ledger_path("vfnet.2_postprocess") == alone
    assert ledger_path("vfnet_postprocess") != alone
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert ledger_path("vfnet.2_preprocess") != alone


def test_the_door_opens_when_an_image_has_left(ledger: TicketLedger) -> None:
    door, looks = Admission(ledger, 1), 0
    inside = door.enter(lambda: False)

    def leave_then_stay() -> bool:
        nonlocal looks
        looks += 1
        door.leave(inside)
        return False

    assert door.enter(leave_then_stay) != inside
    assert looks == 1


def test_who_goes_away_does_not_come_in(ledger: TicketLedger) -> None:
    door = Admission(ledger, 1)
    inside = door.enter(lambda: False)
    with pytest.raises(CallerGoneError):
        door.enter(lambda: True)
    assert ledger.count() == 1
    door.leave(inside)
    assert ledger.count() == 0


@pytest.mark.parametrize(("seconds_inside", "looks"), [(0.05, 500), (0.5, 100), (4.0, 20)])
def test_who_waits_looks_as_seldom_as_images_are_slow(
    ledger: TicketLedger, clock: Clock, monkeypatch: pytest.MonkeyPatch, seconds_inside: float, looks: int
) -> None:
    door, pauses = Admission(ledger, 1), list[float]()
    before = door.enter(lambda: False)
    clock.advance(seconds_inside)
    door.leave(before)
    inside = door.enter(lambda: False)

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock.advance(seconds)
        if sum(pauses) >= 1:
            door.leave(inside)

    monkeypatch.setattr(admission, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: clock.now / 1e9))
    door.enter(lambda: False)
    assert len(pauses) == pytest.approx(looks, rel=0.03)


def test_numbers_noted_of_an_image_reach_other_processes_while_it_has_its_place(tmp_path: Path) -> None:
    ledger, other = TicketLedger(tmp_path / "tickets"), TicketLedger(tmp_path / "tickets")
    ticket, neighbour = ledger.take(2), ledger.take(2)
    assert ticket
    assert neighbour
    ledger.note(ticket, 2, [7, -8])
    other.note(ticket, tickets.NOTES - 1, [2**62])
    nothing = [0] * tickets.NOTES
    assert other.notes(ticket) == [0, 0, 7, -8, *nothing[4:-1], 2**62]
    assert other.notes(neighbour) == nothing
    ledger.give_back(ticket)
    other.note(ticket, 0, [1])  # by whom it no longer belongs to
    assert other.notes(ticket) == nothing
    following = ledger.take(2)
    assert following
    assert other.notes(following) == nothing
    ledger.close()
    other.close()
