"""Waiting for a server that starts: until it is ready, or it is clear that it will not be."""

from __future__ import annotations

import threading
import time

import psutil

from vfnet_serve.installation import TritonLostError
from vfnet_serve.model_process import DEAD_LOADER_SECONDS, SILENT_SECONDS, DeadChildren, ModelProcess, Silence
from vfnet_serve.triton_process import TritonProcess

_LOOK_SECONDS = 0.1
_DISCOVER_SECONDS = 0.4


def wait_until_ready(server: TritonProcess, stop: threading.Event) -> bool:
    """Wait for readiness; False if `stop` was set first.

    Raises:
        TritonLostError: it was killed, or a model's process died or was stopped, or nothing happens any more.
        ServerError: it said why it cannot serve.
    """
    start = _Start(server)
    while not stop.wait(_LOOK_SECONDS):
        if server.has_ended():
            failure = server.failure()
            if start.lost is None:
                raise failure
            raise TritonLostError(start.say_what_was_lost(str(failure)))
        if server.is_ready():
            server.watch_answers()
            return True
        start.look()
    return False


class _Start:
    def __init__(self, server: TritonProcess) -> None:
        self.server = server
        self.lost: str | None = None
        """The model of a process that has gone."""
        self._lost_since = self._looked = time.monotonic()
        self._processes: dict[int, ModelProcess] = {}
        self._dead = DeadChildren()
        self._silence = Silence()

    def look(self) -> None:
        """
        Raises:
            TritonLostError: see `wait_until_ready`.
        """
        now = time.monotonic()
        for process in self._processes.values():
            if process.is_alive() and process.fault(self.server.activity_dir, SILENT_SECONDS) is not None:
                process.kill()
            # Triton ends them itself where a model says why it cannot be loaded.
            if self.lost is None and not process.is_alive() and not self.server.log.load_failures:
                self.lost, self._lost_since = process.model, now
        if self.lost is not None and now - self._lost_since > DEAD_LOADER_SECONDS:
            raise TritonLostError(self.say_what_was_lost())
        if now - self._looked < _DISCOVER_SECONDS:
            return
        self._looked = now
        children = self.server.children()
        self._dead.look(children)
        if self._dead.seconds() > DEAD_LOADER_SECONDS and not self.server.log.load_failures:
            raise TritonLostError(self.say_what_was_lost())
        for child in children:
            if child.pid not in self._processes and (found := ModelProcess.of(child)) is not None:
                self._processes[child.pid] = found
        if self._silence.seconds(self._family()) > SILENT_SECONDS:
            raise TritonLostError(f"the Triton server is not ready, and nothing happened for {SILENT_SECONDS:g} s")

    def say_what_was_lost(self, *said: str) -> str:
        """With the last words of Triton's processes."""
        words = " ".join(self.server.log.last_words)
        return "; ".join(
            [f"a process of {self.lost or 'a model'} died while it was loaded", *said, *([words] if words else [])]
        )

    def _family(self) -> list[psutil.Process]:
        processes = [process.process for process in self._processes.values()]
        try:
            return [psutil.Process(self.server.process.pid), *processes]
        except psutil.NoSuchProcess:
            return processes
