"""Processes in the background: started once, found again, stopped. What `make up` and `make down` do."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from vfnet_client.atomic_files import locked_file, open_inside, write_inside
from vfnet_serve.installation import ServerError
from vfnet_serve.parent_death import terminated_with_parent
from vfnet_serve.supervision.log_files import rotate_if_large, size_of, tail
from vfnet_supervision.process_identity import process_identity

_STOP_TIMEOUT = 60.0
"""Seconds, of what has not said how long it may take."""


@dataclass(frozen=True)
class StateFolder:
    """Where `make up` keeps everything (`var/` in a checkout)."""

    root: Path

    @property
    def repository(self) -> Path:
        """The built model repository."""
        return self.root / "repository"

    @property
    def server(self) -> BackgroundProcess:
        """Triton with its watchdog."""
        return BackgroundProcess("server", self.root / "server.log", self.root / "server.json")

    @property
    def gateway(self) -> BackgroundProcess:
        """The gateway in front of it."""
        return BackgroundProcess("gateway", self.root / "gateway.log", self.root / "gateway.json")

    @property
    def traffic(self) -> Path:
        """How the gateway shares requests out, if it does."""
        return self.root / "traffic.toml"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One `up` or `down` at a time."""
        self.root.mkdir(parents=True, exist_ok=True)
        with locked_file(self.root / ".lock"):
            yield


@dataclass(frozen=True)
class RunningProcess:
    """A process that `BackgroundProcess.start` started."""

    process: psutil.Process
    state: dict[str, Any]
    """What it wrote into its state file."""

    def command(self) -> list[str]:
        """Its command line; empty once it has ended."""
        try:
            return list(self.process.cmdline())
        except psutil.Error:
            return []


@dataclass(frozen=True)
class BackgroundProcess:
    """One that says that it is ready by writing a state file.

    That holds its `pid`, its `identity`, the `stop_timeout` in seconds that it needs at most, and more of its own.
    """

    name: str
    log: Path
    state_file: Path

    @property
    def _starting_file(self) -> Path:
        """Its `pid` and `identity` until it is ready, for whoever comes after a start that was killed."""
        return self.state_file.with_suffix(".starting")

    def find(self) -> RunningProcess | None:
        """The process, if it runs and is, or was, ready."""
        return _named_in(self.state_file)

    def start(
        self,
        command: Sequence[str],
        timeout: float,
        *,
        is_ours: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> int:
        """Start it and wait at most `timeout` seconds until it is ready; its process number.

        One that an interrupted start left is stopped first.

        Args:
            is_ours: it is to end with this process, however that ends.
            environment: variables beside those of this process.

        Raises:
            ServerError: it ended instead; the message has its last words.
        """
        self._stop_unready()
        self.state_file.unlink(missing_ok=True)
        rotate_if_large(self.log)
        log_start = size_of(self.log)
        with open_inside(self.log, append=True) as log:
            process = subprocess.Popen(
                terminated_with_parent(command) if is_ours else command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | dict(environment or {}),
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout
        try:
            record = {"pid": process.pid, "identity": process_identity(process.pid)}
            write_inside(self._starting_file, json.dumps(record).encode())
            while not self.state_file.exists():
                if process.poll() is not None:
                    words = tail(self.log, log_start)
                    raise ServerError(f"the {self.name} did not start:\n{words}")
                if time.monotonic() > deadline:
                    raise ServerError(f"the {self.name} was not ready after {timeout:g} s, see {self.log}")
                time.sleep(0.1)
        except BaseException:
            if process.poll() is None:
                _terminate(psutil.Process(process.pid))
            raise
        finally:
            self._starting_file.unlink(missing_ok=True)
        return process.pid

    def stop(self) -> bool:
        """Stop it, letting it finish; whether it was running."""
        was_starting = self._stop_unready()
        running = self.find()
        if running is None:
            self.state_file.unlink(missing_ok=True)
            return was_starting
        _terminate(running.process, running.state.get("stop_timeout", _STOP_TIMEOUT))
        return True

    def _stop_unready(self) -> bool:
        starting = _named_in(self._starting_file)
        if starting is not None:
            _terminate(starting.process)
        self._starting_file.unlink(missing_ok=True)
        return starting is not None


def _named_in(file: Path) -> RunningProcess | None:
    """The process that a file names, if it runs."""
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        process = psutil.Process(state["pid"])
        # The number may have gone to another program since.
        if process_identity(process.pid) != state["identity"] or process.status() == psutil.STATUS_ZOMBIE:
            return None
        return RunningProcess(process, state)
    except (OSError, ValueError, KeyError, TypeError, psutil.NoSuchProcess):
        return None


def _terminate(process: psutil.Process, timeout: float = _STOP_TIMEOUT) -> None:
    """Ask it to end, and after so many seconds make it; what it started is gone with it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
        try:
            process.wait(timeout)
        except psutil.TimeoutExpired:
            family = [process, *process.children(recursive=True)]
            for each in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            psutil.wait_procs(family, timeout=10)
