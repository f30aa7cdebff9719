"""What is done beside the watch ends in a result or in a reason, never in silence."""

from __future__ import annotations

import errno
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from vfnet_serve import watchdog
from vfnet_serve.background_task import BackgroundTask
from vfnet_serve.installation import ServerError, StaleRepositoryError
from vfnet_serve.model_process import ModelProcess
from vfnet_serve.watchdog import Watchdog
from waiting import eventually


def full_disk() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "config.pbtxt")


def stale() -> None:
    raise StaleRepositoryError("it was built anew")


def a_fault_of_ours() -> None:
    raise KeyError("vfnet")


@pytest.mark.parametrize(
    ("work", "kind", "words"),
    [
        (full_disk, ServerError, "loading a model: No space left on device: config.pbtxt"),
        (stale, StaleRepositoryError, "it was built anew"),
        (a_fault_of_ours, ServerError, "loading a model: KeyError: 'vfnet'"),
    ],
)
def test_whatever_is_raised_is_a_reason(work: Callable[[], None], kind: type[Exception], words: str) -> None:
    task = BackgroundTask("loading a model", work)
    assert eventually(task.is_done)
    assert type(task.error) is kind
    assert str(task.error) == words


def test_what_is_returned_is_the_result() -> None:
    task = BackgroundTask("counting", lambda: 3)
    assert eventually(task.is_done)
    assert (task.result, task.error) == (3, None)


def test_a_configuration_that_a_full_disk_refuses_is_tried_again_and_costs_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "_RETRY_SECONDS", 0.02)
    own, said = psutil.Process(), list[str]()
    tries: list[Callable[[], None]] = [full_disk, full_disk, lambda: dog.expected.clear()]
    server: Any = SimpleNamespace(
        process=own,
        seconds_without_answer=lambda: 0.0,
        children=list,
        activity_dir=tmp_path,
        has_lost_a_process=False,
    )
    dog = Watchdog(server, 60, lambda text, _level: said.append(text))
    dog.processes = {own.pid: ModelProcess(own, "vfnet_preprocess", "none")}
    dog.expected = Counter({"vfnet_preprocess": 1})
    dog.load("vfnet_preprocess", lambda: tries.pop(0)())

    def settled() -> bool:
        dog.look()
        time.sleep(0.01)
        return dog.is_idle()

    assert eventually(settled)
    assert tries == []
    assert [text.partition(";")[0] for text in said] == [
        "loading vfnet_preprocess: No space left on device: config.pbtxt"
    ] * 2
    assert not server.has_lost_a_process
