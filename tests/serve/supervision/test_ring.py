"""Supervisor, server and gateway: whoever of them is killed or stopped comes back. Small programs stand for the two."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import waiting
from vfnet_client.free_ports import free_ports
from vfnet_serve.installation import ServerError
from vfnet_serve.supervision.control import Supervision
from vfnet_serve.supervision.marked_processes import MarkedProcess, marked_processes
from vfnet_serve.supervision.wanted import Listener, WantedProcess
from vfnet_supervision.ring import SupervisorLock, process_state

pytestmark = pytest.mark.slow

_PROGRAM = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
from vfnet_supervision.ring import inherited_listener, join_ring
join_ring()
state, behaviour = Path(sys.argv[1]), sys.argv[2]
if behaviour == "refuse":
    sys.exit("cannot serve: no such thing")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if behaviour == "server":  # one that a killed server leaves
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
part = state.with_suffix(".part")
part.write_text(json.dumps({"pid": os.getpid()}))
part.rename(state)
if behaviour == "crash":
    os.kill(os.getpid(), signal.SIGSEGV)
listener = inherited_listener()
while True:
    if listener is None:
        time.sleep(1)
        continue
    caller, _ = listener.accept()
    caller.sendall(str(os.getpid()).encode())
    caller.close()
"""


@pytest.fixture
def supervision(tmp_path: Path) -> Iterator[Supervision]:
    supervision = Supervision(tmp_path)
    yield supervision
    supervision.end()
    assert not marked_processes(tmp_path)


def program(folder: Path, role: str, behaviour: str | None = None, port: int | None = None) -> WantedProcess:
    state = folder / f"{role}.json"
    return WantedProcess(
        command=[sys.executable, "-c", _PROGRAM, str(state), behaviour or role],
        state_file=str(state),
        log=str(folder / f"{role}.log"),
        code="1",
        listener=None if port is None else Listener("127.0.0.1", port),
        start_timeout=60,
        stop_timeout=5,
    )


def brought_up(supervision: Supervision, processes: dict[str, WantedProcess]) -> None:
    supervision.ask_for(processes)
    for role, process in processes.items():
        supervision.wait_until_running(role, process)


def main_process(folder: Path, role: str) -> MarkedProcess | None:
    found = [process for process in marked_processes(folder, role) if process.mark.fingerprint]
    assert len(found) <= 1
    return found[0] if found else None


def pid_of(folder: Path, role: str) -> int | None:
    if role == "supervisor":
        return SupervisorLock(folder).holder()
    process = main_process(folder, role)
    return None if process is None else process.pid


def eventually(holds: Callable[[], object], seconds: float = 30) -> None:
    assert waiting.eventually(lambda: bool(holds()), seconds)


