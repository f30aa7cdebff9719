"""A process that idles between runs of its task, and times each by its own clock."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vfnet_bench.errors import BenchmarkError


@dataclass(frozen=True)
class Run:
    """One run of a worker's task."""

    seconds: float
    result: Any
    """A JSON value: see the worker."""


class WorkerProcess:
    """A worker that speaks lines of JSON: its `versions` when it is ready, then a run for each line on its stdin."""

    def __init__(self, name: str, process: subprocess.Popen[str], log: Path) -> None:
        """Wait until it is ready. Raises BenchmarkError: it ended instead."""
        self._name, self._process, self._log = name, process, log
        self.versions: dict[str, str] = self._answer()["versions"]

    def run(self, argument: Any = None) -> Run:
        """One more run of the task.

        Raises:
            BenchmarkError: the worker has ended.
        """
        assert self._process.stdin is not None
        try:
            print(json.dumps(argument), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise self._failure() from None
        answer = self._answer()
        return Run(float(answer["seconds"]), answer["result"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failure()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _failure(self) -> BenchmarkError:
        words = self._log.read_text(errors="replace").strip().splitlines()
        return BenchmarkError(f"{self._name} failed: {words[-1] if words else 'it ended without a word'}")


@contextmanager
def worker_process(
    name: str, command: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[WorkerProcess]:
    """Start a worker, and end it afterwards; what it says on stderr goes to `log`.

    Raises:
        BenchmarkError: it cannot be run.
    """
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            start_new_session=True,  # a terminal's Ctrl-C is for us; the worker also ends when its stdin does
        )
    try:
        yield WorkerProcess(name, process, log)
    finally:
        process.kill()
        process.wait()
