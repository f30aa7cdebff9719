"""The ring that `vfnet up` leaves running: supervisor, server and gateway, each of which looks that the next one lives.

The supervisor (`vfnet_serve.supervision`) starts server and gateway again. They start the supervisor again, by
`join_ring`, as long as the state folder says that something should run. No more than the standard library, so that
it costs both nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

MARK_VARIABLE = "VFNET_SUPERVISED"
"""Of what a supervisor has started, and, inherited, of what that starts: `FOLDER:ROLE:FINGERPRINT`."""
LISTENER_VARIABLE = "VFNET_LISTENER"
"""The descriptor of a listening socket that the supervisor holds too."""
WANTED = "wanted.json"
"""In the state folder, says what should run; without it nothing should."""
LOCK = "supervisor.lock"
SUPERVISOR_LOG = "supervisor.log"

_LOOK_SECONDS = 0.2
_STOPPED_LOOKS = 6
"""A supervisor that was found stopped (SIGSTOP) so often in a row does nothing for anybody: it is killed."""
_LONGEST_PAUSE = 30.0
"""Seconds between attempts to start a supervisor, at most."""
_FLOCK = "hhqqi4x"
"""`struct flock` of Linux on 64 bits: type, whence, start, length, process number."""


class SupervisorLock:
    """A file that a supervisor has locked for as long as it lives: the kernel lets go of it, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._held: int | None = None

    def take(self) -> bool:
        """Hold it until this process ends; False: another process does.

        Raises:
            OSError: the file cannot be made.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            os.close(descriptor)
            return False
        self._held = descriptor  # never closed: closing any descriptor of the file would let go of it
        return True

    def holder(self) -> int | None:
        """The process that holds it, if one does. Looking takes no lock, so that nobody is kept from taking it."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
            return None if kind == fcntl.F_UNLCK else int(pid)
        finally:
            os.close(descriptor)


def process_state(pid: int) -> str | None:
    """The letter of proc(5): R, S, D, Z, T (stopped) ...; None: there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0].decode()
    except (OSError, IndexError):
        return None


def start_supervisor(folder: Path, command: Sequence[str], listener: int | None = None) -> None:
    """Start a supervisor of `folder` that outlives this process; it ends by itself where one is running.

    Args:
        command: what `vfnet_serve.supervision` wrote into the file of what should run.
        listener: the descriptor of the gateway's listening socket, if this process holds it.

    Raises:
        OSError: it cannot be started.
    """
    environment = {name: value for name, value in os.environ.items() if name not in (MARK_VARIABLE, LISTENER_VARIABLE)}
    if listener is not None:
        environment[LISTENER_VARIABLE] = str(listener)
    # A child of a child that ends at once: it belongs to nobody here, and nobody here has to wait for its end.
    between = [sys.executable, "-I", "-S", "-c", _DETACH, *command]
    with opened_log(folder / SUPERVISOR_LOG) as log:
        starter = subprocess.Popen(
            between,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=() if listener is None else (listener,),
        )
    starter.wait()


_DETACH = """
import os, sys
if os.fork() == 0:
    os.setsid()
    os.execvp(sys.argv[1], sys.argv[1:])
"""


def opened_log(log: Path) -> BinaryIO:
    """A log to append to, without a buffer; where that cannot be, in a full folder say, what is written is lost."""
    try:
        return log.open("ab", buffering=0)
    except OSError:
        return Path(os.devnull).open("ab", buffering=0)


def inherited_listener(*, copy: bool = False) -> socket.socket | None:
    """The listening socket that a supervisor gave to this process, if one did.

    Args:
        copy: a descriptor of its own, and not the one that was given, which is to have one user.
    """
    try:
        given = int(os.environ[LISTENER_VARIABLE])
        listener = socket.socket(fileno=os.dup(given) if copy else given)
    except (KeyError, ValueError, OSError):
        return None
    listener.set_inheritable(False)
    return listener


def join_ring() -> None:
    """See to it that a supervisor lives, from a thread, for as long as one is wanted.

    Call it first in what a supervisor starts, before that starts others: these are marked as its descendants from here
    on. Does nothing in what nobody supervises.
    """
    mark = parse_mark(os.environ.get(MARK_VARIABLE, ""))
    if mark is None or not mark.fingerprint:
        return
    member = _Member(Path(mark.folder))
    os.environ[MARK_VARIABLE] = f"{mark.folder}:{mark.role}:"
    threading.Thread(target=member.keep_looking, name="supervision ring", daemon=True).start()


class Mark(NamedTuple):
    """Says of a process, in its environment, who supervises it: it is found whatever became of the supervisor."""

    folder: str
    role: str
    fingerprint: str
    """Of how it was started; empty in what it has started itself."""


def parse_mark(text: str) -> Mark | None:
    """What `MARK_VARIABLE` holds."""
    folder, _, fingerprint = text.rpartition(":")
    folder, _, role = folder.rpartition(":")
    return Mark(folder, role, fingerprint) if folder else None


class _Member:
    """Looks after the supervisor of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = SupervisorLock(folder)
        self._listener = inherited_listener(copy=True)
        self._command: list[str] = []
        self._stopped_pid, self._stopped_looks = 0, 0

    def keep_looking(self) -> None:
        """Until nothing is wanted any more."""
        wait = threading.Event().wait
        # Who was given the socket goes first: a supervisor that it starts has the socket again.
        delay = _LOOK_SECONDS if self._listener is not None else 2 * _LOOK_SECONDS
        pause, started = 0.0, -math.inf
        while not wait(delay) and self._is_wanted():
            if self._is_supervised():
                continue
            pause = (
                0.0
                if time.monotonic() - started > 2 * _LONGEST_PAUSE
                else min(2 * pause + _LOOK_SECONDS, _LONGEST_PAUSE)
            )
            wait(pause)
            if self._command and self._is_wanted() and not self._is_supervised():
                started = time.monotonic()
                with contextlib.suppress(OSError):  # no memory or process numbers, say: tried again
                    start_supervisor(
                        self._folder, self._command, None if self._listener is None else self._listener.fileno()
                    )
        if self._listener is not None:  # at a socket that nobody will answer, callers are to be refused, not to wait
            self._listener.close()

    def _is_wanted(self) -> bool:
        """Whether something should run. A file that cannot be read just now changes nothing."""
        try:
            self._command = json.loads((self._folder / WANTED).read_bytes())["supervisor"]
        except (FileNotFoundError, NotADirectoryError):
            return False
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return True

    def _is_supervised(self) -> bool:
        pid = self._lock.holder()
        if pid is None:
            return False
        if process_state(pid) != "T":
            self._stopped_looks = 0
        else:
            self._stopped_looks = self._stopped_looks + 1 if pid == self._stopped_pid else 1
            self._stopped_pid = pid
            if self._stopped_looks >= _STOPPED_LOOKS:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        return True
