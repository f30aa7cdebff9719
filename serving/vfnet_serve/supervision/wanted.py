"""What should run, and of which code, as a file: whole, and for its owner alone, for it may hold the gateway's keys."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vfnet_client.atomic_files import write_inside
from vfnet_supervision.ring import WANTED

ROLES = ("server", "gateway")
"""In the order in which they are started."""
_LARGEST_CODE = 2**20
"""Bytes: what is larger is data, such as the demonstration's weights."""


@dataclass(frozen=True)
class Listener:
    """A TCP socket that the supervisor holds for a process, so that callers wait while it is started again."""

    host: str
    port: int


@dataclass(frozen=True)
class WantedProcess:
    """One process that should run."""

    command: list[str]
    state_file: str
    """What it writes when it is ready: JSON with its `pid`."""
    log: str
    code: str
    """The version of the code that it was asked for with (`code_version`)."""
    environment: dict[str, str | None] = field(default_factory=dict)
    """Variables beside those of the supervisor; None: not this one."""
    listener: Listener | None = None
    health_url: str | None = None
    """Answers with success while it serves."""
    serves_by_others: bool = False
    """Whether it may be stopped (SIGSTOP) and what it has started serves on."""
    start_timeout: float = 300.0
    """Seconds after which a start has failed."""
    stop_timeout: float = 80.0
    """Seconds that it may take to end."""

    def fingerprint(self) -> str:
        """The same for what need not be started anew."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Wanted:
    """All that should run from one state folder."""

    processes: dict[str, WantedProcess]
    """By role, of `ROLES`."""
    supervisor: list[str]
    """The command that starts a supervisor: the ring need not know how."""
    code: str
    """The version of the supervisor's own code."""

    def write(self, folder: Path) -> None:
        """Make it what should run. Raises OSError."""
        write_inside(folder / WANTED, json.dumps(asdict(self), indent=2).encode() + b"\n", mode=0o600)


def read_wanted(folder: Path) -> Wanted | None:
    """What should run; None: nothing.

    Raises:
        OSError: it cannot be read, though it is there.
        ValueError: it is not what `Wanted.write` writes.
    """
    try:
        content = json.loads((folder / WANTED).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        processes = {role: _process(content["processes"][role]) for role in ROLES if role in content["processes"]}
        return Wanted(processes, content["supervisor"], content["code"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / WANTED} was written by another version of vfnet up") from error


def withdraw(folder: Path) -> None:
    """Nothing should run any more: from now on nobody starts anything again."""
    (folder / WANTED).unlink(missing_ok=True)


def code_version(packages: Iterable[str]) -> str:
    """A hash of the files of these packages, and of the names of all that is installed beside them, with versions."""
    digest = hashlib.sha256(sys.version.encode())
    for package in sorted(packages):
        spec = find_spec(package)
        for root in map(Path, (spec and spec.submodule_search_locations) or []):
            for file in sorted(root.rglob("*")):
                if "__pycache__" not in file.parts and file.is_file() and file.stat().st_size <= _LARGEST_CODE:
                    digest.update(f"{package}/{file.relative_to(root)}\0".encode(errors="replace"))
                    digest.update(hashlib.sha256(file.read_bytes()).digest())
    for folder in sys.path:
        for metadata in sorted(path.name for path in Path(folder).glob("*.dist-info")) if folder else []:
            digest.update(f"{metadata}\0".encode(errors="replace"))
    return digest.hexdigest()[:16]


def _process(fields: Mapping[str, Any]) -> WantedProcess:
    listener = fields["listener"]
    return WantedProcess(**(dict(fields) | {"listener": None if listener is None else Listener(**listener)}))
