"""What `vfnet deploy` wants served beside or instead of what the repository holds; read without torch.

It lies in a folder beside the repository: `wanted.json`, and a built repository for each further deployment. Only one
command at a time changes it, which holds the folder's lock; `vfnet serve` reads it, and does what it says. Each change
is one rename, so that whoever is killed leaves what was before, or what comes after.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vfnet_client.atomic_files import durable_file, locked_file, make_folder_inside
from vfnet_client.bounded_files import read_text
from vfnet_client.exceptions import VFNetError
from vfnet_client.model_names import check_model_name, deployment_name
from vfnet_model.manifest import MANIFEST, file_of
from vfnet_supervision.process_identity import process_identity

WANTED = "wanted.json"
_MOST_BYTES = 1 << 20
_FORMAT = 1


class DeploymentsError(VFNetError):
    """What is wanted cannot be read or changed; the message says why and what to do."""


@dataclass(frozen=True)
class DeployedBuild:
    """One deployment that lies beside the repository; numbers begin with 2, for 1 is what the repository holds."""

    number: int
    checkpoint: str
    """In words."""
    engine: str
    precision: str
    created: str
    """UTC, ISO 8601."""


@dataclass(frozen=True)
class ModelDeployments:
    """Of one model."""

    base: str
    """Which build of the repository's this began with: one that is built anew is served instead."""
    live: int = 1
    """Answers under the model's public name."""
    kept: int | None = None
    """Stays loaded, so that going back to it takes no time."""
    builds: tuple[DeployedBuild, ...] = ()
    last: int = 1
    """The highest number so far. None is given twice: a server may still be at work on one that was taken away."""

    def build(self, number: int) -> DeployedBuild | None:
        """The one of that number; None for the repository's."""
        return next((build for build in self.builds if build.number == number), None)


@dataclass(frozen=True)
class Trial:
    """A deployment that is loaded, and asked by nobody who does not name it, while the command that wants it lives."""

    model: str
    number: int
    pid: int
    identity: str
    """Of the process `pid`, as `process_identity` gives it."""

    @staticmethod
    def of(model: str, number: int, pid: int) -> Trial:
        """By a process that lives."""
        return Trial(model, number, pid, process_identity(pid))

    def is_abandoned(self) -> bool:
        """Whether the command has ended."""
        try:
            return process_identity(self.pid) != self.identity
        except OSError:
            return True


@dataclass(frozen=True)
class Wanted:
    """What should be served, where that is not just what the repository holds."""

    models: Mapping[str, ModelDeployments] = field(default_factory=dict)
    trial: Trial | None = None
    revision: int = 0
    """One more with each change."""

    def changed(self, model: str, deployments: ModelDeployments, trial: Trial | None) -> Wanted:
        """The next revision."""
        return Wanted({**self.models, model: deployments}, trial, self.revision + 1)

    def loaded(self, model: str) -> list[int]:
        """The numbers that should be loaded of a model."""
        found = {1} if model not in self.models else {self.models[model].live, self.models[model].kept}
        if self.trial is not None and self.trial.model == model and not self.trial.is_abandoned():
            found.add(self.trial.number)
        return sorted(number for number in found if number is not None)

    def live(self, model: str) -> int:
        """The number that should answer under the model's public name."""
        return self.models[model].live if model in self.models else 1


@dataclass(frozen=True)
class DeploymentsFolder:
    """The folder beside a repository."""

    repository: Path

    @property
    def path(self) -> Path:
        """Where it is; not there before the first deployment."""
        return self.repository.with_name(f"{self.repository.name}.deployments")

    def build_folder(self, model: str, number: int) -> Path:
        """A built repository of this model alone, under its public name."""
        return self.repository if number == 1 else self.path / deployment_name(model, number)

    def base(self, model: str) -> str | None:
        """Which build of a model the repository holds; None: none."""
        try:
            return hashlib.sha256((self.repository / file_of(MANIFEST, model)).read_bytes()).hexdigest()
        except OSError:
            return None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Whoever changes what is wanted holds it.

        Raises:
            DeploymentsError: another command does, or the folder cannot be made.
        """
        try:
            make_folder_inside(self.path)
            with locked_file(self.path / ".lock", wait=False):
                yield
        except BlockingIOError:
            raise DeploymentsError(
                f"another vfnet deploy or rollback is at work in {self.path}: wait until it has ended"
            ) from None

    def seen(self) -> tuple[int, int]:
        """Changes whenever what is wanted does."""
        try:
            status = (self.path / WANTED).stat()
            return status.st_ino, status.st_mtime_ns
        except OSError:
            return 0, 0

    def read(self, bases: Mapping[str, str | None] | None = None) -> Wanted:
        """What is wanted of models as the repository holds them; nothing, where nobody has asked for anything.

        Args:
            bases: which builds those are, by model; None: the present ones.

        Raises:
            DeploymentsError: the file cannot be understood.
        """
        path = self.path / WANTED
        try:
            wanted = _understood(json.loads(read_text(path, _MOST_BYTES)))
        except FileNotFoundError:
            return Wanted()
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DeploymentsError(
                f"{path} is not what vfnet deploy writes ({error}): remove the folder to serve {self.repository} alone"
            ) from None
        known = {name: self.base(name) for name in wanted.models} if bases is None else bases
        current = {name: each for name, each in wanted.models.items() if each.base == known.get(name)}
        trial = wanted.trial if wanted.trial is not None and wanted.trial.model in current else None
        return replace(wanted, models=current, trial=trial)

    def write(self, wanted: Wanted) -> None:
        """To be called with the lock held. Raises OSError."""
        document = {"format": _FORMAT, **asdict(replace(wanted, models=dict(wanted.models)))}
        with durable_file(self.path / WANTED) as file:
            file.write(json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n")


def _understood(document: Any) -> Wanted:
    if document["format"] != _FORMAT:
        raise ValueError(f"its format is {document['format']!r}, and {_FORMAT} is known")
    models = {}
    for name, fields in document["models"].items():
        builds = tuple(DeployedBuild(**build) for build in fields["builds"])
        found = ModelDeployments(**{**fields, "builds": builds})
        numbers = {1, *(build.number for build in builds)}
        if found.live not in numbers or not numbers >= {found.kept or 1}:
            raise ValueError(f"it names a deployment of {name} that it does not have")
        models[check_model_name(name)] = found
    trial = None if document["trial"] is None else Trial(**document["trial"])
    return Wanted(models, trial, int(document["revision"]))
