"""What `vfnet up` and `vfnet down` say to a supervisor: what should run, and that nothing should."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vfnet_serve.installation import ServerError
from vfnet_serve.scratch_folder import remove_abandoned
from vfnet_serve.supervision.log_files import tail
from vfnet_serve.supervision.marked_processes import end, kill, marked_processes
from vfnet_serve.supervision.supervisor import STATUS
from vfnet_serve.supervision.wanted import ROLES, Wanted, WantedProcess, code_version, read_wanted, withdraw
from vfnet_supervision.ring import SUPERVISOR_LOG, SupervisorLock, process_state, start_supervisor

_STOP_TIMEOUT = 160.0
"""Seconds in which a supervisor has ended gateway and server, one after the other."""
_START_TIMEOUT = 15.0
_LOOK_SECONDS = 0.1
_REAP_SECONDS = 2.0
"""For the system's first process to take note of the ends of those that lost their parent."""


class Supervision:
    """What is supervised in one state folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._lock = SupervisorLock(self._folder)

    def is_supervised(self) -> bool:
        """Whether a supervisor lives."""
        return self._lock.holder() is not None

    def running(self) -> list[str]:
        """The roles of which a process runs."""
        marked = {process.mark.role for process in marked_processes(self._folder) if process.mark.fingerprint}
        return [role for role in ROLES if role in marked]

    def changed(self, processes: Mapping[str, WantedProcess]) -> list[str]:
        """The roles that do not run as they are asked for here."""
        as_asked = {
            (process.mark.role, process.mark.fingerprint) for process in marked_processes(self._folder)
        }  # fmt: skip
        return [
            role for role, process in processes.items()
            if (role, process.fingerprint()) not in as_asked or self.failure(role) is not None
        ]  # fmt: skip

    def failure(self, role: str) -> str | None:
        """Why a process is not started again any more; None: it is, or was never asked for."""
        status = self._status(role)
        return str(status["reason"]) if status.get("state") == "failed" else None

    def is_current(self) -> bool:
        """Whether a supervisor of today's code lives."""
        try:
            wanted = read_wanted(self._folder)
        except (OSError, ValueError):
            return False
        return self.is_supervised() and wanted is not None and wanted.code == _own_code()

    def ports(self) -> set[int]:
        """Ports of what is supervised, also while one of them has died and is about to be started again."""
        with contextlib.suppress(OSError, ValueError):
            wanted = read_wanted(self._folder) if self.is_supervised() else None
            arguments = [argument for each in wanted.processes.values() for argument in each.command] if wanted else []
            named = (argument.partition("=") for argument in arguments)
            return {int(value) for name, _, value in named if name.endswith("port") and value.isdecimal()}
        return set()

    def ask_for(self, processes: Mapping[str, WantedProcess]) -> None:
        """Have these run from now on, and nothing else: what runs otherwise is started anew.

        A new supervisor is started, of today's code and with this process's environment. What need not be started anew,
        it takes over.

        Raises:
            ServerError: no supervisor starts.
            OSError: the state folder cannot be written.
        """
        command = [sys.executable, "-m", "vfnet_serve.supervision", str(self._folder)]
        self._end_supervisor_alone()  # first: it would act on the file in the environment that it was started in
        self._forget_failures(processes)
        Wanted(dict(processes), command, _own_code()).write(self._folder)
        start_supervisor(self._folder, command)
        deadline = time.monotonic() + _START_TIMEOUT
        while not self.is_supervised():
            if time.monotonic() > deadline:
                raise ServerError(f"the supervisor did not start: {self._last_words()}")
            time.sleep(_LOOK_SECONDS)

    def wait_until_running(self, role: str, process: WantedProcess) -> None:
        """Until a process is ready.

        Raises:
            ServerError: it is not going to be; what was asked for is withdrawn.
        """
        deadline = time.monotonic() + process.start_timeout
        gone = 0
        try:
            while True:
                status = self._status(role)
                if status.get("fingerprint") == process.fingerprint():
                    if status["state"] == "running":
                        return
                    if status["state"] == "failed":
                        raise ServerError(f"the {role} did not start: {status['reason']}")
                if time.monotonic() > deadline:
                    raise ServerError(f"the {role} was not ready after {process.start_timeout:g} s, see {process.log}")
                gone = 0 if self.is_supervised() else gone + 1
                if gone > _START_TIMEOUT / _LOOK_SECONDS:
                    raise ServerError(f"the supervisor has ended: {self._last_words()}")
                time.sleep(_LOOK_SECONDS)
        except BaseException:
            self._withdraw(role)
            raise

    def end(self) -> list[str]:
        """End everything; the roles of which a process ran. Nothing is left, whatever the supervisor does."""
        ran, all_that_ran = self.running(), marked_processes(self._folder)
        withdraw(self._folder)
        self._end_supervisor()
        for role in reversed(ROLES):
            processes = marked_processes(self._folder, role)
            end([process for process in processes if process.mark.fingerprint], WantedProcess.stop_timeout)
            kill(marked_processes(self._folder, role))
        remove_abandoned()
        (self._folder / STATUS).unlink(missing_ok=True)
        deadline = time.monotonic() + _REAP_SECONDS
        while any(process_state(each.pid) for each in all_that_ran) and time.monotonic() < deadline:
            time.sleep(0.02)
        return ran

    def _withdraw(self, role: str) -> None:
        """What did not start is not tried again; what runs beside it goes on."""
        with contextlib.suppress(OSError, ValueError):
            wanted = read_wanted(self._folder)
            if wanted is None:
                return
            left = {name: each for name, each in wanted.processes.items() if name != role and name in self.running()}
            if left:
                replace(wanted, processes=left).write(self._folder)
            else:
                self.end()

    def _end_supervisor(self) -> None:
        """Tell it to end with all that it runs; when it does not, end it alone."""
        pid = self._lock.holder()
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGCONT)
        deadline = time.monotonic() + _STOP_TIMEOUT
        while self._lock.holder() == pid and time.monotonic() < deadline:
            time.sleep(0.05)
        self._end_supervisor_alone()

    def _end_supervisor_alone(self) -> None:
        """Kill it: what it runs goes on, and the next one takes over."""
        while (pid := self._lock.holder()) is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            while self._lock.holder() == pid and process_state(pid) is not None:
                time.sleep(0.02)

    def _forget_failures(self, processes: Mapping[str, WantedProcess]) -> None:
        if any(self.failure(role) is not None for role in processes):
            (self._folder / STATUS).unlink(missing_ok=True)

    def _status(self, role: str) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return dict(json.loads((self._folder / STATUS).read_bytes())["processes"][role])
        return {}

    def _last_words(self) -> str:
        return tail(self._folder / SUPERVISOR_LOG, max_bytes=1000) or "it says nothing"


def _own_code() -> str:
    return code_version(["vfnet_serve", "vfnet_supervision", "vfnet_client"])