def asked(port: int) -> int:
    """Which process answers."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as caller:
        return int(caller.recv(100))


ROLES = ("supervisor", "gateway", "server")


def test_what_is_killed_or_stopped_comes_back_alone_and_two_at_a_time(supervision: Supervision, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    brought_up(supervision, {"server": program(tmp_path, "server"), "gateway": program(tmp_path, "gateway", port=port)})
    for number in (signal.SIGKILL, signal.SIGSTOP):
        pairs = itertools.combinations(ROLES, 2) if number == signal.SIGKILL else [("supervisor", "gateway")]
        for fallen in [*itertools.combinations(ROLES, 1), *pairs]:
            before = {role: pid_of(tmp_path, role) for role in ROLES}
            for role in fallen:
                pid = before[role]
                assert pid is not None
                os.kill(pid, number)
            eventually(
                lambda before=before, fallen=fallen: all(  # type: ignore[misc]
                    pid_of(tmp_path, role) not in (None, before[role]) for role in fallen
                )
            )
            for role in set(ROLES) - set(fallen):
                assert pid_of(tmp_path, role) == before[role]
            eventually(lambda: (tmp_path / "gateway.json").exists() and (tmp_path / "server.json").exists())
            assert asked(port) == pid_of(tmp_path, "gateway")
            (tmp_path / "supervisor.json").unlink()  # each blow is the first: failures in a row end after a few
            supervision._end_supervisor_alone()
            eventually(lambda: pid_of(tmp_path, "supervisor"))
            eventually(lambda: len(marked_processes(tmp_path, "server")) == 2)


def test_callers_wait_while_the_gateway_is_started_again(supervision: Supervision, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    brought_up(supervision, {"gateway": program(tmp_path, "gateway", port=port)})
    killed = asked(port)
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: process_state(killed) in (None, "Z"))
    answered = asked(port)  # not refused
    assert answered != killed


def test_a_supervisor_that_the_gateway_starts_has_its_socket(supervision: Supervision, tmp_path: Path) -> None:
    (port,) = free_ports(1)
    brought_up(supervision, {"gateway": program(tmp_path, "gateway", port=port)})
    supervisor, gateway = pid_of(tmp_path, "supervisor"), asked(port)
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: pid_of(tmp_path, "supervisor") not in (None, supervisor))
    eventually(lambda: "under a new supervisor" in (tmp_path / "supervisor.log").read_text())
    os.kill(gateway, signal.SIGKILL)
    eventually(lambda: process_state(gateway) in (None, "Z"))
    assert asked(port) != gateway


def test_what_a_killed_server_leaves_is_ended_before_the_next_starts(supervision: Supervision, tmp_path: Path) -> None:
    brought_up(supervision, {"server": program(tmp_path, "server")})
    eventually(lambda: len(marked_processes(tmp_path, "server")) == 2)
    family = [process.pid for process in marked_processes(tmp_path, "server")]
    server = pid_of(tmp_path, "server")
    assert server is not None
    os.kill(server, signal.SIGKILL)
    eventually(lambda: pid_of(tmp_path, "server") not in (None, server))
    assert not [pid for pid in family if process_state(pid) not in (None, "Z")]


def test_one_that_cannot_start_is_said_at_once_and_not_tried_again(supervision: Supervision, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="no such thing"):
        brought_up(supervision, {"server": program(tmp_path, "server", "refuse")})
    assert not supervision.is_supervised()
    assert (tmp_path / "server.log").read_text().count("cannot serve: no such thing\n") == 1


def test_one_that_cannot_start_leaves_alone_what_runs_beside_it(supervision: Supervision, tmp_path: Path) -> None:
    gateway = program(tmp_path, "gateway")
    brought_up(supervision, {"gateway": gateway})
    pid = pid_of(tmp_path, "gateway")
    with pytest.raises(ServerError, match="no such thing"):
        brought_up(supervision, {"gateway": gateway, "server": program(tmp_path, "server", "refuse")})
    assert pid_of(tmp_path, "gateway") == pid
    assert supervision.is_supervised()


def test_a_crash_loop_ends_with_the_reason(
    supervision: Supervision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch = "import random, vfnet_serve.supervision.restart_policy as p\np._LONGEST_PAUSE = 0.01\n"
    (tmp_path / "sitecustomize.py").write_text(patch)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # the pauses of half a minute are left out
    supervision.ask_for({"server": program(tmp_path, "server", "crash")})
    eventually(lambda: supervision.failure("server"), 60)
    reason = supervision.failure("server")
    assert reason is not None
    assert "SIGSEGV" in reason
    assert "10 failures in a row" in reason
    assert reason in (tmp_path / "server.log").read_text()
    assert supervision.changed({"server": program(tmp_path, "server", "crash")}) == ["server"]


def test_what_is_asked_for_differently_is_started_anew_and_the_other_is_not(
    supervision: Supervision, tmp_path: Path
) -> None:
    processes = {"server": program(tmp_path, "server"), "gateway": program(tmp_path, "gateway")}
    brought_up(supervision, processes)
    server, gateway = pid_of(tmp_path, "server"), pid_of(tmp_path, "gateway")
    assert supervision.changed(processes) == []
    assert supervision.is_current()
    newer = processes | {"gateway": replace(processes["gateway"], code="2")}
    assert supervision.changed(newer) == ["gateway"]
    brought_up(supervision, newer)
    assert pid_of(tmp_path, "server") == server
    assert pid_of(tmp_path, "gateway") != gateway


def test_keys_reach_the_gateway_alone_and_no_other_account_can_read_them(
    supervision: Supervision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "of the caller")
    server = replace(program(tmp_path, "server"), environment={"A_KEY": None})
    gateway = replace(program(tmp_path, "gateway"), environment={"A_KEY": "secret"})
    brought_up(supervision, {"server": server, "gateway": gateway})
    environments = {
        role: Path(f"/proc/{pid_of(tmp_path, role)}/environ").read_bytes().split(b"\0")
        for role in ("server", "gateway")
    }
    assert b"A_KEY=secret" in environments["gateway"]
    assert not [entry for entry in environments["server"] if entry.startswith(b"A_KEY=")]
    for file in tmp_path.glob("*.json"):
        if b"secret" in file.read_bytes():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_down_ends_all_even_while_the_supervisor_is_stopped(supervision: Supervision, tmp_path: Path) -> None:
    brought_up(supervision, {"server": program(tmp_path, "server"), "gateway": program(tmp_path, "gateway")})
    supervisor = pid_of(tmp_path, "supervisor")
    assert supervisor is not None
    os.kill(supervisor, signal.SIGSTOP)
    family = [process.pid for process in marked_processes(tmp_path)]
    assert supervision.end() == ["server", "gateway"]
    time.sleep(1)  # more than the ring looks away
    assert not [pid for pid in [*family, supervisor] if process_state(pid) not in (None, "Z")]
    assert not supervision.is_supervised()


def test_a_removed_folder_ends_what_runs_in_it(supervision: Supervision, tmp_path: Path) -> None:
    brought_up(supervision, {"server": program(tmp_path, "server")})
    (tmp_path / "wanted.json").unlink()
    eventually(lambda: not marked_processes(tmp_path))
    eventually(lambda: not supervision.is_supervised())


def test_a_second_supervisor_ends_at_once(supervision: Supervision, tmp_path: Path) -> None:
    brought_up(supervision, {"server": program(tmp_path, "server")})
    first = pid_of(tmp_path, "supervisor")
    command = [sys.executable, "-m", "vfnet_serve.supervision", str(tmp_path)]
    assert subprocess.run(command, timeout=30, check=False).returncode == 0
    assert pid_of(tmp_path, "supervisor") == first


def test_a_full_disk_keeps_nobody_from_being_started_again(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    folder.mkdir()
    small = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=False, capture_output=True
    )
    if small.returncode != 0:
        pytest.skip("needs to mount a file system")
    inside = Supervision(folder)
    try:
        brought_up(inside, {"server": program(folder, "server")})
        with contextlib.suppress(OSError), (folder / "filler").open("wb") as filler:
            while True:
                filler.write(bytes(4096))
                filler.flush()
        for role in ("server", "supervisor", "server"):
            pid = pid_of(folder, role)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            eventually(lambda role=role, pid=pid: pid_of(folder, role) not in (None, pid))  # type: ignore[misc]
    finally:
        (folder / "filler").unlink(missing_ok=True)
        assert json.loads((folder / "wanted.json").read_bytes())
        inside.end()
        subprocess.run(["umount", "--lazy", folder], check=True)
