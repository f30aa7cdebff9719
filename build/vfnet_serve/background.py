"""A server in the background: started once, found again, stopped. What `make up` and `make down` do."""

from __future__ import annotations

import contextlib
import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from vfnet_serve.installation import ServerError
from vfnet_serve.triton_process import Endpoints

START_TIMEOUT = 300.0
"""Seconds a server may take to be ready; a first start compiles the network."""


@dataclass(frozen=True)
class StateFolder:
    """Where `make up` keeps everything (`var/` in a checkout)."""

    root: Path

    @property
    def repository(self) -> Path:
        """The built model repository."""
        return self.root / "repository"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.root / "server.log"

    @property
    def state(self) -> Path:
        """There while a server is ready."""
        return self.root / "server.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One `up` or `down` at a time."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


@dataclass(frozen=True)
class RunningServer:
    """A server that `start` started."""

    process: psutil.Process
    endpoints: Endpoints
    started: float
    """Seconds since the epoch when it became ready."""


def find_running(folder: StateFolder) -> RunningServer | None:
    """The server of `folder`, if one runs."""
    try:
        state = json.loads(folder.state.read_text(encoding="utf-8"))
        process = psutil.Process(state["pid"])
        # The number may have gone to another program since.
        if process.create_time() > state["started"] or process.status() == psutil.STATUS_ZOMBIE:
            return None
        return RunningServer(process, Endpoints(**state["endpoints"]), state["started"])
    except (OSError, ValueError, KeyError, TypeError, psutil.NoSuchProcess):
        return None


def start(folder: StateFolder, endpoints: Endpoints, options: list[str]) -> None:
    """Start `vfnet serve` on the folder's repository and wait until it is ready.

    Args:
        options: more options of `vfnet serve`.

    Raises:
        ServerError: it ended instead; the message has its last words.
    """
    command = [sys.executable, "-m", "vfnet_client", "serve"]
    command += [f"--repository={folder.repository}", f"--state-file={folder.state}", f"--host={endpoints.host}"]
    for name in ("http", "grpc", "metrics"):
        command.append(f"--{name}-port={getattr(endpoints, f'{name}_port')}")
    folder.state.unlink(missing_ok=True)
    with folder.log.open("w") as log:
        process = subprocess.Popen(
            [*command, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    deadline = time.monotonic() + START_TIMEOUT
    try:
        while not folder.state.exists():
            if process.poll() is not None:
                raise ServerError(f"the server did not start:\n{folder.log.read_text(errors='replace').strip()}")
            if time.monotonic() > deadline:
                raise ServerError(f"the server was not ready after {START_TIMEOUT:g} s, see {folder.log}")
            time.sleep(0.1)
    except BaseException:
        _terminate(psutil.Process(process.pid) if process.poll() is None else None)
        raise


def stop(folder: StateFolder) -> bool:
    """Stop the folder's server, letting it finish; whether one was running."""
    running = find_running(folder)
    if running is None:
        folder.state.unlink(missing_ok=True)
        return False
    _terminate(running.process)
    return True


def _terminate(process: psutil.Process | None) -> None:
    if process is None:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
        try:
            process.wait(60)
        except psutil.TimeoutExpired:
            process.kill()
