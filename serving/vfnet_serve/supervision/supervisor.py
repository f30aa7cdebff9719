"""The supervisor of a state folder: starts what should run there, and starts it again when it ends."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vfnet_client.atomic_files import write_inside
from vfnet_client.json_log import json_line, message_of
from vfnet_serve.local_http import fetch
from vfnet_serve.scratch_folder import remove_abandoned
from vfnet_serve.supervision.log_files import append, rotate_if_large, size_of, tail
from vfnet_serve.supervision.marked_processes import MarkedProcess, end, kill, marked_processes
from vfnet_serve.supervision.restart_policy import MOST_FAILURES, SETTLED_SECONDS, RestartPolicy
from vfnet_serve.supervision.wanted import ROLES, Listener, Wanted, WantedProcess, read_wanted
from vfnet_supervision.listening import family_of, listen
from vfnet_supervision.process_identity import process_identity
from vfnet_supervision.ring import (
    LISTENER_VARIABLE,
    MARK_VARIABLE,
    SUPERVISOR_LOG,
    WANTED,
    Mark,
    SupervisorLock,
    inherited_listener,
    opened_log,
)

STATUS = "supervisor.json"
_LOOK_SECONDS = 0.1
_ROTATE_SECONDS = 1.0
_STOPPED_SECONDS = 1.5
"""What was stopped (SIGSTOP) for so long is killed: nobody knows whether it will be continued."""
_HEALTH_TIMEOUT = 2.0
_PORT_PATIENCE = 5.0
"""Seconds for a port to become free: a supervisor that was started for nothing holds the socket until it sees that."""

Say = Callable[[str], None]


def supervise(folder: Path) -> int:
    """Until nothing is wanted any more, or SIGTERM, which ends all that runs; at once where another one does so. 0."""
    lock = SupervisorLock(folder)
    if not lock.take():
        return 0
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    supervisor = _Supervisor(folder, inherited_listener())
    os.environ.pop(LISTENER_VARIABLE, None)
    supervisor.adopt()
    while not stop.is_set() and supervisor.look():
        stop.wait(_LOOK_SECONDS)
    supervisor.end_all()
    return 0


@dataclass
class _Role:
    """One process that should run, and what became of it."""

    name: str
    process: MarkedProcess | None = None
    child: subprocess.Popen[bytes] | None = None
    """None: a supervisor before this one started it."""
    fingerprint: str = ""
    """Of what runs, or ran last."""
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    state: str = "waiting"
    """`starting`, `running`, `stopping`, `waiting` for the next start, or `failed`: not started again by itself."""
    reason: str = ""
    """Of the last end."""
    restarts: int = 0
    since: float = 0.0
    """When the state began (monotonic seconds)."""
    stopped_since: float | None = None
    next_start: float = 0.0
    log_start: int = 0
    """Bytes of its log when it was started."""

    def enter(self, state: str) -> None:
        if state != self.state:
            self.state, self.since = state, time.monotonic()

    def has_ended(self) -> bool:
        if self.child is not None:
            return self.child.poll() is not None
        return self.process is not None and not self.process.is_alive()


class _Supervisor:
    def __init__(self, folder: Path, listener: socket.socket | None) -> None:
        self._folder = folder
        self._listener = listener
        self._roles = {name: _Role(name) for name in ROLES}
        self._wanted: Wanted | None = None
        self._wanted_file: tuple[int, ...] | None = None
        self._status = b""
        self._next_rotation = 0.0

    def adopt(self) -> None:
        """Take over what a supervisor before this one has started, and what it knew of it."""
        self._read_wanted()
        known = self._known_status()
        for name, role in self._roles.items():
            mains = [process for process in marked_processes(self._folder, name) if process.mark.fingerprint]
            facts = known.get(name, {})
            if mains:
                role.process, *others = mains
                kill(others)  # there are none, but for one that was just being replaced
                role.fingerprint = role.process.mark.fingerprint
                role.enter("starting")
            if facts.get("fingerprint") == (role.fingerprint or self._fingerprint(name)):
                role.fingerprint = facts["fingerprint"]
                role.policy = RestartPolicy(int(facts["failures"]), bool(facts["proven"]))
                role.restarts, role.reason = int(facts["restarts"]), str(facts["reason"])
                if facts["state"] == "failed" and not mains:
                    role.enter("failed")
            if role.process is not None:
                self._say(role, f"the {name} runs on as process {role.process.pid} under a new supervisor")

    def look(self) -> bool:
        """See to everything once; False: nothing is wanted any more."""
        if not self._read_wanted():
            return False
        for role in self._roles.values():
            self._see_to(role)
        self._write_status()
        if time.monotonic() >= self._next_rotation:
            self._next_rotation = time.monotonic() + _ROTATE_SECONDS
            for wanted in self._wanted.processes.values() if self._wanted else ():
                rotate_if_large(Path(wanted.log))
            rotate_if_large(self._folder / SUPERVISOR_LOG)
        return True

    def end_all(self) -> None:
        """End all that runs, the gateway first, so that what is in flight there can be answered."""
        self._close_listener()
        for name, role in reversed(self._roles.items()):
            if role.process is not None:
                self._say(role, f"stopping the {name}")
                end([role.process], self._stop_timeout(role))
            if role.child is not None:
                role.child.wait()
            kill(marked_processes(self._folder, name))
        remove_abandoned()
        (self._folder / STATUS).unlink(missing_ok=True)

    def _see_to(self, role: _Role) -> None:
        wanted = self._wanted.processes.get(role.name) if self._wanted else None
        now = time.monotonic()
        if role.process is not None and role.has_ended():
            self._has_ended(role, wanted)
        if role.process is None:
            if wanted is None:
                role.enter("waiting")
                return
            fingerprint = wanted.fingerprint()
            if fingerprint != role.fingerprint:  # asked for anew, or differently: what was before does not count
                role.fingerprint, role.policy, role.next_start, role.restarts = fingerprint, RestartPolicy(), now, 0
                role.enter("waiting")
            if role.state != "failed" and now >= role.next_start:
                self._start(role, wanted)
            return
        if role.state == "stopping":
            if now - role.since > self._stop_timeout(role):
                kill([role.process])
            return
        if wanted is None or wanted.fingerprint() != role.fingerprint:
            self._say(role, f"stopping the {role.name}")
            role.enter("stopping")
            role.process.ask_to_end()
            return
        self._watch(role, wanted, now)

    def _watch(self, role: _Role, wanted: WantedProcess, now: float) -> None:
        assert role.process is not None
        if _named_process(Path(wanted.state_file)) == role.process.pid:
            role.policy.proven = True
            role.enter("running")
            if now - role.since > SETTLED_SECONDS:
                role.policy.started_well()
        elif role.state == "starting" and now - role.since > wanted.start_timeout:
            if _serves(wanted.health_url):  # and could not say so: a full disk
                role.enter("running")
                return
            self._say(role, f"the {role.name} was not ready after {wanted.start_timeout:g} s: killed")
            role.process.signal(signal.SIGKILL)
        if not role.process.is_stopped():
            role.stopped_since = None
        elif role.stopped_since is None:
            role.stopped_since = now
        elif now - role.stopped_since > _STOPPED_SECONDS:
            if wanted.serves_by_others and _serves(wanted.health_url):
                role.stopped_since = now  # looked at again after as long
                return
            self._say(role, f"the {role.name} was stopped by a signal for {_STOPPED_SECONDS:g} s: killed")
            role.process.signal(signal.SIGKILL)

    def _start(self, role: _Role, wanted: WantedProcess) -> None:
        kill(marked_processes(self._folder, role.name))  # Triton, say, of a `vfnet serve` that was killed: on the ports
        remove_abandoned()
        self._say(role, f"starting the {role.name}")
        log = Path(wanted.log)
        role.log_start = size_of(log)
        mark = Mark(str(self._folder), role.name, role.fingerprint)
        given: dict[str, str | None] = {**wanted.environment, MARK_VARIABLE: ":".join(mark)}
        try:
            Path(wanted.state_file).unlink(missing_ok=True)
            descriptors: tuple[int, ...] = ()
            if wanted.listener is not None:
                self._listener = _listening(self._listener, wanted.listener)
                descriptors = (self._listener.fileno(),)
                given[LISTENER_VARIABLE] = str(self._listener.fileno())
            environment = os.environ | given
            with opened_log(log) as output:
                role.child = subprocess.Popen(
                    wanted.command,
                    env={name: value for name, value in environment.items() if value is not None},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=descriptors,
                    start_new_session=True,
                )
            role.process = MarkedProcess(role.child.pid, process_identity(role.child.pid), mark)
        except OSError as error:
            role.child = role.process = None
            if error.errno == errno.EADDRINUSE and time.monotonic() - role.next_start < _PORT_PATIENCE:
                return  # looked at again at once
            place = wanted.listener
            where = "" if place is None else f", which is to listen on {place.host} port {place.port}"
            self._plan(role, f"cannot start the {role.name}{where}: {error.strerror or error}", by_itself=True)
            return
        role.stopped_since = None
        role.enter("starting")

    def _has_ended(self, role: _Role, wanted: WantedProcess | None) -> None:
        code = role.child.returncode if role.child is not None else None
        was_stopping = role.state == "stopping"
        role.child = role.process = None
        kill(marked_processes(self._folder, role.name))
        if was_stopping or wanted is None:
            self._say(role, f"the {role.name} has stopped")
            role.enter("waiting")
            role.next_start = time.monotonic()
            return
        last = "\n".join(map(message_of, tail(Path(wanted.log), role.log_start).splitlines()))
        line = last.splitlines()[-1] if last else ""
        if code is None:
            self._plan(role, f"the {role.name} ended", by_itself=False)
        elif code < 0:
            self._plan(role, f"the {role.name} was killed by {_signal_name(-code)}", by_itself=False)
        else:
            said = f", after saying: {line}" if line and role.policy.proven else f":\n{last}" if last else ""
            self._plan(role, f"the {role.name} ended with code {code}{said}", by_itself=True)

    def _plan(self, role: _Role, reason: str, *, by_itself: bool) -> None:
        """What comes after an end."""
        role.reason = reason
        pause = role.policy.pause_after_end(by_itself)
        if pause is None:
            role.enter("failed")
            if role.policy.failures > MOST_FAILURES:  # one that was never ready, and said why, was not tried again
                role.reason += f"; given up after {MOST_FAILURES} failures in a row: `vfnet up` starts it again"
            self._say(role, role.reason.partition(":\n")[0])  # what follows is in that log already
            if role.name == "gateway":
                self._close_listener()  # callers are to be refused rather than to wait for nobody
            return
        role.restarts += 1
        role.next_start = time.monotonic() + pause
        role.enter("waiting")
        when = f"in {pause:.1f} s" if pause else "at once"
        self._say(role, f"{reason}; starting it again {when}")

    def _read_wanted(self) -> bool:
        """Whether something is wanted. A file that cannot be read just now changes nothing."""
        path = self._folder / WANTED
        try:
            status = path.stat()
            signature = (status.st_ino, status.st_mtime_ns, status.st_size)
            if signature != self._wanted_file:
                self._wanted = read_wanted(self._folder)
                self._wanted_file = signature
        except (FileNotFoundError, NotADirectoryError):
            self._wanted = None
        except (OSError, ValueError):
            return True
        return self._wanted is not None

    def _fingerprint(self, name: str) -> str:
        wanted = self._wanted.processes.get(name) if self._wanted else None
        return "" if wanted is None else wanted.fingerprint()

    def _stop_timeout(self, role: _Role) -> float:
        wanted = self._wanted.processes.get(role.name) if self._wanted else None
        return WantedProcess.stop_timeout if wanted is None else wanted.stop_timeout

    def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _known_status(self) -> Mapping[str, Any]:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return dict(json.loads((self._folder / STATUS).read_bytes())["processes"])
        return {}

    def _write_status(self) -> None:
        processes = {
            name: {
                "state": role.state,
                "pid": None if role.process is None else role.process.pid,
                "fingerprint": role.fingerprint,
                "failures": role.policy.failures,
                "proven": role.policy.proven,
                "restarts": role.restarts,
                "reason": role.reason,
            }
            for name, role in self._roles.items()
        }
        status = {"pid": os.getpid(), "processes": processes}
        content = json.dumps(status, indent=2).encode() + b"\n"
        if content != self._status:
            with contextlib.suppress(OSError):  # a full disk, say: what runs is seen to all the same
                write_inside(self._folder / STATUS, content, mode=0o600)
                self._status = content

    def _say(self, role: _Role, message: str) -> None:
        """Into the log of what is supervised, in its form, and into the supervisor's."""
        print(f"{datetime.now():%Y-%m-%d %H:%M:%S} {message}", file=sys.stderr, flush=True)
        wanted = self._wanted.processes.get(role.name) if self._wanted else None
        if wanted is None:
            return
        if role.name == "gateway":
            time_ = datetime.now(UTC).isoformat(timespec="milliseconds")
            line = json.dumps({"time": time_, "level": "INFO", "message": f"supervisor: {message}"})
        elif "--log-format=json" in wanted.command:
            line = json_line("INFO", "supervisor", message)
        else:
            line = f"{datetime.now():%H:%M:%S} INFO supervisor: {message}"
        append(Path(wanted.log), f"{line}\n")


def _listening(held: socket.socket | None, place: Listener) -> socket.socket:
    """The socket that is held, if it is of this place, else a new one.

    Raises:
        OSError: another program listens there.
    """
    if held is not None:
        if held.getsockname()[:2] == _resolved(place):
            return held
        held.close()
    return listen(place.host, place.port)


def _resolved(place: Listener) -> tuple[str, int]:
    """An address in numbers, as a socket names its own."""
    found = socket.getaddrinfo(place.host, place.port, family_of(place.host), socket.SOCK_STREAM)
    return (str(found[0][4][0]), int(found[0][4][1]))


def _serves(url: str | None) -> bool:
    if url is None:
        return False
    try:
        fetch(url, timeout=_HEALTH_TIMEOUT)
    except (OSError, ValueError):
        return False
    return True


def _named_process(state_file: Path) -> int | None:
    try:
        return int(json.loads(state_file.read_bytes())["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
