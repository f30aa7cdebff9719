"""What `vfnet up` runs, as one thing under test: started on free ports, counted, measured, asked, stopped.

Every process of it carries a mark in its environment, by which it is found again. So a suite that kills processes
never touches one that it did not start, and one that was left behind is seen.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

import vfnet_process
from vfnet_client.free_ports import free_ports

MODELS = ("vfnet_preprocess", "vfnet_detector", "vfnet_postprocess")
ROLES = (*MODELS, "triton", "serve", "gateway", "supervisor")
"""What a process of a deployment is there for."""
_MARK = "PYTHON_TEST_DEPLOYMENT"
"""Variables that begin so are handed on to Triton and its models, which are given few others."""
_VFNET = (sys.executable, "-m", "vfnet_client")
_LOOPBACK_ONLY = Path(__file__).with_name("loopback_only")
_COMMANDS_THAT_END = ("up", "down", "logs")
_START_SECONDS = 240
_YOUNG_S = 3.0


@dataclass(frozen=True)
class Resources:
    """What a deployment holds, summed over its processes."""

    memory: int
    """Bytes: what is resident and its own (USS), so that pages shared with others count for nobody."""
    descriptors: int
    threads: int
    shared_memory: int
    """Bytes of the files in /dev/shm that carry one of its process numbers."""
    temporary_files: int
    """Entries of its own temporary folder."""

    def growth_since(self, before: Resources) -> list[str]:
        """What is more than allocators, pools and regions that keep what they once had would explain."""
        return [
            f"{name.replace('_', ' ')} went from {then} to {now}"
            for name, factor, more in _GROWTH_ALLOWED
            if (now := getattr(self, name)) > factor * (then := getattr(before, name)) + more
        ]


_GROWTH_ALLOWED = (
    ("memory", 1.35, 50 << 20),
    ("descriptors", 1.2, 20),
    ("threads", 1.2, 20),
    ("shared_memory", 2.0, 32 << 20),
    ("temporary_files", 1.0, 0),
)
"""Name, how many times as much, and how much on top."""


@dataclass
class Deployment:
    """One `vfnet up` and all that came of it."""

    state: Path
    temporary: Path
    http_port: int
    grpc_port: int
    metrics_port: int
    score_port: int
    score_grpc_port: int
    """KServe v2 over gRPC at the gateway."""
    options: tuple[str, ...]
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    names: Mapping[str, list[str]] = field(default_factory=dict)
    """What its resolver knows: addresses by name."""
    _roles: dict[tuple[int, float], str | None] = field(default_factory=dict)
    _pids_seen: set[int] = field(default_factory=set)

    @property
    def door(self) -> str:
        """The gateway's address."""
        return f"http://127.0.0.1:{self.score_port}"

    @property
    def network_log(self) -> Path:
        """Lines about what wanted to leave this machine; see tests/support/loopback_only."""
        return self.state.with_name("network.log")

    @property
    def environment(self) -> dict[str, str]:
        """Of every process of it."""
        return self.guard | {_MARK: self.mark}

    @property
    def guard(self) -> dict[str, str]:
        """The same for what runs beside it: kept on this machine, but not counted as a part."""
        path = os.pathsep.join(filter(None, (str(_LOOPBACK_ONLY), os.environ.get("PYTHONPATH"))))
        return os.environ | {
            # As on two cores that are fast enough, so that what is tried does not depend on how fast these are.
            "VFNET_SERVE_MAX_IN_FLIGHT": "10",
            "VFNET_SERVE_MAX_WAITING": "16",
            "TMPDIR": str(self.temporary),
            "PYTHONPATH": path,
            "PYTHON_LOOPBACK_ONLY_LOG": str(self.network_log),
            "PYTHON_LOOPBACK_ONLY_NAMES": json.dumps(dict(self.names)),
        }

    def start(self) -> float:
        """`vfnet up`; the seconds that it took.

        Raises:
            AssertionError: it failed; the message has its output.
        """
        assert vfnet_process.may_serve, "a test that starts a server has the marker `served`"
        ports = [f"--http-port={self.http_port}", f"--grpc-port={self.grpc_port}"]
        ports += [f"--metrics-port={self.metrics_port}", f"--score-port={self.score_port}"]
        ports.append(f"--score-grpc-port={self.score_grpc_port}")
        started = time.monotonic()
        done = self._vfnet("up", f"--state={self.state}", *ports, *self.options)
        assert done.returncode == 0, done.stdout + done.stderr
        return time.monotonic() - started

    def stop(self) -> list[str]:
        """`vfnet down`; what it left running, which is killed then."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._vfnet("down", f"--state={self.state}")
        left = [process for each in self.processes().values() for process in each]
        described = [f"{process.pid} {' '.join(_command(process)[:4])}" for process in left]
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=10)
        return described

    def _vfnet(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # To files: what it leaves in the background would hold a pipe open.
        with (self.state.with_name("command.log")).open("w+") as output:
            done = subprocess.run(
                [*_VFNET, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment,
                timeout=_START_SECONDS,
                check=False,
            )
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read(), "")

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Its living processes by role; `other` are those without one."""
        found: dict[str, list[psutil.Process]] = defaultdict(list)
        mark = f"{_MARK}={self.mark}".encode()
        for pid in psutil.pids():
            with contextlib.suppress(psutil.Error, OSError):
                process = psutil.Process(pid)
                role = self._role_of(process, mark)
                if role is not None and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                    found[role].append(process)
        return found

    def _role_of(self, process: psutil.Process, mark: bytes) -> str | None:
        """None for what is not its own, and for commands that end by themselves."""
        key = (process.pid, process.create_time())
        if key in self._roles:
            return self._roles[key]
        role = None
        if mark in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0"):
            role = _role(_command(process))
            self._pids_seen.add(process.pid)
        # A young process may be about to run another program, with another environment.
        if time.time() - process.create_time() > _YOUNG_S:
            self._roles[key] = role
        return role

    def census(self) -> Counter[str]:
        """How many living processes have each role; one that is stopped does not count."""
        counts: Counter[str] = Counter()
        for role, processes in self.processes().items():
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    counts[role] += role in ROLES and process.status() != psutil.STATUS_STOPPED
        return +counts

    def identities(self) -> frozenset[tuple[str, int]]:
        """Role and process number of all that has a role: another set means that something was started anew."""
        return frozenset(
            (role, process.pid) for role, each in self.processes().items() if role in ROLES for process in each
        )

    def memory(self) -> dict[str, int]:
        """Resident bytes by role; quick enough to be asked often."""
        sums: Counter[str] = Counter()
        for role, processes in self.processes().items():
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    sums[role] += process.memory_info().rss
        return dict(sums)

    def resources(self) -> Resources:
        """What it holds now."""
        memory = descriptors = threads = 0
        for processes in self.processes().values():
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    memory += process.memory_full_info().uss
                    descriptors += process.num_fds()
                    threads += process.num_threads()
        return Resources(memory, descriptors, threads, self._shared_memory(), len(list(self.temporary.iterdir())))

    def describe(self) -> str:
        """Threads and descriptors of each process, by role."""
        parts = []
        for role, processes in sorted(self.processes().items()):
            counts = []
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    counts.append(f"{process.num_threads()}/{process.num_fds()}")
            parts.append(f"{role} {' '.join(counts)}")
        return "threads/descriptors: " + ", ".join(parts)

    def _shared_memory(self) -> int:
        mine = {str(pid) for pid in self._pids_seen}
        total = 0
        for file in Path("/dev/shm").iterdir():
            with contextlib.suppress(OSError):
                if mine & set(file.name.replace("_", "-").split("-")):
                    total += file.stat().st_blocks * 512
        return total

    def network_attempts(self) -> list[str]:
        """What its processes tried beyond this machine, and was kept from."""
        return self.network_log.read_text().splitlines() if self.network_log.exists() else []


