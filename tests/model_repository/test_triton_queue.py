"""Whether Triton still waits for a process, by its queue in shared memory, and what a process makes of that."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vfnet_runtime.triton_models import process_activity
from vfnet_runtime.triton_models.process_activity import Pauses, ProcessActivity
from vfnet_runtime.triton_models.triton_queue import TritonQueue

CONTROL, QUEUE, SIZE = 336, 496, 1000
COMMAND = ["stub", "model.py", "region", "1048576", "1048576", "1", "python", str(CONTROL), "vfnet_detector_0_0"]


def write_region(folder: Path, head: int, tail: int, size: int = SIZE) -> None:
    region = bytearray(1 << 16)
    struct.pack_into("=q", region, CONTROL + 16 + 88, QUEUE)
    struct.pack_into("=Qqii", region, QUEUE + 16 + 104, size, 688, head, tail)
    (folder / "region").write_bytes(region)


@pytest.mark.parametrize(("head", "tail", "waiting"), [(0, 0, 0), (5, 4, 1), (2, 998, 4), (999, 0, 999)])
def test_messages_that_wait_are_counted_around_the_end(tmp_path: Path, head: int, tail: int, waiting: int) -> None:
    write_region(tmp_path, head, tail)
    assert TritonQueue(COMMAND, tmp_path).waiting() == waiting


@pytest.mark.parametrize("size", [0, 1 << 40])
def test_another_layout_is_not_believed(tmp_path: Path, size: int) -> None:
    write_region(tmp_path, 0, 0, size)
    with pytest.raises(ValueError, match="another layout"):
        TritonQueue(COMMAND, tmp_path)


def test_a_region_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="region"):
        TritonQueue(COMMAND, tmp_path)


class Queue:
    def __init__(self) -> None:
        self.messages = 0

    def waiting(self) -> int:
        return self.messages


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    calls: list[bool] = []
    monkeypatch.setattr(process_activity, "end_at_once", lambda: calls.append(True))
    return calls


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Pauses]:
    """Of a process of Triton's, with this queue; its beats are the test's."""

    def make(queue: Any) -> Pauses:
        monkeypatch.setattr(process_activity, "_own_command", lambda: [f"/x/{process_activity._STUB}"])
        monkeypatch.setattr(process_activity, "_queue_of", lambda _: queue)
        monkeypatch.setattr(Pauses, "_keep_beating", lambda _: None)
        return Pauses()

    return make


def test_it_goes_on_while_triton_waits(pauses: Callable[[Any], Pauses], ended: list[bool]) -> None:
    pauses(Queue()).end_if_given_up()
    assert not ended


def test_it_ends_when_triton_has_written_to_it_meanwhile(pauses: Callable[[Any], Pauses], ended: list[bool]) -> None:
    queue = Queue()
    queue.messages = 1
    pauses(queue).end_if_given_up()
    assert ended


def test_after_a_pause_it_waits_for_tritons_verdict(
    pauses: Callable[[Any], Pauses], ended: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue()
    paused, slept = pauses(queue), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        queue.messages = 1  # it gives up just now

    monkeypatch.setattr(process_activity.time, "sleep", sleep)
    paused._beat -= 2.0
    paused.end_if_given_up()
    assert slept
    assert 0.3 < slept[0] <= 0.5
    assert ended


def test_a_pause_with_an_unknown_backend_ends_it(pauses: Callable[[Any], Pauses], ended: list[bool]) -> None:
    paused = pauses(None)
    paused.end_if_given_up()
    assert not ended
    paused._beat -= 2.0
    paused.end_if_given_up()
    assert ended


def test_code_that_keeps_python_from_running_is_no_pause(
    pauses: Callable[[Any], Pauses], ended: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = pauses(None)
    monkeypatch.setattr(held, "_times_run", lambda: held._ran + 10)
    held._beat -= 3.0
    held.end_if_given_up()
    assert not ended


def test_outside_triton_nothing_ends(ended: list[bool]) -> None:
    ProcessActivity(None).pauses.end_if_given_up()
    assert not ended


def test_a_request_is_named_to_triton_only_while_it_has_it(pauses: Callable[[Any], Pauses], ended: list[bool]) -> None:
    class Request:
        def is_cancelled(self) -> bool:
            assert ended
            return True

    queue = Queue()
    queue.messages = 1
    activity = ProcessActivity(None)
    activity.pauses = pauses(queue)
    assert activity.is_cancelled(Request())


def test_to_end_is_to_be_killed() -> None:
    folder = str(Path(process_activity.__file__).parent)
    code = f"import sys; sys.path.insert(0, {folder!r}); import process_activity; process_activity.end_at_once()"
    assert subprocess.run([sys.executable, "-c", code], check=False, env=os.environ).returncode == -9