@contextmanager
def deployed(
    folder: Path, *options: str, names: Mapping[str, list[str]] | None = None, **more: Any
) -> Iterator[Deployment]:
    """`vfnet up` with these options on free ports while in the context; all files go to `folder`.

    Raises:
        AssertionError: it did not start, or left a process behind when stopped.
    """
    temporary = folder / "tmp"
    temporary.mkdir(parents=True)
    http, grpc, metrics, score, score_grpc = free_ports(5)
    deployment = Deployment(
        folder / "var",
        temporary,
        http,
        grpc,
        metrics,
        score,
        score_grpc,
        options,
        names=names or {},
        **more,
    )
    try:
        deployment.start()
        yield deployment
    finally:
        left = deployment.stop()
    assert not left, f"still running after vfnet down: {left}"


def pause(process: psutil.Process) -> None:
    """SIGSTOP."""
    process.send_signal(signal.SIGSTOP)


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _role(command: list[str]) -> str | None:
    """`other` where nothing tells; None for commands that end by themselves."""
    if not command:
        return "other"
    program = Path(command[0]).name
    if program == "triton_python_backend_stub":
        return next((model for model in MODELS if any(f"/{model}/" in word for word in command[1:2])), "other")
    if program == "tritonserver":
        return "triton"
    if any(word.startswith("vfnet_serve.supervision") for word in command):
        return "supervisor"
    with contextlib.suppress(ValueError, IndexError):
        name = command[command.index("vfnet") + 1]
        if name in _COMMANDS_THAT_END:
            return None
        return name if name in ("serve", "gateway") else "other"
    return "other"
